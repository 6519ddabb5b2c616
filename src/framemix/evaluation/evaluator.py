"""How well trained models do on clips that they were not trained on."""

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from framemix.datasets.clips import Clip, clip_name
from framemix.datasets.groups import Scope, clusters_by_name, leak_share
from framemix.datasets.reversals import Pairs, partners
from framemix.evaluation.figures import History
from framemix.evaluation.tables import MetricRow, metric_rows
from framemix.finetuning.data import DROWSY, FinetuneData, task_of
from framemix.metrics.accuracy import RANKS, class_measures, confusion, ranked_hits
from framemix.metrics.direction import measure_direction
from framemix.metrics.drowsiness import DriverPrediction, drowsiness_estimates
from framemix.metrics.intervals import Estimate, estimate
from framemix.metrics.measures import Measure, share
from framemix.metrics.seeds import SeedMetric, seed_metrics
from framemix.models import TrainedModel, load_model
from framemix.store import MixedStore
from framemix.tables import read_table
from framemix.training.data import Example, labels_of, split_examples
from framemix.training.prediction import predict


@dataclass(frozen=True)
class Evaluation:
    """A model's predictions for its val clips, (N, K), and for driver clips, from `views` of each.

    `clusters` names the group or subject of each val clip. `drivers` is None unless the model was
    fine-tuned. Leak shares: val clips, and driver clips, whose group or subject is in train too.
    """

    model: TrainedModel
    views: int
    examples: Sequence[Example]
    probabilities: Tensor
    labels: Tensor
    clusters: list[str]
    leak_share: float | None
    drivers: list[DriverPrediction] | None
    drivers_leak_share: float | None
    own_metrics: Mapping[str, SeedMetric]
    reversed_classes: Pairs = ()

    def lead(self, other: "Evaluation") -> Estimate | None:
        """How much higher top-1 is than another's on the same clips, whose difference is drawn."""
        ours, theirs = (
            ranked_hits(each.probabilities, each.labels)[:, 0].double() for each in (self, other)
        )
        gains = share((ours - theirs).numpy())
        return estimate(Measure("top1_lead", gains, len(self.examples)), self.clusters)

    @cached_property
    def estimates(self) -> list[Estimate]:
        """Every metric that is defined and informative, with its interval."""
        found = [
            estimate(measure, self.clusters)
            for measure in class_measures(self.probabilities, self.labels)
            if measure.metric not in self._idle
        ]
        top1, *others = filter(None, found)
        drivers = drowsiness_estimates(self.drivers or [])
        return [top1, *self._last_epoch, *others, *self._direction, *drivers]

    @property
    def _direction(self) -> list[Estimate]:
        """How often the pair is right, and the direction; nothing without reversed classes."""
        evaluated = measure_direction(
            self.probabilities,
            self.labels,
            self.model.classes,
            partners(self.reversed_classes),
            self.clusters,
        )
        return [*filter(None, (estimate(each, evaluated.clusters) for each in evaluated.measures))]

    @property
    def _last_epoch(self) -> list[Estimate]:
        """Top-1 of the last epoch's weights on the val clips, as the model's own stage found it."""
        own = self.own_metrics.get("top1_last")
        if own is None or own.value is None:
            return []
        none = {"low": None, "high": None, "interval": ""}
        counts = {"clips": len(self.examples), "clusters": len(set(self.clusters))}
        return [Estimate(metric="top1_last", value=own.value, **none, **counts)]

    @property
    def _idle(self) -> set[str]:
        """Metrics that mean nothing: the top-5 of at most five classes."""
        return {"top5"} if len(self.model.classes) <= RANKS else set()

    @property
    def top1(self) -> Estimate:
        """Top-1 on the val clips."""
        return self.estimates[0]

    @property
    def confusion(self) -> NDArray[np.int64]:
        """How often each class (rows) was predicted as each class (columns), (K, K)."""
        counts: NDArray[np.int64] = confusion(self.probabilities, self.labels).numpy()
        return counts

    @property
    def surest(self) -> Example:
        """The val clip whose class was thought likeliest; a drowsy one, where there are any."""
        classes = self.model.classes
        own = self.probabilities.gather(1, self.labels[:, None])[:, 0]  # (N,)
        drowsy = self.labels == (classes.index(DROWSY) if DROWSY in classes else -1)
        return self.examples[int((own + drowsy).argmax())]

    def wrong(self, count: int) -> dict[str, Example]:
        """Return the most probable wrong predictions, at most `count`, by captions of them."""
        classes, surest = self.model.classes, self.probabilities.max(1)
        places = (surest.indices != self.labels).nonzero().flatten().tolist()
        places.sort(key=lambda place: -surest.values[place].item())
        return {
            f"{self.examples[place].row.clip}: {classes[int(self.labels[place])]}, predicted "
            f"{classes[int(surest.indices[place])]} ({surest.values[place]:.0%})": self.examples[
                place
            ]
            for place in places[:count]
        }

    def metrics(self, name: str) -> list[MetricRow]:
        """What the model's own stage found, the estimates, and the leak shares; it is `name`."""
        own = {key: one for key, one in self.own_metrics.items() if key not in self._idle}
        leaks = {"leak_share": self.leak_share, "drivers_leak_share": self.drivers_leak_share}
        others = {key: SeedMetric(value) for key, value in leaks.items()}
        return metric_rows(name, self.estimates, {**own, **others})


