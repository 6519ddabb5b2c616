"""The settings of users' own videos (params.yaml: your_videos).

This module does not import torch, so that stages that do not train can check params.yaml quickly.
"""

import re
from typing import Literal, get_args

from pydantic import Field, field_validator, model_validator
from pydantic_core import PydanticCustomError

from framemix.datasets.intake import FilterSettings
from framemix.mixing import MixSettings
from framemix.mixing.frames import check_lengths
from framemix.models.config import (
    FinetuneMode,
    FrameNetSettings,
    NonLocalSettings,
    Positions,
    ViViTSettings,
)
from framemix.pretraining.settings import PretrainModel
from framemix.training.settings import Seed, TrainingSettings
from framemix.validation import Folder, Settings, misfit, require_at_most
from framemix.your_videos.split import YourSplit

Architecture = Literal["tsn", "tsm", "i3d", "vivit", "nonlocal", "transformers"]
# The name of a file to start from that stands for none: DVC takes a path alone.
NO_START = "none"


class YourModels(Settings):
    """One block per network; `architecture` chooses the one that is trained."""

    tsn: FrameNetSettings
    tsm: FrameNetSettings
    i3d: FrameNetSettings
    vivit: ViViTSettings
    nonlocal_: NonLocalSettings = Field(alias="nonlocal")

    @model_validator(mode="after")
    def _are_named_alike(self) -> "YourModels":
        for name in ("tsn", "tsm", "i3d"):
            if (found := getattr(self, name).architecture) != name:
                raise misfit(f"{{{name}.architecture}} = {found}: allowed: {name}")
        return self


class YourTraining(TrainingSettings):
    """The recipe, the network, and its first weights: random, of images, or trained ones."""

    seeds: tuple[Seed, ...] = Field(
        min_length=1, description="the network is trained once for each"
    )
    architecture: Architecture = Field(description="the network that is trained, one of `models`")
    start: Folder = Field(description="a model or a published checkpoint to start from, or none")
    positions: Positions = Field(description="for clips of other sizes than a checkpoint's")
    mode: FinetuneMode = Field(description="what is trained of a model to start from")
    models: YourModels

    @property
    def has_start(self) -> bool:
        """Whether there are trained weights to start from."""
        return self.start.name != NO_START

    @property
    def chosen(self) -> PretrainModel | None:
        """The recipe with the network that is trained; None where that is the start's alone."""
        name = "nonlocal_" if self.architecture == "nonlocal" else self.architecture
        model = getattr(self.models, name, None)
        return model and PretrainModel(**dict(self.recipe), model=model)

    @model_validator(mode="after")
    def _has_a_start_where_it_needs_one(self) -> "YourTraining":
        none = f"with {{start}} = {self.start}"
        if self.mode != "all" and not self.has_start:
            raise misfit(f"{{mode}} = {self.mode}: allowed {none}: all")
        if self.chosen is None and not self.has_start:
            others = ", ".join(each for each in get_args(Architecture) if each != self.architecture)
            raise misfit(f"{{architecture}} = {self.architecture}: allowed {none}: {others}")
        return self


class YourReport(Settings):
    """How the model is evaluated, and pictures of it are drawn."""

    batch_size: int = Field(ge=1, description="clips at a time")
    views: int = Field(ge=1, description="variants of a clip that are averaged")
    pictured_clips: int = Field(ge=1, description="clips in a picture")


class YourVideos(Settings):
    """Users' own videos, from their folder or list to the report."""

    data: Folder = Field(description="folder or list of labelled videos")
    folder: Folder = Field(description="folder with the videos, for DVC")
    group_pattern: str | None = Field(description="finds the group in a video's path")
    clip_seconds: float | None = Field(gt=0, description="length of clips cut from videos")
    videos: FilterSettings
    split: YourSplit
    mix: MixSettings
    train: YourTraining
    evaluate: YourReport

    @field_validator("group_pattern")
    @classmethod
    def _is_pattern(cls, value: str | None) -> str | None:
        if value is not None and not _groups_in(value):
            raise PydanticCustomError(
                "pattern", "a regular expression with the group in parentheses: subject(\\d+)"
            )
        return value

    @model_validator(mode="after")
    def _fits_together(self) -> "YourVideos":
        fewest = {"videos.min_frames": self.videos.min_frames}
        check_lengths("mix", self.mix.segments, self.mix.window, fewest)
        require_at_most("evaluate.views", self.evaluate.views, "mix.variants", self.mix.variants)
        return self


def _groups_in(pattern: str) -> int:
    """Return the number of groups in a regular expression; 0 for an invalid one."""
    try:
        return re.compile(pattern).groups
    except re.error:
        return 0
