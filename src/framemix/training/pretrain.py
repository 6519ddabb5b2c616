"""Pretraining of a network on the mixed clips of UCF101 (paper A, section III)."""

from collections.abc import Sequence
from pathlib import Path

import torch

from framemix.datasets.records import SplitVideo
from framemix.evaluation.metrics import classification_metrics, parameter_counts
from framemix.evaluation.prediction import predict
from framemix.mixing import MixSettings
from framemix.models import build_model, load_model
from framemix.models.config import ModelConfig, NonLocalConfig, ViViTConfig
from framemix.store import MixedStore
from framemix.tables import write_json
from framemix.training.data import class_names, labels_of, split_examples
from framemix.training.run import Machine, Run, train
from framemix.training.settings import PretrainNonLocal, PretrainViViT


def pretrain(
    store: MixedStore,
    split: Sequence[SplitVideo],
    settings: PretrainViViT | PretrainNonLocal,
    *,
    seed: int,
    target: Path,
    machine: Machine,
) -> None:
    """Train the network of `settings` from scratch and write it into `target`."""
    classes = class_names(store)
    config = model_config(settings, store.settings, len(classes))
    torch.manual_seed(seed)
    run = Run(
        network=build_model(config),
        config=config,
        classes=classes,
        train=split_examples(store, split, "train"),
        val=split_examples(store, split, "val"),
        settings=settings,
        seed=seed,
        origin={"weights": "random"},
    )
    train(run, target, machine)
    trained = load_model(target / "model.safetensors")
    batch_size = settings.batch_size
    probabilities = predict(trained, run.val, batch_size=batch_size, device=machine.device)
    figures = classification_metrics(probabilities, labels_of(run.val))
    write_json(target / "metrics.json", {**figures, **parameter_counts(run.network)})


def model_config(
    settings: PretrainViViT | PretrainNonLocal, mix: MixSettings, classes: int
) -> ModelConfig:
    """Return the network's configuration for clips that were mixed like that."""
    sizes = settings.model.model_dump()
    if isinstance(settings, PretrainNonLocal):
        return NonLocalConfig(num_classes=classes, **sizes)
    return ViViTConfig(num_classes=classes, frames=mix.segments, image_size=mix.size, **sizes)
