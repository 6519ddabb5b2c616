"""Writes what the trained models are worth: tables, pictures, the page and the model cards."""

from collections.abc import Mapping
from pathlib import Path

import torch

from framemix.evaluation.figures import (
    confusion_matrix,
    explained,
    loss_curves,
    mixed_frames,
    reliability_plot,
)
from framemix.evaluation.judging import Evaluation, Evaluator
from framemix.evaluation.page import Circumstances, as_yaml, write_card, write_page
from framemix.evaluation.settings import EvaluateSettings
from framemix.evaluation.tables import (
    NAMES,
    ClassRow,
    Figure,
    TrainedRow,
    class_rows,
    headline,
    percent,
    table1,
    table1_note,
)
from framemix.explain.explanation import explain_clip
from framemix.finetuning.data import FinetuneData
from framemix.jobs.atomic import write_text
from framemix.metrics.accuracy import parameter_counts
from framemix.metrics.drowsiness import DriverPrediction, SubjectRow, by_subject, reliability
from framemix.mixing import MixSettings, Pixels
from framemix.models.input import to_rgb
from framemix.store import IndexRow, MixedStore
from framemix.tables import write_csv, write_json, write_table


def write_report(
    folders: Mapping[str, Path],
    finetuned: Path,
    data: FinetuneData,
    circumstances: Circumstances,
    settings: EvaluateSettings,
    *,
    device: torch.device,
    target: Path,
) -> list[Figure]:
    """Evaluate the pretrained models in `folders` and the fine-tuned one; write to `target`.

    Writes estimates.csv (all figures of all models), metrics.json (those few that DVC shows), the
    tables of classes, of drivers and of subjects, table1.md, pictures, index.html with all of it,
    and into each model's folder its card, README.md. Returns the rows of estimates.csv.
    """
    judge = Evaluator(
        data, circumstances.split.group_scope, settings.batch_size, device, settings.views
    )
    pretrained = {name: judge.pretrained(folder) for name, folder in folders.items()}
    evaluations = {**pretrained, "finetuned": judge.finetuned(finetuned)}
    target.mkdir(parents=True, exist_ok=True)
    figures = [row for name, each in evaluations.items() for row in each.figures(name)]
    write_table(target / "estimates.csv", Figure, figures)
    write_json(target / "metrics.json", headline(figures))
    _write_tables(evaluations, target)
    rows = table1_rows(pretrained)
    note = table1_note(rows, pretrained["vivit"].lead(pretrained["nonlocal"]))
    _write_table1(rows, note, target / "table1.md")
    for name, evaluation in evaluations.items():
        _write_confusion(name, evaluation, target)
        _picture_explanation(evaluation, target / f"explained_{name}.png")
    loss_curves({NAMES[n]: e.history for n, e in evaluations.items()}, target / "loss_curves.png")
    reliability_plot(
        reliability(evaluations["finetuned"].drivers or []), target / "reliability.png"
    )
    picture_clips(data, settings.pictured_clips, target / "mixed_frames.png")
    for name, folder in {**folders, "finetuned": finetuned}.items():
        write_card(name, evaluations[name], circumstances, folder / "README.md")
    write_page(evaluations, rows, note, circumstances, target)
    return figures


def _write_tables(evaluations: Mapping[str, Evaluation], target: Path) -> None:
    write_table(
        target / "classes.csv",
        ClassRow,
        [
            row
            for name, evaluation in evaluations.items()
            for row in class_rows(name, evaluation.confusion, evaluation.model.classes)
        ],
    )
    drivers = evaluations["finetuned"].drivers or []
    write_table(target / "drivers.csv", DriverPrediction, drivers)
    write_table(target / "subjects.csv", SubjectRow, by_subject(drivers))


def _write_table1(rows: Mapping[str, TrainedRow], note: str, path: Path) -> None:
    write_text(path, f"# Table 1: pretraining\n\n{table1(rows).markdown()}\n\n{note}\n")


def table1_rows(pretrained: Mapping[str, Evaluation]) -> dict[str, TrainedRow]:
    """Return what table 1 tells of each pretrained model."""
    return {
        name: TrainedRow(
            top1=evaluation.top1,
            leak_share=evaluation.leak_share,
            epochs=evaluation.timing["epochs"],
            minutes=evaluation.timing["seconds_an_epoch"] / 60,
            parameters=parameter_counts(evaluation.model.network)["parameters"],
            device=evaluation.timing["device"],
        )
        for name, evaluation in pretrained.items()
    }


def _write_confusion(name: str, evaluation: Evaluation, target: Path) -> None:
    """Write the matrix as a picture, and one row per clip for `dvc plots`."""
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


def _picture_explanation(evaluation: Evaluation, path: Path) -> None:
    """Picture what the model draws on for the class of the val clip that it is surest of."""
    clip = evaluation.surest
    mixed = clip.store.read([clip.row])[0]
    explained(explain_clip(evaluation.model, mixed, evaluation.model.classes[clip.label]), path)


def picture_clips(data: FinetuneData, count: int, path: Path) -> None:
    """Picture mixed clips: one of each of the first classes, and one of each driver state."""
    mix = data.ucf101.settings
    clips = {
        f"{row.class_name}, {_frames_mixed(row.frames, mix)}": _as_rgb(store, row)
        for store in (data.ucf101, data.rldd)
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


def _as_rgb(store: MixedStore, row: IndexRow) -> Pixels:
    """Return a clip as uint8 (S, H, W, 3), however it is stored."""
    clip: Pixels = to_rgb(torch.from_numpy(store.read([row])))[0].numpy()
    return clip


def _first_of_classes(store: MixedStore) -> list[IndexRow]:
    firsts = {row.label: row for row in reversed(store.index)}
    return [firsts[label] for label in sorted(firsts)]
