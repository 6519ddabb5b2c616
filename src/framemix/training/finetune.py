"""Fine-tuning of a pretrained ViViT on UTA-RLDD, in four modes (paper A, section IV)."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import torch

from framemix.datasets.records import SplitClip, SplitVideo, Subset
from framemix.errors import DatasetError, ModelError
from framemix.evaluation.metrics import (
    classification_metrics,
    drowsiness_metrics,
    parameter_counts,
)
from framemix.evaluation.prediction import predict
from framemix.models import TrainedModel, build_model, load_model
from framemix.models.vivit import ViViT
from framemix.store import MixedStore
from framemix.tables import read_table, write_json
from framemix.training.data import Example, examples_of, labels_of
from framemix.training.finetune_settings import FinetuneSettings, Task
from framemix.training.pretrain import class_names, split_examples
from framemix.training.run import Machine, Run, train

DROWSY = "drowsy"


@dataclass(frozen=True)
class FinetuneData:
    """The two mixed stores and their splits."""

    ucf101: MixedStore
    ucf101_split: Sequence[SplitVideo]
    rldd: MixedStore
    rldd_split: Sequence[SplitClip]

    @classmethod
    def read(cls, ucf101: Path, ucf101_split: Path, rldd: Path, rldd_split: Path) -> "FinetuneData":
        """Open the store folders and read the split tables."""
        return cls(
            ucf101=MixedStore(ucf101),
            ucf101_split=read_table(ucf101_split, SplitVideo),
            rldd=MixedStore(rldd),
            rldd_split=read_table(rldd_split, SplitClip),
        )

    def classes(self, task: Task) -> list[str]:
        """Return the class names of a task; a label is a name's place."""
        if task == "drowsy_class":
            return [*class_names(self.ucf101), DROWSY]
        return ["alert", DROWSY] if task == "alert_drowsy" else ["alert", "low_vigilant", DROWSY]

    def examples(self, task: Task, subset: Subset) -> list[Example]:
        """Return the clips of one side of both splits that a task learns or validates on."""
        classes = self.classes(task)
        drivers = [
            replace(example, label=classes.index(example.row.class_name))
            for example in self.drivers(subset)
            if example.row.class_name in classes
        ]
        if task != "drowsy_class":
            return drivers
        return [*split_examples(self.ucf101, self.ucf101_split, subset), *drivers]

    def drivers(self, subset: Subset) -> list[Example]:
        """Return all driver clips of one side, labelled as in their store."""
        return examples_of(self.rldd, [c.clip for c in self.rldd_split if c.subset == subset])


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


def task_of(classes: Sequence[str]) -> Task:
    """Return the task whose classes a fine-tuned model has."""
    if "alert" not in classes:
        return "drowsy_class"
    return "three_state" if "low_vigilant" in classes else "alert_drowsy"


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
    for part in ("embedding", "spatial", "temporal"):
        getattr(network, part).load_state_dict(getattr(source.network, part).state_dict())
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
