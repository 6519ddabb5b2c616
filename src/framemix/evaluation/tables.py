"""The papers' tables with our numbers beside theirs, and the tables of the report."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from framemix.metrics.drowsiness import SubjectRow
from framemix.metrics.intervals import Estimate, wilson
from framemix.metrics.seeds import SeedMetric
from framemix.tables import MaybeFloat, MaybeInt, Row
from framemix.text.markdown import Table

# Paper A, table 1: val accuracy in %, epochs, minutes an epoch; parameters of its networks.
PAPER_TABLE_1 = {
    "vivit": ("77.81", "30", "21-23", "125,689,699"),
    "nonlocal": ("71.48", "150", "12-13", "25,812,643"),
}
# The val clips of its random split that have a sibling of the same group in train.
PAPER_LEAK = "95"
NAMES = {"vivit": "ViViT", "nonlocal": "Non-local", "finetuned": "Fine-tuned ViViT"}
METRICS = {
    "top1": "top-1, %",
    "top1_last": "top-1 of the last epoch, %",
    "top5": "top-5, %",
    "mean_class_accuracy": "mean-class accuracy, %",
    "pair_top1": "pair of reversed classes right, %",
    "direction": "direction within the pair right, %",
    "auroc": "AUROC",
    "drowsy_accuracy": "drowsy accuracy (paper A), %",
    "drowsy_vs_alert_accuracy": "drowsy or alert: accuracy, %",
    "drowsy_vs_alert_auroc": "drowsy or alert: AUROC",
    "sensitivity_at_95_specificity": "drowsy or alert: sensitivity at 95 % specificity, %",
    "calibration_error": "drowsy or alert: calibration error (ECE)",
}
OF_VAL = (
    "top1",
    "top1_last",
    "top5",
    "mean_class_accuracy",
    "pair_top1",
    "direction",
    "auroc",
)  # of the task's val clips, the others of drivers
NONE = "–"


class ClassRow(Row):
    """A class of a model: its val clips, the right ones, and all clips predicted as it.

    `taken_for` is the most frequent wrong prediction for its clips; accuracy and its 95 % interval
    (Wilson) are empty without clips.
    """

    model: str
    class_name: str = Field(alias="class")
    clips: int
    right: int
    predicted: int
    accuracy: MaybeFloat
    low: MaybeFloat
    high: MaybeFloat
    taken_for: str


class MetricRow(Row):
    """A metric of a model, one row of estimates.csv.

    Its 95 % interval where it has one (see `Estimate`), and its mean and sample deviation over the
    seeds where the model was trained with several.
    """

    model: str
    metric: str
    value: float
    low: MaybeFloat = None
    high: MaybeFloat = None
    interval: str = ""
    clips: MaybeInt = None
    clusters: MaybeInt = None
    mean: MaybeFloat = None
    std: MaybeFloat = None


MetricRows = Mapping[str, MetricRow]  # of a model, by metric


@dataclass(frozen=True)
class TrainedRow:
    """A trained model in table 1: minutes an epoch, leak share as a fraction."""

    top1: MetricRow
    leak_share: float | None
    epochs: int
    minutes: float
    parameters: int
    device: str


def class_rows(model: str, counts: NDArray[np.int64], classes: Sequence[str]) -> list[ClassRow]:
    """Return one row per class of a confusion matrix (K, K), true classes down."""
    return [_class_row(model, counts, classes, label) for label in range(len(classes))]


def table1(rows: Mapping[str, TrainedRow]) -> Table:
    """Return paper A's table 1: each of our rows above the paper's."""
    return Table(
        columns=[
            "network",
            "by",
            "val top-1, %",
            "95 % interval",
            "leak share, %",
            "epochs",
            "minutes an epoch",
            "parameters",
        ],
        rows=[line for name, row in rows.items() for line in _table1_lines(name, row)],
    )


def better_network(rows: Mapping[str, TrainedRow]) -> str | None:
    """Return the network of the higher top-1; None where that is equal."""
    top1 = {name: row.top1.value for name, row in rows.items()}
    best = [name for name, value in top1.items() if value == max(top1.values())]
    return best[0] if len(best) == 1 else None


def metric_rows(
    model: str, estimates: Sequence[Estimate], metrics: Mapping[str, SeedMetric]
) -> list[MetricRow]:
    """Return all that is known of a model: its estimates, then its other metrics.

    An estimate has its mean and deviation over seeds from the metric of its name.
    """
    found = {e.metric: e.model_dump() for e in estimates}
    for name, metric in metrics.items():
        if metric.value is not None:
            found.setdefault(name, {"metric": name, "value": metric.value})
    seeds = {name: asdict(each) for name, m in metrics.items() if (each := m.over_seeds)}
    return [MetricRow(model=model, **found[name], **seeds.get(name, {})) for name in found]


def by_metric(rows: Sequence[MetricRow], model: str) -> MetricRows:
    """Return one model's rows of estimates.csv by their metric."""
    return {row.metric: row for row in rows if row.model == model}


