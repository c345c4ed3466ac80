"""Data sets by their hub names, from a mirror folder: `<mirror>/<org>/<name>/README.md` beside its parquet files.

`datasets.load_dataset("<org>/<name>", …)` takes a folder of that name under the working directory before it asks the
hub. So the code that loads a set is the same for a mirror and for the hub, and so is that of a library which loads sets
itself (lm-evaluation-harness) when it runs `inside_mirror`.
"""

from collections.abc import Iterator
from contextlib import ExitStack, chdir, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rlgen_k8s.errors import UserError

if TYPE_CHECKING:
    from datasets import Dataset


@contextmanager
def inside_mirror(mirror: Path, scratch: Path) -> Iterator[None]:
    """Work inside `mirror`, offline, with a cache of our own in `scratch`.

    The library's shared cache is keyed by the relative path "<org>/<name>" and serves an older mirror's rows for it.
    Its settings are read from the environment once, at import: so they are set where they are looked up.
    """
    import datasets.config
    import huggingface_hub.constants

    mirror, cache = mirror.resolve(), (scratch / "datasets-cache").resolve()
    cache.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        stack.enter_context(_changed(datasets.config, "HF_DATASETS_CACHE", cache))
        stack.enter_context(_changed(datasets.config, "HF_HUB_OFFLINE", True))
        stack.enter_context(_changed(huggingface_hub.constants, "HF_HUB_OFFLINE", True))
        stack.enter_context(chdir(mirror))
        yield


@contextmanager
def _changed(module: Any, name: str, value: object) -> Iterator[None]:
    before = getattr(module, name)
    setattr(module, name, value)
    try:
        yield
    finally:
        setattr(module, name, before)


def load_set(mirror: Path, name: str, config: str | None = None, *, split: str, scratch: Path) -> "Dataset":
    """The split of the set `name` ("<org>/<name>") in `mirror`.

    Raises `UserError` if the mirror has no such set, configuration or split.
    """
    import datasets
    from datasets.exceptions import DatasetGenerationError

    if not (mirror / name / "README.md").is_file():
        raise UserError(f"data set {name}: not in the mirror {mirror}; expected {name}/README.md and its parquet files")
    with inside_mirror(mirror, scratch):
        datasets.disable_progress_bars()
        try:
            loaded = datasets.load_dataset(name, config, split=split)
        except (ValueError, FileNotFoundError) as error:  # an unknown configuration or split, or files not there
            reason = str(error).splitlines()[0]
            raise UserError(f"data set {name}, configuration {config}, split {split}: {reason}") from error
        except DatasetGenerationError as error:
            raise UserError(
                f"data set {name}, split {split}: empty or damaged ({error.__cause__}); mend or replace its files"
            ) from error
    assert isinstance(loaded, datasets.Dataset)  # a split was named, so it is neither a dict nor a stream
    return loaded
