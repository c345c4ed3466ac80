"""The stage: read every result, write the page and its figures."""

from rlgen_k8s.stages.contract import Context
from rlgen_k8s.stages.report.inputs import read
from rlgen_k8s.stages.report.page import feature_pages, figures_and_page
from rlgen_k8s.stages.report.settings import ReportSettings


def run(context: Context[ReportSettings]) -> None:
    """Write `report.html` and `features/*.html`, each self-contained, and `figures/*.svg`."""
    context.progress(0, 3)
    results = read(context.inputs)
    context.progress(1, 3)
    figures, page = figures_and_page(results, context.settings)
    context.progress(2, 3)
    (context.out / "report.html").write_text(page)
    folder = context.out / "figures"
    folder.mkdir()
    for name, svg in figures.items():
        (folder / f"{name}.svg").write_text(svg)
    for path, text in feature_pages(results, context.settings).items():
        (context.out / path).parent.mkdir(exist_ok=True)
        (context.out / path).write_text(text)
    context.progress(3, 3)
