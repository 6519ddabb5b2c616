"""Pretraining of a network on the mixed clips of UCF101 (paper A, section III)."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import torch
from torch import nn

from framemix.datasets.clips import Clip
from framemix.datasets.groups import Scope, clusters_by_name
from framemix.datasets.origin import Origin
from framemix.metrics.seeds import Metrics
from framemix.mixing import MixSettings
from framemix.models import build_model
from framemix.models.config import (
    DrawnWeights,
    ImageWeights,
    ModelConfig,
    ModelSettings,
    ViViTSettings,
)
from framemix.models.registry import parse_config
from framemix.models.resnet import ResNet
from framemix.models.vivit import ViViT, draw_xavier
from framemix.pretraining.image_weights import load_image_weights
from framemix.pretraining.settings import PretrainModel
from framemix.store import MixedStore
from framemix.training.data import class_names, split_examples
from framemix.training.prediction import evaluate
from framemix.training.record import Part, trained_on
from framemix.training.run import Machine, Run
from framemix.training.seeds import train_seeds


def pretrain(
    store: MixedStore,
    split: Sequence[Clip],
    settings: PretrainModel,
    *,
    seeds: Sequence[int],
    target: Path,
    machine: Machine,
    views: int = 1,
    origin: Origin | None = None,
    scope: Scope = "dataset",
) -> Metrics:
    """Train the network of `settings` from its first weights, once per seed; write to `target`.

    Returns its metrics, from `views` variants of each val clip. With `origin`, the model contains a
    record of its clips; `scope` states whether their groups belong to one class or to all.
    """
    classes = class_names(store)
    config = model_config(settings.model, store.settings, len(classes))
    train_clips, val_clips = (split_examples(store, split, side) for side in ("train", "val"))
    clusters = clusters_by_name(split, scope)

    def start(seed: int) -> Run:
        torch.manual_seed(seed)
        network = draw_network(config, settings.model)
        return Run(
            network=network,
            config=config,
            classes=classes,
            train=train_clips,
            val=val_clips,
            settings=settings,
            seed=seed,
            origin=_load_first_weights(network, settings.model),
        )

    record = trained_on([Part(origin, split, scope)], store.settings) if origin else None
    judge_val = partial(
        evaluate,
        examples=val_clips,
        clusters=clusters,
        batch_size=settings.batch_size,
        device=machine.device,
        views=views,
    )
    return train_seeds(start, seeds, judge_val, {}, clusters, target, machine, record)


def model_config(model: ModelSettings, mix: MixSettings, classes: int) -> ModelConfig:
    """Return the network's configuration for clips with these mix settings."""
    first = {*ImageWeights.model_fields, *DrawnWeights.model_fields}
    sizes = model.model_dump(exclude=first)
    if isinstance(model, ViViTSettings):
        sizes |= {"frames": mix.segments, "image_size": mix.size}
    return parse_config({**sizes, "num_classes": classes})


def draw_network(config: ModelConfig, model: ModelSettings) -> nn.Module:
    """Return the network of `config` with random weights, drawn as `model` defines."""
    network = build_model(config)
    if isinstance(model, ViViTSettings) and model.init == "xavier":
        assert isinstance(network, ViViT)
        draw_xavier(network)
    return network


def _load_first_weights(network: nn.Module, model: ModelSettings) -> Mapping[str, str]:
    """Load the image weights that `model` names, if any; return the run's `origin`."""
    if isinstance(model, ViViTSettings):
        return {"weights": model.init}
    if model.weights is None:
        return {"weights": "random"}
    assert isinstance(network, ResNet)
    return {"weights": load_image_weights(network, model)}
