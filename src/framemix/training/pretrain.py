"""Pretraining of a network on the mixed clips of UCF101 (paper A, section III)."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import nn

from framemix.datasets.records import SplitVideo
from framemix.evaluation.metrics import classification_metrics, parameter_counts
from framemix.evaluation.prediction import predict
from framemix.mixing import MixSettings
from framemix.models import build_model, load_model
from framemix.models.config import ImageWeights, ModelConfig, ModelSettings, ViViTSettings
from framemix.models.registry import parse_config
from framemix.models.resnet import ResNet
from framemix.store import MixedStore
from framemix.tables import write_json
from framemix.training.data import class_names, labels_of, split_examples
from framemix.training.image_weights import load_image_weights
from framemix.training.run import Machine, Run, train
from framemix.training.settings import PretrainModel


def pretrain(
    store: MixedStore,
    split: Sequence[SplitVideo],
    settings: PretrainModel,
    *,
    seed: int,
    target: Path,
    machine: Machine,
) -> None:
    """Train the network of `settings` from its first weights and write it into `target`."""
    classes = class_names(store)
    config = model_config(settings.model, store.settings, len(classes))
    torch.manual_seed(seed)
    network = build_model(config)
    run = Run(
        network=network,
        config=config,
        classes=classes,
        train=split_examples(store, split, "train"),
        val=split_examples(store, split, "val"),
        settings=settings,
        seed=seed,
        origin=_first_weights(network, settings.model),
    )
    train(run, target, machine)
    trained = load_model(target / "model.safetensors")
    batch_size = settings.batch_size
    probabilities = predict(trained, run.val, batch_size=batch_size, device=machine.device)
    figures = classification_metrics(probabilities, labels_of(run.val))
    write_json(target / "metrics.json", {**figures, **parameter_counts(run.network)})


def model_config(model: ModelSettings, mix: MixSettings, classes: int) -> ModelConfig:
    """Return the network's configuration for clips that were mixed like that."""
    sizes = model.model_dump(exclude=set(ImageWeights.model_fields))
    if isinstance(model, ViViTSettings):
        sizes |= {"frames": mix.segments, "image_size": mix.size}
    return parse_config({**sizes, "num_classes": classes})


def _first_weights(network: nn.Module, model: ModelSettings) -> Mapping[str, str]:
    """Load what `model` starts from, if anything; returns the run's `origin`."""
    if not isinstance(model, ImageWeights) or model.weights is None:
        return {"weights": "random"}
    assert isinstance(network, ResNet)
    return {"weights": load_image_weights(network, model)}
