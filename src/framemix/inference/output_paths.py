"""Whether a result can be written where it shall be: asked before anything is computed for it."""

import tempfile
from collections.abc import Iterable
from pathlib import Path

from framemix.errors import FramemixError


def check_output_path(target: Path, suffix: str, inputs: Iterable[Path]) -> None:
    """Raise FramemixError unless `target` ends in `suffix`, can be written, and is no input.

    An input is recognised by whatever path or link.
    """
    if target.suffix.lower() != suffix:
        raise FramemixError(f"{target}: cannot be written; allowed: a name that ends in {suffix}")
    for source in inputs:
        if _same(target, source):
            raise FramemixError(f"{target}: would overwrite {source}; allowed: another file")
    try:
        # Tried, because permissions do not tell of read-only disks.
        with tempfile.TemporaryFile(dir=target.parent):
            pass
        if target.exists():
            with target.open("r+b"):
                pass
    except OSError as error:
        raise FramemixError(f"{target}: cannot be written: {error.strerror}") from None


def _same(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except OSError:  # one is not there
        return False
