"""Errors meant for the person at the terminal: each message is one clear line.

It names what went wrong, the file or key, its value, and what is allowed.
"""

import re
import sys
from collections.abc import Collection
from pathlib import Path

NAMED = 5  # names that an error lists, of however many
USER = re.compile(r"(?<=://)[^/\s]*@")  # and password, in the address of a stream


class FramemixError(Exception):
    """Base of every error that a user can mend; stages and commands print it and exit with 1."""


class ParamsError(FramemixError):
    """A key or value in params.yaml or in a profile."""


class DatasetError(FramemixError):
    """A dataset folder, one of its lists, or a split of it."""


class NoVideosError(DatasetError):
    """A dataset that is not there, or has none of its videos."""


class VideoError(FramemixError):
    """A video that cannot be read or written: its `path` (of a stream its URL) and the `reason`."""

    def __init__(self, path: Path | str, reason: str) -> None:
        super().__init__(path, reason)  # pickle calls the class with these arguments again
        self.path, self.reason = path, reason

    def __str__(self) -> str:
        return without_password(f"{self.path}: {self.reason}")


class ClusterError(FramemixError):
    """A cluster that cannot be reached, or whose workers cannot do the work."""


class MixingError(FramemixError):
    """Frames that cannot be mixed with these settings."""


class StoreError(FramemixError):
    """A store of mixed clips that is missing, damaged or of another shape than expected."""


class ModelError(FramemixError):
    """A model configuration or weights that do not fit."""


class TrainingError(FramemixError):
    """A training that diverged."""


class ExperimentsError(FramemixError):
    """DVC's experiments cannot be read."""


def without_password(text: str) -> str:
    """Return a text in which addresses have no user and password: screens and logs are seen."""
    return USER.sub("", text)


def reason_of(error: VideoError, file: Path) -> str:
    """Return an error's reason for a table, in which `file` has its name but not its folder.

    Tables are the same on every machine.
    """
    return error.reason.replace(f"file:{file}", file.name).replace(f"{file}", file.name)


def some_of(names: Collection[str], most: int = NAMED) -> str:
    """Return the first `most` names in order and how many more there are, in one readable line."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return f"{', '.join(sorted(names)[:most])}{more}"


def one_line(error: Exception) -> str:
    """Return a library's message as one line of moderate length."""
    return " ".join(str(error).split())[:200]


def is_out_of_memory(error: RuntimeError) -> bool:
    """Return whether a GPU had too little free memory, for tensors or for CUDA itself to start."""
    torch = sys.modules.get("torch")  # most stages do without it
    return torch is not None and (
        isinstance(error, torch.OutOfMemoryError)
        or (isinstance(error, torch.AcceleratorError) and "out of memory" in str(error))
    )
