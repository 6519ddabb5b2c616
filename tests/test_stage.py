import signal
import subprocess
import sys

import pytest

STAGE = """
import time
from framemix.stage import run_stage
run_stage(lambda: (print("on", flush=True), time.sleep(60)))
"""


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_stage_that_is_told_to_stop_says_so_by_its_exit_code_alone(
    number: int, code: int
) -> None:
    stage = subprocess.Popen(
        [sys.executable, "-c", STAGE], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert stage.stdout
    assert stage.stdout.readline() == "on\n"
    stage.send_signal(number)
    assert stage.communicate(timeout=30) == ("", "")
    assert stage.returncode == code
