"""Files that are the old one or the whole new one at any time, and what a full disk is called."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from framemix.errors import DatasetError

FULL = (errno.ENOSPC, errno.EDQUOT)


@contextmanager
def replacing(target: Path, *, shared: bool = False) -> Iterator[Path]:
    """Yield a path beside `target` to write to, which takes its place when the block ends well.

    Nothing is left at that path, however the block ends, nor of what a killed process left there.
    Where other processes may write the same file at the same time (`shared`), the path is this
    one's own. Raises DatasetError when the disk is full.
    """
    own = f".{uuid4().hex}" if shared else ""
    partial = target.with_name(f".{target.name}{own}.partial")
    # Also because it may be a link to another file, which would be written to.
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
    """Turn the system's word for a full disk into a DatasetError that names `folder`."""
    try:
        yield
    except OSError as error:
        if error.errno not in FULL:
            raise
        raise DatasetError(
            f"{folder}: no space left on this disk; make room and run again: "
            f"what is finished is kept"
        ) from None
