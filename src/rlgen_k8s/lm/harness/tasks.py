"""The tasks by name: where each is defined, and how its data come from a mirror."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import datasets
import lm_eval.tasks
from datasets.exceptions import DatasetsError
from lm_eval.api.task import ConfigurableTask
from lm_eval.tasks import TaskManager

from rlgen_k8s.errors import UserError
from rlgen_k8s.lm.generate import Sampling
from rlgen_k8s.lm.harness.names import MathsTask, is_maths
from rlgen_k8s.lm.hub import inside_mirror

# The harness's own definitions, as they are. Naming their folders spares it reading those of all its other tasks.
_HARNESS = Path(lm_eval.tasks.__file__).parent
_FOLDERS = ("openbookqa", "commonsense_qa", "headqa", "sciq", "arc", "logiqa", "piqa")
_OWN = Path(__file__).parent / "definitions"


@dataclass(frozen=True)
class Maths:
    """How the maths tasks are asked."""

    repeats: Mapping[MathsTask, int]
    """Responses to each problem."""
    sampling: Sampling
    instruction: str
    """Follows each problem, on a line of its own."""


def load_tasks(
    names: Sequence[str], mirror: Path, scratch: Path, maths: Maths | None = None
) -> dict[str, ConfigurableTask]:
    """The tasks `names` with their data from `mirror`; `maths` is needed where a maths task is among them.

    Raises `UserError` where the mirror lacks a task's data.
    """
    datasets.disable_progress_bars()
    with inside_mirror(mirror, scratch):
        manager = TaskManager(include_defaults=False, include_path=[_OWN, *(_HARNESS / name for name in _FOLDERS)])
        return {name: _load(manager, name, mirror, maths) for name in names}


def _load(manager: TaskManager, name: str, mirror: Path, maths: Maths | None) -> ConfigurableTask:
    changes: dict[str, Any] = {}
    if is_maths(name):
        assert maths is not None
        changes = _changes(name, maths)
    try:
        # A group's entry is how the harness lets a caller replace settings of a defined task.
        task = manager.load([{"group": "chosen", "task": [{"task": name, **changes}]}])["tasks"][name]
    except (DatasetsError, OSError, ValueError, KeyError) as error:  # what `datasets` raises for missing data
        reason = str(error).splitlines()[0]
        raise UserError(
            f"task {name}: its data cannot be loaded from the mirror {mirror} ({reason}); "
            "add its data set to the mirror or leave the task out"
        ) from error
    assert isinstance(task, ConfigurableTask)
    task.set_config("num_fewshot", 0)
    task.set_fewshot_seed(0)
    return task


def _changes(name: MathsTask, maths: Maths) -> dict[str, Any]:
    repeats, sampling = maths.repeats[name], maths.sampling
    return {
        "repeats": repeats,
        "filter_list": [{"name": f"first {repeats}", "filter": [{"function": "take_first_k", "k": repeats}]}],
        "doc_to_text": partial(_question, instruction=maths.instruction),
        "generation_kwargs": {
            "until": [],
            "max_gen_toks": sampling.max_new_tokens,
            "do_sample": sampling.temperature > 0,
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "top_k": sampling.top_k,
        },
    }


def _question(doc: Mapping[str, Any], instruction: str) -> str:
    problem = doc["problem"] if "problem" in doc else doc["Problem"]
    return f"{problem}\n{instruction}" if instruction else str(problem)
