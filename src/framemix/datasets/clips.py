"""The one row that goes through listing, splitting, mixing, training and evaluation."""

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from framemix.tables import MaybeFloat, Row

Subset = Literal["train", "val"]
# Who reads a file. Not imported from `video`: training must not depend on how videos are read.
Reader = Literal["decord", "pyav", ""]
# UTA-RLDD names its files by these numbers.
STATES = {0: "alert", 5: "low_vigilant", 10: "drowsy"}
STATE_NUMBERS = {name: number for number, name in STATES.items()}


class Clip(Row):
    """A video of a dataset or a stretch of one; with `kept` false the reason why it is not used.

    `video` is its path below the dataset's folder. `group` is who or what must not be on both sides
    of a split. `subset` is the side; before the split, what the dataset itself says: a side, test,
    one of UTA-RLDD's folds, or nothing. `start` and `end` are those of a stretch that was cut out,
    in seconds of the video; then frames, seconds, size and frames a second are those of the clip.
    Size and length are as ffmpeg shows the picture. What is not known is empty or 0.
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

    def rejected(self, reason: str) -> "Clip":
        """Return this row as one that is not used, and why."""
        return self.model_copy(update={"kept": False, "reason": reason})


def clip_name(clip: Clip) -> str:
    """Return what a clip is called in stores and predictions.

    A whole video is called by its path, a stretch of a driver's by subject, state and first frame.
    """
    if clip.start is None:
        return clip.video
    return f"{clip.group}_{STATE_NUMBERS[clip.class_name]}_{round(clip.start * clip.fps)}"


def clip_file(clip: Clip, folder: Path) -> Path:
    """Return the file in `folder` that shows a clip: the video, or what was cut out of it."""
    return folder / (clip.video if clip.start is None else f"{clip_name(clip)}.mp4")


def class_labels(clips: Iterable[Clip]) -> dict[str, int]:
    """Return the label of each class that has a kept clip: 0... by code point."""
    return {name: i for i, name in enumerate(sorted({c.class_name for c in clips if c.kept}))}
