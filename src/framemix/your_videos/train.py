"""Trains the chosen network on users' own clips, from first weights or from a model."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import torch

from framemix.datasets.clips import Clip
from framemix.datasets.groups import clusters_by_name
from framemix.datasets.origin import Origin
from framemix.errors import ModelError
from framemix.metrics.seeds import Metrics
from framemix.models.saved import weights_digest
from framemix.pretraining.pretrain import pretrain
from framemix.starting.start import Start, read_start
from framemix.store import MixedStore
from framemix.training.data import class_names, split_examples
from framemix.training.parts import freeze_for
from framemix.training.prediction import evaluate
from framemix.training.record import Part, trained_on
from framemix.training.run import Machine, Run
from framemix.training.seeds import train_seeds
from framemix.your_videos.settings import YourTraining


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
    if not settings.has_start:
        assert settings.chosen is not None  # as the settings have checked
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
    source = _source(store, settings)
    weights = weights_digest(source.weights)
    clusters = clusters_by_name(split, "dataset")
    start = partial(
        _run, source=source, weights=weights, store=store, split=split, settings=settings
    )
    judge_val = partial(
        evaluate,
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
    source: Start,
    weights: str,
    store: MixedStore,
    split: Sequence[Clip],
    settings: YourTraining,
) -> Run:
    """Return the run of a seed, from `source`, whose weights have the digest `weights`."""
    classes = class_names(store)
    torch.manual_seed(seed)
    network = source.network(len(classes))
    freeze_for(network, settings.mode)
    return Run(
        network=network,
        config=source.config.model_copy(update={"num_classes": len(classes)}),
        classes=classes,
        train=split_examples(store, split, "train"),
        val=split_examples(store, split, "val"),
        settings=settings.recipe,
        seed=seed,
        origin={"weights": weights, "mode": settings.mode},
        normalisation=source.normalisation,
    )


def _source(store: MixedStore, settings: YourTraining) -> Start:
    """Return what to start from, for these clips. Raises ModelError, which names settings."""
    key = f"your_videos.train.start = {settings.start}"
    source = read_start(settings.start)
    if (found := source.config.architecture) != settings.architecture:
        raise ModelError(
            f"{key}: is of architecture {found}; "
            f"allowed: your_videos.train.architecture = {found}, or another start"
        )
    return source.fitted(store, settings.positions)
