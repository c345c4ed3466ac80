"""The paper's own figures, to stand beside this run's: "Why Does Reinforcement Learning Generalize?", Tables 1 to 5."""

from dataclasses import dataclass

TASK_TITLES = {
    "math500": "MATH500",
    "aime24": "AIME24",
    "aime25": "AIME25",
    "openbookqa": "OpenBookQA",
    "commonsense_qa": "CommonsenseQA",
    "headqa_en": "HeadQA",
    "sciq": "SciQ",
    "arc_challenge": "ARC-Challenge",
    "logiqa": "LogiQA",
    "piqa": "PIQA",
}
"""Every task in the order of the paper's tables, by its name in the harness."""

MATHS = ("math500", "aime24", "aime25")
GENERAL = ("openbookqa", "commonsense_qa", "headqa_en", "sciq", "arc_challenge")
UNSEEN = ("logiqa", "piqa")


@dataclass(frozen=True)
class PaperModel:
    """One base model of the paper: accuracies in %, changes in points on generalization-critical samples."""

    title: str
    accuracy: dict[str, tuple[float, ...]]
    """Table 1: base, sft, rl; tasks in the order of `MATHS + GENERAL`."""
    zeroed: tuple[float, ...]
    """Tables 2 and 4: features to 0 in the RL model; `GENERAL + UNSEEN`."""
    raised: tuple[float, ...]
    """Tables 3 and 5: the same features to 3.0 in the base model; `GENERAL + UNSEEN`."""
    features: int
    """Size of the intersection (section 7)."""

    def accuracy_of(self, model: str, task: str) -> float | None:
        """Table 1, or None for a task the table lacks."""
        tasks = (*MATHS, *GENERAL)
        return self.accuracy[model][tasks.index(task)] if task in tasks else None

    def change_of(self, direction: str, task: str) -> float | None:
        """Tables 2 to 5; `direction` is zero or raise. None for a task that the tables lack."""
        tasks = (*GENERAL, *UNSEEN)
        row = self.zeroed if direction == "zero" else self.raised
        return row[tasks.index(task)] if task in tasks else None


PAPER = {
    "Qwen3-4B": PaperModel(
        title="Qwen3-4B",
        accuracy={
            "base": (26.0, 13.3, 0.0, 23.6, 20.1, 31.7, 78.5, 36.0),
            "sft": (68.4, 13.3, 13.3, 25.8, 19.6, 31.2, 51.8, 34.4),
            "rl": (77.0, 26.7, 20.0, 27.2, 50.5, 32.7, 89.5, 39.3),
        },
        zeroed=(-46.2, -43.9, -21.2, -14.0, -33.3, -24.5, -17.6),
        raised=(36.3, 36.0, 21.2, 38.0, 33.3, 23.3, 28.2),
        features=50,
    ),
    "Qwen2.5-7B": PaperModel(
        title="Qwen2.5-7B",
        accuracy={
            "base": (40.0, 10.0, 3.3, 28.4, 77.6, 33.7, 86.9, 41.9),
            "sft": (69.2, 13.3, 10.0, 26.4, 30.1, 31.2, 79.4, 37.0),
            "rl": (71.4, 20.0, 13.3, 32.8, 76.1, 36.1, 90.7, 42.5),
        },
        zeroed=(-21.9, -24.4, -23.8, -44.4, -20.0, -24.0, -11.8),
        raised=(12.5, 24.4, 14.3, 55.6, 40.0, 24.0, 32.9),
        features=16,
    ),
}
