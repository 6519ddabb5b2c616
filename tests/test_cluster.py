"""What users may rely on when work is spread over processes."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from threading import Thread

import numpy as np
import psutil
import pytest

from framemix.datasets.clips import Clip, class_labels
from framemix.errors import ClusterError, VideoError
from framemix.jobs.cluster import Cluster, map_tasks
from framemix.jobs.execution import Execution
from framemix.jobs.isolation import Limits
from framemix.mixing import MixSettings
from framemix.store.build import build_store
from framemix.store.sources import sources_of
from framemix.video.writing import video_writer
from tests import warm
from tests.cluster_tasks import end_worker, leave_a_trace, pause, refuse_two, square_slowly
from tests.warm import WarmProcess

ROOT = Path(__file__).resolve().parents[1]
SRC = ROOT / "src"

# Says how many threads a large product of matrices starts in a worker.
THREADS = """
import os
import numpy as np
from framemix.jobs.cluster import Cluster, map_tasks


def threads(side):
    before = len(os.listdir("/proc/self/task"))
    np.ones((side, side)) @ np.ones((side, side))
    return len(os.listdir("/proc/self/task")) - before


if __name__ == "__main__":
    print(list(map_tasks(threads, [500], cluster=Cluster(1), label="p")))
"""

# The main process of a run, to be killed: its workers write their ids and then sleep.
RUN = """
import sys
from pathlib import Path
from tests.cluster_tasks import write_id_and_sleep
from framemix.jobs.cluster import Cluster, map_tasks

if __name__ == "__main__":
    tasks = [Path(sys.argv[1]) / str(i) for i in range(4)]
    list(map_tasks(write_id_and_sleep, tasks, cluster=Cluster(2), label="sleep"))
"""


def test_results_come_in_the_order_of_the_tasks_from_other_processes():
    results = list(map_tasks(square_slowly, range(6), cluster=Cluster(2), label="square"))
    assert [result for result, _ in results] == [0, 1, 4, 9, 16, 25]
    assert os.getpid() not in {pid for _, pid in results}


def test_an_error_in_a_worker_is_raised_here_as_it_is():
    results = map_tasks(refuse_two, range(4), cluster=Cluster(1), label="refuse")
    assert [next(results), next(results)] == [0, 1]
    with pytest.raises(VideoError, match=r"^a\.avi: cannot be decoded$"):
        next(results)


def test_after_an_error_tasks_that_have_not_begun_are_dropped(tmp_path):
    tasks = [tmp_path / str(i) for i in range(40)]
    with pytest.raises(VideoError, match="first"):
        list(map_tasks(leave_a_trace, tasks, cluster=Cluster(1), label="trace"))
    assert len(list(tmp_path.iterdir())) < 40


def test_no_tasks_are_no_work_and_no_processes():
    before = psutil.Process().children(recursive=True)
    assert list(map_tasks(square_slowly, [], cluster=Cluster(2), label="none")) == []
    assert psutil.Process().children(recursive=True) == before


def test_workers_are_gone_when_the_work_is_done():
    results = list(map_tasks(square_slowly, range(4), cluster=Cluster(2), label="square"))
    workers = {pid for _, pid in results}
    assert workers
    wait_for(lambda: not any(map(psutil.pid_exists, workers)), seconds=5)


def test_workers_end_when_their_run_is_killed(tmp_path):
    (tmp_path / "run.py").write_text(RUN)
    run = subprocess.Popen(
        [sys.executable, tmp_path / "run.py", tmp_path],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])},
        stderr=subprocess.DEVNULL,
    )
    wait_for(lambda: (tmp_path / "0").exists() and (tmp_path / "1").exists(), seconds=60)
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


def test_a_task_whose_worker_dies_is_done_by_another(tmp_path):
    tasks = [tmp_path / name for name in ("a", "once", "b")]
    results = list(map_tasks(end_worker, tasks, cluster=Cluster(2), label="end"))
    assert results == ["a", "once", "b"]


def test_the_error_names_the_task_that_kills_every_worker_and_no_other(tmp_path):
    tasks = [tmp_path / name for name in ("a", "b", "always", "c", "d")]
    results = map_tasks(end_worker, tasks, cluster=Cluster(2), label="mix shards")
    assert [next(results), next(results)] == ["a", "b"]
    with pytest.raises(ClusterError, match=r"^mix shards: task 3 of 5 .*; finished work is kept$"):
        next(results)


# Another cluster, by address


# `dask`, with framemix from a folder that is named first.
DASK = "import sys; sys.path.insert(0, sys.argv.pop(1)); from dask.__main__ import main; main()"
DASK_IMPORTS = ("dask.cli", "distributed.cli.dask_scheduler", "distributed.cli.dask_worker")


class DaskCluster:
    """A scheduler and workers on the loopback, with the options of users."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.processes = folder, []
        scheduler = self._start("scheduler", "--host 127.0.0.1 --port 0 --no-dashboard", SRC)
        wait_for(lambda: "Scheduler at:" in scheduler.written(), seconds=60)
        self.address = scheduler.written().split("Scheduler at:")[1].split()[0]

    def start_worker(self, source: Path = SRC) -> WarmProcess:
        options = "--nthreads 1 --no-nanny --no-dashboard"  # a dashboard takes as long to load
        return self._start("worker", f"{self.address} {options}", source)

    def _start(self, what: str, options: str, source: Path) -> WarmProcess:
        cwd = self.folder / f"cwd{len(self.processes)}"
        cwd.mkdir()
        words: list[str | Path] = ["-c", DASK, source, what, *options.split()]
        process = warm.start(words, cwd=cwd, joined=True, imports=DASK_IMPORTS)
        self.processes.append(process)
        return process


