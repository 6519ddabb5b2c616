"""Runs independent tasks on dask workers, of this machine or of a cluster, in order.

A shared cluster must see the same files under the same paths, and run the same code.
"""

import logging
import multiprocessing.forkserver
import os
import platform
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from tempfile import gettempdir
from typing import TYPE_CHECKING, Any, TypeVar

from framemix.errors import ClusterError
from framemix.jobs.fingerprint import PACKAGE, package_fingerprint
from framemix.jobs.progress import track
from framemix.jobs.terminal import print_text
from framemix.text.names import is_utf8

if TYPE_CHECKING:
    from distributed import Client, Future

Task = TypeVar("Task")
Result = TypeVar("Result")

CONNECT_SECONDS = 10
# The libraries that decode, scale, encode and store: other versions may write other bytes.
LIBRARIES = ("numpy", "av", "decord", "imageio-ffmpeg", "h5py")
ON_ONE_MACHINE = {
    # One task at a time, so that a worker that dies loses one task, and no waiting one is blamed.
    "distributed.scheduler.worker-saturation": 1.0,
    # PRELOADED is imported once, not once per worker. The fork server has no threads and no locks.
    "distributed.worker.multiprocessing-method": "forkserver",
    # For the dashboard, which is not loaded, they would take 4% of a core in every process.
    "distributed.worker.profile.enabled": False,
    "distributed.admin.tick.interval": "1s",
}
# Most of what a worker imports, but for framemix: the fork server does not know this process's
# sys.path, where another framemix may come first.
PRELOADED = ["distributed", "av", "decord", "h5py", "pydantic", "rich.progress"]
# Dask sets these for its workers, but too late: forked workers have loaded numpy already.
QUIET_TRACKER = "ignore:resource_tracker"
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}

_of_task = threading.local()


@dataclass(frozen=True)
class Cluster:
    """Where tasks run: `workers` processes of this machine, or a dask scheduler's workers."""

    workers: int
    scheduler: str | None = None


def map_tasks(
    function: Callable[[Task], Result], tasks: Sequence[Task], *, cluster: Cluster, label: str
) -> Iterator[Result]:
    """Yield `function(task)` for every task, in the order of `tasks`.

    Function, tasks and results must pickle. An exception of the function is raised here, and
    tasks that have not begun are dropped. The task of a worker that dies goes to another worker.
    Raises ClusterError when the scheduler cannot be reached, a worker runs other code, a task
    kills one worker after another, or a path that dask has to send is not UTF-8.
    """
    if not tasks:
        return
    _require_utf8()
    with _connected(cluster, len(tasks)) as client:
        from distributed.protocol.pickle import dumps

        # As bytes, so that a worker compares versions before it unpickles, which needs the code.
        calls = [dumps((function, task)) for task in tasks]
        topic = f"framemix {client.id}"  # of lines that tasks print
        client.subscribe_topic(topic, lambda event: print_text(event[1], error=True))
        futures = client.map(_run, calls, versions=_versions(), topic=topic, pure=False)
        yield from track(
            _results(futures, label, cluster),
            total=len(tasks),
            label=label,
            dashboard=client.dashboard_link if cluster.scheduler else "",
        )


@contextmanager
def _connected(cluster: Cluster, tasks: int) -> Iterator["Client"]:
    if cluster.scheduler is None:
        _start_fork_server()  # first, so that it loads dask while this process does the same
    import dask.config
    from distributed import Client, LocalCluster

    logging.getLogger("distributed").setLevel(logging.CRITICAL)
    if cluster.scheduler is None:
        with (
            dask.config.set(ON_ONE_MACHINE),
            LocalCluster(
                n_workers=min(cluster.workers, tasks),
                threads_per_worker=1,
                memory_limit=0,
                silence_logs=logging.CRITICAL,
                # For one machine the bar is enough, and the dashboard takes seconds to load.
                dashboard_address="127.0.0.1:0",
                scheduler_kwargs={"dashboard": False},
            ) as local,
            Client(local) as client,
        ):
            yield client
    else:
        with _reach(cluster.scheduler) as client:
            yield client


