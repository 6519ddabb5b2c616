"""Which video files are meant by the files, folders and patterns of a command line."""

from collections.abc import Iterator, Sequence
from glob import glob, has_magic
from pathlib import Path

from framemix.errors import VideoError

SUFFIXES = (".avi", ".m4v", ".mkv", ".mov", ".mp4", ".webm", ".wmv", ".3gp")


def find_videos(sources: Sequence[str]) -> list[Path]:
    """Return the videos that `sources` name, each once: a folder's in order of their paths.

    A file counts whatever its name; of a folder, and of folders in it, what ends like a video.
    Raises VideoError for a source that names none.
    """
    found: dict[Path, None] = {}
    for source in sources:
        videos = list(_videos_of(source))
        if not videos:
            raise VideoError(
                f"{source}: no video there; allowed: a video file, a folder or a pattern of "
                f"files that end in {', '.join(SUFFIXES)}"
            )
        found.update(dict.fromkeys(videos))
    return list(found)


def _videos_of(source: str) -> Iterator[Path]:
    path = Path(source)
    if not path.exists() and has_magic(source):
        for match in sorted(glob(source, recursive=True)):  # noqa: PTH207 (Path's is relative)
            yield from _videos_of(match)
    elif path.is_dir():
        yield from sorted(file for file in path.rglob("*") if _is_video(file))
    elif path.exists():
        yield path


def _is_video(file: Path) -> bool:
    return file.suffix.lower() in SUFFIXES and file.is_file()