def headline(rows: Sequence[MetricRow]) -> dict[str, Any]:
    """Return what `dvc metrics show` and `dvc exp show` have room for: seven numbers."""
    metrics = {name: by_metric(rows, name) for name in NAMES}
    return {
        **{name: {"top1": value_of(metrics[name], "top1")} for name in ("vivit", "nonlocal")},
        "finetuned": {
            short: value_of(metrics["finetuned"], metric)
            for short, metric in (
                ("top1", "top1"),
                ("drowsy", "drowsy_accuracy"),
                ("auroc", "drowsy_vs_alert_auroc"),
            )
        },
        "leak": value_of(metrics["vivit"], "leak_share"),
        "driver_leak": value_of(metrics["finetuned"], "drivers_leak_share"),
    }


def value_of(metrics: MetricRows, metric: str) -> float | None:
    """Return a metric's value, None where it is not defined."""
    return metrics[metric].value if metric in metrics else None


def summary(rows: Sequence[MetricRow]) -> str:
    """Return the result of each model, one line for each."""
    names = dict.fromkeys(row.model for row in rows)
    return "\n".join(f"{NAMES[name]}: {result(by_metric(rows, name))}" for name in names)


def result(metrics: MetricRows, subset: str = "val") -> str:
    """Return a model's result on the clips of `subset` in a few words, with its intervals."""
    top1, auroc = metrics["top1"], metrics.get("drowsy_vs_alert_auroc")
    words = f"top-1 {percent(top1.value)} % of {top1.clips} {subset} clips ({in_words(top1)})"
    if auroc is None:
        return words
    return f"{words}; AUROC of drowsy against alert {auroc.value:.3f} ({in_words(auroc)})"


def table1_note(rows: Mapping[str, TrainedRow], lead: Estimate | None) -> str:
    """Return what table 1 must be read with; `lead` is ViViT's over the Non-local network."""
    better = better_network(rows)
    named, top1 = NAMES[better] if better else "neither", next(iter(rows.values())).top1
    return (
        f"Better here: {named}, on {top1.clips} val clips of {top1.clusters} groups.{_lead(lead)} "
        f"Leak share: val clips that have a sibling of the same group in train. The paper's rows "
        f"are of UCF101, split at random; published results from scratch on groups that training "
        f"never saw are 40-50 %. The paper's minutes are of one Quadro RTX 8000, ours of: "
        f"{', '.join(sorted({row.device for row in rows.values()}))}."
    )


def estimates_table(metrics: MetricRows) -> Table:
    """Return a model's metrics of its clips with their intervals, the leak share beside each."""
    return Table(
        columns=[
            "metric",
            "value",
            "95 % interval",
            "by",
            "over seeds",
            "leak share, %",
            "clips",
            "clusters",
        ],
        rows=[
            [
                METRICS[name],
                shown(name, row.value),
                interval(row),
                row.interval or NONE,
                over_seeds(row),
                percent(
                    value_of(metrics, "leak_share" if name in OF_VAL else "drivers_leak_share")
                ),
                str(row.clips),
                str(row.clusters),
            ]
            for name, row in metrics.items()
            if row.clips is not None
        ],
    )


def over_seeds(row: MetricRow) -> str:
    """Return a metric's mean and sample deviation over the seeds, where there are several."""
    if row.mean is None or row.std is None:
        return NONE
    return f"{shown(row.metric, row.mean)} ± {shown(row.metric, row.std)}"


