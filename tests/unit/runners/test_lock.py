"""One run of a study at a time; a holder that dies holds nothing."""

import os
import subprocess
import sys

import pytest

from rlgen_k8s.errors import UserError
from rlgen_k8s.runners.lock import only_run

HOLD = """
import sys
from pathlib import Path
from rlgen_k8s.runners.lock import only_run
with only_run("tiny", Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_the_second_run_is_told_who_holds_the_study_and_a_killed_holder_holds_nothing(tmp_path):
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    holder = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    with pytest.raises(UserError, match=f"already running as process {holder.pid} since"), only_run("tiny", tmp_path):
        pass
    with only_run("other", tmp_path):
        pass
    holder.kill()
    holder.wait()
    with only_run("tiny", tmp_path):
        assert str(os.getpid()) in (tmp_path / "tiny.lock").read_text()
