"""Fine-tuning of a pretrained ViViT on UTA-RLDD, in four modes (paper A, section IV)."""

import hashlib
from functools import partial
from pathlib import Path

import torch

from framemix.datasets.records import Subset
from framemix.errors import DatasetError, ModelError
from framemix.evaluation.metrics import (
    classification_metrics,
    drowsiness_metrics,
    parameter_counts,
)
from framemix.evaluation.prediction import predict
from framemix.models import TrainedModel, build_model, load_model
from framemix.models.vivit import ViViT
from framemix.tables import write_json
from framemix.training.data import Example, labels_of
from framemix.training.finetune_data import DROWSY, FinetuneData, task_of
from framemix.training.finetune_settings import FinetuneSettings, Task
from framemix.training.run import Machine, Run, train


def finetune(
    pretrained: Path,
    data: FinetuneData,
    settings: FinetuneSettings,
    *,
    seed: int,
    target: Path,
    machine: Machine,
) -> None:
    """Give the pretrained ViViT a new last layer, train what `mode` says, write to `target`."""
    source = load_model(pretrained)
    classes = data.classes(settings.task)
    _check_stores(source, data, pretrained)
    train_clips, val_clips = (
        _examples(data, settings.task, "train"),
        _examples(data, settings.task, "val"),
    )
    torch.manual_seed(seed)
    network = with_new_head(source, len(classes))
    network.freeze_for(settings.mode)
    run = Run(
        network=network,
        config=source.config.model_copy(update={"num_classes": len(classes)}),
        classes=classes,
        train=train_clips,
        val=val_clips,
        settings=settings,
        seed=seed,
        origin={"weights": hashlib.blake2b(pretrained.read_bytes()).hexdigest()},
    )
    train(run, target, machine)
    trained = load_model(target / "model.safetensors")
    figures = finetuned_metrics(
        trained, data, batch_size=settings.batch_size, device=machine.device
    )
    write_json(target / "metrics.json", {**figures, **parameter_counts(run.network)})


def finetuned_metrics(
    trained: TrainedModel, data: FinetuneData, *, batch_size: int, device: torch.device
) -> dict[str, float | int | None]:
    """Return the accuracy on the task's val clips, and on drivers held out of training."""
    said = partial(predict, trained, batch_size=batch_size, device=device)
    val, drivers = data.examples(task_of(trained.classes), "val"), data.drivers("val")
    return {
        **classification_metrics(said(val), labels_of(val)),
        **drowsiness_metrics(
            said(drivers),
            [example.row.class_name for example in drivers],
            trained.classes.index(DROWSY),
        ),
    }


def with_new_head(source: TrainedModel, classes: int) -> ViViT:
    """Return a ViViT with the weights of `source` but a fresh head for `classes` classes."""
    network = build_model(source.config.model_copy(update={"num_classes": classes}))
    if not isinstance(network, ViViT) or not isinstance(source.network, ViViT):
        raise ModelError(f"architecture = {source.config.architecture}: allowed: vivit")
    for name, part in source.network.named_children():
        if name != "head":
            network.get_submodule(name).load_state_dict(part.state_dict())
    return network


def _examples(data: FinetuneData, task: Task, subset: Subset) -> list[Example]:
    if examples := data.examples(task, subset):
        return examples
    raise DatasetError(
        f"finetune.task = {task}: no {subset} clip of {', '.join(data.classes(task))}; "
        f"allowed: a split.rldd and split.fold that leave clips of UTA-RLDD on both sides"
    )


def _check_stores(source: TrainedModel, data: FinetuneData, pretrained: Path) -> None:
    for store in (data.ucf101, data.rldd):
        if store.settings.model_dump(mode="json") != source.mix:
            raise ModelError(
                f"{store.folder}: mixed as {store.settings.model_dump(mode='json')}, but "
                f"{pretrained} was trained on {source.mix}; allowed: the same"
            )