def _require_utf8() -> None:
    # Dask cannot send other bytes: it would wait for ever, or end in a traceback.
    places = {"the project": Path.cwd(), "framemix": PACKAGE, "TMPDIR": Path(gettempdir())}
    for what, place in places.items():
        if not is_utf8(str(place)):
            raise ClusterError(f"{place}: not UTF-8; allowed for {what}: a path that is")


def say_to_client(text: str) -> None:
    """Print to stderr; a task prints to the stderr of its client, maybe on another machine."""
    topic = getattr(_of_task, "topic", None)
    if topic is None:
        print_text(text, error=True)
    else:
        from distributed import get_worker

        get_worker().log_event(topic, text)


def _start_fork_server() -> None:
    """Start the server that workers are forked from, with one thread for numpy."""
    multiprocessing.forkserver.set_forkserver_preload(PRELOADED)
    for name, value in ONE_THREAD.items():  # they stay, as those do that dask sets
        os.environ.setdefault(name, value)
    # Python's resource tracker would warn of each semaphore that it removes after a stopped run.
    given = os.environ.get("PYTHONWARNINGS", "")
    if QUIET_TRACKER not in given:
        os.environ["PYTHONWARNINGS"] = ",".join(filter(None, (given, QUIET_TRACKER)))
    multiprocessing.forkserver.ensure_running()


def _reach(address: str) -> "Client":
    from distributed import Client

    try:
        client = Client(address, timeout=CONNECT_SECONDS)
    except OSError:
        raise ClusterError(
            f"runtime.scheduler = {address}: cannot be reached within {CONNECT_SECONDS} s; "
            "allowed: null for this machine, or a running dask scheduler's (tcp://host:8786)"
        ) from None
    if not client.scheduler_info()["workers"]:
        print_text(f"waiting for workers of runtime.scheduler = {address}", error=True)
    return client


def _results(futures: "Sequence[Future[Any]]", label: str, cluster: Cluster) -> Iterator[Any]:
    from distributed import CancelledError, KilledWorker

    done = 0
    try:
        for future in futures:
            yield future.result()
            done += 1
    except KilledWorker:
        raise ClusterError(
            f"{label}: task {done + 1} of {len(futures)} killed each worker that it ran on (out of "
            "memory?); finished work is kept"
        ) from None
    except CancelledError:
        raise ClusterError(
            f"{label}: the connection to runtime.scheduler = {cluster.scheduler} is lost; "
            "finished work is kept"
        ) from None
    except ModuleNotFoundError as error:
        raise ClusterError(
            f"runtime.scheduler = {cluster.scheduler}: a worker has no {error.name}; "
            "allowed: workers in which this framemix is installed"
        ) from None


def _run(call: bytes, versions: dict[str, str], topic: str) -> Any:
    """Do one task in a worker. Raises ClusterError where its code or libraries differ."""
    from distributed import get_worker
    from distributed.protocol.pickle import loads

    differ = [
        f"{name} {_versions()[name]}, not {wanted}"
        for name, wanted in versions.items()
        if _versions()[name] != wanted
    ]
    if differ:
        raise ClusterError(
            f"worker {get_worker().address} has {', '.join(differ)}; "
            "allowed: the code and libraries of the client on every worker"
        )
    function, task = loads(call)
    _of_task.topic = topic
    return function(task)


@cache
def _versions() -> dict[str, str]:
    """Return the versions that every worker must share, so that outputs are the same bytes."""
    return {
        "framemix code": package_fingerprint()[:12],
        "Python": platform.python_version(),
        **{name: _version(name) for name in LIBRARIES},
    }


def _version(library: str) -> str:
    try:
        return version(library)
    except PackageNotFoundError:  # decord, on platforms without a wheel
        return "none"
