import csv
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import matplotlib.image
import numpy as np
import pytest
import torch
import yaml

from framemix.evaluation.figures import confusion_matrix, loss_curves, mixed_frames
from framemix.evaluation.report import write_report
from framemix.evaluation.settings import EvaluateSettings
from framemix.evaluation.tables import TrainedRow, table1
from framemix.training.finetune import finetune
from framemix.training.finetune_data import FinetuneData
from framemix.training.finetune_settings import FinetuneSettings
from framemix.training.pretrain import pretrain
from framemix.training.settings import PretrainNonLocal, PretrainViViT
from tests.tiny_store import (
    FINETUNING,
    NONLOCAL,
    TRAINING,
    VIVIT,
    driver_split,
    finetune_data,
    machine,
)

ROOT = Path(__file__).resolve().parents[1]
CPU = torch.device("cpu")
MODELS = ("vivit", "nonlocal")
VAL_CLIPS = {"vivit": 6, "nonlocal": 6, "finetuned": 8}
PNGS = [
    "loss_curves.png",
    "mixed_frames.png",
    *(f"confusion_{name}.png" for name in VAL_CLIPS),
]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> FinetuneData:
    return finetune_data(tmp_path_factory.mktemp("report"))


@pytest.fixture(scope="module")
def models(data: FinetuneData, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder like models/: two pretrained networks and a fine-tuned one."""
    folder = tmp_path_factory.mktemp("report")
    here = machine(folder / "scratch")
    for settings, name in (
        (PretrainViViT.model_validate({**TRAINING, "model": VIVIT}), "vivit"),
        (PretrainNonLocal.model_validate({**TRAINING, "model": NONLOCAL}), "nonlocal"),
    ):
        pretrain(
            data.ucf101, data.ucf101_split, settings, seeds=[0], target=folder / name, machine=here
        )
    tuning = {**TRAINING, **FINETUNING, "mode": "temporal_fc"}
    finetune(
        folder / "vivit/model.safetensors",
        data,
        FinetuneSettings.model_validate(tuning),
        seeds=[0],
        target=folder / "finetuned",
        machine=here,
    )
    return folder


@pytest.fixture(scope="module")
def reports(models: Path, data: FinetuneData, tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("report") / "reports"
    write(models, data, target)
    return target


def write(models: Path, data: FinetuneData, target: Path) -> Mapping[str, object]:
    return write_report(
        {name: models / name for name in MODELS},
        models / "finetuned",
        data,
        0.25,
        EvaluateSettings(batch_size=4, pictured_clips=2),
        device=CPU,
        target=target,
    )


def metrics_of(folder: Path) -> dict[str, float]:
    metrics: dict[str, float] = json.loads((folder / "metrics.json").read_text())
    return metrics


def test_writes_just_the_files_that_the_pipeline_expects(reports: Path) -> None:
    stage = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]["evaluate"]
    expected = {Path(out) for out in stage["outs"] + stage["metrics"]}
    assert {Path("reports") / file.name for file in reports.iterdir()} == expected


def test_metrics_are_those_of_the_models_own_stages(reports: Path, models: Path) -> None:
    report = json.loads((reports / "metrics.json").read_text())
    for name in (*MODELS, "finetuned"):
        own = metrics_of(models / name)
        assert report[name] == {key: own[key] for key in report[name]}, name
    assert {"top1", "drowsy_accuracy", "drowsy_vs_alert_auroc"} <= set(report["finetuned"])


def test_says_which_pretrained_model_is_better(reports: Path, models: Path) -> None:
    top1 = {name: metrics_of(models / name)["top1"] for name in MODELS}
    better = json.loads((reports / "metrics.json").read_text())["better"]
    assert top1[better] == max(top1.values())


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
    reports: Path, models: Path, data: FinetuneData, tmp_path: Path
) -> None:
    write(models, data, tmp_path)
    for file in reports.iterdir():
        assert (tmp_path / file.name).read_bytes() == file.read_bytes(), file.name


def test_planes_are_pictured_as_pixels_are(models: Path, reports: Path, tmp_path: Path) -> None:
    write(models, finetune_data(tmp_path, pixel_format="yuv420p"), tmp_path)
    picture, expected = (
        matplotlib.image.imread(folder / "mixed_frames.png") for folder in (tmp_path, reports)
    )
    # The clips are noise: of each pixel's own colour, planes keep the brightness.
    assert 0 < np.abs(picture - expected).mean() < 0.05


def test_pictures_do_not_depend_on_where_their_clips_lie_in_the_index(
    data: FinetuneData, models: Path, reports: Path, tmp_path: Path
) -> None:
    turned = replace(data, rldd_split=driver_split(data.rldd)[::-1])
    write(models, turned, tmp_path)
    assert (tmp_path / "mixed_frames.png").read_bytes() == (
        reports / "mixed_frames.png"
    ).read_bytes()
    name = "confusion_finetuned.png"
    assert (tmp_path / name).read_bytes() == (reports / name).read_bytes()


def row(top1: float, device: str = "CPU") -> TrainedRow:
    return TrainedRow(top1=top1, epochs=20, minutes=0.5, parameters=1_234_567, device=device)


def test_table1_has_our_figures_beside_the_papers(reports: Path, models: Path) -> None:
    table = (reports / "table1.md").read_text()
    vivit, network = (line.split(" | ") for line in table.splitlines()[4:6])
    assert vivit[0] == "| ViViT"
    assert network[0] == "| Non-local"
    for cells, name, paper in (
        (vivit, "vivit", ("77.81", "30", "21-23")),
        (network, "nonlocal", ("71.48", "150", "12-13")),
    ):
        assert float(cells[1]) == pytest.approx(100 * metrics_of(models / name)["top1"], abs=0.01)
        assert cells[3] == "3"
        assert (cells[2], cells[4], cells[6]) == paper
        assert cells[7].rstrip(" |") == f"{metrics_of(models / name)['parameters']:,}"
    assert "25.0% of the val clips have a sibling" in table
    assert "on 6 val clips" in table


@pytest.mark.parametrize(
    ("vivit", "network", "better"), [(0.6, 0.5, "ViViT"), (0.4, 0.5, "Non-local")]
)
def test_table1_names_the_better_model(vivit: float, network: float, better: str) -> None:
    table = table1({"vivit": row(vivit), "nonlocal": row(network)}, 10, 0.0)
    assert f"Better here: {better}" in table
    assert "no val clip has a sibling" in table


def test_table1_is_a_table_of_one_width_and_names_every_device_once() -> None:
    rows = {"vivit": row(0.6, "H100"), "nonlocal": row(0.5, "CPU")}
    table = table1(rows, 10, 0.95)
    assert len({line.count("|") for line in table.splitlines() if line.startswith("|")}) == 1
    assert "ours of: CPU, H100." in table
    assert table1({"vivit": row(0.6), "nonlocal": row(0.5)}, 10, 0.95).count("CPU") == 1


def test_mixed_frames_shows_at_most_eight_segments_of_any_number(tmp_path: Path) -> None:
    widths = []
    for segments in (1, 8, 150):
        clip = np.random.default_rng(0).integers(0, 255, (segments, 60, 80, 3)).astype(np.uint8)
        mixed_frames({"a": clip, "b": clip}, "how", tmp_path / f"{segments}.png")
        widths.append(matplotlib.image.imread(tmp_path / f"{segments}.png").shape[1])
    assert widths[0] < widths[1] == widths[2]


def test_confusion_matrix_of_a_hundred_classes_is_drawn(tmp_path: Path) -> None:
    names = [f"Class{number}" for number in range(100)]
    confusion_matrix(np.eye(100, dtype=np.int64), names, tmp_path / "hundred.png")
    assert 1000 < matplotlib.image.imread(tmp_path / "hundred.png").shape[0] < 2500


def test_loss_curves_of_a_single_epoch_are_drawn(tmp_path: Path) -> None:
    history = [{"epoch": 0.0, "train_loss": 1.0, "val_loss": 2.0, "val_top1": 0.5}]
    loss_curves({"vivit": history}, tmp_path / "one.png")
    pixels = matplotlib.image.imread(tmp_path / "one.png")[..., :3]
    red, blue = pixels[..., 0], pixels[..., 2]
    for colour in (blue - red > 0.2, red - blue > 0.2):
        rows = colour.any(1).astype(int)
        assert (np.diff(rows) == 1).sum() == 2  # the point, and a line in the legend
