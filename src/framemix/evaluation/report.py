"""Writes the evaluation of the trained models: tables, pictures, the pages and the model cards."""

from collections.abc import Mapping, Sequence
from itertools import chain
from pathlib import Path

import torch

from framemix.datasets.clips import Clip
from framemix.evaluation.evaluator import Evaluation, Evaluator, read_history, read_numbers
from framemix.evaluation.figures import (
    confusion_matrix,
    explained,
    loss_curves,
    mixed_frames,
    reliability_plot,
    roc_curve,
)
from framemix.evaluation.findings import Findings, Pretraining
from framemix.evaluation.page import (
    Circumstances,
    Table1,
    as_yaml,
    settings_of,
    write_card,
    write_page,
)
from framemix.evaluation.pictured import as_rgb, picture_wrong
from framemix.evaluation.settings import EvaluateSettings
from framemix.evaluation.tables import (
    NAMES,
    ClassRow,
    MetricRow,
    MetricRows,
    TrainedRow,
    by_metric,
    headline,
    percent,
    subjects_table,
    table1,
    table1_note,
    value_of,
)
from framemix.explain.explanation import explain_clip
from framemix.finetuning.data import DROWSY, FinetuneData
from framemix.jobs.atomic import write_text
from framemix.metrics.drowsiness import (
    DriverPrediction,
    SubjectRow,
    by_subject,
    driver_clips,
    reliability,
)
from framemix.mixing import MixSettings
from framemix.store import IndexRow, MixedStore
from framemix.tables import write_csv, write_json, write_table
from framemix.validation import read_json

# What is found of the pretrained networks, from one report to the next.
FOUND = "pretraining.json"


def report_pretraining(
    folders: Mapping[str, Path],
    store: MixedStore,
    split: Sequence[Clip],
    circumstances: Circumstances,
    settings: EvaluateSettings,
    *,
    device: torch.device,
    target: Path,
) -> list[MetricRow]:
    """Evaluate the pretrained models in `folders`, ViViT first; write to `target`.

    Writes table1.md, of each model its predictions, confusion matrix, wrong clips and explanation,
    pretraining.html with all of it, pretraining.json for `write_report`, and into each model's
    folder its card, README.md. Returns all metrics.
    """
    evaluator = _evaluator(circumstances, settings, device)
    evaluations = {n: evaluator.pretrained(folder, store, split) for n, folder in folders.items()}
    first, second = evaluations.values()
    found = Pretraining(
        networks={name: Findings.of(name, each) for name, each in evaluations.items()},
        lead=first.lead(second),
    )
    target.mkdir(parents=True, exist_ok=True)
    write_json(target / FOUND, found.model_dump(mode="json", by_alias=True))
    table = table1_of(found, folders)
    text = f"# Table 1: pretraining\n\n{table.table.markdown()}\n\n{table.note}\n"
    write_text(target / "table1.md", text)
    for name, evaluation in evaluations.items():
        _write_predictions(name, evaluation, settings.pictured_clips, target)
        write_card(name, evaluation, circumstances, folders[name] / "README.md")
    shown = settings_of(first, circumstances)
    write_page(target / "pretraining.html", found.networks, table, shown)
    return _metrics(found.networks)


def write_report(
    folders: Mapping[str, Path],
    finetuned: Path,
    data: FinetuneData,
    circumstances: Circumstances,
    settings: EvaluateSettings,
    *,
    device: torch.device,
    target: Path,
) -> list[MetricRow]:
    """Evaluate the fine-tuned model beside the pretrained ones in `folders`; write to `target`.

    What `report_pretraining` found of those is read from `target`. Writes estimates.csv (all
    metrics of all models), metrics.json (those few that DVC shows), the tables of classes, of
    drivers and of subjects, pictures, index.html with all of it, and the fine-tuned model's card,
    README.md. Returns the rows of estimates.csv.
    """
    evaluator = _evaluator(circumstances, settings, device)
    pretraining = read_json(target / FOUND, Pretraining)
    evaluation = evaluator.finetuned(finetuned, data)
    findings = {**pretraining.networks, "finetuned": Findings.of("finetuned", evaluation)}
    drivers = evaluation.drivers or []
    _write_tables(findings, drivers, target)
    _write_predictions("finetuned", evaluation, settings.pictured_clips, target)
    trained = {**folders, "finetuned": finetuned}
    histories = {NAMES[name]: read_history(folder) for name, folder in trained.items()}
    loss_curves(histories, target / "loss_curves.png")
    reliability_plot(reliability(drivers), target / "reliability.png")
    counted, _ = driver_clips(drivers)
    roc_curve(counted.scores, counted.drowsy, counted.called, DROWSY, target / "roc.png")
    picture_clips(data, settings.pictured_clips, target / "mixed_frames.png")
    write_card("finetuned", evaluation, circumstances, finetuned / "README.md")
    write_page(
        target / "index.html",
        findings,
        table1_of(pretraining, folders),
        settings_of(evaluation, circumstances),
        subjects=subjects_table(by_subject(drivers)),
    )
    return _metrics(findings)


