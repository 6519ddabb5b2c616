"""The one row that goes through listing, splitting, mixing, training and evaluation."""

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field

from framemix.tables import MaybeFloat, Row

Subset = Literal["train", "val"]
# Who reads a file. Not imported from `video`: training must not depend on how videos are read.
Reader = Literal["decord", "pyav", ""]
Stretch = tuple[float, float]  # seconds of a video, from and to before
# UTA-RLDD names its files by these numbers.
STATES = {0: "alert", 5: "low_vigilant", 10: "drowsy"}
STATE_NUMBERS = {name: number for number, name in STATES.items()}


class Clip(Row):
    """A video of a dataset or a stretch of one; with `kept` false the reason why it is not used.

    `video` is its path below the dataset's folder. `group` is who or what must not be on both sides
    of a split. `subset` is the side; before the split, what the dataset itself says: a side, test,
    one of UTA-RLDD's folds, or nothing. `start` and `end` are those of a stretch, in seconds of the
    video; then frames and seconds are those of the stretch. Size and length are as ffmpeg shows the
    picture. What is not known is empty or 0.
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
        """Return this row as one that is not used, and why."""
        return self.model_copy(update={"kept": False, "reason": reason})

    @property
    def stretch(self) -> Stretch | None:
        """What of its file the clip is; None where it is all of it."""
        if self.start is None or self.end is None:
            return None
        return self.start, self.end


class DriverClip(Clip):
    """A video of a driver, or a clip that was cut out of one into a file of its own.

    Then size and frames a second are those of the clip, too.
    """

    @property
    def stretch(self) -> Stretch | None:
        """All of the clip's own file."""
        return None


def clip_name(clip: Clip) -> str:
    """Return what a clip is called in stores and predictions.

    A whole video is called by its path, a stretch of it `<path>@<start>-<end>`, and a clip of a
    driver's by subject, state and first frame.
    """
    if clip.start is None:
        return clip.video
    if isinstance(clip, DriverClip):
        return f"{clip.group}_{STATE_NUMBERS[clip.class_name]}_{round(clip.start * clip.fps)}"
    start, end = (f"{second}".removesuffix(".0") for second in (clip.start, clip.end))
    return f"{clip.video}@{start}-{end}"


def clip_file(clip: Clip, folder: Path) -> Path:
    """Return the file in `folder` that shows a clip: the video, or what was cut out of it."""
    is_cut = isinstance(clip, DriverClip) and clip.start is not None
    return folder / (f"{clip_name(clip)}.mp4" if is_cut else clip.video)


def folder_of(root: Path) -> Path:
    """Return the folder in which the paths of a dataset's videos begin: that of a list's file."""
    return root.parent if root.is_file() else root


def class_labels(clips: Iterable[Clip]) -> dict[str, int]:
    """Return the label of each class that has a kept clip: 0... by code point."""
    return {name: i for i, name in enumerate(sorted({c.class_name for c in clips if c.kept}))}
