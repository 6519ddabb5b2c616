"""The only reader of params.yaml: checks every key and value, and how they fit together."""

import re
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError, field_validator, model_validator
from pydantic_core import PydanticCustomError, PydanticSerializationError, to_json
from ruamel.yaml import YAML
from ruamel.yaml.constructor import DuplicateKeyError
from ruamel.yaml.error import YAMLError

from framemix.datasets.clips import STATE_NUMBERS
from framemix.datasets.cutting import ResizeSettings
from framemix.datasets.intake import FilterSettings
from framemix.datasets.sample import SampleSettings
from framemix.datasets.splits import TASK_STATES, SplitSettings
from framemix.errors import ParamsError
from framemix.evaluation.settings import EvaluateSettings
from framemix.finetuning.settings import FinetuneSettings
from framemix.frame_mixup.cells import StudyMix
from framemix.frame_mixup.settings import FrameMixupSettings
from framemix.jobs.cluster import Cluster
from framemix.jobs.execution import Execution
from framemix.jobs.isolation import Limits
from framemix.jobs.scratch import checkout, scratch_root
from framemix.mixing import MixSettings
from framemix.mixing.frames import check_lengths
from framemix.models.config import (
    FrameNetSettings,
    NonLocalSettings,
    ViViTSettings,
    hub_misfit,
    nonlocal_misfit,
    vivit_misfit,
)
from framemix.pretraining.settings import PretrainSettings
from framemix.project.paths import LOGS, PRETRAINED_VIVIT
from framemix.training.settings import LoggerName, Seed
from framemix.validation import Folder, Settings, describe_error, misfit, named, require_at_most
from framemix.your_videos.settings import YourVideos

PARAMS = Path("params.yaml")
DAY = 24 * 60 * 60  # seconds
# YAML 1.2, because DVC writes 1e-05, which is text in YAML 1.1.
PLAIN = YAML(typ="safe", pure=True)


class DataSettings(Settings):
    """Where the datasets are."""

    ucf101: Folder = Field(description="folder or list: UCF101, or others of two classes or more")
    rldd: Folder = Field(description="folder or list: UTA-RLDD, or other drivers in its states")
    ucf101_lists: Folder = Field(description="folder of UCF101's official splits")


class RuntimeSettings(Settings):
    """The machine. No stage lists these settings: they change the speed, but not the results.

    (There is one exception: a file that exceeds a limit is rejected, with the limit as reason.)
    """

    workers: int = Field(ge=1, description="processes that decode, threads that read clips")
    device: str = Field(pattern=r"^(auto|cpu|cuda(:\d+)?)$", description="what networks run on")
    devices: int = Field(ge=1, description="devices that train together on each node")
    num_nodes: int = Field(ge=1, description="machines that train together")
    resident: Literal["auto"] | bool = Field(
        description="whether the device's memory has all clips"
    )
    scheduler: str | None = Field(description="address of a dask cluster; null: this machine")
    scratch: Folder | None = Field(description="folder; null: .scratch in the checkout")
    loggers: tuple[LoggerName, ...] = Field(description="what a training's steps are logged to")
    decode_timeout: float = Field(gt=0, le=DAY, description="seconds for one file")
    decode_memory_mb: int = Field(ge=1, le=2**30, description="MiB for one file")

    @field_validator("scheduler")
    @classmethod
    def _is_address(cls, value: str | None) -> str | None:
        if value is not None and not re.fullmatch(r"(tcp|tls)://[^/\s]+:\d+", value):
            raise PydanticCustomError("address", "null or an address like tcp://host:8786")
        return value

    @property
    def cluster(self) -> Cluster:
        """Where tasks run."""
        return Cluster(self.workers, self.scheduler)

    @property
    def limits(self) -> Limits:
        """The limits of decoding one file."""
        return Limits(self.decode_timeout, self.decode_memory_mb)

    def scratch_of(self, stage: str) -> Path:
        """Return the scratch folder of a stage, which is named like `mix@rldd`."""
        return scratch_root(self.scratch) / stage

    def logs_of(self, stage: str) -> Path:
        """Return the folder of a stage's logs, in the checkout also where an experiment runs."""
        return checkout(Path.cwd()) / LOGS / stage

    def execution(self, stage: str) -> Execution:
        """Return how a data stage runs."""
        return Execution(self.scratch_of(stage), self.cluster, self.limits)

    @model_validator(mode="after")
    def _fits_together(self) -> "RuntimeSettings":
        if ":" in self.device and self.devices > 1:
            raise misfit(
                f"{{device}} = {self.device}: is one device; "
                f"allowed with {{devices}} = {self.devices}: auto, cpu, cuda"
            )
        return self


