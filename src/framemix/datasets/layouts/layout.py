"""What a layout is: how its datasets look, and a function that yields what is in a folder."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from framemix.errors import DatasetError


@dataclass(frozen=True)
class Found:
    """A file that is in a dataset or in its lists; `reason` is why it is none of its videos.

    `video` is its POSIX path below the dataset's folder, or that of a folder of jpg files. `group`
    and `subset` as in a Clip.
    """

    video: str
    label: str = ""
    group: str = ""
    subset: str = ""
    reason: str = ""


@dataclass(frozen=True)
class Layout:
    """A way in which datasets lie on disk.

    `looks` says how, for who has a folder that does not: "a folder with ...". `find` yields every
    file of a folder. `fits` is whether a folder is one, where there are several layouts to try.
    """

    looks: str
    find: Callable[[Path], Iterable[Found]]
    fits: Callable[[Path], bool] = lambda root: True


def find_videos(layouts: Sequence[Layout], root: Path, key: str) -> list[Found]:
    """Return what the first layout that fits finds in `root`, the value of `key`, by path.

    Raises DatasetError when there is no such folder or no video of a class in it.
    """
    what = f"{key} = {root}"
    allowed = f"allowed: {', or '.join(layout.looks for layout in layouts)}"
    if not root.is_dir():
        raise DatasetError(f"{what}: no such folder; {allowed}")
    layout = next(layout for layout in layouts if layout.fits(root))
    found = sorted(layout.find(root), key=lambda one: one.video)
    if not any(one.label for one in found):
        raise DatasetError(f"{what}: no video of a class in it; {allowed}")
    return found
