"""Where tracking keeps things. All of it follows from two environment variables.

`RLGEN_HOME` (default `.rlgen` in the working folder) holds what the platform keeps on this machine;
`MLFLOW_TRACKING_URI` (default `sqlite:///$RLGEN_HOME/mlflow.db`) says where MLflow is. Events wait for MLflow in
`$RLGEN_HOME/spool/<hash of the tracking URI>/`: what was meant for one MLflow never lands in another.
"""

import hashlib
from collections.abc import Mapping
from pathlib import Path


def home(environ: Mapping[str, str]) -> Path:
    """The folder of what is kept on this machine, absolute."""
    return Path(environ.get("RLGEN_HOME") or ".rlgen").resolve()


def tracking_uri(environ: Mapping[str, str]) -> str:
    """The user's `MLFLOW_TRACKING_URI`, or a SQLite file at home."""
    return environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{home(environ)}/mlflow.db"


def spool_folder(environ: Mapping[str, str]) -> Path:
    """Where events for this MLflow wait; one folder for each tracking URI."""
    digest = hashlib.sha256(tracking_uri(environ).encode()).hexdigest()[:12]
    return home(environ) / "spool" / digest
