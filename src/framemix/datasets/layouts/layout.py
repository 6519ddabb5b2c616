"""The type of a layout: a description, and a function that yields the videos of a dataset."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from os.path import commonpath
from pathlib import Path

from framemix.datasets.clips import folder_of
from framemix.datasets.files import list_entries
from framemix.errors import NoVideosError
from framemix.video.containers import SUFFIXES

# Datasets' names for the sides of their split, in any letter case.
SUBSETS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validate", "validation", "dev"), "val"),
    **dict.fromkeys(("test", "testing"), "test"),
}


@dataclass(frozen=True)
class Found:
    """A file in a dataset or in its lists; `reason` states why it is none of the dataset's videos.

    `video` is the POSIX path, below the dataset's folder, of the file or of a folder of jpg files;
    where a list names another place, it is absolute. `group` and `subset` are those of a Clip. A
    stretch of a video has its `start` in seconds, and its `end` unless it is the video's.
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
    """A way to store datasets on disk.

    `looks` describes it for error messages: "a folder with ...". `find` yields every file of a
    folder, or every video of a list. `fits` returns whether a path, a folder or a file, is such a
    dataset, where several layouts are tried. `notices` yields lines for the user about the videos
    that were found.
    """

    looks: str
    find: Callable[[Path], Iterable[Found]]
    fits: Callable[[Path], bool] = Path.is_dir
    notices: Callable[[Path, Sequence[Found]], Iterable[str]] = lambda root, found: ()


class FoundVideos(list[Found]):
    """The videos that a layout found, by path and start; `notices` are lines for the user."""

    def __init__(self, found: Iterable[Found], notices: Iterable[str]) -> None:
        super().__init__(found)
        self.notices = list(notices)


def find_videos(layouts: Sequence[Layout], root: Path, key: str) -> FoundVideos:
    """Return the videos that the first layout that fits finds in `root`, the value of `key`.

    Where no layout fits a folder, the last one is used. A video that is listed twice counts once; a
    file without a label gets a reason. Raises NoVideosError when there is no such folder or file,
    or no video with a class in it.
    """
    what, looks = f"{key} = {root}", allowed(layouts)
    if not root.exists():
        raise NoVideosError(f"{what}: no such folder or file; {looks}")
    layout = next((layout for layout in layouts if layout.fits(root)), None)
    if layout is None and not root.is_dir():
        raise NoVideosError(f"{what}: a file that is no list of videos; {looks}")
    layout = layout or layouts[-1]
    found = sorted(_checked(layout.find(root)), key=lambda one: (one.video, one.start or 0.0))
    if not any(one.label for one in found):
        raise NoVideosError(f"{what}: no video of a class in it, but {_what_is_in(root)}; {looks}")
    return FoundVideos(found, layout.notices(root, found))


def allowed(layouts: Sequence[Layout]) -> str:
    """Return the words of an error for the allowed layouts of a dataset."""
    return f"allowed: {', or '.join(dict.fromkeys(layout.looks for layout in layouts))}"


def unused_sides(found: Sequence[Found]) -> Iterator[str]:
    """Yield a notice of the sides that a dataset gives, for who divides its videos otherwise."""
    sides = {one.subset for one in found if not one.reason} & set(SUBSETS.values())
    if sides:
        yield f"warning: the dataset's own sides ({', '.join(sorted(sides))}) are not used"


def unlisted(root: Path, found: Sequence[Found]) -> Iterator[str]:
    """Yield a notice about videos in the same folders as a list's, which the list lacks."""
    folder, listed = folder_of(root), {one.video for one in found}
    inside = [one.video for one in found if not (one.reason or one.video.startswith(("/", "../")))]
    if not inside:
        return
    # Not in the list's whole folder, which may be a home directory.
    below = commonpath([Path(video).parent for video in inside])
    paths = [(Path(below) / entry.path).as_posix() for entry in list_entries(folder / below)]
    others = [path for path in paths if is_video_name(path) and path not in listed]
    if others:
        yield f"videos that no list names are left out: {len(others)}, {others[0]} first"


def is_video_name(path: str) -> bool:
    """Return whether a path has the suffix of a video."""
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
    """Return the kinds of files in a folder or list that is no dataset: "3 .txt and 1 .jpg"."""
    if root.is_file():
        return f"{root.stat().st_size} bytes"
    kinds = Counter(Path(entry.path).suffix.lower() or "other" for entry in list_entries(root))
    counts = [f"{count} {kind}" for kind, count in kinds.most_common(4)]
    return f"{' and '.join(counts)} files" if counts else "nothing"