def _evaluator(
    circumstances: Circumstances, settings: EvaluateSettings, device: torch.device
) -> Evaluator:
    """Return the evaluator that the settings describe."""
    return Evaluator(
        circumstances.split.group_scope,
        settings.batch_size,
        device,
        settings.views,
        settings.reversed_classes,
    )


def _metrics(findings: Mapping[str, Findings]) -> list[MetricRow]:
    return [*chain.from_iterable(found.metrics for found in findings.values())]


def _write_tables(
    findings: Mapping[str, Findings], drivers: Sequence[DriverPrediction], target: Path
) -> None:
    metrics = _metrics(findings)
    write_table(target / "estimates.csv", MetricRow, metrics)
    write_json(target / "metrics.json", headline(metrics))
    classes = chain.from_iterable(found.classes for found in findings.values())
    write_table(target / "classes.csv", ClassRow, classes)
    write_table(target / "drivers.csv", DriverPrediction, drivers)
    write_table(target / "subjects.csv", SubjectRow, by_subject(drivers))


def table1_of(found: Pretraining, folders: Mapping[str, Path]) -> Table1:
    """Return paper A's table 1 of the pretrained models, with the times that are in `folders`."""
    rows = {
        name: _trained_row(by_metric(network.metrics, name), folders[name])
        for name, network in found.networks.items()
    }
    return Table1(table1(rows), table1_note(rows, found.lead))


def _trained_row(metrics: MetricRows, folder: Path) -> TrainedRow:
    timing = read_numbers(folder / "timing.json")
    return TrainedRow(
        top1=metrics["top1"],
        leak_share=value_of(metrics, "leak_share"),
        epochs=timing["epochs"],
        minutes=timing["seconds_an_epoch"] / 60,
        parameters=int(metrics["parameters"].value),
        device=timing["device"],
    )


def _write_predictions(name: str, evaluation: Evaluation, pictured: int, target: Path) -> None:
    """Write one row per clip, for `dvc plots`, and pictures of all, of wrong and surest ones."""
    classes, top1 = evaluation.model.classes, evaluation.top1
    title = f"{NAMES[name]}: top-1 {percent(top1.value)} % of {top1.clips} val clips"
    confusion_matrix(evaluation.confusion, classes, title, target / f"confusion_{name}.png")
    labels, best = evaluation.labels.tolist(), evaluation.probabilities.argmax(1).tolist()
    write_csv(
        target / f"predictions_{name}.csv",
        ["true", "predicted"],
        [
            {"true": classes[one], "predicted": classes[other]}
            for one, other in zip(labels, best, strict=True)
        ],
    )
    picture_wrong(evaluation, pictured, target / f"wrong_{name}.png")
    _picture_explanation(evaluation, target / f"explained_{name}.png")


def _picture_explanation(evaluation: Evaluation, path: Path) -> None:
    """Explain the val clip whose class the model predicted with the highest probability."""
    clip = evaluation.surest
    mixed = clip.store.read([clip.row])[0]
    explained(explain_clip(evaluation.model, mixed, evaluation.model.classes[clip.label]), path)


def picture_clips(data: FinetuneData, count: int, path: Path) -> None:
    """Picture mixed clips: one of each of the first classes, and one of each driver state."""
    mix = data.actions.settings
    clips = {
        f"{row.class_name}, {_frames_mixed(row.frames, mix)}": as_rgb(store, row)
        for store in (data.actions, data.rldd)
        for row in _first_of_classes(store)[:count]
    }
    how = f"{mix.method}, {mix.segments} segments, frames per segment: {mix.frames_per_segment}"
    if mix.window != "all":
        how += f", window: {as_yaml(mix.window.model_dump())}"
    mixed_frames(clips, how, path)


def _frames_mixed(frames: int, mix: MixSettings) -> str:
    """Return which frames of a video are mixed, the first variant's."""
    first, length = mix.span(frames)
    if length == frames:
        return f"{frames} frames"
    return f"frames {first + 1} to {first + length} of {frames}"


def _first_of_classes(store: MixedStore) -> list[IndexRow]:
    firsts = {row.label: row for row in reversed(store.index)}
    return [firsts[label] for label in sorted(firsts)]
