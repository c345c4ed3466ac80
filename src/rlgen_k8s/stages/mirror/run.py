"""All data sets of the study, in the hub's layout: made up from the seed, or from the hub or a folder of the user's."""

import shutil
from pathlib import Path

from rlgen_k8s.errors import UserError
from rlgen_k8s.stages.contract import Context
from rlgen_k8s.stages.mirror.hub import mirror_hub
from rlgen_k8s.stages.mirror.settings import NEEDED, MirrorSettings
from rlgen_k8s.world.sets import Sizes, build


def run(context: Context[MirrorSettings]) -> None:
    """Fill `context.out` with `<org>/<name>/README.md` and the parquet files beside it, for every set."""
    settings = context.settings
    if settings.kind == "hub":
        mirror_hub(context)
    elif settings.path is None:
        sizes = Sizes(**{name: getattr(settings, name) for name in Sizes.__dataclass_fields__})
        build(context.out, sizes, settings.seed, context.progress)
    else:
        copy_folder(Path(settings.path), context.out)


def copy_folder(folder: Path, out: Path) -> None:
    """Copy the needed sets, and any pre-training texts under rlgen/. Raises `UserError` if a needed one is absent."""
    missing = [name for name in NEEDED if not (folder / name / "README.md").is_file()]
    if missing:
        raise UserError(
            f"mirror.path {folder}: has no {', '.join(missing)}; expected <org>/<name>/README.md with `configs:` "
            "and parquet files for each"
        )
    empty = [name for name in NEEDED if not any((folder / name).rglob("*.parquet"))]
    if empty:
        raise UserError(f"mirror.path {folder}: no parquet file in {', '.join(empty)}; download these sets again")
    for name in (*NEEDED, *(str(path.parent.relative_to(folder)) for path in folder.glob("rlgen/*/README.md"))):
        shutil.copytree(folder / name, out / name)
