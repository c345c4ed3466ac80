"""Names of the tasks (no heavy import: settings use them)."""

from typing import Literal, TypeGuard, get_args

MultipleChoiceTask = Literal["openbookqa", "commonsense_qa", "headqa_en", "sciq", "arc_challenge", "logiqa", "piqa"]
MathsTask = Literal["math500", "aime24", "aime25"]
TaskName = MultipleChoiceTask | MathsTask

_MATHS: tuple[MathsTask, ...] = get_args(MathsTask)
TASKS: tuple[TaskName, ...] = (*get_args(MultipleChoiceTask), *_MATHS)
"""All, in the order of every list of results."""


def is_maths(name: str) -> TypeGuard[MathsTask]:
    """Whether the task's samples are responses to a maths problem, rather than a choice among options."""
    return name in _MATHS
