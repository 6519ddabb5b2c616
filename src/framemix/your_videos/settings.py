"""What is done with someone's own videos (params.yaml: your_videos).

Free of torch, so that stages that do not train can check params.yaml at no cost.
"""

import re
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from framemix.datasets.intake import FilterSettings
from framemix.mixing import MixSettings
from framemix.models.config import FinetuneMode, FrameNetSettings, NonLocalSettings, ViViTSettings
from framemix.pretraining.settings import PretrainModel
from framemix.training.settings import Seed, TrainingSettings
from framemix.validation import Folder
from framemix.your_videos.split import YourSplit

Architecture = Literal["tsn", "tsm", "i3d", "vivit", "nonlocal"]


class YourModels(BaseModel):
    """A block for each network; `architecture` chooses the one that is trained."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    tsn: FrameNetSettings
    tsm: FrameNetSettings
    i3d: FrameNetSettings
    vivit: ViViTSettings
    nonlocal_: NonLocalSettings = Field(alias="nonlocal")

    @model_validator(mode="after")
    def _are_named_alike(self) -> "YourModels":
        for name in ("tsn", "tsm", "i3d"):
            if getattr(self, name).architecture != name:
                raise ValueError(f"your_videos.train.models.{name}.architecture: allowed: {name}")
        return self


class YourTraining(TrainingSettings):
    """The recipe, the network, and what it starts from: random or image weights, or a model."""

    seeds: tuple[Seed, ...] = Field(min_length=1)
    architecture: Architecture
    start: str | None
    mode: FinetuneMode
    models: YourModels

    @property
    def chosen(self) -> PretrainModel:
        """The recipe with the network that is trained."""
        recipe = {name: getattr(self, name) for name in TrainingSettings.model_fields}
        name = "nonlocal_" if self.architecture == "nonlocal" else self.architecture
        return PretrainModel(**recipe, model=getattr(self.models, name))


class YourReport(BaseModel):
    """How the model is judged and pictured."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    batch_size: int = Field(ge=1)
    views: int = Field(ge=1)
    pictured_clips: int = Field(ge=1)


class YourVideos(BaseModel):
    """One's own videos, from the folder or list that names them to the report."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    data: Folder
    group_pattern: str | None
    clip_seconds: float | None = Field(gt=0)
    videos: FilterSettings
    split: YourSplit
    mix: MixSettings
    train: YourTraining
    evaluate: YourReport

    @field_validator("group_pattern")
    @classmethod
    def _is_pattern(cls, value: str | None) -> str | None:
        if value is None:
            return value
        try:
            groups = re.compile(value).groups
        except re.error as error:
            raise ValueError(f"your_videos.group_pattern = {value!r}: {error}") from None
        if not groups:
            raise ValueError(
                f"your_videos.group_pattern = {value!r}: allowed: with the part that names the "
                f"group in parentheses, as in 'subject(\\d+)'"
            )
        return value

    @model_validator(mode="after")
    def _fits_together(self) -> "YourVideos":
        self._check_frames()
        if self.evaluate.views > self.mix.variants:
            raise ValueError(
                f"your_videos.evaluate.views = {self.evaluate.views}: allowed: at most "
                f"your_videos.mix.variants = {self.mix.variants}"
            )
        if self.train.mode != "all" and self.train.start is None:
            raise ValueError(
                f"your_videos.train.mode = {self.train.mode}: allowed with "
                f"your_videos.train.start = null: all"
            )
        return self

    def _check_frames(self) -> None:
        """Every kept video has the frames that mixing takes."""
        wanted, key, window = self.mix.segments, "mix.segments", self.mix.window
        if window != "all":
            if wanted > window.frames:
                raise ValueError(
                    f"your_videos.mix.segments = {wanted}: allowed: at most "
                    f"your_videos.mix.window.frames = {window.frames}"
                )
            wanted, key = window.frames, "mix.window.frames"
        if wanted > self.videos.min_frames:
            raise ValueError(
                f"your_videos.{key} = {wanted}: allowed: at most "
                f"your_videos.videos.min_frames = {self.videos.min_frames}"
            )
