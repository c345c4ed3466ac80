"""MLflow's own switches, through the variables it documents; to be set before it is imported."""

import os

QUIET = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "GIT_PYTHON_REFRESH": "quiet",
}
IMPATIENT = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "15",
}
"""Nothing waits long for a server that is down: the spool keeps the events, and they are sent again later. MLflow sends
nothing twice: a server that answers late would have two runs of one attempt. The spool looks what is there."""


def be_quiet() -> None:
    """No telemetry, no chatter, short waits for MLflow in this process and its children."""
    for name, value in {**QUIET, **IMPATIENT}.items():
        os.environ.setdefault(name, value)
