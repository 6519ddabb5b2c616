"""The settings of the study (params.yaml: frame_mixup).

This module does not import torch, so that stages that do not train can check params.yaml quickly.
It has values only: stages depend on the modules that compute with them.
"""

from typing import Annotated

from pydantic import AfterValidator, Field, model_validator

from framemix.datasets.intake import FilterSettings
from framemix.datasets.reversals import check_reversals
from framemix.datasets.sample.arrow import ArrowSettings
from framemix.frame_mixup.cells import StudyMix, parse_cell
from framemix.mixing.frames import check_lengths
from framemix.pretraining.settings import PretrainModel
from framemix.training.settings import Seed
from framemix.validation import Folder, Settings, misfit


def _is_cell(name: str) -> str:
    parse_cell(name)
    return name


CellName = Annotated[str, AfterValidator(_is_cell)]


class StudyData(Settings):
    """The folders of the short and of the long videos."""

    short: Folder = Field(description="folder of the short videos")
    long: Folder = Field(description="folder of the long videos")


class StudyVideos(FilterSettings):
    """Which videos are kept, and how videos without a subset are divided."""

    folds: int = Field(ge=2, description="parts, one of which validates")


class StudySample(Settings):
    """The two sets of videos that are rendered."""

    short: ArrowSettings
    long: ArrowSettings


class FrameMixupSettings(Settings):
    """The study: its videos, its cells, and the recipe that trains all of them."""

    data: StudyData
    sample: StudySample
    videos: StudyVideos
    reversed_classes: list[tuple[str, str]] = Field(
        description="pairs of classes that are each other's time reversal"
    )
    cells: list[CellName] = Field(description="ways to mix the short videos")
    seeds: list[Seed] = Field(min_length=1, description="of all cells")
    repeated_cells: list[CellName] = Field(description="cells that are trained with more seeds")
    more_seeds: list[Seed] = Field(description="of the repeated cells")
    long_cells: list[CellName] = Field(description="ways to mix the long videos")
    mix: StudyMix
    train: PretrainModel

    @model_validator(mode="after")
    def _fits_together(self) -> "FrameMixupSettings":
        for key in ("cells", "seeds", "repeated_cells", "more_seeds", "long_cells"):
            values = getattr(self, key)
            if len(set(values)) < len(values):
                shown = ", ".join(map(str, values))
                raise misfit(f"{{{key}}} = [{shown}]: allowed: each one once")
        check_reversals(self.reversed_classes)
        if repeated := set(self.seeds) & set(self.more_seeds):
            raise misfit(f"{{more_seeds}} = {min(repeated)}: allowed: seeds not in {{seeds}}")
        fewest = {"videos.min_frames": self.videos.min_frames}
        check_lengths("mix", self.mix.segments, self.mix.window, fewest)
        if unknown := sorted(set(self.repeated_cells) - set(self.cells)):
            raise misfit(f"{{repeated_cells}} = {unknown[0]}: allowed: names in {{cells}}")
        return self
