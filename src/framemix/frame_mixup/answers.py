"""The answers that a network gave, one row per video."""

from typing import Annotated

from pydantic import BeforeValidator, Field

from framemix.tables import Row

Right = Annotated[int, Field(ge=0, le=1)]
# An empty cell of the table is no answer.
MaybeRight = Annotated[Right | None, BeforeValidator(lambda value: None if value == "" else value)]


class Answer(Row):
    """Whether a network was right about a video (1) or not (0).

    `top1` and `top5` are of the video played forward; `top5` is None where there are at most five
    classes. `forward` and `backward` are of its
    direction when it is played so: which of the two classes that are each other's reversal scores
    higher, whatever the others score. They are None where the video's class has no such partner.
    """

    video: str
    frames: int
    top1: Right
    top5: MaybeRight
    forward: MaybeRight
    backward: MaybeRight
