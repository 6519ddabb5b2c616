"""The full sample, and real clips, through the whole pipeline. Long: `make test-slow`."""

import json
from pathlib import Path
from statistics import mean

import pytest

from framemix.evaluation.tables import MetricRow, by_metric
from framemix.tables import read_table
from tests.pipeline import Project

pytestmark = pytest.mark.slow


def metrics(project: Project) -> dict[str, dict[str, float]]:
    report: dict[str, dict[str, float]] = json.loads(
        (project.folder / "reports/metrics.json").read_text()
    )
    return report


def test_full_sample_learns_motion_and_drowsiness_of_unseen_people(tmp_path: Path) -> None:
    project = Project.fresh(tmp_path / "project", profile=None)
    project.run("dvc repro")
    rows = read_table(project.folder / "reports/estimates.csv", MetricRow)
    chance = 1 / 8
    for name in ("vivit", "nonlocal"):
        assert by_metric(rows, name)["top1"].value >= 3 * chance
    drivers = by_metric(rows, "finetuned")
    assert (drivers["drowsy_accuracy"].clips or 0) >= 9
    assert drivers["drowsy_accuracy"].value > 0.5
    assert drivers["drowsy_vs_alert_auroc"].value > 0.75


def test_real_actions_of_unseen_persons_are_distinguished(tmp_path: Path, shared: Path) -> None:
    project = Project.fresh(tmp_path / "project", profile=None)
    project.set(
        data__ucf101=str(shared / "data/Weizmann"),
        data__rldd=str(shared / "data/UTA-RLDD-standin"),
        split__folds=6,
        resize__orientation="any",
    )
    folds = []
    for fold in range(6):
        project.set(split__fold=fold)
        project.run("dvc repro")
        folds.append(metrics(project))
    # Eight clips in each fold: the mean over the folds is that over the 48 clips.
    pooled = [mean(report[model]["top1"] for report in folds) for model in ("vivit", "nonlocal")]
    assert max(pooled) >= 0.7
