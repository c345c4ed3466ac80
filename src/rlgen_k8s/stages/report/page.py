"""From the run to the page."""

import json

from jinja2 import Environment, PackageLoader, StrictUndefined

from rlgen_k8s.stages.report.facts import data_facts, settings_by_stage
from rlgen_k8s.stages.report.figures.firing import firing_figure
from rlgen_k8s.stages.report.findings import all_findings, one_line
from rlgen_k8s.stages.report.inputs import Run
from rlgen_k8s.stages.report.learning import compare_all, learnt_by_seed
from rlgen_k8s.stages.report.paper import PAPER
from rlgen_k8s.stages.report.plots import all_figures
from rlgen_k8s.stages.report.settings import ReportSettings
from rlgen_k8s.stages.report.tables import accuracy, course, drift, features, interest, interventions, repeats, seeds


def figures_and_page(run: Run, settings: ReportSettings) -> tuple[dict[str, str], str]:
    """SVG by name, and the HTML text that holds them all."""
    seed, reference = settings.seed, PAPER[settings.paper_model]
    comparisons, trainings = compare_all(run, seed), learnt_by_seed(run, seed)
    found = all_findings(run, comparisons, trainings, settings.learning_p)
    figures = all_figures(run, seed)
    made = [
        accuracy.accuracy_table(run, reference, seed),
        accuracy.normalized_table(run, seed),
        accuracy.learning_table(comparisons, settings.learning_p),
        seeds.seeds_table(trainings, settings.learning_p),
        accuracy.cells_table(run, seed),
        features.crosscoder_table(run),
        features.specificity_table(run),
        drift.drift_table(run),
        features.matching_table(run),
        features.mas_table(run),
        repeats.repeats_table(run),
        course.course_table(run),
        features.selection_table(run),
        interest.interest_table(run),
        *(interventions.intervention_table(run, d, seen) for seen in (True, False) for d in ("zero", "raise")),
        *(interventions.four_cells_table(run, d) for d in ("zero", "raise")),
        interventions.whole_table(run),
        interventions.contrast_table(run),
        interventions.dose_table(run),
        interventions.loss_table(run),
    ]
    page = (
        _environment()
        .get_template("report.html")
        .render(
            study=_name(settings),
            run=run,
            findings=found,
            summary=one_line(found),
            figures=figures,
            tables={table.id: table for table in made},
            pair=drift.pair_words(run),
            ends=drift.last_words(run),
            units=interventions.units(run),
            reference=reference,
            facts=data_facts(run),
            settings=settings_by_stage(settings.study_settings),
        )
    )
    return figures, page


def feature_pages(run: Run, settings: ReportSettings) -> dict[str, str]:
    """The HTML text of each feature of interest, by its path from the report."""
    template = _environment().get_template("feature.html")
    return {
        interest.page_of(portrait.feature): template.render(
            study=_name(settings),
            portrait=portrait,
            histogram=firing_figure(portrait),
            tables=[
                interest.belonging_table(portrait),
                interest.scores_table(portrait),
                interest.effects_table(run, portrait),
            ],
        )
        for portrait in run.portraits
    }


def _name(settings: ReportSettings) -> str:
    return str(json.loads(settings.study_settings).get("name", "study"))


def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("rlgen_k8s.stages.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
