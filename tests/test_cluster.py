"""What users may rely on when work is spread over processes."""

import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from framemix.cluster import map_tasks
from framemix.errors import VideoError

# The main process of a run, to be killed: its workers write their ids and then sleep.
RUN = """
import sys
from pathlib import Path
from test_cluster import write_id_and_sleep
from framemix.cluster import map_tasks

if __name__ == "__main__":
    tasks = [Path(sys.argv[1]) / str(i) for i in range(4)]
    list(map_tasks(write_id_and_sleep, tasks, workers=2, label="sleep"))
"""


def square_slowly(number: int) -> tuple[int, int]:
    time.sleep(0.02 * (5 - number))  # the first task is the last to end
    return number**2, os.getpid()


def refuse_two(number: int) -> int:
    if number == 2:
        raise VideoError("a.avi: cannot be decoded")
    return number


def leave_a_trace(path: Path) -> None:
    time.sleep(0.05)
    path.touch()
    if path.name == "0":
        raise VideoError("first")


def write_id_and_sleep(path: Path) -> None:
    path.with_suffix(".tmp").write_text(str(os.getpid()))
    path.with_suffix(".tmp").rename(path)
    time.sleep(60)


def test_results_come_in_the_order_of_the_tasks_from_other_processes():
    results = list(map_tasks(square_slowly, range(6), workers=2, label="square"))
    assert [result for result, _ in results] == [0, 1, 4, 9, 16, 25]
    assert os.getpid() not in {pid for _, pid in results}


def test_an_error_in_a_worker_is_raised_here_as_it_is():
    results = map_tasks(refuse_two, range(4), workers=1, label="refuse")
    assert [next(results), next(results)] == [0, 1]
    with pytest.raises(VideoError, match=r"^a\.avi: cannot be decoded$"):
        next(results)


def test_after_an_error_tasks_that_have_not_begun_are_dropped(tmp_path):
    tasks = [tmp_path / str(i) for i in range(40)]
    with pytest.raises(VideoError, match="first"):
        list(map_tasks(leave_a_trace, tasks, workers=1, label="trace"))
    assert len(list(tmp_path.iterdir())) < 40


def test_no_tasks_are_no_work_and_no_processes():
    before = psutil.Process().children(recursive=True)
    assert list(map_tasks(square_slowly, [], workers=2, label="none")) == []
    assert psutil.Process().children(recursive=True) == before


def test_workers_are_gone_when_the_work_is_done():
    list(map_tasks(refuse_two, [0], workers=1, label="one"))
    names = [" ".join(child.cmdline()) for child in psutil.Process().children(recursive=True)]
    assert not [name for name in names if "spawn_main" in name]


def test_workers_end_when_their_run_is_killed(tmp_path):
    (tmp_path / "run.py").write_text(RUN)
    run = subprocess.Popen(
        [sys.executable, tmp_path / "run.py", tmp_path],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path])},
        stderr=subprocess.DEVNULL,
    )
    wait_for(lambda: (tmp_path / "0").exists() and (tmp_path / "1").exists(), seconds=30)
    workers = [psutil.Process(int((tmp_path / name).read_text())) for name in "01"]
    assert all(worker.is_running() for worker in workers)
    run.kill()  # not waited for: the run stays a zombie meanwhile
    try:
        _, alive = psutil.wait_procs(workers, timeout=10)
        assert alive == []
    finally:
        run.wait()


def wait_for(condition, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)
