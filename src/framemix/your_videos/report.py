"""The report on a model of users' own videos: tables, pictures, the page and the model's card.

It is about clips that the model was not trained on: the test clips if there are any, which chose
nothing; else the val clips, which chose the kept epoch.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from framemix.datasets.clips import Clip, clip_name
from framemix.datasets.groups import leak_share
from framemix.evaluation.evaluator import Evaluation, read_history, read_numbers
from framemix.evaluation.figures import (
    History,
    confusion_matrix,
    loss_curves,
    mixed_frames,
    roc_curve,
)
from framemix.evaluation.page import as_yaml, described, pictures_of, write_filled
from framemix.evaluation.pictured import as_rgb, picture_wrong
from framemix.evaluation.tables import (
    ClassRow,
    MetricRow,
    by_metric,
    class_rows,
    classes_table,
    estimates_table,
    metric_rows,
    percent,
    result,
    value_of,
)
from framemix.metrics.intervals import Estimate, estimate
from framemix.metrics.measures import Measure, auroc
from framemix.metrics.seeds import SeedMetric, seed_metrics
from framemix.models import TrainedModel, load_model
from framemix.models.config import ModelConfig, TransformersConfig
from framemix.models.families import FAMILIES
from framemix.models.trained_on import caveat, kept_epoch, recipe_of
from framemix.store import MixedStore
from framemix.tables import Row, write_json, write_table
from framemix.training.data import Example, examples_of, labels_of
from framemix.training.prediction import predict
from framemix.your_videos.settings import YourReport

MODEL = "your_videos"
PACKAGE = "framemix.your_videos"


class PredictionRow(Row):
    """The model's prediction for a held-out clip; `probability` is that of the true class."""

    clip: str
    group: str
    true: str
    predicted: str
    probability: float


@dataclass(frozen=True)
class HeldOut:
    """The model's predictions for the held-out clips of `subset`; rows of `split` by clip."""

    evaluation: Evaluation
    subset: str
    split: dict[str, Clip]

    @property
    def classes(self) -> list[str]:
        """The class names in the order of their labels."""
        return self.evaluation.model.classes

    @cached_property
    def metrics(self) -> list[MetricRow]:
        """All metrics with their intervals, and the leak share."""
        own = dict(self.evaluation.own_metrics)
        own.pop("top5", None)
        others = {**own, "leak_share": SeedMetric(self.evaluation.leak_share)}
        return metric_rows(MODEL, [*self.evaluation.estimates, *self._auroc()], others)

    def _auroc(self) -> list[Estimate]:
        if len(self.classes) != 2:
            return []
        probabilities = self.evaluation.probabilities[:, 1].numpy()
        positive = self.evaluation.labels.numpy() == 1
        measure = Measure("auroc", auroc(probabilities, positive), len(positive))
        found = estimate(measure, self.evaluation.clusters)
        return [found] if found else []

    @property
    def rows(self) -> list[PredictionRow]:
        """One row per held-out clip."""
        found = self.evaluation
        return [
            PredictionRow(
                clip=example.row.clip,
                group=self.split[example.row.clip].group,
                true=self.classes[example.label],
                predicted=self.classes[int(probabilities.argmax())],
                probability=round(float(probabilities[example.label]), 6),
            )
            for example, probabilities in zip(found.examples, found.probabilities, strict=True)
        ]


def write_report(
    folder: Path,
    store: MixedStore,
    split: Sequence[Clip],
    settings: YourReport,
    *,
    device: torch.device,
    target: Path,
    metrics: Path,
) -> list[MetricRow]:
    """Evaluate the model in `folder`; write a report to `target`, a card, and `metrics` for DVC.

    Returns the rows of estimates.csv.
    """
    held_out = _evaluate(folder, store, split, settings, device)
    target.mkdir(parents=True, exist_ok=True)
    rows = class_rows(MODEL, held_out.evaluation.confusion, held_out.classes)
    write_table(target / "estimates.csv", MetricRow, held_out.metrics)
    write_table(target / "classes.csv", ClassRow, rows)
    write_table(target / "predictions.csv", PredictionRow, held_out.rows)
    _draw(held_out, read_history(folder), settings.pictured_clips, target)
    named = by_metric(held_out.metrics, MODEL)
    shown = {key: value_of(named, key) for key in ("top1", "mean_class_accuracy", "auroc")}
    write_json(metrics, {**shown, "leak": value_of(named, "leak_share")})
    content = _content(held_out, rows, split)
    write_filled(folder / "README.md", "card.md.jinja", PACKAGE, **content)
    write_filled(
        target / "index.html", "page.html.jinja", PACKAGE, pictures=pictures_of(target), **content
    )
    return held_out.metrics


