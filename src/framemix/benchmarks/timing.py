"""Measures ways of doing a task side by side: how many times as fast one is as another.

A single time means little on a shared machine. Tasks take turns, so that other load affects all of
them, each is pinned to as many cores as it may use, and the median counts.
"""

import os
import resource
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import median

from framemix.text.markdown import Table


@dataclass(frozen=True)
class Task:
    """Work of so many `units` (clips, for example) on at most so many cores."""

    run: Callable[[], object]
    units: int = 1
    cores: int = 1


@dataclass(frozen=True)
class Cost:
    """Seconds for one unit, CPU time of ended children included."""

    wall: float
    cpu: float


@dataclass(frozen=True)
class Comparison:
    """What is compared with what, and how many times as fast it should be: None is not asked."""

    what: str
    against: str
    wall: float | None = None
    cpu: float | None = None


@dataclass(frozen=True)
class Speed:
    """How many times as fast the comparison's `what` is, median over the turns."""

    comparison: Comparison
    wall: float
    cpu: float


def compare(
    tasks: Mapping[str, Task], comparisons: Sequence[Comparison], turns: int
) -> list[Speed]:
    """Let all tasks take turns and return how fast they are against each other."""
    # The first of several does not count: it loads libraries and starts workers.
    return speeds(take_turns(tasks, turns, min(1, turns - 1)), comparisons)


def speeds(costs: Mapping[str, Sequence[Cost]], comparisons: Sequence[Comparison]) -> list[Speed]:
    """Return how fast tasks of those costs, turn by turn, are against each other."""
    return [_speed(comparison, costs) for comparison in comparisons]


def take_turns(tasks: Mapping[str, Task], turns: int, warmups: int) -> dict[str, list[Cost]]:
    """Run all tasks one after another, `turns` times; return their costs after `warmups` turns."""
    costs: dict[str, list[Cost]] = {name: [] for name in tasks}
    for turn in range(turns):
        for name, task in tasks.items():
            with _pinned(task.cores):
                wall, cpu = time.perf_counter(), _cpu_seconds()
                task.run()
                wall, cpu = time.perf_counter() - wall, _cpu_seconds() - cpu
            if turn >= warmups:
                costs[name].append(Cost(wall / task.units, cpu / task.units))
    return costs


def table(speeds: Sequence[Speed]) -> str:
    """Return the speeds as a Markdown table, each with its target in brackets."""
    rows = [
        [
            f"{speed.comparison.what} / {speed.comparison.against}",
            _cell(speed.wall, speed.comparison.wall),
            _cell(speed.cpu, speed.comparison.cpu),
        ]
        for speed in speeds
    ]
    return Table(["times as fast (target)", "wall", "CPU"], rows).markdown()


def _cell(speed: float, target: float | None) -> str:
    return "" if target is None else f"{speed:.2f} ({target:g})"


def _speed(comparison: Comparison, costs: Mapping[str, Sequence[Cost]]) -> Speed:
    # The two of one turn: a slow minute is in both.
    pairs = list(zip(costs[comparison.what], costs[comparison.against], strict=True))
    wall = median(other.wall / one.wall for one, other in pairs)
    return Speed(comparison, wall, median(other.cpu / one.cpu for one, other in pairs))


def _cpu_seconds() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in used)


@contextmanager
def _pinned(cores: int) -> Iterator[None]:
    """Keep this process, and what it starts meanwhile, on its first `cores` cores."""
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, sorted(allowed)[:cores])
    try:
        yield
    finally:
        os.sched_setaffinity(0, allowed)
