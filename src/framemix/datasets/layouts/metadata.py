"""Hugging Face's VideoFolder with labels in a list: metadata.csv has columns file_name and label.

The list is in the dataset's folder, or there is one in each folder of a side (train, val, test).
"""

from collections.abc import Iterator
from pathlib import Path

from framemix.datasets.layouts.csv_file import COLUMNS, listed_in
from framemix.datasets.layouts.delimited import has_columns
from framemix.datasets.layouts.layout import SUBSETS, Found, Layout, unlisted

NAME = "metadata.csv"


def find(root: Path) -> Iterator[Found]:
    """Yield the videos of the lists."""
    for path in _lists(root):
        subset = "" if path.parent == root else SUBSETS[path.parent.name.lower()]
        yield from listed_in(path, root, subset)


def _lists(root: Path) -> list[Path]:
    """Return the lists of the folder and its sides, without metadata.csv files of other kinds."""
    sides = [path for path in root.glob(f"*/{NAME}") if path.parent.name.lower() in SUBSETS]
    return [
        path
        for path in (root / NAME, *sorted(sides))
        if has_columns(path, COLUMNS, "path", "label")
    ]


METADATA = Layout(
    "a folder with metadata.csv (file_name, label)",
    find,
    fits=lambda root: bool(_lists(root)),
    notices=unlisted,
)
