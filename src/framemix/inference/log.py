"""A CSV file that rows are appended to while a command runs: whole rows, each at once."""

import fcntl
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from io import FileIO, StringIO
from pathlib import Path
from typing import Any

from framemix.errors import FramemixError
from framemix.jobs.atomic import disk_errors
from framemix.tables import write_rows

AppendRow = Callable[[Iterable[Any]], None]

LONGEST_ROW = 2**20  # bytes


@contextmanager
def appended(path: Path, columns: Sequence[str]) -> Iterator[AppendRow]:
    """Yield a function that appends one row to the CSV file, which is made where there is none.

    Rows that are there stay, but for a part of one that a full disk or a kill left at the end.
    Raises FramemixError where the file has other columns, or another process appends to it, and
    DatasetError where the disk is full.
    """

    def append(row: Iterable[Any]) -> None:
        rest = _encoded(row)
        with disk_errors(path.parent):
            while rest:
                rest = rest[file.write(rest) :]

    with FileIO(path, "a+") as file:  # without a buffer, whose rest would be written later
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise FramemixError(f"{path}: another process writes it; allowed: one each") from None
        if not _has_header(file, _encoded(columns), path):
            append(columns)
        yield append


def _has_header(file: FileIO, header: bytes, path: Path) -> bool:
    """Return whether the file begins with a header; cut off what is no whole row at its end."""
    file.seek(0)
    found = file.read(len(header))
    is_cut = len(found) < len(header)
    if not header.startswith(found):
        raise FramemixError(f"{path}: no log of these classes; allowed: one, or a new file")
    if is_cut:
        file.truncate(0)
        return False
    start = file.seek(max(len(header) - 1, file.seek(0, 2) - LONGEST_ROW))
    file.truncate(start + file.read(LONGEST_ROW).rfind(b"\n") + 1)
    return True


def _encoded(row: Iterable[Any]) -> bytes:
    text = StringIO()
    write_rows(text, [row])
    return text.getvalue().encode("utf-8", "backslashreplace")
