"""Checks that an output can be written, before anything is computed for it."""

import tempfile
from collections.abc import Iterable
from pathlib import Path

from framemix.errors import FramemixError


def check_output_path(target: Path, suffix: str, inputs: Iterable[Path]) -> None:
    """Raise FramemixError unless `target` ends in `suffix`, can be written, and is no input.

    An input is recognised under any path or link.
    """
    if target.suffix.lower() != suffix:
        raise FramemixError(f"{target}: cannot be written; allowed: a name that ends in {suffix}")
    for source in inputs:
        if _same(target, source):
            raise FramemixError(f"{target}: would overwrite {source}; allowed: another file")
    try:
        # By trying, because permissions do not show that a disk is read-only.
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
    except OSError:  # one of them does not exist
        return False
