"""Videos of actions, which paper A pretrains on: UCF101, or anyone's own."""

from pathlib import Path

from framemix.datasets.layouts.layout import FoundVideos, find_videos, unused_sides
from framemix.datasets.layouts.registry import LABELLED
from framemix.datasets.layouts.ucf101 import OF_UCF101, UCF101
from framemix.errors import DatasetError


def find_actions(root: Path, key: str) -> FoundVideos:
    """Return the videos in `root`, the value of `key`.

    Where one is named as UCF101's, the others are rows with a reason: their groups would be
    unknown. A notice names which sides of the dataset's own are not used. Raises DatasetError as
    `find_videos`, and for videos of one class.
    """
    found = find_videos((OF_UCF101, *LABELLED), root, key)
    classes = {one.label for one in found if not one.reason}
    if len(classes) == 1 and not OF_UCF101.fits(root):
        raise DatasetError(
            f"{key} = {root}: its videos are all of one class, {classes.pop()}; "
            f"allowed: two classes or more; UCF101's are {UCF101.looks}"
        )
    found.notices += unused_sides(found)
    return found
