"""`rlgen-stage` with one more stage, `counting`, from the folder beside this file."""

import sys
from pathlib import Path

import rlgen_k8s.stages
from rlgen_k8s.stages import __main__, registry

rlgen_k8s.stages.__path__.append(str(Path(__file__).parent))

from rlgen_k8s.stages.counting.settings import CountingSettings  # noqa: E402  (found on the path set above)

registry.STAGES["counting"] = registry.Stage("counting", 1, CountingSettings)
if __name__ == "__main__":
    sys.exit(__main__.main())
