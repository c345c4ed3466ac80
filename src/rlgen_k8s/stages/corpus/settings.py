"""Settings of the stage `corpus`."""

from pydantic import model_validator

from rlgen_k8s.stages.settings import StageSettings, seed_setting, setting


class CorpusSettings(StageSettings):
    """How many tokens of which text the crosscoders see."""

    seed: int = seed_setting()
    conversation_tokens: int = setting(
        200_000_000,
        doc="Training tokens of open-thoughts/OpenThoughts-114k, in the chat template; all of it if it has fewer.",
        unit="tokens",
        source="docs/study.md, settings",
        ge=0,
    )
    text_tokens: int = setting(
        200_000_000,
        doc="Training tokens of togethercomputer/RedPajama-Data-1T-Sample; all of it if it has fewer.",
        unit="tokens",
        source="docs/study.md, settings",
        ge=0,
    )
    evaluation_tokens: int = setting(
        1_000_000,
        doc="Tokens kept apart for measuring, of documents that training does not see, shared among the sources.",
        unit="tokens",
        source="ours: costs little to keep",
        ge=1,
    )
    length: int = setting(
        1024,
        doc="Tokens of a packed sequence, its first separator included.",
        unit="tokens",
        source="ours: paper silent; as in ckkissane/crosscoder-model-diff-replication",
        ge=8,
    )

    @model_validator(mode="after")
    def _enough_for_a_sequence(self) -> "CorpusSettings":
        if max(self.conversation_tokens, self.text_tokens) < self.length:
            raise ValueError(
                f"length: {self.length} is more than conversation_tokens ({self.conversation_tokens}) and "
                f"text_tokens ({self.text_tokens}); shorten it or raise one of them"
            )
        if self.evaluation_tokens < 2 * self.length:
            raise ValueError(
                f"evaluation_tokens: {self.evaluation_tokens} is less than a sequence of {self.length} (length) for "
                "each source; raise it or shorten the length"
            )
        return self
