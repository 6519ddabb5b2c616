"""The study's cells: ways to mix, which are encoded in their names."""

import re
from collections.abc import Sequence
from typing import Literal, cast, get_args

from pydantic import model_validator
from pydantic_core import PydanticCustomError

from framemix.mixing import Method, MixSettings
from framemix.mixing.frames import (
    Fit,
    MixWindow,
    PixelFormat,
    Segments,
    Size,
    Variants,
    check_clip,
)
from framemix.validation import Settings

Videos = Literal["short", "long"]


class StudyMix(Settings):
    """The mix settings that all cells share; the others are in the cells' names.

    `variants` is for the cell `random`, each of whose variants is another draw; others have one.
    """

    segments: Segments
    window: MixWindow
    variants: Variants
    size: Size
    fit: Fit
    pixel_format: PixelFormat

    @model_validator(mode="after")
    def _is_a_clip(self) -> "StudyMix":
        check_clip(self.segments, self.size, self.pixel_format)
        return self


def parse_cell(name: str) -> tuple[Method, Literal["all"] | int]:
    """Return method and frames per segment of a cell: none, linear-all, harmonic-5, ..."""
    methods = "|".join(get_args(Method))
    if not (match := re.fullmatch(rf"({methods})(?:-([1-9]\d{{,6}}|all))?", name)):
        raise PydanticCustomError("cell", f"<{methods}>[-<all or a number>]")
    frames = match[2] or "all"
    return cast(Method, match[1]), "all" if frames == "all" else int(frames)


def mix_settings(cell: str, common: StudyMix) -> MixSettings:
    """Return the mix settings of a cell."""
    method, frames = parse_cell(cell)
    variants = common.variants if method == "random" else 1
    shared = {**common.model_dump(), "variants": variants}
    return MixSettings(method=method, frames_per_segment=frames, **shared)


def training_runs(
    *,
    cells: Sequence[str],
    seeds: Sequence[int],
    repeated_cells: Sequence[str],
    more_seeds: Sequence[int],
    long_cells: Sequence[str],
) -> list[tuple[Videos, str, int]]:
    """Return videos, cell and seed of every training run."""
    return [
        *(("short", cell, seed) for cell in cells for seed in seeds),
        *(("short", cell, seed) for cell in repeated_cells for seed in more_seeds),
        *(("long", cell, seed) for cell in long_cells for seed in seeds),
    ]
