"""Videos of drivers in states: UTA-RLDD, or anyone's own.

The label is alert, low_vigilant or drowsy, the group is the subject: in a list a column, in folders
`<root>/[<train|val|test>/]<state>/<subject>/.../<video>`.
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from framemix.datasets.clips import STATES
from framemix.datasets.files import commonest
from framemix.datasets.layouts import folders
from framemix.datasets.layouts.csv_file import CSV_FILE
from framemix.datasets.layouts.layout import (
    Found,
    FoundVideos,
    Layout,
    allowed,
    find_videos,
    unused_sides,
)
from framemix.datasets.layouts.metadata import METADATA
from framemix.datasets.layouts.rldd import RLDD
from framemix.errors import NoVideosError


def find(root: Path) -> Iterator[Found]:
    """Yield every file; the folder below the state's is the subject."""
    for one in folders.find(root):
        above = one.video.split("/")[:-1]
        below = above[above.index(one.label) + 1 :] if one.label else []
        yield replace(one, group=below[0] if below else "")


FOLDERS = Layout("a folder with <state>/<subject>/<video> files", find)
LAYOUTS = (RLDD, CSV_FILE, METADATA, FOLDERS)


def find_drivers(root: Path, key: str) -> FoundVideos:
    """Return the videos of drivers in `root`, the value of `key`.

    One of another label has a reason. A video without a subject is a group of its own: a notice
    reports that, and which sides of the dataset's own are not used. Raises NoVideosError as
    `find_videos`.
    """
    found = find_videos(LAYOUTS, root, key)
    found[:] = [_of_driver(one) for one in found]
    if not any(one.label in STATES.values() for one in found):
        raise NoVideosError(
            f"{key} = {root}: no video of a driver in it: {commonest(o.reason for o in found)}; "
            f"{allowed(LAYOUTS)}"
        )
    if alone := sum(one.group == one.video for one in found):
        found.notices.append(
            f"warning: {alone} videos come without a subject: clips of one person may be on both "
            f"sides of a split"
        )
    found.notices += unused_sides(found)
    return found


def _of_driver(one: Found) -> Found:
    if one.reason:
        return one
    if one.label not in STATES.values():
        return replace(one, reason=f"label {one.label}: allowed: {', '.join(STATES.values())}")
    return replace(one, group=one.group or one.video)
