"""Something-Something V1 and V2: labels in lists, beside a folder of videos.

Goyal et al., "The 'something something' video database" (ICCV 2017). V1 is jpg folders with CSV
lists, V2 WebM files with JSON lists:

- `20bn-something-something-v1/<id>/00001.jpg ...`, `*-{train,validation}.csv` of `id;label`
- `20bn-something-something-v2/<id>.webm`, `*{train,validation}.json` of `{"id", "template"}`
"""

from collections.abc import Iterator
from pathlib import Path

from pydantic import BaseModel, TypeAdapter

from framemix.datasets.files import MACOS_NOTE
from framemix.datasets.layouts.layout import Found, Layout
from framemix.errors import DatasetError
from framemix.text.names import printable
from framemix.video.containers import is_macos_note

# The lists' names of the subsets. The list of the test set has no labels.
LISTED = {"train": "train", "validation": "val"}
VERSIONS = ("v1", "v2")


class ListedVideo(BaseModel):
    """A video in a list of V2; the template is its label."""

    id: str | int
    template: str = ""

    @property
    def label(self) -> str:
        """The template without its brackets."""
        return self.template.replace("[", "").replace("]", "")


JSON_LIST = TypeAdapter(list[ListedVideo])


def find(root: Path) -> Iterator[Found]:
    """Yield every video of the lists, and all other files in the folder of videos."""
    lists = _lists(root)
    version, suffix = ("v1", "") if lists[0][1].suffix == ".csv" else ("v2", ".webm")
    folder = root / f"20bn-something-something-{version}"
    there = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    listed: set[str] = set()
    for subset, path in lists:
        for number, label in _labels(path):
            name = f"{number}{suffix}"
            reason = "" if name in there else "no such folder or file"
            listed.add(name)
            reason = reason if label else "no label"
            yield Found(f"{folder.name}/{name}", label, subset=subset, reason=reason)
    for name in there - listed:
        reason = MACOS_NOTE if is_macos_note(name) else "in no list with labels"
        yield Found(f"{folder.name}/{printable(name)}", reason=reason)


def _fits(root: Path) -> bool:
    """Return whether the lists are Something-Something's: other datasets have a train.csv too."""
    folders = any((root / f"20bn-something-something-{version}").is_dir() for version in VERSIONS)
    lists = _lists(root) if root.is_dir() else []
    return bool(lists) and (folders or "something-something" in lists[0][1].name)


def _lists(root: Path) -> list[tuple[str, Path]]:
    """Return the lists with the subset of each."""
    return [
        (subset, path)
        for name, subset in LISTED.items()
        for path in sorted([*root.glob(f"*{name}.csv"), *root.rglob(f"*{name}.json")])
        if not is_macos_note(path.name)
    ]


def _labels(path: Path) -> list[tuple[str, str]]:
    """Return ids and labels; in V2, a label is a template: "Putting something onto something"."""
    try:
        text = path.read_text(encoding="utf-8")
        if path.suffix == ".json":
            return [(str(video.id), video.label) for video in JSON_LIST.validate_json(text)]
    except ValueError:
        raise DatasetError(
            f"{path}: no list of videos; allowed: in UTF-8, lines of id;label as V1 has them, "
            f'or JSON as V2 has it: [{{"id": "1", "template": "Pushing [something]"}}, ...]'
        ) from None
    lines = filter(None, map(str.strip, text.splitlines()))
    return [(number, label.strip()) for number, _, label in (line.partition(";") for line in lines)]


SOMETHING_SOMETHING = Layout("Something-Something V1 or V2 with its lists", find, fits=_fits)
