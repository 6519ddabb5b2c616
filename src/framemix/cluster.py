"""Runs independent tasks on several processes and yields their results in order."""

import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import TypeVar

from framemix.lifeline import end_with_parent
from framemix.progress import track

Task = TypeVar("Task")
Result = TypeVar("Result")


def map_tasks(
    function: Callable[[Task], Result], tasks: Sequence[Task], *, workers: int, label: str
) -> Iterator[Result]:
    """Yield `function(task)` for every task, in the order of `tasks`.

    Function, tasks and results must pickle. An exception of the function is raised here, and
    tasks that have not begun are dropped. A worker ends when this process is gone.
    """
    if not tasks:
        return
    # Spawned, not forked: a fork would copy locks that the libraries' threads may hold.
    with ProcessPoolExecutor(
        max_workers=min(workers, len(tasks)),
        mp_context=multiprocessing.get_context("spawn"),
        initializer=end_with_parent,
    ) as pool:
        try:
            yield from track(pool.map(function, tasks), total=len(tasks), label=label)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
