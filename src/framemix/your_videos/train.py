"""Trains the chosen network on users' own clips, from first weights or from a model."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import torch
from torch import nn

from framemix.datasets.clips import Clip
from framemix.datasets.groups import clusters_by_name
from framemix.datasets.origin import Origin
from framemix.errors import ModelError
from framemix.metrics.seeds import Metrics
from framemix.models import TrainedModel, build_model, load_model
from framemix.models.saved import weights_digest
from framemix.models.vivit import ViViT
from framemix.pretraining.pretrain import pretrain
from framemix.store import MixedStore
from framemix.training.data import class_names, split_examples
from framemix.training.prediction import judge
from framemix.training.record import Part, trained_on
from framemix.training.run import Machine, Run
from framemix.training.seeds import train_seeds
from framemix.your_videos.settings import YourTraining

# The last layers of a ViViT and of a ResNet, whose classes are others.
HEADS = ("head.", "fc.")


def train(
    store: MixedStore,
    split: Sequence[Clip],
    settings: YourTraining,
    *,
    origin: Origin,
    target: Path,
    machine: Machine,
    views: int,
) -> Metrics:
    """Train the network once per seed; write to `target` and return its metrics on val clips."""
    if settings.start is None:
        return pretrain(
            store,
            split,
            settings.chosen,
            seeds=settings.seeds,
            target=target,
            machine=machine,
            views=views,
            origin=origin,
        )
    source = load_model(settings.start)
    _check(source, store, settings)
    weights = weights_digest(source.network)
    clusters = clusters_by_name(split, "dataset")
    start = partial(
        _run, source=source, weights=weights, store=store, split=split, settings=settings
    )
    judge_val = partial(
        judge,
        examples=split_examples(store, split, "val"),
        clusters=clusters,
        batch_size=settings.batch_size,
        device=machine.device,
        views=views,
    )
    record = trained_on([Part(origin, split, "dataset")], store.settings, source.trained_on)
    return train_seeds(start, settings.seeds, judge_val, {}, clusters, target, machine, record)


def _run(
    seed: int,
    *,
    source: TrainedModel,
    weights: str,
    store: MixedStore,
    split: Sequence[Clip],
    settings: YourTraining,
) -> Run:
    """Return the run of a seed, from `source`, whose weights have the digest `weights`."""
    classes = class_names(store)
    config = source.config.model_copy(update={"num_classes": len(classes)})
    torch.manual_seed(seed)
    network = build_model(config)
    _take_weights(network, source.network)
    _freeze(network, settings)
    return Run(
        network=network,
        config=config,
        classes=classes,
        train=split_examples(store, split, "train"),
        val=split_examples(store, split, "val"),
        settings=settings.chosen,
        seed=seed,
        origin={"weights": weights, "mode": settings.mode},
    )


def _check(source: TrainedModel, store: MixedStore, settings: YourTraining) -> None:
    """Raise ModelError unless the model to start from has this architecture and mix settings."""
    if source.config.architecture != settings.architecture:
        raise ModelError(
            f"your_videos.train.start = {settings.start}: is of architecture "
            f"{source.config.architecture}; allowed: your_videos.train.architecture = "
            f"{source.config.architecture}, or another start"
        )
    mix = store.settings.model_dump(mode="json")
    if other := [key for key in mix if mix[key] != source.mix.get(key)]:
        wanted = ", ".join(f"your_videos.mix.{key} = {source.mix.get(key)!r}" for key in other)
        raise ModelError(
            f"your_videos.train.start = {settings.start}: was trained on clips mixed otherwise; "
            f"allowed: {wanted}"
        )


def _take_weights(network: nn.Module, source: nn.Module) -> None:
    """Copy all weights of another network of the same kind, except those of the last layer."""
    known = source.state_dict().items()
    kept = {name: weight for name, weight in known if not name.startswith(HEADS)}
    network.load_state_dict({**network.state_dict(), **kept})


def _freeze(network: nn.Module, settings: YourTraining) -> None:
    """Freeze all parts except those that `mode` trains."""
    if isinstance(network, ViViT):
        network.freeze_for(settings.mode)
    elif settings.mode == "fc":
        for name, parameter in network.named_parameters():
            parameter.requires_grad_(name.startswith(HEADS))
    elif settings.mode != "all":
        raise ModelError(
            f"your_videos.train.mode = {settings.mode}: allowed with "
            f"your_videos.train.architecture = {settings.architecture}: all, fc"
        )
