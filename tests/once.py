"""What is made once for all test processes of a session, which only read it."""

import fcntl
import os
import pickle
from collections.abc import Callable
from typing import TypeVar

import pytest

Made = TypeVar("Made")


def once(temporary: pytest.TempPathFactory, make: Callable[[pytest.TempPathFactory], Made]) -> Made:
    """Return what `make` returned to the first process that asked; others wait for it."""
    folder = temporary.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent  # of all test processes
    note = folder / f"{make.__module__}.{make.__name__}"
    with note.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not note.exists():
            note.write_bytes(pickle.dumps(make(temporary)))
    made: Made = pickle.loads(note.read_bytes())
    return made
