"""The answers that a network gave, a row a video."""

from typing import Annotated, Literal

from pydantic import BeforeValidator

from framemix.tables import Row

Right = Literal[0, 1]
# An empty cell of the table is no answer.
MaybeRight = Annotated[
    Right | None, BeforeValidator(lambda value: None if value == "" else int(value))
]


class Answer(Row):
    """Whether a network was right about a video (1) or not (0).

    `top1` and `top5` are of the video played forward. `forward` and `backward` are of its
    direction when it is played so: which of the two classes that are each other's reversal scores
    higher, whatever the others score. They are None where the video's class has no such partner.
    """

    video: str
    frames: int
    top1: Annotated[Right, BeforeValidator(int)]
    top5: Annotated[Right, BeforeValidator(int)]
    forward: MaybeRight
    backward: MaybeRight
