"""What the study compares (params.yaml: frame_mixup).

Free of torch, so that stages that do not train can check params.yaml at no cost.
"""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from framemix.datasets.sample.arrow import ArrowSettings
from framemix.datasets.something_something import LabelledSettings
from framemix.frame_mixup.cells import Videos, parse_cell
from framemix.mixing import MixSettings, Window
from framemix.training.settings import PretrainModel


def _is_cell(name: str) -> str:
    parse_cell(name)
    return name


Seed = Annotated[int, Field(ge=0)]
CellName = Annotated[str, AfterValidator(_is_cell)]


class StudyData(BaseModel):
    """Where the short and the long videos are."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    short: Path
    long: Path


class StudySample(BaseModel):
    """The two sets of videos that are rendered."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    short: ArrowSettings
    long: ArrowSettings


class StudyMix(BaseModel):
    """What all cells' mixing has in common; the rest of `MixSettings` is in the cells' names."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    segments: int
    window: Literal["all"] | Window
    size: tuple[int, int]
    fit: Literal["squeeze", "crop", "pad"]
    pixel_format: Literal["rgb24", "yuv420p"]


class FrameMixupSettings(BaseModel):
    """The study: its videos, its grid of cells, and the recipe that all of them are trained by."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    data: StudyData
    sample: StudySample
    videos: LabelledSettings
    reversed_classes: list[tuple[str, str]]
    cells: list[CellName]
    seeds: list[Seed] = Field(min_length=1)
    repeated_cells: list[CellName]
    more_seeds: list[Seed]
    long_cells: list[CellName]
    mix: StudyMix
    train: PretrainModel

    @model_validator(mode="after")
    def _fits_together(self) -> "FrameMixupSettings":
        for cell in [*self.cells, *self.long_cells]:
            self.mix_settings(cell)
        if unknown := sorted(set(self.repeated_cells) - set(self.cells)):
            raise ValueError(
                f"frame_mixup.repeated_cells = {unknown[0]}: allowed: names in frame_mixup.cells"
            )
        if self.mix.segments > self.videos.min_frames:
            raise ValueError(
                f"frame_mixup.mix.segments = {self.mix.segments}: allowed: at most "
                f"frame_mixup.videos.min_frames = {self.videos.min_frames}"
            )
        return self

    @property
    def partners(self) -> dict[str, str]:
        """What videos of a class show when they are played backward, where that is a class."""
        pairs = self.reversed_classes
        return dict(pairs) | {backward: forward for forward, backward in pairs}

    def mix_settings(self, cell: str) -> MixSettings:
        """Return how a cell is mixed."""
        method, frames = parse_cell(cell)
        common = self.mix.model_dump()
        return MixSettings(method=method, frames_per_segment=frames, variants=1, **common)

    def runs(self) -> list[tuple[Videos, str, int]]:
        """Return videos, cell and seed of every training run."""
        return [
            *(("short", cell, seed) for cell in self.cells for seed in self.seeds),
            *(("short", cell, seed) for cell in self.repeated_cells for seed in self.more_seeds),
            *(("long", cell, seed) for cell in self.long_cells for seed in self.seeds),
        ]