def classes_table(rows: Sequence[ClassRow]) -> Table:
    """Return a model's classes; those without val clips are left out."""
    return Table(
        columns=["class", "val clips", "right", "accuracy, %", "95 % interval", "taken for"],
        rows=[
            [
                row.class_name,
                str(row.clips),
                str(row.right),
                percent(row.accuracy),
                limits(row.low, row.high, 100),
                row.taken_for or NONE,
            ]
            for row in rows
            if row.clips
        ],
    )


def subjects_table(rows: Sequence[SubjectRow]) -> Table:
    """Return the subjects, with how many of their clips were predicted correctly."""
    return Table(
        columns=[
            "subject",
            "drowsy found",
            "alert left alone",
            "accuracy, %",
            "95 % interval",
            "p(drowsy) if drowsy",
            "p(drowsy) if alert",
        ],
        rows=[
            [
                row.subject,
                f"{row.drowsy_found} of {row.drowsy_clips}",
                f"{row.alert_left_alone} of {row.alert_clips}",
                percent(row.accuracy),
                limits(row.low, row.high, 100),
                _decimal(row.p_drowsy_when_drowsy),
                _decimal(row.p_drowsy_when_alert),
            ]
            for row in rows
        ],
    )


def percent(fraction: float | None) -> str:
    """Return a fraction as a percentage of one decimal."""
    return NONE if fraction is None else f"{100 * fraction:.1f}"


def shown(metric: str, value: float) -> str:
    """Return a metric's value in the unit of its name in METRICS."""
    return percent(value) if METRICS[metric].endswith("%") else _decimal(value)


def interval(estimate: Estimate | MetricRow) -> str:
    """Return an estimate's interval in the unit of its metric."""
    scale = 100 if METRICS[estimate.metric].endswith("%") else 1
    return limits(estimate.low, estimate.high, scale)


def in_words(estimate: Estimate | MetricRow) -> str:
    """Return an estimate's interval as it stands in a sentence."""
    return "no interval" if estimate.low is None else f"95 % interval {interval(estimate)}"


def limits(low: float | None, high: float | None, scale: int) -> str:
    """Return an interval's limits times `scale`: 100 for percentages, or 1."""
    if low is None or high is None:
        return NONE
    return (
        f"{low * scale:.1f} to {high * scale:.1f}" if scale == 100 else f"{low:.3f} to {high:.3f}"
    )


def _lead(lead: Estimate | None) -> str:
    if lead is None or lead.low is None or lead.high is None:
        return ""
    verdict = "" if lead.low > 0 or lead.high < 0 else ": these clips do not show which is better"
    return (
        f" {NAMES['vivit']} less {NAMES['nonlocal']}, clip by clip: {100 * lead.value:+.1f} points "
        f"(95 % interval {100 * lead.low:+.1f} to {100 * lead.high:+.1f}){verdict}."
    )


def _table1_lines(name: str, row: TrainedRow) -> list[list[str]]:
    accuracy, epochs, minutes, parameters = PAPER_TABLE_1[name]
    return [
        [
            NAMES[name],
            "here",
            f"{100 * row.top1.value:.2f}",
            interval(row.top1),
            percent(row.leak_share),
            str(row.epochs),
            f"{row.minutes:.2f}",
            f"{row.parameters:,}",
        ],
        [NAMES[name], "paper A", accuracy, NONE, PAPER_LEAK, epochs, minutes, parameters],
    ]


def _class_row(
    model: str, counts: NDArray[np.int64], classes: Sequence[str], label: int
) -> ClassRow:
    clips, right = int(counts[label].sum()), int(counts[label, label])
    low, high = wilson(right, clips) if clips else (None, None)
    wrong = counts[label].copy()
    wrong[label] = 0
    return ClassRow(
        model=model,
        class_name=classes[label],
        clips=clips,
        right=right,
        predicted=int(counts[:, label].sum()),
        accuracy=round(right / clips, 6) if clips else None,
        low=None if low is None else round(low, 6),
        high=None if high is None else round(high, 6),
        taken_for=classes[int(wrong.argmax())] if wrong.any() else "",
    )


def _decimal(value: float | None) -> str:
    return NONE if value is None else f"{value:.3f}"
