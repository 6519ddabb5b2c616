"""What users may rely on when what started a process is killed: nothing keeps running unnoticed."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

SRC = Path(__file__).resolve().parents[1] / "src"

# A child that would run for a minute; with what it does first, and what it writes at its end.
CHILD = """
import os, signal, sys, time
from pathlib import Path
from framemix.jobs import lifeline

def end(*_):
    Path("ended").write_text("tidily")
    sys.exit(3)

signal.signal(signal.SIGTERM, end)
lifeline.{function}()
Path("child.tmp").write_text(str(os.getpid()))
Path("child.tmp").rename("child")
time.sleep(60)
"""
# Stands for DVC: starts the child, alone or through a shell, and waits.
PARENT = """
import subprocess, sys
subprocess.run({command!r}, shell={shell})
"""


def start_family(
    folder: Path, function: str, *, shell: bool, dvc: bool
) -> tuple[subprocess.Popen, psutil.Process]:
    """Start a parent and its child in `folder`; return both once the child is at work."""
    (folder / "child.py").write_text(CHILD.format(function=function))
    command = [sys.executable, "child.py"]
    # The second command keeps the shell from becoming the child itself.
    command = f"{sys.executable} child.py; true" if shell else command
    environment = {k: v for k, v in os.environ.items() if k != "DVC_STAGE"}
    environment |= {"PYTHONPATH": str(SRC)} | ({"DVC_STAGE": "mix"} if dvc else {})
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT.format(command=command, shell=shell)],
        cwd=folder,
        env=environment,
        start_new_session=True,
    )
    deadline = time.monotonic() + 30
    while not (folder / "child").exists():
        assert time.monotonic() < deadline, "the child did not start"
        time.sleep(0.02)
    return parent, psutil.Process(int((folder / "child").read_text()))


def ends_within(process: psutil.Process, seconds: float) -> bool:
    return not psutil.wait_procs([process], timeout=seconds)[1]


def test_a_worker_ends_when_its_parent_is_killed(tmp_path):
    parent, child = start_family(tmp_path, "end_with_parent", shell=False, dvc=False)
    assert not ends_within(child, 0.6)
    parent.kill()
    parent.wait()
    assert ends_within(child, 5)
    assert not (tmp_path / "ended").exists()


def test_a_worker_ends_even_while_its_killed_parent_is_a_zombie(tmp_path):
    parent, child = start_family(tmp_path, "end_with_parent", shell=False, dvc=False)
    parent.kill()
    try:
        assert ends_within(child, 5)
    finally:
        parent.wait()


def test_a_stage_gets_sigterm_when_dvc_is_killed_behind_its_shell(tmp_path):
    parent, child = start_family(tmp_path, "stop_with_dvc", shell=True, dvc=True)
    assert not ends_within(child, 0.6)
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    assert ends_within(child, 5)
    assert (tmp_path / "ended").read_text() == "tidily"


def test_a_stage_started_by_hand_outlives_what_started_it(tmp_path):
    parent, child = start_family(tmp_path, "stop_with_dvc", shell=False, dvc=False)
    parent.kill()
    parent.wait()
    try:
        assert not ends_within(child, 1.5)
        assert not (tmp_path / "ended").exists()
    finally:
        child.kill()


def test_ctrl_c_is_answered_by_the_parent_and_not_by_its_worker(tmp_path):
    parent, child = start_family(tmp_path, "end_with_parent", shell=False, dvc=False)
    try:
        child.send_signal(signal.SIGINT)
        time.sleep(0.5)
        assert child.status() == psutil.STATUS_SLEEPING
    finally:
        parent.kill()
        parent.wait()


@pytest.mark.parametrize(("parent", "code"), [("os.getppid()", 0), ("os.getppid() - 1", 1)])
def test_what_lost_its_parent_before_it_could_say_so_ends_at_once(parent, code):
    work = f"import os; from framemix.jobs.lifeline import die_with; die_with({parent})"
    environment = {**os.environ, "PYTHONPATH": str(SRC)}
    assert subprocess.run([sys.executable, "-c", work], env=environment).returncode == code