class Params(Settings):
    """All of params.yaml."""

    seeds: tuple[Seed, ...] = Field(min_length=1, description="networks are trained once for each")
    data: DataSettings
    sample: SampleSettings
    filter: FilterSettings
    split: SplitSettings
    resize: ResizeSettings
    mix: MixSettings
    pretrain: PretrainSettings
    finetune: FinetuneSettings
    evaluate: EvaluateSettings
    frame_mixup: FrameMixupSettings
    your_videos: YourVideos
    runtime: RuntimeSettings

    @model_validator(mode="after")
    def _fits_together(self) -> "Params":
        if len(set(self.seeds)) < len(self.seeds):
            raise ValueError(f"seeds = {list(self.seeds)}: allowed: each one once")
        fewest = {
            "filter.min_frames": self.filter.min_frames,
            "resize.frames": self.resize.frames,
        }
        check_lengths("mix", self.mix.segments, self.mix.window, fewest)
        self._check_networks()
        self._check_states()
        self._check_recipes()
        self._check_mode()
        self._check_starts()
        require_at_most("evaluate.views", self.evaluate.views, "mix.variants", self.mix.variants)
        return self

    def _check_networks(self) -> None:
        """Raise where a network cannot be built for clips with its mix settings."""
        study, yours = self.frame_mixup, self.your_videos
        chosen, own = f"your_videos.train.models.{yours.train.architecture}", yours.train.chosen
        for section, model, mixed, mix in (
            ("pretrain.vivit.model", self.pretrain.vivit.model, "mix", self.mix),
            ("pretrain.nonlocal.model", self.pretrain.nonlocal_.model, "mix", self.mix),
            ("frame_mixup.train.model", study.train.model, "frame_mixup.mix", study.mix),
            (chosen, own and own.model, "your_videos.mix", yours.mix),
        ):
            if model and (line := _misfit(model, mix)):
                raise ValueError(named(line, partial(_key, section, mixed)))

    def _check_states(self) -> None:
        """Raise where the fine-tuning task lacks one of its states."""
        if len(set(self.resize.states)) < len(self.resize.states):
            raise ValueError(f"resize.states = {self.resize.states}: allowed: each one once")
        states = {STATE_NUMBERS[name] for name in TASK_STATES[self.finetune.task]}
        if not states <= set(self.resize.states):
            raise ValueError(
                f"finetune.task = {self.finetune.task}: needs resize.states with "
                f"{sorted(states)}, not {self.resize.states}"
            )

    def _check_recipes(self) -> None:
        """Raise where a part of a step has too few clips, or the warm-up more than all epochs."""
        for section, recipe in (
            ("pretrain.vivit", self.pretrain.vivit),
            ("pretrain.nonlocal", self.pretrain.nonlocal_),
            ("finetune", self.finetune),
            ("frame_mixup.train", self.frame_mixup.train),
            ("your_videos.train", self.your_videos.train),
        ):
            for key, limit in (("accumulate", "batch_size"), ("warmup_epochs", "epochs")):
                value, most = getattr(recipe, key), getattr(recipe, limit)
                require_at_most(f"{section}.{key}", value, f"{section}.{limit}", most)
            parts = recipe.accumulate * self.runtime.devices * self.runtime.num_nodes
            for key in ("mixup", "cutmix"):
                alpha = getattr(recipe.augment, key)
                if alpha and recipe.batch_size < 2 * parts:
                    raise ValueError(
                        f"{section}.augment.{key} = {alpha:g}: pairs clips within each of a step's "
                        f"{parts} parts (accumulate x devices x nodes); allowed with {section}."
                        f"batch_size = {recipe.batch_size}: 0, or at most "
                        f"{recipe.batch_size // 2} parts"
                    )

    def _check_mode(self) -> None:
        """Raise where the encoder lacks the parts that fine-tuning trains or initialises again."""
        attention, mode = self.pretrain.vivit.model.attention, self.finetune.mode
        if attention == "factorised_encoder" or self.finetune.start != PRETRAINED_VIVIT:
            return
        if mode in ("spatial_temporal_fc", "temporal_fc"):
            raise ValueError(
                f"finetune.mode = {mode}: allowed with "
                f"pretrain.vivit.model.attention = {attention}: all, fc, last_N"
            )
        if self.finetune.temporal == "reinit":
            raise ValueError(
                f"finetune.temporal = reinit: allowed with "
                f"pretrain.vivit.model.attention = {attention}: keep"
            )

    def _check_starts(self) -> None:
        """Refuse a start that is the name of a model on a hub: nothing is downloaded."""
        yours = self.your_videos.train
        starts = {"finetune": self.finetune.start}
        if yours.has_start:
            starts["your_videos.train"] = yours.start
        for key, start in starts.items():
            if line := hub_misfit(start):
                raise ValueError(f"{key}.start = {start}: {line}")


