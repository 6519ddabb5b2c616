"""Folders of classes: `<root>/[<train|val|test>/]<Class>/.../<video>`, with any names of files."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from framemix.datasets.files import list_entries
from framemix.datasets.layouts.csv_file import COLUMNS
from framemix.datasets.layouts.delimited import has_columns
from framemix.datasets.layouts.layout import SUBSETS, Found, Layout, is_video_name
from framemix.video.containers import SUFFIXES


def find(root: Path) -> Iterator[Found]:
    """Yield every file; where there are folders of subsets, only they contain videos."""
    entries = list_entries(root)
    tried = [entry.path for entry in entries if not (entry.reason or _why_no_video(entry.path))]
    divided = _is_divided(tried)
    for entry in entries:
        parts = entry.path.split("/")
        subset = _side(parts[0]) if divided else ""
        if len(parts) < 2 + divided or (divided and not subset):
            reason = entry.reason or "not [<train|val|test>/]<Class>/<video>"
            yield Found(entry.path, reason=reason)
        else:
            reason = entry.reason or _why_no_video(entry.path)
            yield Found(entry.path, parts[divided], subset=subset, reason=reason)


def notices(root: Path, found: Sequence[Found]) -> Iterator[str]:
    """Yield the lists that could be used instead, and the classes that VideoFolder would see."""
    for path in sorted(root.glob("*.[ct]sv")):
        if has_columns(path, COLUMNS, "path", "label"):
            yield f"{path.name} lists videos and is not read: give {path} to use it"
    usable = [one for one in found if not one.reason]
    last = {Path(one.video).parent.name for one in usable}
    if any(Path(one.video).parent.name != one.label for one in usable):
        first = {one.label for one in usable}
        yield (
            f"classes are the first folders: {len(first)}; the last ones above the files, which "
            f"Hugging Face's VideoFolder takes, would be {len(last)}"
        )


def _is_divided(paths: Sequence[str]) -> bool:
    """Return whether folders are subsets: "train" may also be a class, of locomotives.

    A class holds its videos directly, beside other classes.
    """
    tops = [(_side(parts[0]), len(parts)) for path in paths if len(parts := path.split("/")) > 1]
    deep = any(side and depth > 2 for side, depth in tops)
    return deep or (bool(tops) and all(side for side, _ in tops))


def _side(folder: str) -> str:
    return SUBSETS.get(folder.lower(), "")


def _why_no_video(path: str) -> str:
    """Return why a file is not tried; where its name is not enough, its content decides."""
    if is_video_name(path) or not Path(path).suffix:
        return ""
    return f"its name does not end like a video's ({', '.join(SUFFIXES)})"


FOLDERS = Layout("a folder with [<train|val|test>/]<Class>/<video> files", find, notices=notices)
