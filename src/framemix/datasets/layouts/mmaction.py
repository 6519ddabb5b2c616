"""MMAction2's lists: lines `<path> <label's number>` in a txt file, one file for each side.

https://mmaction2.readthedocs.io, "Prepare Dataset". A file of classes beside them has one name per
line, that of label 0 first. Videos are beside the lists, or in a folder videos* beside them.
"""

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from framemix.datasets.clips import folder_of
from framemix.datasets.layouts.csv_file import found_at
from framemix.datasets.layouts.delimited import first_line, read_text
from framemix.datasets.layouts.layout import SUBSETS, Found, Layout, unlisted
from framemix.errors import DatasetError
from framemix.video.containers import is_macos_note

# Such as hmdb51_train_split_1_videos.txt, kinetics400_val_list_videos.txt, train_list.txt. Several
# splits overlap, so the first is used. Lists of rawframes name folders, and trainlist01.txt is
# UCF101's own.
LIST = re.compile(
    rf"(?!.*rawframes)(?!.*split_?[02-9])(?!.*list\d)(?=.*(?:list|split|video))"
    rf"(?:.*[^a-z])?(?P<side>{'|'.join(SUBSETS)})(?=[^a-z]|list|video).*\.txt"
)
LINE = re.compile(r"(?P<path>\S.*?)\s+(?P<label>\d+)")
# Possible names of the file of classes, the most certain first.
CLASSES = ("classes.txt", "label_map*.txt", "*class*.txt")


def find(root: Path) -> Iterator[Found]:
    """Yield the videos of the lists; without a file of classes, the names are the numbers."""
    folder, lists = folder_of(root), _lists(root)
    names = _classes(folder, lists)
    places = [folder, *sorted(path for path in folder.glob("videos*") if path.is_dir())]
    for path in lists:
        side = LIST.fullmatch(path.name.lower())
        for number, line in enumerate(read_text(path).splitlines(), 1):
            if not line.strip():
                continue
            where = f"{path}:{number}"
            if not (parts := LINE.fullmatch(line.strip())):
                raise DatasetError(f"{where}: {line!r}: allowed: <path> <number of the label>")
            at = next((place for place in places if (place / parts["path"]).exists()), folder)
            yield replace(
                found_at(parts["path"], at, folder),
                label=_label(int(parts["label"]), names, where),
                subset=SUBSETS[side["side"]] if side else "",
            )


def _lists(root: Path) -> list[Path]:
    if root.is_file():
        return [root]
    paths = sorted(path for path in root.glob("*.txt") if LIST.fullmatch(path.name.lower()))
    return [path for path in paths if LINE.fullmatch(first_line(path).strip())]


def _classes(folder: Path, lists: list[Path]) -> list[str]:
    """Return the names of labels 0, 1 ...; a number before each name is left out."""
    for pattern in CLASSES:
        for path in sorted(folder.glob(pattern)):
            if path not in lists and not is_macos_note(path.name):
                names = [line.strip() for line in read_text(path).splitlines() if line.strip()]
                numbered = [re.fullmatch(r"\d+\s+(\S.*)", name) for name in names]
                return [match[1] for match in numbered if match] if all(numbered) else names
    return []


def _label(number: int, names: list[str], where: str) -> str:
    if not names:
        return str(number)
    if number >= len(names):
        raise DatasetError(
            f"{where}: label {number}: allowed: 0 to {len(names) - 1}, as there are "
            f"{len(names)} names of classes beside the list"
        )
    return names[number]


MMACTION = Layout(
    "MMAction2's lists of <path> <label's number> lines",
    find,
    fits=lambda root: root.suffix.lower() == ".txt" if root.is_file() else bool(_lists(root)),
    notices=unlisted,
)
