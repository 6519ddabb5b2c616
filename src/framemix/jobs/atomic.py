"""Atomic writes, so that a file is always the old one or the complete new one; full disks."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from framemix.errors import DatasetError

FULL = (errno.ENOSPC, errno.EDQUOT)


@contextmanager
def replacing(target: Path, *, shared: bool = False) -> Iterator[Path]:
    """Yield a path beside `target` to write to; the file replaces `target` when the block succeeds.

    The path is removed however the block ends, and so is a file that a killed process left there.
    With `shared`, the path is unique: other processes may write `target` at the same time. Raises
    DatasetError when the disk is full.
    """
    own = f".{uuid4().hex}" if shared else ""
    partial = target.with_name(f".{target.name}{own}.partial")
    # It might also be a link to another file, which would be overwritten.
    partial.unlink(missing_ok=True)
    try:
        with disk_errors(target.parent):
            yield partial
            partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)


def write_text(target: Path, text: str) -> None:
    """Write `text` in UTF-8 to `target`, which appears under its name only when complete."""
    with replacing(target) as partial:
        partial.write_text(text, encoding="utf-8")


@contextmanager
def disk_errors(folder: Path) -> Iterator[None]:
    """Turn the system's errors for a full disk into a DatasetError that names `folder`."""
    try:
        yield
    except OSError as error:
        if error.errno not in FULL:
            raise
        raise DatasetError(
            f"{folder}: no space left on this disk; make room and run again: finished work is kept"
        ) from None
