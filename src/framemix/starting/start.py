"""What a network starts from: the weights of a trained model, or of a published checkpoint."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from framemix.errors import ModelError
from framemix.models import TrainedModel, build_model, load_model
from framemix.models.config import (
    HeadStart,
    ModelConfig,
    Positions,
    TemporalStart,
    TransformersConfig,
    hub_misfit,
)
from framemix.models.input import Normalisation
from framemix.models.trained_on import TrainedOn
from framemix.models.video_transformer import resampled
from framemix.starting.checkpoint import read_checkpoint
from framemix.store import MixedStore
from framemix.training.parts import last_layers

# The settings of mixed clips that a published network is for.
CLIP_SIZES = {"segments", "size"}


@dataclass(frozen=True)
class Start:
    """First weights, by their names in the network of `config`, and what they go with.

    `mix` has the settings that clips must have been mixed with. A checkpoint knows none of our
    classes and may lack last layers: those weights are missing here, and are drawn.
    """

    path: Path
    config: ModelConfig
    weights: Mapping[str, Tensor]
    normalisation: Normalisation
    mix: Mapping[str, Any]
    trained_on: TrainedOn | None

    @classmethod
    def of(cls, model: TrainedModel, path: Path) -> "Start":
        """Return what a model gives others to start from; errors call it `path`."""
        return cls(
            path=path,
            config=model.config,
            weights=model.network.state_dict(),
            normalisation=model.normalisation,
            mix=model.mix,
            trained_on=model.trained_on,
        )

    @property
    def published(self) -> bool:
        """Whether others have trained it, on data that their page names."""
        return self.path.is_dir()

    def fitted(self, store: MixedStore, positions: Positions) -> "Start":
        """Return the same for a store's clips, which may be of other sizes to `interpolate`.

        Raises ModelError for clips that do not fit.
        """
        mix, here = store.settings, store.settings.model_dump(mode="json")
        start = self
        if positions == "interpolate" and isinstance(self.config, TransformersConfig):
            sizes = {key: here[key] for key in CLIP_SIZES}
            update = {"frames": mix.segments, "image_size": mix.size}
            config = self.config.model_copy(update=update)
            weights = resampled(self.weights, self.config, config)
            start = replace(self, config=config, weights=weights, mix={**self.mix, **sizes})
        if other := [key for key in start.mix if here.get(key) != start.mix[key]]:
            found, wanted = (
                ", ".join(f"mix.{key} = {settings.get(key)!r}" for key in other)
                for settings in (here, start.mix)
            )
            resizable = isinstance(self.config, TransformersConfig) and {*other} <= CLIP_SIZES
            way_out = ", or positions = interpolate" if resizable else ""
            raise ModelError(
                f"{store.folder}: mixed with {found}, but {self.path} takes {wanted}; "
                f"allowed: the same{way_out}"
            )
        return start

    def network(
        self, classes: int, *, head: HeadStart = "replace", temporal: TemporalStart = "keep"
    ) -> nn.Module:
        """Return the network for so many classes, with these weights; others are drawn.

        `replace` draws what knows other classes, `extend` keeps it, and the rows of the classes
        that it knows; `reinit` draws the temporal layers again (paper A's wording allows both).
        Raises ModelError where there are no such layers.
        """
        network = build_model(self.config.model_copy(update={"num_classes": classes}))
        own, kept, last = network.state_dict(), dict(self.weights), last_layers(network)
        if temporal == "reinit":
            if not hasattr(network, "temporal"):
                raise ModelError(f"temporal = reinit: {self.path} has no temporal layers")
            kept = {name: w for name, w in kept.items() if not name.startswith("temporal.")}
        known = {name: kept.pop(name) for name in [*kept] if name.startswith(last)}
        if head == "extend":
            if not known:
                raise ModelError(f"head = extend: {self.path} has no classes; allowed: replace")
            # A norm keeps all its rows.
            kept |= {name: torch.cat([w, own[name][len(w) :]]) for name, w in known.items()}
        network.load_state_dict({**own, **kept})
        return network


def read_start(path: Path) -> Start:
    """Read a model.safetensors of ours, or a folder as Hugging Face publishes networks.

    Raises ModelError, naming the path, where it is neither.
    """
    if path.is_dir():
        checkpoint = read_checkpoint(path)
        config = checkpoint.config
        return Start(
            path=path,
            config=config,
            weights=checkpoint.weights,
            normalisation=checkpoint.normalisation,
            mix={"segments": config.frames, "size": list(config.image_size)},
            trained_on=None,
        )
    if line := hub_misfit(path):
        raise ModelError(f"{path}: {line}")
    return Start.of(load_model(path), path)
