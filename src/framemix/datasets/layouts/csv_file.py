"""A CSV or TSV file that lists videos: columns path, label and, where known, more.

`group` is the person or recording that must not be on both sides of a split, `subset` a side,
`start` and `end` are seconds of a stretch. Paths are absolute, or relative to the list's folder.
"""

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from framemix.datasets.files import entry_at
from framemix.datasets.layouts.delimited import has_columns, read_lines
from framemix.datasets.layouts.layout import Found, Layout, unlisted

COLUMNS = {
    "path": ("path", "file", "file_name", "filename", "video"),
    "label": ("label", "class"),
    "group": ("group",),
    "subset": ("subset", "split"),
    "start": ("start",),
    "end": ("end",),
}


def find(root: Path) -> Iterator[Found]:
    """Yield the videos of the list."""
    return listed_in(root, root.parent)


def listed_in(path: Path, root: Path, subset: str = "") -> Iterator[Found]:
    """Yield the videos of a list, by their paths below `root`; `subset` is that of the whole list.

    Raises DatasetError for a line with impossible values.
    """
    for line in read_lines(path, COLUMNS, "path", "label"):
        start, end = line.seconds("start"), line.seconds("end")
        yield replace(
            found_at(line.needed("path"), path.parent, root),
            label=line["label"],
            group=line["group"],
            subset=line.subset() or subset,
            start=0.0 if start is None and end is not None else start,
            end=end,
        )


def found_at(path: str, folder: Path, root: Path) -> Found:
    """Return the file that a list in `folder` calls `path`, by its path below `root`."""
    if "\\" in path and not (folder / path).exists():
        path = path.replace("\\", "/")  # Windows writes paths so
    place = Path(os.path.normpath(folder.absolute() / path))
    if place.is_relative_to(root.absolute()) or not Path(path).is_absolute():
        video = Path(os.path.relpath(place, root.absolute())).as_posix()
    else:
        video = place.as_posix()
    entry = entry_at(place, video)
    return Found(entry.path, reason=entry.reason)


CSV_FILE = Layout(
    "a CSV or TSV file with columns path and label",
    find,
    fits=lambda root: (
        root.is_file()
        and (root.suffix.lower() in (".csv", ".tsv") or has_columns(root, COLUMNS, "path", "label"))
    ),
    notices=unlisted,
)
