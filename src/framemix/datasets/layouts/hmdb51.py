"""HMDB51: `<Class>/<name>.avi` in any folder, and lists `<Class>_test_split<k>.txt`.

Kuehne et al., "HMDB: A Large Video Database for Human Motion Recognition" (ICCV 2011). A line is
`<name> <1|2|0>`: of training, of testing, or not used in that split.
"""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from framemix.datasets.files import list_entries
from framemix.datasets.layouts.delimited import read_text
from framemix.datasets.layouts.layout import Found, Layout, unlisted
from framemix.errors import DatasetError
from framemix.video.containers import is_macos_note

SIDES = {"1": "train", "2": "test", "0": ""}


def hmdb51(split: int) -> Layout:
    """Return the layout with the sides of split 1, 2 or 3; a group is one source video."""
    return Layout(
        "HMDB51 with its <Class>_test_split1.txt lists",
        partial(_find, split=split),
        fits=lambda root: bool(_lists(root, split)),
        notices=unlisted,
    )


def _find(root: Path, *, split: int) -> Iterator[Found]:
    entries = list_entries(root)
    there = {tuple(entry.path.split("/")[-2:]): entry for entry in entries}
    for path in _lists(root, split):
        label = path.name.removesuffix(f"_test_split{split}.txt")
        for number, line in enumerate(read_text(path).splitlines(), 1):
            if not line.strip():
                continue
            name, side = (*line.strip().rsplit(maxsplit=1), "")[:2]
            if side not in SIDES:
                raise DatasetError(f"{path}:{number}: {line!r}: allowed: <name> <1, 2 or 0>")
            entry = there.get((label, name))
            reason = entry.reason if entry else "no such file"
            yield Found(
                entry.path if entry else f"{label}/{name}",
                label,
                # Clips of one source have the same name up to the class.
                group=name.partition(f"_{label}_")[0],
                subset=SIDES[side],
                reason=reason or ("" if SIDES[side] else f"not used in split {split}"),
            )


def _lists(root: Path, split: int) -> list[Path]:
    pattern = f"*_test_split{split}.txt"
    paths = [*root.glob(pattern), *root.glob(f"*/{pattern}")]
    return sorted(path for path in paths if not is_macos_note(path.name))


HMDB51 = hmdb51(1)