def _misfit(
    model: ViViTSettings | NonLocalSettings | FrameNetSettings, mix: MixSettings | StudyMix
) -> str | None:
    """Return why a network cannot be built for clips with these mix settings, else None."""
    if isinstance(model, ViViTSettings):
        return vivit_misfit(
            image_size=mix.size,
            image_patch_size=model.image_patch_size,
            frames=mix.segments,
            frame_patch_size=model.frame_patch_size,
            attention=model.attention,
            spatial_depth=model.spatial_depth,
            temporal_depth=model.temporal_depth,
            heads=model.heads,
        )
    if isinstance(model, NonLocalSettings) and (
        line := nonlocal_misfit(
            depth=model.depth,
            nonlocal_blocks=model.nonlocal_blocks,
            pairwise=model.pairwise,
            scaled=model.scaled,
        )
    ):
        return line
    return model.misfit


def _key(model: str, mix: str, argument: str) -> str:
    """Return the key of a network's argument: in the network's section or in its clips'."""
    clips = {"image_size": f"{mix}.size", "frames": f"{mix}.segments"}
    return clips.get(argument, f"{model}.{argument}")


def load_params(path: Path = PARAMS) -> Params:
    """Return the checked content of `path`. Raises ParamsError in one line."""
    if not path.is_file():
        raise ParamsError(f"{path}: no such file; run this in the project's folder")
    return parse_params(read_yaml(PLAIN, path), path)


def parse_params(content: Any, path: Path) -> Params:
    """Return checked params. Raises ParamsError, which names `path`, for the first error."""
    try:
        # As JSON, so that pydantic can be strict (true is not 1) and still accept lists for tuples.
        return Params.model_validate_json(_json(content), strict=True)
    except ValidationError as error:
        raise ParamsError(f"{path}: {describe_error(error, Params)}") from None


def read_yaml(reader: YAML, path: Path) -> Any:
    """Return the mapping in `path`. Raises ParamsError in one line if there is none."""
    try:
        content = reader.load(path)
        _json(content)
    except FileNotFoundError:
        raise ParamsError(f"{path}: no such file") from None
    except OSError as error:
        raise ParamsError(f"{path}: cannot be read: {error.strerror}") from None
    except DuplicateKeyError as error:
        raise ParamsError(_twice(path, error)) from None
    except PydanticSerializationError:
        raise ParamsError(f"{path}: a value holds itself (& and * of one name)") from None
    except (YAMLError, ValueError, RecursionError) as error:  # ValueError: a date like 2024-13-45
        raise ParamsError(f"{path}: not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(content, Mapping):
        raise ParamsError(f"{path}: not a mapping of keys to values")
    return content


def _json(content: Any) -> bytes:
    """Return YAML's content as JSON, with dates as text, also in keys."""
    return to_json(content, fallback=str, inf_nan_mode="constants", bytes_mode="base64")


def _twice(path: Path, error: DuplicateKeyError) -> str:
    """Return the line about a repeated key of a mapping, with the line of its repetition."""
    key = re.search(r'duplicate key "(.*?)" with', error.problem)
    where = f"{path}:{error.problem_mark.line + 1}"
    return f"{where}: {key[1] if key else error.problem}: stands twice; allowed: every key once"
