"""What a layout is: how its datasets look, and a function that yields what is in one."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from os.path import commonpath
from pathlib import Path

from framemix.datasets.clips import folder_of
from framemix.datasets.files import list_entries
from framemix.errors import DatasetError
from framemix.video.containers import SUFFIXES

# What datasets call the sides of their split, in any letter case.
SUBSETS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validate", "validation", "dev"), "val"),
    **dict.fromkeys(("test", "testing"), "test"),
}


@dataclass(frozen=True)
class Found:
    """A file that is in a dataset or in its lists; `reason` is why it is none of its videos.

    `video` is its POSIX path below the dataset's folder, or that of a folder of jpg files; where a
    list names another place, it is absolute. `group` and `subset` as in a Clip. A stretch of a
    video has its `start` in seconds, and its `end` unless it lasts until the video's.
    """

    video: str
    label: str = ""
    group: str = ""
    subset: str = ""
    reason: str = ""
    start: float | None = None
    end: float | None = None


@dataclass(frozen=True)
class Layout:
    """A way in which datasets lie on disk.

    `looks` says how, for who has a folder that does not: "a folder with ...". `find` yields every
    file of a folder, or what a list names. `fits` is whether a path, a folder or a file, is such a
    dataset, where there are several layouts to try. `notices` are lines for who uses the dataset
    about what was found.
    """

    looks: str
    find: Callable[[Path], Iterable[Found]]
    fits: Callable[[Path], bool] = Path.is_dir
    notices: Callable[[Path, Sequence[Found]], Iterable[str]] = lambda root, found: ()


class FoundVideos(list[Found]):
    """What a layout found, by path and start; `notices` are lines for who uses the dataset."""

    def __init__(self, found: Iterable[Found], notices: Iterable[str]) -> None:
        super().__init__(found)
        self.notices = list(notices)


def find_videos(layouts: Sequence[Layout], root: Path, key: str) -> FoundVideos:
    """Return what the first layout that fits finds in `root`, the value of `key`.

    Where none fits a folder, the last is taken. What is listed twice counts once, and what has no
    label is none of the videos. Raises DatasetError when there is no such folder or file, or no
    video of a class in it.
    """
    what = f"{key} = {root}"
    allowed = f"allowed: {', or '.join(layout.looks for layout in layouts)}"
    if not root.exists():
        raise DatasetError(f"{what}: no such folder or file; {allowed}")
    layout = next((layout for layout in layouts if layout.fits(root)), None)
    if layout is None and not root.is_dir():
        raise DatasetError(f"{what}: a file that is no list of videos; {allowed}")
    layout = layout or layouts[-1]
    found = sorted(_checked(layout.find(root)), key=lambda one: (one.video, one.start or 0.0))
    if not any(one.label for one in found):
        raise DatasetError(f"{what}: no video of a class in it, but {_what_is_in(root)}; {allowed}")
    return FoundVideos(found, layout.notices(root, found))


def unlisted(root: Path, found: Sequence[Found]) -> Iterator[str]:
    """Yield a notice of the videos that lie among those of a list, and that the list lacks."""
    folder, listed = folder_of(root), {one.video for one in found}
    inside = [one.video for one in found if not (one.reason or one.video.startswith(("/", "../")))]
    if not inside:
        return
    # Not the list's whole folder, which may be anybody's home.
    below = commonpath([Path(video).parent for video in inside])
    paths = [(Path(below) / entry.path).as_posix() for entry in list_entries(folder / below)]
    others = [path for path in paths if is_video_name(path) and path not in listed]
    if others:
        yield f"videos that no list names are left out: {len(others)}, {others[0]} first"


def is_video_name(path: str) -> bool:
    """Return whether a path ends like a video's."""
    return path.lower().endswith(SUFFIXES)


def _checked(found: Iterable[Found]) -> Iterator[Found]:
    first: dict[tuple[str, float | None, float | None], Found] = {}
    for one in found:
        before = first.setdefault((one.video, one.start, one.end), one)
        reason = "" if one.label else "no label"
        if before is not one:
            reason = f"is listed before, as {before.label or 'a video without a label'}"
        yield one if one.reason else replace(one, reason=reason)


def _what_is_in(root: Path) -> str:
    """Return what is in a folder or list, for who takes it for a dataset: "3 .txt and 1 .jpg"."""
    if root.is_file():
        return f"{root.stat().st_size} bytes"
    kinds = Counter(Path(entry.path).suffix.lower() or "other" for entry in list_entries(root))
    counts = [f"{count} {kind}" for kind, count in kinds.most_common(4)]
    return f"{' and '.join(counts)} files" if counts else "nothing"
