"""Settings of the stage `analyse`."""

from pydantic import model_validator

from rlgen_k8s.stages.settings import StageSettings, seed_setting, setting


class AnalyseSettings(StageSettings):
    """What is counted, which samples and features are chosen, and what they are compared with."""

    seed: int = seed_setting()
    top: int = setting(
        50,
        doc="Features with the highest NRN that are followed across checkpoints.",
        unit="features",
        source="paper 5.2",
        ge=1,
    )
    bins: int = setting(50, doc="Bins of the NRN and MAS histograms over 0 to 1.", source="ours", ge=2)
    same_feature_cosine: float = setting(
        0.7,
        doc="Least cosine of decoder directions at which features of two crosscoders count as one feature.",
        source="ours",
        ge=-1,
        le=1,
    )
    tasks: tuple[str, ...] = setting(
        ("openbookqa", "commonsense_qa", "headqa_en", "sciq", "arc_challenge"),
        doc="Tasks on which generalization features are selected.",
        source="paper 4",
        min_length=1,
    )
    unseen_tasks: tuple[str, ...] = setting(
        ("logiqa", "piqa"), doc="Tasks kept out of the selection.", source="paper B.4"
    )
    threshold: float = setting(
        0.2,
        doc="A task's features are those with a score above this share of the task's largest score.",
        unit="share",
        source="paper 7",
        gt=0,
        lt=1,
    )
    selection_share: float = setting(
        0.5,
        doc="Share of a task's critical samples that features are selected on; the rest is held out.",
        unit="share",
        source="ours: docs/study.md, weakness 1",
        gt=0,
        lt=1,
    )
    fallback_features: int = setting(
        16,
        doc="Most features in the set that stands in for an empty intersection.",
        unit="features",
        source="ours: the paper's smaller intersection (7)",
        ge=1,
    )
    reference_prompts: int = setting(
        2000,
        doc="Prompts of the tasks on which firing rates and largest activations are measured.",
        unit="prompts",
        source="ours",
        ge=1,
    )
    random_sets: int = setting(
        10,
        doc="Random sets of features, matched in norm and firing rate, that serve as controls.",
        unit="sets",
        source="ours: docs/study.md, weakness 1",
        ge=1,
    )
    sign_flips: int = setting(
        10_000,
        doc="Random sign patterns behind each score's p-value.",
        unit="draws",
        source="ours",
        ge=99,
    )
    false_discovery_rate: float = setting(
        0.05,
        doc="Rate at which scores are called significant (Benjamini-Hochberg over firing features).",
        unit="share",
        source="ours",
        gt=0,
        lt=1,
    )
    drift_sequences: int = setting(
        128,
        doc="Held-out sequences of the corpus on which the checkpoints' KL from base is measured.",
        unit="sequences",
        source="ours",
        ge=1,
    )
    drift_batch: int = setting(
        8, doc="Of these, in one forward pass of two models.", unit="sequences", source="ours", ge=1
    )
    batch: int = setting(32, doc="Prompts in one forward pass.", unit="prompts", source="ours", ge=1)

    @model_validator(mode="after")
    def _unseen_is_unseen(self) -> "AnalyseSettings":
        both = sorted(set(self.tasks) & set(self.unseen_tasks))
        if both:
            raise ValueError(f"unseen_tasks: {', '.join(both)} also in `tasks`; a task is selected on or kept out")
        return self