@pytest.fixture
def dask_cluster(tmp_path: Path) -> Iterator[DaskCluster]:
    (tmp_path / "dask").mkdir()
    cluster = DaskCluster(tmp_path / "dask")
    yield cluster
    for process in reversed(cluster.processes):
        process.send_signal(signal.SIGKILL)
        process.wait()


def build(root: Path, folder: Path, cluster: Cluster) -> dict[str, bytes]:
    rows = [
        Clip(video=f.name, class_name=f.stem, group="g01", frames=60, kept=True)
        for f in sorted(root.iterdir())
    ]
    build_store(
        sources_of(rows, root, class_labels(rows)),
        folder / "store",
        MixSettings(
            method="linear",
            segments=4,
            frames_per_segment="all",
            window="all",
            variants=1,
            size=(48, 64),
            fit="squeeze",
            pixel_format="rgb24",
        ),
        Execution(folder.absolute() / "scratch", cluster, Limits(seconds=60, memory_mb=1024)),
    )
    return {file.name: file.read_bytes() for file in (folder / "store").iterdir()}


def test_a_worker_killed_in_the_middle_changes_no_byte_of_the_stages_outputs(
    dask_cluster, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)  # the workers have other working folders
    root = Path("videos")
    root.mkdir()
    with video_writer(root / "000.avi", width=64, height=48, fps=25, codec="xvid") as write:
        for value in range(60):
            write(np.full((48, 64, 3), 4 * value, np.uint8))
    for i in range(1, 40):
        shutil.copy(root / "000.avi", root / f"{i:03}.avi")
    (tmp_path / "local").mkdir()
    expected = build(root, tmp_path / "local", Cluster(1))

    victim, _ = dask_cluster.start_worker(), dask_cluster.start_worker()
    folder, finished = Path("cluster"), []
    folder.mkdir()

    def kill() -> None:
        def done() -> list[Path]:
            return list(folder.glob("scratch/*[!lk]/shard.h5"))

        wait_for(lambda: len(done()) >= 4, seconds=60)
        victim.send_signal(signal.SIGKILL)
        finished.extend(done())

    killer = Thread(target=kill)
    killer.start()
    assert build(root, folder, Cluster(2, dask_cluster.address)) == expected
    killer.join()
    assert victim.wait() == -signal.SIGKILL
    assert len(finished) < 40


@pytest.mark.parametrize(("changed", "what"), [("mixing/frames.py", "framemix code"), ("", "h5py")])
def test_a_worker_of_other_code_or_libraries_is_refused_even_when_it_joins_later(
    dask_cluster, tmp_path, changed, what
):
    shutil.copytree(SRC / "framemix", tmp_path / "other/framemix")
    if changed:
        with (tmp_path / "other/framemix" / changed).open("a") as file:
            file.write("# changed\n")
    else:
        (tmp_path / "other/h5py-0.1.dist-info").mkdir()
        (tmp_path / "other/h5py-0.1.dist-info/METADATA").write_text("Name: h5py\nVersion: 0.1\n")
    dask_cluster.start_worker()
    results = map_tasks(pause, range(200), cluster=Cluster(1, dask_cluster.address), label="pause")
    assert next(results) == 0
    dask_cluster.start_worker(tmp_path / "other")
    with pytest.raises(ClusterError) as caught:
        list(results)
    message = str(caught.value)
    assert message.startswith("worker tcp://127.0.0.1:")
    assert f" has {what} " in message
    assert "allowed: the code and libraries of the client" in message
    assert "\n" not in message


def test_a_scheduler_that_is_lost_is_one_line(dask_cluster):
    dask_cluster.start_worker()
    results = map_tasks(pause, range(100), cluster=Cluster(1, dask_cluster.address), label="p")
    assert next(results) == 0
    dask_cluster.processes[0].send_signal(signal.SIGKILL)
    with pytest.raises(ClusterError, match=r"^p: the connection to runtime\.scheduler = tcp"):
        list(results)


def test_numpy_has_one_thread_in_each_worker_of_this_machine(tmp_path):
    script = tmp_path / "threads.py"
    script.write_text(THREADS)
    environment = {k: v for k, v in os.environ.items() if not k.endswith("_NUM_THREADS")}
    done = subprocess.run(
        [sys.executable, script],
        env={**environment, "PYTHONPATH": str(SRC)},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    assert done.stdout == "[0]\n"


def test_a_scheduler_that_cannot_be_reached_is_named_within_seconds(monkeypatch):
    monkeypatch.setattr("framemix.jobs.cluster.CONNECT_SECONDS", 1)
    start = time.monotonic()
    with pytest.raises(ClusterError) as caught:
        list(map_tasks(pause, [1], cluster=Cluster(1, "tcp://127.0.0.1:9"), label="p"))
    assert time.monotonic() - start < 9
    assert str(caught.value) == (
        "runtime.scheduler = tcp://127.0.0.1:9: cannot be reached within 1 s; "
        "allowed: null for this machine, or a running dask scheduler's (tcp://host:8786)"
    )


def test_dask_says_nothing_of_its_own(capfd):
    list(map_tasks(refuse_two, [0, 1], cluster=Cluster(2), label="quiet"))
    out, err = capfd.readouterr()
    assert out == ""
    assert [line for line in err.splitlines() if not line.startswith("quiet: 2/2")] == []
