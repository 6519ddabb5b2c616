"""Folders of classes: `<root>/[<train|val|test>/]<Class>/<video>`, whatever files are called."""

from collections.abc import Iterator
from pathlib import Path

from framemix.datasets.files import list_entries
from framemix.datasets.layouts.layout import Found, Layout

SUBSETS = ("train", "val", "test")


def find(root: Path) -> Iterator[Found]:
    """Yield every file; where there are folders of subsets, all of its videos are in these."""
    divided = any((root / subset).is_dir() for subset in SUBSETS)
    for entry in list_entries(root):
        parts = entry.path.split("/")
        if len(parts) == 2 + divided and (not divided or parts[0] in SUBSETS):
            subset = parts[0] if divided else ""
            yield Found(entry.path, parts[-2], subset=subset, reason=entry.reason)
        else:
            reason = entry.reason or "not [<train|val|test>/]<Class>/<video>"
            yield Found(entry.path, reason=reason)


FOLDERS = Layout("a folder with [<train|val|test>/]<Class>/<video> files", find)
