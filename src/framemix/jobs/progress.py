"""The progress of work: a bar on a terminal, else a plain line from time to time."""

import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn
from rich.table import Column
from rich.text import Text

from framemix.jobs.terminal import OpenConsole, can_draw, is_terminal, print_text
from framemix.text.names import printable

Item = TypeVar("Item")

SECONDS_BETWEEN_LINES = 10.0
BAR_WIDTH = 20  # columns
NARROW = 60  # columns; a narrower terminal has no room for the bar itself
# The bars on the terminal, for a process that exits without leaving their context.
_shown: list[Progress] = []


class Bar:
    """A bar on the terminal; `shown_bar` makes it."""

    def __init__(self, progress: Progress, label: str, start: int, total: int) -> None:
        self.progress = progress
        self.task = progress.add_task(label, completed=start, total=total)

    def update(self, done: int, label: str | None = None) -> None:
        """Show how many are done, and a new label where one is given."""
        self.progress.update(self.task, completed=done, description=label)


class _Label(ProgressColumn):
    """The label, which is the part that is cut where the terminal is too narrow."""

    def render(self, task: Task) -> Text:
        return Text(printable(task.description), no_wrap=True, overflow="ellipsis")


class _Pace(ProgressColumn):
    """The rate and the time left, once they are known; at the end, the time that it took."""

    max_refresh = 0.5

    def __init__(self, *, rate: bool) -> None:
        self.rate = rate
        super().__init__(Column(no_wrap=True))

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        words = [f"{speed:.1f}/s"] if self.rate and speed else []
        if task.finished and task.finished_time is not None:
            words.append(f"took {clock(task.finished_time)}")
        elif task.time_remaining is not None:
            words.append(f"{clock(task.time_remaining)} left")
        return Text(", ".join(words))


def track(items: Iterable[Item], *, total: int, label: str, dashboard: str = "") -> Iterator[Item]:
    """Yield `items` while showing how many of `total` are done, the rate and the time left.

    `dashboard` is the address of dask's page.
    """
    if dashboard:
        print_text(f"{label}: see what each worker does at {dashboard}", error=True)
    yield from (_bar if can_draw(sys.stderr) else _lines)(items, total, label)


@contextmanager
def shown_bar(label: str, total: int, *, start: int = 0, counts: bool = True) -> Iterator[Bar]:
    """Show a bar on stderr, a terminal: label, bar, how many are done, rate and time left.

    Without `counts`, for a label that has the counts, the bar disappears when the context ends.
    """
    console = OpenConsole(stderr=True)
    whole = Column(no_wrap=True)
    count = TextColumn("{task.completed:.0f}/{task.total:.0f}", table_column=whole)
    columns = (
        _Label(),
        *([BarColumn(BAR_WIDTH, table_column=whole)] if console.width >= NARROW else []),
        *([count] if counts else []),
        _Pace(rate=counts),
    )
    # Output that goes to a file must not be redirected to the bar's terminal.
    together = is_terminal(sys.stdout)
    with Progress(
        *columns, console=console, redirect_stdout=together, transient=not counts
    ) as progress:
        _shown.append(progress)
        try:
            yield Bar(progress, label, start, total)
        finally:
            _shown.remove(progress)


def end_bars() -> None:
    """Stop drawing all bars, and leave the cursor below the last one."""
    for progress in _shown:
        progress.stop()


def clock(seconds: float) -> str:
    """Return a time as 0:05 (minutes and seconds), or as 1:00:05."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _bar(items: Iterable[Item], total: int, label: str) -> Iterator[Item]:
    with shown_bar(label, total) as bar:
        for done, item in enumerate(items, 1):
            yield item
            bar.update(done)


def _lines(items: Iterable[Item], total: int, label: str) -> Iterator[Item]:
    start = last = time.monotonic()
    for done, item in enumerate(items, 1):
        yield item
        now = time.monotonic()
        if now - last >= SECONDS_BETWEEN_LINES or done == total:
            last, rate = now, done / max(now - start, 1e-6)
            left = (
                f"{clock((total - done) / rate)} left"
                if done < total
                else f"took {clock(now - start)}"
            )
            print_text(f"{printable(label)}: {done}/{total}, {rate:.1f}/s, {left}", error=True)
