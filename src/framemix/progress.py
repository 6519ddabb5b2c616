"""A progress bar on a terminal, a plain line now and then anywhere else."""

import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

Item = TypeVar("Item")

SECONDS_BETWEEN_LINES = 10.0


def track(items: Iterable[Item], *, total: int, label: str, dashboard: str = "") -> Iterator[Item]:
    """Yield `items` while showing how many of `total` are done, the rate and the time left.

    `dashboard` is an address that shows more.
    """
    if dashboard:
        print(f"{label}: {dashboard}", file=sys.stderr)
    yield from (_bar if sys.stderr.isatty() else _lines)(items, total, label)


def _bar(items: Iterable[Item], total: int, label: str) -> Iterator[Item]:
    columns = (
        TextColumn(label),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.speed:.1f}/s" if total else ""),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as progress:
        yield from progress.track(items, total=total)


def _lines(items: Iterable[Item], total: int, label: str) -> Iterator[Item]:
    start = last = time.monotonic()
    for done, item in enumerate(items, 1):
        yield item
        now = time.monotonic()
        if now - last >= SECONDS_BETWEEN_LINES or done == total:
            last, rate = now, done / max(now - start, 1e-6)
            print(
                f"{label}: {done}/{total}, {rate:.1f}/s, {(total - done) / rate:.0f} s left",
                file=sys.stderr,
            )