def _evaluate(
    folder: Path,
    store: MixedStore,
    split: Sequence[Clip],
    settings: YourReport,
    device: torch.device,
) -> HeldOut:
    subset = "test" if any(clip.subset == "test" for clip in split) else "val"
    clips = [clip for clip in split if clip.subset == subset]
    examples = examples_of(store, [clip_name(clip) for clip in clips])
    model = load_model(folder / "model.safetensors")
    evaluation = Evaluation(
        model=model,
        views=settings.views,
        examples=examples,
        probabilities=_predict(model, examples, settings, device),
        labels=labels_of(examples),
        clusters=[clip.group or clip.video for clip in clips],
        leak_share=_leak(split, subset),
        drivers=None,
        drivers_leak_share=None,
        own_metrics=_own_metrics(folder, subset),
    )
    return HeldOut(evaluation, subset, {clip_name(clip): clip for clip in split})


def _own_metrics(folder: Path, subset: str) -> dict[str, SeedMetric]:
    """Return what the model's own stage found; only what is not of the val clips for `test`."""
    metrics = seed_metrics(read_numbers(folder / "metrics.json"))
    if subset == "test":
        return {name: metrics[name] for name in ("parameters", "trainable_parameters")}
    return metrics


def _predict(
    model: TrainedModel, examples: Sequence[Example], settings: YourReport, device: torch.device
) -> torch.Tensor:
    size, views = settings.batch_size, settings.views
    return predict(model, examples, batch_size=size, device=device, views=views)


def _leak(split: Sequence[Clip], subset: str) -> float | None:
    """Return the share of held-out clips whose group is in train; None without groups."""
    clips = [clip for clip in split if clip.subset in ("train", subset)]
    if not all(clip.group for clip in clips):
        return None
    sides = ["val" if clip.subset == subset else "train" for clip in clips]
    share = leak_share([clip.group for clip in clips], sides)
    return None if share is None else round(share, 6)


def _draw(held_out: HeldOut, history: History, count: int, target: Path) -> None:
    evaluation, classes = held_out.evaluation, held_out.classes
    top1 = evaluation.top1
    title = f"top-1 {percent(top1.value)} % of {top1.clips} {held_out.subset} clips"
    confusion_matrix(evaluation.confusion, classes, title, target / "confusion.png")
    loss_curves({"your videos": history}, target / "loss_curves.png")
    firsts = {example.label: example for example in reversed(evaluation.examples)}
    clips = {
        classes[label]: as_rgb(firsts[label].store, firsts[label].row)
        for label in sorted(firsts)[:count]
    }
    mixed_frames(clips, "one clip of each class, as the network sees it", target / "mixed.png")
    picture_wrong(evaluation, count, target / "wrong.png")
    if len(classes) == 2:
        scores = evaluation.probabilities[:, 1].numpy()
        positive, called = evaluation.labels.numpy() == 1, scores > 0.5
        roc_curve(scores, positive, called, classes[1], target / "roc.png")


def _content(held_out: HeldOut, rows: Sequence[ClassRow], split: Sequence[Clip]) -> dict[str, Any]:
    model, sides = held_out.evaluation.model, [clip.subset for clip in split]
    metrics = by_metric(held_out.metrics, MODEL)
    return {
        "caveat": caveat(model.trained_on),
        "result": result(metrics, held_out.subset),
        "chance": f"{percent(1 / len(held_out.classes))} %",
        "recipe": {key: as_yaml(value) for key, value in recipe_of(model.trained_on).items()},
        "kept": kept_epoch(model.trained_on, held_out.subset),
        "subset": held_out.subset,
        "estimates": estimates_table(metrics),
        "classes": classes_table(rows),
        "settings": {
            **described(model.trained_on),
            "network": _network(model.config),
            "classes": str(len(held_out.classes)),
            "clips": ", ".join(f"{side} {sides.count(side)}" for side in ("train", "val", "test")),
            "groups": _groups(split),
            "leak share": _share(value_of(metrics, "leak_share")),
        },
        "leak": value_of(metrics, "leak_share"),
        "parameters": f"{metrics['parameters'].value:,.0f}",
        "two_classes": len(held_out.classes) == 2,
    }


def _network(config: ModelConfig) -> str:
    if isinstance(config, TransformersConfig):
        return f"{FAMILIES[config.family].name}, from a published checkpoint"
    return config.architecture


def _groups(split: Sequence[Clip]) -> str:
    groups = {clip.group for clip in split}
    return "not known" if "" in groups else str(len(groups))


def _share(value: float | None) -> str:
    return "not known: clips come without groups" if value is None else f"{percent(value)} %"
