"""The table of a network's predictions, one row per video."""

from typing import Annotated

from pydantic import BeforeValidator, Field

from framemix.tables import Row

Right = Annotated[int, Field(ge=0, le=1)]
# An empty cell of the table is no prediction.
MaybeRight = Annotated[Right | None, BeforeValidator(lambda value: None if value == "" else value)]


class VideoPrediction(Row):
    """Whether a network was right about a video (1) or not (0).

    `top1` and `top5` are of the video played forward; `top5` is None with at most five classes.
    `forward` and `backward` are about the direction of the video when it is played so: whether, of
    the two classes that are each other's reversal, the true one scores higher, whatever the other
    classes score. They are None where the video's class has no such partner.
    """

    video: str
    frames: int
    top1: Right
    top5: MaybeRight
    forward: MaybeRight
    backward: MaybeRight
