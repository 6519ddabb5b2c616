"""The study's cells: ways to mix, which their names tell."""

import re
from typing import Literal, cast, get_args

from framemix.mixing import Method

Videos = Literal["short", "long"]


def parse_cell(name: str) -> tuple[Method, Literal["all"] | int]:
    """Return method and frames mixed a segment of a cell: none, linear-all, harmonic-5, ..."""
    methods = "|".join(get_args(Method))
    if not (match := re.fullmatch(rf"({methods})(?:-([1-9]\d*|all))?", name)):
        raise ValueError(f"frame_mixup.cells = {name}: allowed: <{methods}>[-<all or a number>]")
    frames = match[2] or "all"
    return cast(Method, match[1]), "all" if frames == "all" else int(frames)
