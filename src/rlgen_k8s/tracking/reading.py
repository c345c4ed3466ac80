"""Open MLflow for reading, with everything in it that the spool still holds."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from mlflow.exceptions import MlflowException

from rlgen_k8s.errors import UserError
from rlgen_k8s.tracking.mlflow_store import Tracking, connect, sqlite_file
from rlgen_k8s.tracking.places import spool_folder, tracking_uri
from rlgen_k8s.tracking.replay import replay


@contextmanager
def reading(environ: Mapping[str, str]) -> Iterator[Tracking]:
    """This environment's MLflow. Raises UserError, there or in the body, when it does not answer."""
    folder, uri = spool_folder(environ), tracking_uri(environ)
    database = sqlite_file(uri)
    try:
        replay(folder, uri)
        while database is not None and not database.exists():  # a recorder is making it, under the spool's lock
            time.sleep(0.1)
            replay(folder, uri)
        yield connect(uri, folder)
    except MlflowException as error:
        reason = str(error.message).strip().splitlines()[-1]
        raise UserError(f"MLflow at {uri}: does not answer ({reason}); start it or set MLFLOW_TRACKING_URI") from error
