"""What users may rely on in the report: the metrics of the models, in files that add up."""

import csv
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import matplotlib.image
import numpy as np
import pytest
import torch
import yaml

from framemix.datasets.clips import Clip, clip_name
from framemix.errors import DatasetError
from framemix.evaluation.evaluator import Evaluation, Evaluator
from framemix.evaluation.figures import (
    confusion_matrix,
    loss_curves,
    mixed_frames,
    reliability_plot,
    roc_curve,
    wrong_predictions,
)
from framemix.evaluation.findings import Findings, Pretraining
from framemix.evaluation.report import picture_clips, table1_of
from framemix.evaluation.tables import (
    NAMES,
    ClassRow,
    MetricRow,
    TrainedRow,
    by_metric,
    class_rows,
    estimates_table,
    metric_rows,
    subjects_table,
    table1,
    table1_note,
)
from framemix.finetuning.data import FinetuneData
from framemix.metrics.drowsiness import Bin, DriverPrediction, SubjectRow, reliability
from framemix.metrics.intervals import Estimate, wilson
from framemix.metrics.seeds import seed_metrics
from framemix.tables import read_table, write_table
from framemix.training.prediction import predict
from tests.tiny_report import (
    CPU,
    MODELS,
    VIEWS,
    Copies,
    reported,
    write_evaluation,
    write_pretraining,
)
from tests.tiny_store import (
    VARIANTS,
    driver_split,
    finetune_data,
)

ROOT = Path(__file__).resolve().parents[1]
JUDGE = Evaluator("class", 4, CPU, VIEWS)
VAL_CLIPS = {"vivit": 6, "nonlocal": 6, "finetuned": 8}
PNGS = [
    "loss_curves.png",
    "mixed_frames.png",
    "reliability.png",
    "roc.png",
    *(f"{kind}_{name}.png" for kind in ("confusion", "explained", "wrong") for name in VAL_CLIPS),
]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> FinetuneData:
    return reported(tmp_path_factory).data


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return reported(tmp_path_factory).models


