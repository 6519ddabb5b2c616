"""What users may rely on when a stage is stopped or fails: one line and an exit code."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from framemix.errors import DatasetError
from framemix.project.stage import require_data
from tests import warm

ROOT = Path(__file__).resolve().parents[1]
# A data stage whose units take a minute each.
STAGE = """
import multiprocessing, time
from functools import partial
from pathlib import Path
from framemix.jobs.cluster import Cluster
from framemix.jobs.execution import Execution, finished
from framemix.jobs.isolation import Limits
from framemix.jobs.scratch import Unit
from framemix.project.stage import run_stage

def work(folder):
    (folder / "begun").touch()
    time.sleep(60)

multiprocessing.current_process()._config["semprefix"] = "/" + Path.cwd().name

def main():
    execution = Execution(Path("scratch").resolve(), Cluster(2), Limits(60, 1024))
    units = [Unit(work, {"number": i}, [], "code") for i in range(4)]
    with finished(units, execution, label="sleep"):
        pass

if __name__ == "__main__":
    run_stage(main)
"""


# Ctrl-C comes from a terminal, SIGTERM from another process: slow are the two that are rare.
@pytest.mark.parametrize(
    ("number", "to_all"),
    [
        pytest.param(signal.SIGINT, True, id="2-terminal"),
        pytest.param(signal.SIGTERM, False, id="15-process"),
        pytest.param(signal.SIGINT, False, id="2-process", marks=pytest.mark.slow),
        pytest.param(signal.SIGTERM, True, id="15-terminal", marks=pytest.mark.slow),
    ],
)
def test_a_stopped_data_stage_ends_at_once_in_one_line(tmp_path, number, to_all):
    (tmp_path / "stage.py").write_text(STAGE)
    stage = subprocess.Popen(
        [sys.executable, "stage.py"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    deadline = time.monotonic() + 60
    while len(list(tmp_path.glob("scratch/*.partial/begun"))) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    workers = psutil.Process(stage.pid).children(recursive=True)
    assert list(Path("/dev/shm").glob(f"sem.{tmp_path.name}-*"))
    (os.killpg if to_all else os.kill)(stage.pid, number)
    _, printed = stage.communicate(timeout=20)
    assert stage.returncode == 128 + number
    assert printed == (f"stopped by {number.name}: finished work is kept, run again to resume\n")
    assert psutil.wait_procs(workers, timeout=5)[1] == []
    assert list(Path("/dev/shm").glob(f"sem.{tmp_path.name}-*")) == []


@pytest.mark.parametrize("kind", ["checkout", "TMPDIR"])
def test_a_data_stage_where_paths_are_no_utf_8_is_one_line_and_waits_for_nothing(tmp_path, kind):
    folder = tmp_path / "caf\udce9\n"
    folder.mkdir()
    here = folder if kind == "checkout" else tmp_path
    (here / "stage.py").write_text(STAGE)
    done = subprocess.run(
        [sys.executable, "stage.py"],
        cwd=here,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src"), "TMPDIR": str(folder)},
        capture_output=True,
        text=True,
        timeout=50,
    )
    what = "the project" if kind == "checkout" else "TMPDIR"
    path = f"{tmp_path}/caf\\xe9\\n: not UTF-8; allowed for {what}: a path that is"
    assert (done.returncode, done.stderr) == (1, f"error: {path}\n")


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("pretrain nope", "pretrain nope: allowed: one of vivit, nonlocal"),
        ("pretrain", "pretrain without an argument: allowed: one of vivit, nonlocal"),
        pytest.param("mix nope", "mix nope: allowed: one of ucf101, rldd", marks=pytest.mark.slow),
        ("mix ucf101 rldd", "mix ucf101 rldd: allowed: one of ucf101, rldd"),
        (
            "frame_mixup.train short none 7",
            "train short none 7: allowed: one of short, long, and one of none, random, "
            "average-all, average-5, average-3, linear-all, linear-5, linear-3, harmonic-all, "
            "harmonic-5, harmonic-3, last, rank_pool, average-7, linear-7, harmonic-7, "
            "and one of 0, 1, 2",
        ),
    ],
)
def test_a_stage_that_is_asked_to_work_on_something_unknown_says_what_it_knows(
    command, message, tmp_path
):
    (tmp_path / "torch.py").write_text("raise AssertionError('takes seconds to load')")
    done = subprocess.run(
        [sys.executable, "-m", *f"stages.{command}".split()],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT / "src")])},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (1, f"error: {message}\n")


@pytest.mark.parametrize(
    ("work", "message"),
    [
        (
            "import torch; raise torch.OutOfMemoryError('CUDA out of memory. Tried 20 GiB.\\nSee')",
            "CUDA out of memory. Tried 20 GiB. See; allowed: a smaller batch_size, or more parts: "
            "accumulate",
        ),
        ("open('none/table.csv', 'w')", "none/table.csv: No such file or directory"),
        ("open('two\\nlines/\x1b[2J')", "two\\nlines/\\x1b[2J: No such file or directory"),
        (
            "import framemix.errors as e; raise e.DatasetError('x\\r\x1b[2J: is empty\\nSee')",
            "x\\r\\x1b[2J: is empty\\nSee",
        ),
    ],
)
def test_a_small_gpu_and_a_file_that_cannot_be_written_are_one_line(tmp_path, work, message):
    stage = (
        f"from framemix.project.stage import run_stage\ndef main():\n    {work}\nrun_stage(main)"
    )
    done = warm.run(["-c", stage], cwd=tmp_path)
    assert (done.returncode, done.stderr) == (1, f"error: {message}\n")


def test_data_that_an_experiments_copy_lacks_is_named_with_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = tmp_path / ".dvc/tmp/exps/tmp1234"
    (copy / "data/raw/ucf101").mkdir(parents=True)
    (copy / "data/raw/ucf101/README.md").touch()  # which Git tracks
    monkeypatch.chdir(copy)
    for root in (Path("data/raw/ucf101"), Path("data/raw/gone")):
        with pytest.raises(DatasetError) as caught:
            require_data(root, "data.ucf101")
        assert str(caught.value).startswith(f"data.ucf101 = {root}: not in this experiment's copy")
        assert str(caught.value).endswith("; allowed: an absolute path")
        require_data(copy / root, "data.ucf101")  # the layout says what is wrong there
    (copy / "data/raw/ucf101/Archery").mkdir()
    require_data(Path("data/raw/ucf101"), "data.ucf101")
    monkeypatch.chdir(tmp_path)
    require_data(Path("data/raw/gone"), "data.ucf101")
