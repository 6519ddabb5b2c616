import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
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


WORKING = """
import time
from framemix.cluster import map_tasks
from framemix.stage import run_stage
if __name__ == "__main__":
    run_stage(lambda: print(*map_tasks(time.sleep, [1.0] * 100, workers=2, label="sleep")))
"""


def test_ctrl_c_on_a_terminal_ends_a_stage_and_its_workers_without_a_traceback(
    tmp_path: Path,
) -> None:
    (tmp_path / "working.py").write_text(WORKING)
    stage = subprocess.Popen(
        [sys.executable, str(tmp_path / "working.py")],
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    while not [w for w in psutil.Process(stage.pid).children() if w.cpu_times().user > 0.1]:
        assert stage.poll() is None
        time.sleep(0.05)
    time.sleep(1)  # until they work
    os.killpg(stage.pid, signal.SIGINT)
    assert "Traceback" not in stage.communicate(timeout=60)[1]
    assert stage.returncode == 130