@pytest.fixture(scope="module")
def pretraining(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return reported(tmp_path_factory).pretraining


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return reported(tmp_path_factory).reports


@pytest.fixture
def copies(models: Path, pretraining: Path, tmp_path: Path) -> Copies:
    return Copies(
        models=Path(shutil.copytree(models, tmp_path / "models")),
        target=Path(shutil.copytree(pretraining, tmp_path / "reports")),
    )


def metrics_of(folder: Path) -> dict[str, float]:
    metrics: dict[str, float] = json.loads((folder / "metrics.json").read_text())
    return metrics


def test_writes_just_the_files_that_the_pipeline_expects(reports: Path, models: Path) -> None:
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
    pretraining, stage = stages["report_pretraining"], stages["evaluate"]
    outs = [*pretraining["outs"], *stage["outs"], *stage["metrics"]]
    cards = {Path("models") / file.relative_to(models) for file in models.glob("*/README.md")}
    written = {Path("reports") / file.name for file in reports.iterdir()} | cards
    assert sorted(map(str, written)) == sorted(outs)


def test_dvc_has_few_metrics_to_show(reports: Path, models: Path) -> None:
    shown = json.loads((reports / "metrics.json").read_text())
    for name in (*MODELS, "finetuned"):
        assert shown[name]["top1"] == pytest.approx(metrics_of(models / name)["top1"], abs=1e-5)
    numbers = [
        n
        for value in shown.values()
        for n in (value.values() if isinstance(value, dict) else [value])
    ]
    assert len(numbers) == 7
    assert all(isinstance(number, float) for number in numbers)


def test_estimates_have_all_metrics_of_all_models_with_limits(reports: Path, models: Path) -> None:
    rows = read_table(reports / "estimates.csv", MetricRow)
    for name in (*MODELS, "finetuned"):
        metrics = by_metric(rows, name)
        # With at most five classes top-5 would be 1 whatever the model predicts.
        assert metrics_of(models / name)["top5"] == 1
        assert "top5" not in metrics
        for metric, value in metrics_of(models / name).items():
            if value is not None and metric != "top5":
                assert metrics[metric].value == value
        top1 = metrics["top1"]
        assert top1.low < top1.value < top1.high
    assert {"leak_share", "drowsy_vs_alert_auroc"} <= by_metric(rows, "finetuned").keys()
    for row in rows:
        assert (row.low is None) == (row.interval == "")
    with_clips = [row for row in rows if row.clips is not None and row.model == "vivit"]
    assert {row.metric: row.clips for row in with_clips} == {
        "top1": 6,
        "top1_last": 6,
        "mean_class_accuracy": 6,
        "pair_top1": 4,  # of the pair that the model knows
        "direction": 4,
    }
    assert "top-5" not in (reports / "index.html").read_text()


def test_every_class_has_a_row_that_agrees_with_the_predictions(reports: Path) -> None:
    rows = [row for row in read_table(reports / "classes.csv", ClassRow) if row.model == "vivit"]
    with (reports / "predictions_vivit.csv").open(newline="") as file:
        said = [(row["true"], row["predicted"]) for row in csv.DictReader(file)]
    assert [row.class_name for row in rows] == ["ApplyLipstick", "Archery", "YoYo"]
    for row in rows:
        assert row.clips == sum(true == row.class_name for true, _ in said)
        assert row.predicted == sum(predicted == row.class_name for _, predicted in said)
        assert row.right == said.count((row.class_name, row.class_name))


def test_drivers_and_subjects_are_those_of_the_val_side(reports: Path, data: FinetuneData) -> None:
    drivers = read_table(reports / "drivers.csv", DriverPrediction)
    assert {driver.clip for driver in drivers} == {
        clip_name(clip) for clip in data.rldd_split if clip.subset == "val"
    }
    (subject,) = read_table(reports / "subjects.csv", SubjectRow)
    assert (subject.drowsy_clips, subject.alert_clips) == (2, 2)


def test_what_is_said_of_drivers_is_not_rounded_to_ties(reports: Path) -> None:
    drivers = read_table(reports / "drivers.csv", DriverPrediction)
    assert any(driver.p_drowsy != round(driver.p_drowsy, 6) for driver in drivers)


def test_leak_shares_are_of_groups_and_subjects_on_both_sides(
    data: FinetuneData, models: Path, reports: Path
) -> None:
    """In the tiny store all clips are of one group a class and of one subject."""
    leaking = json.loads((reports / "metrics.json").read_text())
    assert leaking["leak"] == 1
    assert leaking["driver_leak"] == 1
    videos = [video.model_copy(update={"group": video.subset}) for video in data.ucf101_split]
    clips = [clip.model_copy(update={"group": clip.subset}) for clip in data.rldd_split]
    clean = replace(data, ucf101_split=videos, rldd_split=clips)
    vivit, finetuned = (evaluated(models, clean, name) for name in ("vivit", "finetuned"))
    rows = [*vivit.metrics("vivit"), *finetuned.metrics("finetuned")]
    assert by_metric(rows, "vivit")["leak_share"].value == 0
    assert by_metric(rows, "finetuned")["leak_share"].value == 0
    assert by_metric(rows, "finetuned")["drivers_leak_share"].value == 0


def test_pretrained_models_are_evaluated_once_and_reported_again_from_what_was_found(
    reports: Path, copies: Copies, data: FinetuneData
) -> None:
    for name in MODELS:
        (copies.models / name / "model.safetensors").unlink()
    target = copies.evaluated(data)
    for file in reports.iterdir():
        assert (target / file.name).read_bytes() == file.read_bytes(), file.name


def test_a_report_without_that_of_pretraining_before_it_says_what_is_missing(
    models: Path, data: FinetuneData, tmp_path: Path
) -> None:
    with pytest.raises(DatasetError, match=r"pretraining\.json: no such file; run the stage"):
        write_evaluation(models, data, tmp_path)


def test_says_which_pretrained_model_is_better(reports: Path, models: Path) -> None:
    top1 = {name: metrics_of(models / name)["top1"] for name in MODELS}
    best = [name for name, value in top1.items() if value == max(top1.values())]
    named = NAMES[best[0]] if len(best) == 1 else "neither"
    assert f"Better here: {named}" in (reports / "table1.md").read_text()


@pytest.mark.parametrize("name", list(VAL_CLIPS))
def test_predictions_have_a_row_a_val_clip_and_give_the_accuracy(
    reports: Path, models: Path, name: str
) -> None:
    with (reports / f"predictions_{name}.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["true", "predicted"]
    assert len(rows) == VAL_CLIPS[name]
    right = sum(row["true"] == row["predicted"] for row in rows)
    assert right / len(rows) == pytest.approx(metrics_of(models / name)["top1"], abs=1e-6)


@pytest.mark.parametrize("name", PNGS)
def test_pictures_show_something(reports: Path, name: str) -> None:
    pixels = matplotlib.image.imread(reports / name)[..., :3]
    assert min(pixels.shape[:2]) > 200
    assert (pixels < 0.9).any(-1).mean() > 0.02


def test_a_second_report_is_the_same_bytes(
    pretraining: Path, copies: Copies, data: FinetuneData, tmp_path: Path
) -> None:
    """That of pretraining; above, that of all models is written a second time."""
    write_pretraining(copies.models, data, tmp_path / "second")
    for file in pretraining.iterdir():
        assert (tmp_path / "second" / file.name).read_bytes() == file.read_bytes(), file.name


def test_planes_are_pictured_as_pixels_are(copies: Copies, reports: Path, tmp_path: Path) -> None:
    target = copies.evaluated(finetune_data(tmp_path, pixel_format="yuv420p", **VARIANTS))
    picture, expected = (
        matplotlib.image.imread(folder / "mixed_frames.png") for folder in (target, reports)
    )
    # The clips are noise: of each pixel's own colour, planes keep the brightness.
    assert 0 < np.abs(picture - expected).mean() < 0.05


def test_pictures_do_not_depend_on_where_their_clips_lie_in_the_index(
    data: FinetuneData, copies: Copies, reports: Path
) -> None:
    target = copies.evaluated(replace(data, rldd_split=driver_split(data.rldd)[::-1]))
    for name in ("mixed_frames.png", "confusion_finetuned.png"):
        assert (target / name).read_bytes() == (reports / name).read_bytes()


def evaluated(models: Path, data: FinetuneData, name: str) -> Evaluation:
    if name == "finetuned":
        return JUDGE.finetuned(models / name, data)
    return JUDGE.pretrained(models / name, data.ucf101, data.ucf101_split)


@pytest.mark.parametrize("name", list(VAL_CLIPS))
def test_the_clip_that_is_explained_is_the_one_whose_class_is_likeliest(
    data: FinetuneData, models: Path, name: str
) -> None:
    evaluation = evaluated(models, data, name)
    own = [
        float(probabilities[example.label])
        for example, probabilities in zip(
            evaluation.examples, evaluation.probabilities, strict=True
        )
        if name != "finetuned" or example.row.class_name == "drowsy"
    ]
    place = evaluation.examples.index(evaluation.surest)
    assert float(evaluation.probabilities[place, evaluation.surest.label]) == max(own)


def test_wrong_predictions_are_pictured_the_most_probable_first(
    models: Path, data: FinetuneData, tmp_path: Path
) -> None:
    evaluation = evaluated(models, data, "vivit")
    classes, clips = evaluation.model.classes, len(evaluation.examples)
    said = torch.eye(len(classes))[evaluation.labels] * 0.9
    others = (evaluation.labels + 1) % len(classes)
    for place, probability in ((3, 0.95), (1, 1.0), (4, 0.91)):
        said[place, others[place]] = probability
    wrong = replace(evaluation, probabilities=said).wrong(2)
    assert [example.row.clip for example in wrong.values()] == [
        evaluation.examples[place].row.clip for place in (1, 3)
    ]
    first = next(iter(wrong))
    for words in (classes[int(evaluation.labels[1])], classes[int(others[1])], "100%"):
        assert words in first
    assert len(replace(evaluation, probabilities=said).wrong(clips)) == 3


def test_without_a_wrong_prediction_there_is_a_picture_that_says_so(tmp_path: Path) -> None:
    wrong_predictions({}, tmp_path / "wrong.png")
    assert matplotlib.image.imread(tmp_path / "wrong.png").std() > 0


def test_the_roc_curve_marks_what_the_likeliest_class_finds(tmp_path: Path) -> None:
    scores, positive = np.array([0.9, 0.8, 0.3, 0.2]), np.array([True, False, True, False])
    for name, called in (("all", positive | True), ("half", scores > 0.5)):
        roc_curve(scores, positive, called, "drowsy", tmp_path / f"{name}.png")
    everything, half = (matplotlib.image.imread(tmp_path / f"{n}.png") for n in ("all", "half"))
    assert (everything != half).any()
    nobody = np.array([], dtype=bool)
    roc_curve(np.array([]), nobody, nobody, "drowsy", tmp_path / "none.png")


@pytest.mark.parametrize(("scope", "clusters"), [("class", 3 + 1), ("dataset", 1 + 1)])
def test_groups_are_counted_by_their_scope_and_subjects_apart_from_them(
    data: FinetuneData, models: Path, scope: Any, clusters: int
) -> None:
    """The tiny store has the same group in each of three classes, and one subject."""
    clips = [clip.model_copy(update={"group": "g01"}) for clip in data.rldd_split]
    evaluator = Evaluator(scope, 4, CPU, VIEWS)
    found = evaluator.finetuned(models / "finetuned", replace(data, rldd_split=clips))
    assert found.top1.clusters == clusters


def test_clips_without_groups_are_clusters_of_their_own_and_no_leak_share_is_known(
    data: FinetuneData, models: Path
) -> None:
    clips = [clip.model_copy(update={"group": ""}) for clip in data.ucf101_split]
    found = JUDGE.pretrained(models / "vivit", data.ucf101, clips)
    assert found.top1.clusters == found.top1.clips == VAL_CLIPS["vivit"]
    assert found.leak_share is None


def test_a_fine_tuned_model_is_evaluated_on_the_split_that_it_was_trained_by(
    data: FinetuneData, models: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(models / "finetuned", tmp_path / "finetuned"))
    turned = {"train": "val", "val": "train"}
    split = [v.model_copy(update={"subset": turned[v.subset]}) for v in data.ucf101_split]
    write_table(folder / "split.csv", Clip, split)
    examples = JUDGE.finetuned(folder, data).examples
    videos = {e.row.clip for e in examples if e.store is data.ucf101}
    assert videos == {video.video for video in split if video.subset == "val"}


def test_drivers_are_evaluated_by_as_many_views_as_other_clips(
    data: FinetuneData, models: Path
) -> None:
    found = evaluated(models, data, "finetuned")
    said = predict(found.model, data.drivers("val"), batch_size=4, device=CPU, views=VIEWS)
    assert found.drivers is not None
    assert [driver.p_drowsy for driver in found.drivers] == pytest.approx(said[:, -1].tolist())


def row(top1: float, device: str = "CPU") -> TrainedRow:
    figure = MetricRow(
        model="x", metric="top1", value=top1, low=0.1, high=0.9, interval="x", clips=10, clusters=4
    )
    return TrainedRow(
        top1=figure, leak_share=0.25, epochs=20, minutes=0.5, parameters=1_234_567, device=device
    )


def test_table1_has_our_metrics_above_the_papers(reports: Path, models: Path) -> None:
    lines = (reports / "table1.md").read_text().splitlines()[4:8]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    assert [line[:2] for line in cells] == [
        ["ViViT", "here"],
        ["ViViT", "paper A"],
        ["Non-local", "here"],
        ["Non-local", "paper A"],
    ]
    assert cells[1][2:] == ["77.81", "–", "95", "30", "21-23", "125,689,699"]
    assert cells[3][2:] == ["71.48", "–", "95", "150", "12-13", "25,812,643"]
    for own, name in ((cells[0], "vivit"), (cells[2], "nonlocal")):
        metrics = metrics_of(models / name)
        assert float(own[2]) == pytest.approx(100 * metrics["top1"], abs=0.01)
        low, high = (float(limit) for limit in own[3].split(" to "))
        assert low < float(own[2]) < high
        assert own[4:6] == ["100.0", "3"]
        assert own[7] == f"{metrics['parameters']:,}"


@pytest.mark.parametrize(
    ("vivit", "network", "better"),
    [(0.6, 0.5, "ViViT"), (0.4, 0.5, "Non-local"), (0.5, 0.5, "neither")],
)
def test_table1_names_the_better_model_and_every_device_once(
    vivit: float, network: float, better: str
) -> None:
    rows = {"vivit": row(vivit, "H100"), "nonlocal": row(network, "CPU")}
    assert f"Better here: {better}, on 10 val clips of 4 groups" in table1_note(rows, None)
    assert "ours of: CPU, H100." in table1_note(rows, None)
    assert table1_note({"vivit": row(0.6), "nonlocal": row(0.5)}, None).count("CPU") == 1


@pytest.mark.parametrize(("low", "high", "found"), [(0.02, 0.2, True), (-0.05, 0.25, False)])
def test_table1_says_whether_its_clips_distinguish_the_networks(
    low: float, high: float, found: bool
) -> None:
    rows = {"vivit": row(0.6), "nonlocal": row(0.5)}
    lead = Estimate(
        metric="top1_lead", value=0.1, low=low, high=high, interval="x", clips=10, clusters=4
    )
    note = table1_note(rows, lead)
    assert f"+10.0 points (95 % interval {100 * low:+.1f} to {100 * high:+.1f})" in note
    assert ("do not show which is better" in note) != found


def test_a_lead_is_of_the_clips_that_one_network_alone_has_right(
    data: FinetuneData, models: Path
) -> None:
    vivit, network = (evaluated(models, data, name) for name in MODELS)
    own = np.eye(3)[[0, 1, 2, 0, 1, 2]]
    labels = torch.tensor([0, 1, 2, 0, 1, 2])

    def found(evaluation: Evaluation, wrong: list[int]) -> Evaluation:
        said = own.copy()
        said[wrong] = np.roll(said[wrong], 1, axis=1)
        clusters = ["a", "b", "c", "a", "b", "c"]
        return replace(
            evaluation, probabilities=torch.from_numpy(said), labels=labels, clusters=clusters
        )

    first, second = found(vivit, [5]), found(network, [0, 1, 5])
    lead, back = first.lead(second), second.lead(first)
    assert lead is not None
    assert back is not None
    assert lead.value == pytest.approx(2 / 6, abs=1e-6)
    assert (lead.low, lead.high) == (-back.high, -back.low)
    assert lead.low >= 0  # the clip that both have wrong tells nothing of the difference
    same = first.lead(first)
    assert same is not None
    assert (same.value, same.low, same.high) == (0, None, None)


def test_minutes_an_epoch_are_those_of_the_usual_epoch(
    data: FinetuneData, models: Path, tmp_path: Path
) -> None:
    timing = {"device": "CPU", "epochs": 20, "seconds_an_epoch": 90.0, "seconds": 1900.0}
    (tmp_path / "timing.json").write_text(json.dumps(timing))
    network = Findings.of("vivit", evaluated(models, data, "vivit"))
    table = table1_of(Pretraining(networks={"vivit": network}, lead=None), {"vivit": tmp_path})
    assert table.table.rows[0][5:7] == ["20", "1.50"]


def test_each_metric_is_in_its_unit_beside_the_leak_share_of_its_clips() -> None:
    metrics = seed_metrics({"leak_share": 0.25, "drivers_leak_share": 0.5})
    limits = {"low": 0.4, "high": 0.8, "interval": "x", "clips": 10, "clusters": 4}
    estimates = [
        Estimate(metric=metric, value=0.6, **limits)
        for metric in ("top1", "drowsy_accuracy", "drowsy_vs_alert_auroc")
    ]
    metrics = by_metric(metric_rows("finetuned", estimates, metrics), "finetuned")
    lines = estimates_table(metrics).rows
    assert [(line[1], line[2], line[5]) for line in lines] == [
        ("60.0", "40.0 to 80.0", "25.0"),
        ("60.0", "40.0 to 80.0", "50.0"),
        ("0.600", "0.400 to 0.800", "50.0"),
    ]


def test_a_subjects_line_distinguishes_drowsy_and_alert_clips() -> None:
    subject = SubjectRow(
        subject="07",
        drowsy_clips=5,
        drowsy_found=4,
        alert_clips=3,
        alert_left_alone=1,
        accuracy=0.625,
        low=0.3,
        high=0.9,
        p_drowsy_when_drowsy=0.75,
        p_drowsy_when_alert=None,
    )
    (line,) = subjects_table([subject]).rows
    assert line == ["07", "4 of 5", "1 of 3", "62.5", "30.0 to 90.0", "0.750", "–"]


def test_a_table_in_markdown_is_of_one_width() -> None:
    text = table1({"vivit": row(0.6), "nonlocal": row(0.5)}).markdown()
    assert len({line.count("|") for line in text.splitlines()}) == 1


def test_a_class_without_val_clips_is_listed_without_an_accuracy() -> None:
    counts = np.array([[3, 1, 0], [0, 0, 0], [2, 2, 1]])
    first, empty, last = class_rows("vivit", counts, ["a", "b", "c"])
    assert (empty.clips, empty.accuracy, empty.low, empty.taken_for) == (0, None, None, "")
    assert empty.predicted == 3
    assert (first.accuracy, first.taken_for) == (0.75, "b")
    assert (first.low, first.high) == pytest.approx(wilson(3, 4), abs=1e-6)
    assert (last.right, last.taken_for) == (1, "a")


def test_table1_is_true_of_other_datasets_than_ucf101(reports: Path) -> None:
    title, *_, note = (reports / "table1.md").read_text().splitlines()
    assert title == "# Table 1: pretraining"
    assert note.count("UCF101") == 1
    assert "The paper's rows are of UCF101, split at random;" in note


@pytest.mark.parametrize(
    ("mix", "frames", "how"),
    [
        ({"window": "all"}, "150 frames", "frames per segment: all"),
        (
            {"window": {"frames": 12, "at": "start"}},
            "frames 1 to 12 of 150",
            "frames per segment: all, window: {frames: 12, at: start}",
        ),
        (
            {"window": {"frames": 12, "at": "centre"}},
            "frames 70 to 81 of 150",
            "frames per segment: all, window: {frames: 12, at: centre}",
        ),
    ],
)
def test_the_picture_of_mixed_frames_names_the_frames_that_were_mixed(
    mix: dict[str, Any],
    frames: str,
    how: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    drawn: list[Any] = []
    monkeypatch.setattr("framemix.evaluation.report.mixed_frames", lambda *all_: drawn.extend(all_))
    picture_clips(finetune_data(tmp_path, **mix), 1, tmp_path / "mixed_frames.png")
    clips, title, _ = drawn
    assert list(clips) == [f"ApplyLipstick, {frames}", f"alert, {frames}"]
    assert title == f"linear, 4 segments, {how}"


def test_mixed_frames_shows_at_most_eight_segments_of_any_number(tmp_path: Path) -> None:
    widths = []
    for segments in (1, 8, 150):
        clip = np.random.default_rng(0).integers(0, 255, (segments, 60, 80, 3)).astype(np.uint8)
        mixed_frames({"a": clip}, "how", tmp_path / f"{segments}.png")
        widths.append(matplotlib.image.imread(tmp_path / f"{segments}.png").shape[1])
    assert widths[0] < widths[1] == widths[2]


def test_a_confusion_matrix_is_shaded_by_the_share_of_each_true_class(tmp_path: Path) -> None:
    names = [f"Class{number}" for number in range(21)]  # too many for counts in the cells
    counts = np.random.default_rng(0).integers(1, 9, (21, 21))
    more = counts * np.arange(1, 22)[:, None]  # of each class another number of clips
    for name, drawn in (("few", counts), ("more", more), ("other", more.T)):
        confusion_matrix(drawn, names, "a title", tmp_path / f"{name}.png")
    few, more_, other = (
        (tmp_path / f"{name}.png").read_bytes() for name in ("few", "more", "other")
    )
    assert few == more_ != other


def test_confusion_matrix_of_a_hundred_classes_is_drawn(tmp_path: Path) -> None:
    names = [f"Class{number}" for number in range(100)]
    confusion_matrix(np.eye(100, dtype=np.int64), names, "a title", tmp_path / "hundred.png")
    assert 1000 < matplotlib.image.imread(tmp_path / "hundred.png").shape[0] < 2500


def test_loss_curves_of_a_single_epoch_are_drawn(tmp_path: Path) -> None:
    history = [{"epoch": 0.0, "train_loss": 1.0, "val_loss": 2.0, "val_top1": 0.5, "kept": 1.0}]
    loss_curves({"vivit": history}, tmp_path / "one.png")
    pixels = matplotlib.image.imread(tmp_path / "one.png")[..., :3]
    red, blue = pixels[..., 0], pixels[..., 2]
    for colour in (blue - red > 0.2, red - blue > 0.2):
        rows = colour.any(1).astype(int)
        assert (np.diff(rows) == 1).sum() == 2  # the point, and a line in the legend


def test_one_loss_far_off_does_not_flatten_the_curves(tmp_path: Path) -> None:
    def height(worst: float) -> int:
        """The height of the train curve, which falls from 2 to 1, in pixels."""
        history = [
            {
                "epoch": i,
                "train_loss": 2 - i / 9,
                "val_loss": 1.5,
                "val_top1": 0.5,
                "kept": float(i == 0),
            }
            for i in range(10)
        ]
        history[3]["val_loss"] = worst
        loss_curves({"vivit": history}, tmp_path / "curves.png")
        pixels = matplotlib.image.imread(tmp_path / "curves.png")[..., :3]
        left = pixels[:, : pixels.shape[1] // 2]  # without the legend
        return int(np.ptp(np.flatnonzero((left[..., 2] - left[..., 0] > 0.2).any(1))))

    assert height(1000.0) == pytest.approx(height(3.0), rel=0.1)


def test_reliability_of_no_clip_and_of_many_is_drawn(tmp_path: Path) -> None:
    bins = [
        Bin(clips=9, mean_p=p, share_drowsy=p / 2, low=p / 4, high=(1 + p) / 2)
        for p in np.linspace(0.05, 0.95, 10)
    ]
    # Bins of a single state too: their limits touch 0 and 1.
    bins += reliability(
        [
            DriverPrediction(clip=str(p), subject="1", state=state, predicted="drowsy", p_drowsy=p)
            for state, p in (("alert", 0.05), ("drowsy", 0.95))
        ]
    )
    for name, drawn in (("none", []), ("many", bins)):
        reliability_plot(drawn, tmp_path / f"{name}.png")
    shown, empty = (
        matplotlib.image.imread(tmp_path / f"{name}.png")[..., :3] for name in ("many", "none")
    )
    blue = (shown[..., 2] - shown[..., 0] > 0.2).mean()
    assert blue > (empty[..., 2] - empty[..., 0] > 0.2).mean() + 0.01
