"""The video files that the files, folders and patterns of a command line name."""

import os
import stat
from collections.abc import Iterator, Sequence
from glob import glob, has_magic
from pathlib import Path

from framemix.errors import VideoError
from framemix.text.names import is_utf8, printable
from framemix.video.containers import SUFFIXES, is_macos_note


def require_videos(sources: Sequence[str]) -> list[Path]:
    """Return the videos of `search_videos`. Raises VideoError for the first unusable one."""
    found = search_videos(sources)
    for problem in found.values():
        if problem is not None:
            raise problem
    return list(found)


def search_videos(sources: Sequence[str]) -> dict[Path, VideoError | None]:
    """Return the videos that `sources` name, each once; those of a folder in order of their paths.

    A file may have any name; in a folder, and in folders below it, files with the suffix of a video
    count. A source without videos, or one that cannot be read, comes with its error. Raises
    VideoError for an empty name.
    """
    found: dict[Path, VideoError | None] = {}
    if "" in sources:  # Path("") is the current folder
        raise VideoError("''", "no name of a video; allowed: a video file, a folder or a pattern")
    for source in sources:
        found |= dict(_named_by(source)) or {
            Path(source): VideoError(
                source,
                "no video there; allowed: a video file, a folder or a pattern of files that end in "
                f"{', '.join(SUFFIXES)}",
            )
        }
    return found


def require_utf8(name: str) -> None:
    """Raise VideoError for a file's name that is not UTF-8, which no decoder takes."""
    if not is_utf8(name):
        raise VideoError(printable(name), "its name is not UTF-8; allowed: another name")


def _named_by(source: str) -> Iterator[tuple[Path, VideoError | None]]:
    try:
        require_utf8(source)
    except VideoError as error:
        yield Path(error.path), error
        return
    path = Path(source)
    if has_magic(source) and not os.path.lexists(source):
        for match in sorted(glob(source, recursive=True)):  # noqa: PTH207 (Path's is relative)
            yield from _named_by(match)
        return
    try:
        is_folder = stat.S_ISDIR(path.stat().st_mode)
    except OSError as error:
        yield path, _unreadable(error)
        return
    if is_folder:
        yield from _inside(path)
    else:
        yield path, None


def _inside(folder: Path) -> Iterator[tuple[Path, VideoError | None]]:
    errors: list[OSError] = []
    # Not rglob, which silently skips folders that it cannot read.
    files = [
        Path(below, name)
        for below, _, names in os.walk(folder, onerror=errors.append)
        for name in names
        if name.lower().endswith(SUFFIXES) and not is_macos_note(name)
    ]
    for file in sorted(files):
        yield from _named_by(str(file))
    for error in errors:
        yield Path(error.filename), _unreadable(error)


def _unreadable(error: OSError) -> VideoError:
    return VideoError(error.filename, f"cannot be read: {error.strerror}")
