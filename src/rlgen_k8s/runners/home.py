"""Where things are on this machine: one folder, `$RLGEN_HOME` (default `.rlgen`), for everything a run leaves."""

import os
from dataclasses import dataclass
from pathlib import Path

from rlgen_k8s.errors import UserError
from rlgen_k8s.tracking import places


@dataclass(frozen=True)
class Home:
    """The folder and the places in it."""

    path: Path

    @property
    def store(self) -> str:
        """The store's address: `$RLGEN_STORE`, or a folder here."""
        return os.environ.get("RLGEN_STORE") or str(self.path / "store")

    @property
    def tracking(self) -> str:
        """MLflow's address: `$MLFLOW_TRACKING_URI`, or a SQLite file here."""
        return places.tracking_uri(os.environ)

    @property
    def runs(self) -> Path:
        """Logs and states of runs, a folder each."""
        return self.path / "runs"

    @property
    def reports(self) -> Path:
        """Copies of the reports, by study."""
        return self.path / "reports"

    def latest_run(self, study: str) -> Path | None:
        """The folder of the study's newest run."""
        folders = sorted(self.runs.glob(f"{study}-[0-9]*"))
        return folders[-1] if folders else None


def home() -> Home:
    """The home that the environment names. Raises `UserError` where that is no folder."""
    path = places.home(os.environ)
    if path.exists() and not path.is_dir():
        raise UserError(f"RLGEN_HOME {path}: expected a folder, found a file; set it to another place")
    return Home(path)
