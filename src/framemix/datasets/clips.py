"""The one row that goes through listing, splitting, mixing, training and evaluation."""

import hashlib
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field

from framemix.tables import MaybeFloat, Row

Subset = Literal["train", "val"]
# The reader of a file. Not imported from `video`: training must not depend on how videos are read.
Reader = Literal["decord", "pyav", ""]
Stretch = tuple[float, float]  # seconds of a video: start, and end, which is not included
# UTA-RLDD names its files by these numbers, and its folders by folds and subjects.
STATES = {0: "alert", 5: "low_vigilant", 10: "drowsy"}
STATE_NUMBERS = {name: number for number, name in STATES.items()}
RLDD_VIDEO = re.compile(
    r"Fold(?P<fold>\d+)_part\d+/(?P<subject>\d+)/(?P<state>0|5|10)\.(mov|mp4|m4v|avi|mkv|wmv|3gp)",
    re.IGNORECASE,
)
LONGEST = 120  # letters of a clip's name in that of its file


class Clip(Row):
    """A video of a dataset, or a stretch of one; `reason` states why it is not `kept`.

    `video` is its path below the dataset's folder. `group` is the person or recording that must not
    be on both sides of a split. `subset` is the side; before the split, the subset that the dataset
    itself names: a side, test, one of UTA-RLDD's folds, or none. `start` and `end` of a stretch are
    in seconds of the video; frames and seconds are then those of the stretch. Size and length are
    as ffmpeg shows the picture. Unknown values are empty or 0.
    """

    video: str
    class_name: str = Field(alias="class")
    group: str = ""
    subset: Annotated[str, Field(pattern=r"^(train|val|test|fold\d+|)$")] = ""
    start: MaybeFloat = None
    end: MaybeFloat = None
    frames: int = 0
    seconds: float = 0.0
    width: int = 0
    height: int = 0
    fps: float = 0.0
    reader: Reader = ""
    kept: bool = False
    reason: str = ""

    def rejected(self, reason: str) -> Self:
        """Return this row as rejected, with the reason."""
        return self.model_copy(update={"kept": False, "reason": reason})

    @property
    def stretch(self) -> Stretch | None:
        """The stretch of its file that the clip is; None for the whole file."""
        if self.start is None or self.end is None:
            return None
        return self.start, self.end


class DriverClip(Clip):
    """A video of a driver, or a clip that was cut out of one into a file of its own.

    Size and frame rate of such a clip are those of its own file.
    """

    @property
    def stretch(self) -> Stretch | None:
        """None: a clip is its whole file."""
        return None


def clip_name(clip: Clip) -> str:
    """Return the name of a clip in stores and predictions.

    The name of a whole video is its path, that of a stretch `<path>@<start>-<end>`, and that of a
    clip of UTA-RLDD has subject, state and first frame.
    """
    if clip.start is None:
        return clip.video
    if isinstance(clip, DriverClip) and RLDD_VIDEO.fullmatch(clip.video):
        return f"{clip.group}_{STATE_NUMBERS[clip.class_name]}_{round(clip.start * clip.fps)}"
    start, end = (f"{second}".removesuffix(".0") for second in (clip.start, clip.end))
    return f"{clip.video}@{start}-{end}"


def clip_file(clip: Clip, folder: Path) -> Path:
    """Return the file of a clip in `folder`: the video, or the clip that was cut out of it."""
    is_cut = isinstance(clip, DriverClip) and clip.start is not None
    return folder / (f"{_file_name(clip_name(clip))}.mp4" if is_cut else clip.video)


def _file_name(name: str) -> str:
    """Return the name of a clip's file: the clip's own, or one like it with a hash at its end."""
    plain = re.sub(r"[^A-Za-z0-9@._-]+", "-", name)[-LONGEST:].lstrip(".-")
    if plain == name:
        return name
    return f"{plain}-{hashlib.blake2b(name.encode(), digest_size=4).hexdigest()}"


def folder_of(root: Path) -> Path:
    """Return the folder that the paths of a dataset's videos are relative to, also for a list."""
    return root.parent if root.is_file() else root


def class_labels(clips: Iterable[Clip]) -> dict[str, int]:
    """Return the label of each class with a kept clip: 0, 1, ... in the order of code points."""
    return {name: i for i, name in enumerate(sorted({c.class_name for c in clips if c.kept}))}
