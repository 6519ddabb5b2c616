"""Kinetics: CSV lists `label,youtube_id,time_start,time_end,split` beside the clips.

Kay et al., "The Kinetics Human Action Video Dataset" (arXiv 1705.06950). A clip is a file
`<youtube_id>_<start>_<end>.mp4`, with 6 digits for each time, in any folder. It is cut already.
"""

from collections.abc import Iterator
from pathlib import Path

from framemix.datasets.files import list_entries
from framemix.datasets.layouts.delimited import Line, has_columns, read_lines
from framemix.datasets.layouts.layout import Found, Layout, is_video_name, unlisted
from framemix.errors import DatasetError

COLUMNS = {
    "label": ("label",),
    "id": ("youtube_id",),
    "start": ("time_start",),
    "end": ("time_end",),
    "subset": ("split",),
}


def find(root: Path) -> Iterator[Found]:
    """Yield the clips of all lists; clips of one YouTube video are a group."""
    entries = [entry for entry in list_entries(root) if is_video_name(entry.path)]
    there = {Path(entry.path).stem: entry for entry in entries}
    for path in _lists(root):
        for line in read_lines(path, COLUMNS, "id", "start", "end"):
            name = _name(line)
            entry = there.get(name)
            yield Found(
                entry.path if entry else f"{name}.mp4",
                line["label"],
                group=line["id"],
                subset=line.subset(),
                reason=entry.reason if entry else "no such file",
            )


def _name(line: Line) -> str:
    """Return the name of a clip's file, without its suffix."""
    times = [line.seconds(column) for column in ("start", "end")]
    if None in times:
        raise DatasetError(f"{line.where}: no time_start or time_end; allowed: seconds in both")
    return "_".join([line.needed("id"), *(f"{int(time or 0):06}" for time in times)])


def _lists(root: Path) -> list[Path]:
    paths = sorted(path for path in root.glob("*.csv") if path.is_file())
    return [path for path in paths if has_columns(path, COLUMNS, "label", "id", "start")]


KINETICS = Layout(
    "Kinetics' lists with <youtube_id>_<start>_<end>.mp4 files",
    find,
    fits=lambda root: bool(_lists(root)),
    notices=unlisted,
)
