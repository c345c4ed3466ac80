"""Settings of the stage `report`."""

from pydantic import field_validator

from rlgen_k8s.stages.settings import StageSettings, seed_setting, setting


class ReportSettings(StageSettings):
    """What the page says about itself; everything else comes from the results."""

    seed: int = seed_setting()
    study_settings: str = setting(
        "{}",
        doc="All settings of the study as a JSON object, shown on the page; filled by the study.",
        source="ours",
        filled="leave it out",
    )
    paper_model: str = setting(
        "Qwen3-4B",
        doc="Base model of the paper whose figures stand beside this run's.",
        source="ours: the paper's main one",
        pattern=r"^(Qwen3-4B|Qwen2\.5-7B)$",
    )
    learning_p: float = setting(0.01, doc="p below which a model counts as having learnt.", source="ours", gt=0, lt=1)

    @field_validator("study_settings")
    @classmethod
    def _is_an_object(cls, value: str) -> str:
        import json

        if not isinstance(json.loads(value), dict):
            raise ValueError("study_settings: expected a JSON object")
        return value
