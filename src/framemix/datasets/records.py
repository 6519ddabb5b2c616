"""The rows of the datasets' tables: what later stages know of a video or clip."""

from collections.abc import Iterable, Sequence
from typing import Literal

from pydantic import Field

from framemix.tables import Row

Subset = Literal["train", "val"]
# Who reads a file. Written out: what trains shall not depend on how videos are read.
Reader = Literal["decord", "pyav", ""]
# UTA-RLDD names its files by these numbers.
STATES = {0: "alert", 5: "low_vigilant", 10: "drowsy"}
# What the name of a clip ends in that is its video played backward.
BACKWARD = " backward"


class Video(Row):
    """A file of the dataset; fields that are not known are empty or 0."""

    video: str
    class_name: str = Field(alias="class")
    group: str
    frames: int = 0
    width: int = 0
    height: int = 0
    fps: float = 0.0
    kept: bool = False
    reason: str = ""
    reader: Reader = ""


class SplitVideo(Row):
    """A kept video and the side of the split that it is on."""

    video: str
    class_name: str = Field(alias="class")
    group: str
    subset: Subset


class LabelledVideo(Row):
    """A video file or folder of frames with the subset that its dataset puts it in, if any."""

    video: str
    class_name: str = Field(alias="class")
    subset: Subset | Literal["test", ""]
    frames: int = 0
    width: int = 0
    height: int = 0
    kept: bool = False
    reason: str = ""
    reader: Reader = ""


class Clip(Row):
    """A clip, or with `kept` false a file or clip that was rejected and why."""

    clip: str
    subject: str
    fold: int = 0
    state: str = ""
    source: str
    start_seconds: float = 0.0
    frames: int = 0
    width: int = 0
    height: int = 0
    kept: bool = False
    reason: str = ""
    reader: Reader = ""


class SplitClip(Row):
    """A kept clip and the side of the split that it is on."""

    clip: str
    subject: str
    fold: int
    state: str
    subset: Subset


def class_labels(videos: Iterable[Video | LabelledVideo]) -> dict[str, int]:
    """Return the label of each class that has a kept video: 0... by code point."""
    return {name: i for i, name in enumerate(sorted({v.class_name for v in videos if v.kept}))}


def judged(videos: Sequence[LabelledVideo]) -> list[LabelledVideo]:
    """Return the kept videos that networks are judged by: of test, or of val where none is."""
    kept = [video for video in videos if video.kept]
    return [v for v in kept if v.subset == "test"] or [v for v in kept if v.subset == "val"]
