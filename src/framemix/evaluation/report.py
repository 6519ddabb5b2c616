"""Evaluates all trained models together and writes the report."""

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from framemix.datasets.records import SplitVideo
from framemix.evaluation.figures import History, confusion_matrix, loss_curves, mixed_frames
from framemix.evaluation.metrics import classification_metrics, confusion
from framemix.evaluation.prediction import predict
from framemix.evaluation.settings import EvaluateSettings
from framemix.evaluation.tables import TrainedRow, table1
from framemix.mixing import Pixels
from framemix.models import TrainedModel, load_model
from framemix.models.input import to_rgb
from framemix.store import IndexRow, MixedStore
from framemix.tables import read_table, write_json
from framemix.training.data import Example, labels_of, split_examples
from framemix.training.finetune_data import FinetuneData, task_of


@dataclass(frozen=True)
class Evaluation:
    """What a model said of its val clips."""

    model: TrainedModel
    probabilities: Tensor
    labels: Tensor
    history: History
    timing: Mapping[str, Any]

    @property
    def metrics(self) -> dict[str, float]:
        """Top-1, top-5 and mean-class accuracy."""
        return classification_metrics(self.probabilities, self.labels)


def write_report(
    folders: Mapping[str, Path],
    finetuned: Path,
    data: FinetuneData,
    leak_share: float,
    settings: EvaluateSettings,
    *,
    device: torch.device,
    target: Path,
) -> dict[str, Any]:
    """Evaluate the pretrained models in `folders` and the fine-tuned one; write to `target`.

    Writes metrics.json (all models' together), table1.md, predictions and a confusion matrix a
    model, loss curves and a picture of mixed frames. Returns the metrics.
    """
    val = split_examples(data.ucf101, data.ucf101_split, "val")
    pretrained = {
        name: evaluate(folder, val, settings.batch_size, device) for name, folder in folders.items()
    }
    tuned_model = load_model(finetuned / "model.safetensors")
    tuned_split = read_table(finetuned / "split.csv", SplitVideo)
    tuned_data = replace(data, ucf101_split=tuned_split)
    tuned_val = tuned_data.examples(task_of(tuned_model.classes), "val")
    tuned = evaluate(finetuned, tuned_val, settings.batch_size, device)
    evaluations = {**pretrained, "finetuned": tuned}
    target.mkdir(parents=True, exist_ok=True)
    for name, evaluation in evaluations.items():
        _write_confusion(name, evaluation, target)
    loss_curves({name: e.history for name, e in evaluations.items()}, target / "loss_curves.png")
    _picture_clips(data, settings.pictured_clips, target / "mixed_frames.png")
    rows = {name: _row(evaluation) for name, evaluation in pretrained.items()}
    (target / "table1.md").write_text(table1(rows, len(val), leak_share), encoding="utf-8")
    metrics: dict[str, Any] = {
        **{name: _read(folder / "metrics.json") for name, folder in folders.items()},
        "finetuned": _read(finetuned / "metrics.json"),
    }
    metrics["better"] = max(folders, key=lambda name: float(metrics[name]["top1"]))
    write_json(target / "metrics.json", metrics)
    return metrics


def evaluate(
    folder: Path, examples: Sequence[Example], batch_size: int, device: torch.device
) -> Evaluation:
    """Return what the model in `folder` says of `examples`."""
    model = load_model(folder / "model.safetensors")
    with (folder / "history.csv").open(encoding="utf-8", newline="") as file:
        history = [{k: float(v) for k, v in row.items()} for row in csv.DictReader(file)]
    return Evaluation(
        model=model,
        probabilities=predict(model, examples, batch_size=batch_size, device=device),
        labels=labels_of(examples),
        history=history,
        timing=_read(folder / "timing.json"),
    )


def _read(file: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return content


def _row(evaluation: Evaluation) -> TrainedRow:
    return TrainedRow(
        top1=evaluation.metrics["top1"],
        epochs=evaluation.timing["epochs"],
        minutes=evaluation.timing["seconds_an_epoch"] / 60,
        parameters=sum(p.numel() for p in evaluation.model.network.parameters()),
        device=evaluation.timing["device"],
    )


def _write_confusion(name: str, evaluation: Evaluation, target: Path) -> None:
    """Write the matrix as a picture, and a row a clip for `dvc plots`."""
    classes = evaluation.model.classes
    counts = confusion(evaluation.probabilities, evaluation.labels).numpy()
    confusion_matrix(counts, classes, target / f"confusion_{name}.png")
    with (target / f"predictions_{name}.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["true", "predicted"])
        for label, best in zip(
            evaluation.labels.tolist(), evaluation.probabilities.argmax(1).tolist(), strict=True
        ):
            writer.writerow([classes[label], classes[best]])


def _picture_clips(data: FinetuneData, count: int, path: Path) -> None:
    """Picture a clip of each of the first classes, and one of each driver state."""
    clips = {
        f"{row.class_name}, {row.frames} frames": _as_rgb(store, row)
        for store in (data.ucf101, data.rldd)
        for row in _first_of_classes(store)[:count]
    }
    mix = data.ucf101.settings
    how = f"{mix.method}, {mix.segments} segments, frames per segment: {mix.frames_per_segment}"
    mixed_frames(clips, how, path)


def _as_rgb(store: MixedStore, row: IndexRow) -> Pixels:
    """Return a clip as uint8 (S, H, W, 3), however it is stored."""
    clip: Pixels = to_rgb(torch.from_numpy(store.read([row])))[0].numpy()
    return clip


def _first_of_classes(store: MixedStore) -> list[Any]:
    firsts = {row.label: row for row in reversed(store.index)}
    return [firsts[label] for label in sorted(firsts)]
