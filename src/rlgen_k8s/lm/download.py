"""Models and data sets from the Hugging Face hub, each at a revision."""

from collections.abc import Sequence
from pathlib import Path
from shutil import rmtree
from typing import Literal

from rlgen_k8s.errors import TryAgainError, UserError


def download(
    setting: str,
    repository: str,
    revision: str,
    folder: Path,
    *,
    kind: Literal["model", "dataset"],
    patterns: Sequence[str],
) -> str:
    """Fill `folder` with the files of `repository` that match `patterns`; returns the commit that `revision` names.

    `HF_ENDPOINT` names another hub, `HF_TOKEN` opens gated repositories. Raises `UserError`, naming `setting`, for what
    the hub does not have or does not give, `TryAgainError` when it does not answer.
    """
    import httpx
    from huggingface_hub import HfApi
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, RepositoryNotFoundError, RevisionNotFoundError

    hub = HfApi()
    try:
        commit = hub.repo_info(repository, revision=revision, repo_type=kind).sha
        assert commit is not None  # the hub gives it for every revision
        hub.snapshot_download(
            repository, repo_type=kind, revision=commit, local_dir=folder, allow_patterns=list(patterns)
        )
    except GatedRepoError:
        raise UserError(
            f"setting {setting}={repository}: the hub asks for consent; accept the licence on its page and set HF_TOKEN"
        ) from None
    except RepositoryNotFoundError:
        raise UserError(f"setting {setting}={repository}: the hub has no such {kind}; name one that it has") from None
    except RevisionNotFoundError:
        raise UserError(
            f"setting {setting}={repository}: has no revision {revision}; give a commit, tag or branch that it has"
        ) from None
    except (HfHubHTTPError, httpx.TransportError) as error:
        raise TryAgainError(f"hub {hub.endpoint}, {kind} {repository}: {str(error).splitlines()[0]}") from error
    rmtree(folder / ".cache", ignore_errors=True)
    return commit
