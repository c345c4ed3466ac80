"""Models and data sets from the Hugging Face hub, each at a commit; whole files outlive the attempt."""

import hashlib
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

from rlgen_k8s.errors import TryAgainError, UserError
from rlgen_k8s.stages.contract import Context

MB = 10**6


@dataclass(frozen=True)
class Source:
    """Files of a repository of the hub at one commit."""

    setting: str
    """Names the repository, for messages."""
    kind: Literal["model", "dataset"]
    repository: str
    commit: str
    files: Mapping[str, int]
    """Bytes of each, by its path in the repository."""

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(self.files.values())


def find(
    setting: str, repository: str, revision: str, *, kind: Literal["model", "dataset"], patterns: Sequence[str]
) -> Source:
    """The files of `repository` that match `patterns`, at the commit that `revision` names now.

    `HF_ENDPOINT` names another hub, `HF_TOKEN` opens gated repositories. Raises `UserError`, naming `setting`, for what
    the hub does not have or does not give, `TryAgainError` when it does not answer.
    """
    from huggingface_hub import HfApi, RepoFile
    from huggingface_hub.errors import RevisionNotFoundError

    hub = HfApi()
    with _asking(setting, kind, repository):
        try:
            commit = hub.repo_info(repository, revision=revision, repo_type=kind).sha
        except RevisionNotFoundError:
            raise UserError(
                f"setting {setting}={repository}: has no revision {revision}; give a commit, tag or branch that it has"
            ) from None
        assert commit is not None  # the hub gives it for every revision
        tree = hub.list_repo_tree(repository, revision=commit, repo_type=kind, recursive=True)
        sizes = {entry.path: entry.size for entry in tree if isinstance(entry, RepoFile)}
    wanted = {path: size for path, size in sizes.items() if any(fnmatch(path, pattern) for pattern in patterns)}
    return Source(setting, kind, repository, commit, wanted)


def download(context: Context[Any], wanted: Sequence[tuple[Source, Path]]) -> None:
    """Fill each folder with the files of its source, one file after the other. Progress is in MB.

    A whole file is a resume point of its own: a later attempt takes it from the store. Its bytes are never written to
    again, so who changes a file puts a new one in its place. Raises what `find` raises.
    """
    meter = _Meter(sum(source.size for source, _ in wanted), context.progress)
    for source, folder in wanted:
        folder.mkdir(parents=True, exist_ok=True)
        for path, size in source.files.items():
            _place(context, source, path, folder, meter)
            meter.whole += size
            meter.show()


def _place(context: Context[Any], source: Source, path: str, folder: Path, meter: "_Meter") -> None:
    """Put one file into `folder`: an earlier attempt's, or the hub's."""
    from huggingface_hub import HfApi

    part = context.resume.part(_part(source, path))
    with TemporaryDirectory(dir=folder) as temporary:
        here = Path(temporary)
        point = part.newest()
        if point is not None:
            here = point.path
        else:
            with _asking(source.setting, source.kind, source.repository):
                HfApi().hf_hub_download(
                    source.repository,
                    path,
                    repo_type=source.kind,
                    revision=source.commit,
                    local_dir=here,
                    tqdm_class=meter.bar(),
                )
            shutil.rmtree(here / ".cache")  # the library's notes
            part.save(source.files[path], here)
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(here / path, target)


def _part(source: Source, path: str) -> str:
    """A name for the file's resume points, without `/` and the same in every attempt."""
    whole = f"{source.kind} {source.repository} {source.commit} {path}"
    return f"{hashlib.sha256(whole.encode()).hexdigest()[:12]}-{Path(path).name}"


@dataclass
class _Meter:
    """Counts the bytes that are here."""

    total: int
    progress: Callable[[int, int], None]
    whole: int = 0
    """Bytes of the files that are whole."""

    def show(self, begun: int = 0) -> None:
        """Tell how far the work is, with `begun` bytes of the file under way."""
        self.progress(-(-(self.whole + begun) // MB), -(-self.total // MB))

    def bar(self) -> type[Any]:
        """A class of bars, as the library wants one: what it draws is the meter's progress.

        Xet's client tells what came and what is written, which may be far behind; plain HTTP tells both as one.
        """
        from tqdm.auto import tqdm

        meter = self

        class Bar(tqdm):  # type: ignore[misc,type-arg,unused-ignore]
            def __init__(self, *_: Any, **__: Any) -> None:
                super().__init__(disable=True)
                self.written = self.received = 0

            def update(self, n: float | None = 1) -> None:
                self.written += int(n or 0)
                self._show()

            def update_transfer(self, n: float | None = 1) -> None:
                self.received += int(n or 0)
                self._show()

            def set_transfer_postfix_str(self, *_: Any, **__: Any) -> None:
                """The library tells the speed, too."""

            def _show(self) -> None:
                meter.show(max(self.written, self.received))

        return Bar


@contextmanager
def _asking(setting: str, kind: str, repository: str) -> Iterator[None]:
    """Tell what the user must mend from what may pass by itself."""
    import httpx
    from huggingface_hub import HfApi
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError

    try:
        yield
    except GatedRepoError:
        raise UserError(
            f"setting {setting}={repository}: the hub asks for consent; accept the licence on its page and set HF_TOKEN"
        ) from None
    except RepositoryNotFoundError:
        raise UserError(f"setting {setting}={repository}: the hub has no such {kind}; name one that it has") from None
    except (OSError, RuntimeError, httpx.TransportError) as error:
        if not _outside(error):
            raise
        reason = error.__cause__ or error  # of a file that the hub does not tell about, the cause says why
        raise TryAgainError(f"hub {HfApi().endpoint}, {kind} {repository}: {str(reason).splitlines()[0]}") from error


def _outside(error: Exception) -> bool:
    """Whether the network or the hub failed, and not this machine."""
    if isinstance(error, RuntimeError):  # Xet's client has no type of its own for what it cannot reach
        return "CAS Client Error" in str(error)
    return getattr(error, "errno", None) is None  # the system's own errors have a number, the hub library's none