@dataclass(frozen=True)
class Evaluator:
    """Evaluates models on their val clips; `scope` defines which clips form a group.

    The direction is measured on those `reversed_classes` that a model knows.
    """

    scope: Scope
    batch_size: int
    device: torch.device
    views: int
    reversed_classes: Pairs = ()

    def pretrained(self, folder: Path, store: MixedStore, split: Sequence[Clip]) -> Evaluation:
        """Return what the model in `folder` predicts for the val clips of its store."""
        train, val = (split_examples(store, split, subset) for subset in ("train", "val"))
        model = load_model(folder / "model.safetensors")
        return self._evaluate(model, folder, train, val, self._clusters(split))

    def finetuned(self, folder: Path, data: FinetuneData) -> Evaluation:
        """Return what the model in `folder` predicts for its task's val clips, and val drivers."""
        model = load_model(folder / "model.safetensors")
        own = replace(data, ucf101_split=read_table(folder / "split.csv", Clip))
        task = task_of(model.classes)
        train, val = (own.examples(task, subset) for subset in ("train", "val"))
        clusters = self._clusters(data.ucf101_split, data.rldd_split)
        evaluation = self._evaluate(model, folder, train, val, clusters)
        return replace(
            evaluation,
            drivers=self._drivers(model, data),
            drivers_leak_share=_leak(data.drivers("train"), data.drivers("val"), clusters),
        )

    def _evaluate(
        self,
        model: TrainedModel,
        folder: Path,
        train: Sequence[Example],
        val: Sequence[Example],
        clusters: Mapping[str, str | None],
    ) -> Evaluation:
        return Evaluation(
            model=model,
            views=self.views,
            examples=val,
            probabilities=self._predict(model, val),
            labels=labels_of(val),
            clusters=[clusters[example.row.clip] or example.row.clip for example in val],
            leak_share=_leak(train, val, clusters),
            drivers=None,
            drivers_leak_share=None,
            own_metrics=seed_metrics(read_numbers(folder / "metrics.json")),
            reversed_classes=self.reversed_classes,
        )

    def _predict(self, model: TrainedModel, examples: Sequence[Example]) -> Tensor:
        return predict(
            model, examples, batch_size=self.batch_size, device=self.device, views=self.views
        )

    def _drivers(self, model: TrainedModel, data: FinetuneData) -> list[DriverPrediction]:
        examples = data.drivers("val")
        predicted = self._predict(model, examples)
        rows = {clip_name(row): row for row in data.rldd_split}
        return [
            DriverPrediction(
                clip=example.row.clip,
                subject=rows[example.row.clip].group,
                state=example.row.class_name,
                predicted=model.classes[int(probabilities.argmax())],
                # Not rounded: the surest would be ties.
                p_drowsy=float(probabilities[model.classes.index(DROWSY)]),
            )
            for example, probabilities in zip(examples, predicted, strict=True)
        ]

    def _clusters(
        self, actions: Sequence[Clip], drivers: Sequence[Clip] = ()
    ) -> dict[str, str | None]:
        """Return the group of each clip by its name, or None; of a driver's clip, the subject."""
        grouped = [clip for clip in actions if clip.group]
        return {
            **dict.fromkeys(map(clip_name, actions)),
            **clusters_by_name(grouped, self.scope),
            **{clip_name(clip): f"/{clip.group}" for clip in drivers},
        }


def read_history(folder: Path) -> History:
    """Return what a training wrote into `folder` of its epochs."""
    with (folder / "history.csv").open(encoding="utf-8", newline="") as file:
        return [{k: float(v) for k, v in row.items()} for row in csv.DictReader(file)]


def read_numbers(file: Path) -> dict[str, Any]:
    """Return what a training wrote of its metrics, or of its times."""
    content: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return content


def _leak(
    train: Sequence[Example], val: Sequence[Example], clusters: Mapping[str, str | None]
) -> float | None:
    """Return the share of val clips whose cluster is in train too; None where one has none."""
    members = [clusters[example.row.clip] for example in (*train, *val)]
    if None in members:
        return None
    share = leak_share(members, ["train"] * len(train) + ["val"] * len(val))
    return None if share is None else round(share, 6)
