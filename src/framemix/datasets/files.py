"""Lists the entries of a dataset's folder, with a reason for each that cannot be read as a file."""

import os
import stat
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from framemix.datasets.origin import DRAWN
from framemix.errors import DatasetError
from framemix.text.names import is_utf8, printable
from framemix.video.containers import SUFFIXES, is_macos_note

MACOS_NOTE = "macOS's note of another file, not a video"


@dataclass(frozen=True)
class Entry:
    """An entry at a POSIX path below the root; `reason` states why it is no file, else it is empty.

    The path has escapes for letters that cannot be printed. DVC fails at entries that are not
    `hashable`, or waits for ever.
    """

    path: str
    reason: str = ""
    hashable: bool = True


def list_entries(root: Path) -> list[Entry]:
    """Return all but plain folders below `root`, sorted by path.

    Links to folders are not followed, because DVC does not look there for changes either. A folder
    that is named like a video is an entry, and so are the files in it.
    """
    return sorted(_walk(root), key=lambda entry: entry.path)


def require_hashable(root: Path, key: str) -> None:
    """Raise DatasetError for an entry below `root`, the value of `key`, that DVC cannot hash."""
    stops = [entry for entry in list_entries(root) if not entry.hashable]
    if stops:
        more = f", nor {len(stops) - 1} more" if len(stops) > 1 else ""
        raise DatasetError(
            f"{key} = {root}: {stops[0].path}: {stops[0].reason}; DVC cannot hash it{more}; "
            f"move such entries out of the folder"
        )


def commonest(reasons: Iterable[str]) -> str:
    """Return the commonest reason and how many files have it: "is empty (3 of 4)"."""
    counts = Counter(reasons)
    ((reason, count),) = counts.most_common(1)
    return f"{reason} ({count} of {counts.total()})"


def _walk(root: Path) -> Iterator[Entry]:
    unreadable: list[OSError] = []
    for folder, folders, files in os.walk(root, onerror=unreadable.append):
        names = [
            name
            for name in folders
            if name.lower().endswith(SUFFIXES) or (Path(folder) / name).is_symlink()
        ]
        for name in [*names, *(file for file in files if file != DRAWN)]:
            path = Path(folder) / name
            yield entry_at(path, path.relative_to(root).as_posix())
    for error in unreadable:
        yield Entry(printable(Path(error.filename).relative_to(root).as_posix()), _why(error))


def entry_at(path: Path, name: str) -> Entry:
    """Return the entry at `path`, called `name` below the root; being a folder is a reason."""
    shown = printable(name)
    if shown != name:
        reason = "its name has control characters or is not UTF-8"
        return Entry(shown, reason, is_utf8(name))
    try:
        mode = path.stat().st_mode
    except OSError as error:
        if path.is_symlink():
            return Entry(name, f"a link that leads nowhere: {error.strerror}", hashable=False)
        return Entry(name, _why(error))
    if stat.S_ISREG(mode):
        return Entry(name, MACOS_NOTE if is_macos_note(path.name) else "")
    if stat.S_ISDIR(mode):
        return Entry(name, f"a {'link to a ' if path.is_symlink() else ''}folder, not a file")
    return Entry(name, "a pipe, socket or device, not a file", hashable=False)


def _why(error: OSError) -> str:
    return f"cannot be read: {error.strerror}"
