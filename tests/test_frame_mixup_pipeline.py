"""Paper B's study as its users run it: real DVC in a copy of the project, with the test profile."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests import warm
from tests.listing import shared_workers
from tests.pipeline import ENVIRONMENT, Project, stages_run

REPRO = "dvc repro frame_mixup/dvc.yaml"
STAGE = "PYTHONPATH=src python "
VIDEOS = f"{STAGE}-m stages.frame_mixup.videos"
STUDY = "frame_mixup/dvc.lock"
REPORTS = ("reports/table_b.md", "reports/direction.png", "reports/frame_mixup.json")


# Prints the study's commands in an order in which DVC may run them.
COMMANDS = """
import networkx
from dvc.repo import Repo
for stage in networkx.dfs_postorder_nodes(Repo().index.graph):
    if stage.addressing.startswith("frame_mixup/"):
        print(stage.cmd)
"""


def study(folder: Path) -> Project:
    project = Project.fresh(folder)
    project.run("framemix pipeline frame_mixup")
    return project


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The study after DVC's commands, started warm; `dvc commit` notes what `dvc repro` would."""
    project = study(tmp_path_factory.mktemp("study"))
    # All stages share workers, which each would start: the section `runtime` decides no output.
    project.set(runtime__scheduler=shared_workers().scheduler)
    where: dict[str, Any] = {"cwd": project.folder, "env": ENVIRONMENT}
    commands = warm.run(["-c", COMMANDS], imports=warm.DVC, **where).stdout.splitlines()
    assert len(commands) == len(set(commands)) >= 10
    for command in commands:
        done = warm.run(command.removeprefix(STAGE).split(), joined=True, **where)
        assert done.returncode == 0, done.stdout
    project.set(runtime__scheduler=None)
    project.run("dvc commit --force frame_mixup/dvc.yaml")
    return project


def ran(project: Project, command: str = REPRO) -> list[str]:
    """The names of the study's stages that a command ran, sorted: DVC chooses among the ready."""
    return sorted(
        name.removeprefix("frame_mixup/dvc.yaml:") for name in stages_run(project.run(command))
    )


def study_metrics(project: Project) -> dict[str, Any]:
    metrics: dict[str, Any] = json.loads((project.folder / "reports/frame_mixup.json").read_text())
    return metrics


def test_one_repro_leaves_table_plot_and_metrics(finished: Project) -> None:
    for report in REPORTS:
        assert (finished.folder / report).is_file()
    metrics = study_metrics(finished)
    assert metrics["short"].keys() == {"none", "average-all"}
    assert metrics["short"]["none"]["seeds"] == [0, 1]
    assert metrics["long"].keys() == {"linear-all"}
    assert metrics["checks"]["average_equal_segments"]["value"] == 0.5
    assert "| average-all |" in (finished.folder / "reports/table_b.md").read_text()


@pytest.mark.slow  # above, all of its commands run; the main pipeline's run as DVC starts them
def test_repro_itself_leaves_the_same_outputs(finished: Project, tmp_path: Path) -> None:
    project = study(tmp_path / "project")
    project.run(REPRO)
    assert project.outputs(STUDY) == finished.outputs(STUDY)


def test_second_repro_runs_nothing(finished: Project) -> None:
    assert ran(finished) == []


def test_the_main_pipeline_is_left_alone(finished: Project) -> None:
    assert "frame_mixup" not in finished.run("dvc stage list --name-only")
    assert "frame_mixup" not in finished.run("dvc metrics show")


def test_another_cell_runs_that_cell_alone(finished: Project, tmp_path: Path) -> None:
    project = finished.copy(tmp_path / "project")
    project.set(frame_mixup__cells=["none", "average-all", "harmonic-all"])
    # A dry run ends at the training on the store that would come out.
    output = project.run(f"{REPRO} --dry", fails=True)
    assert stages_run(output) == ["frame_mixup/dvc.yaml:mix@harmonic-all"]
    assert "train@short-average-all-0' didn't change" in output


def test_the_recipe_trains_again_and_mixes_nothing(finished: Project, tmp_path: Path) -> None:
    project = finished.copy(tmp_path / "project")
    project.set(frame_mixup__train__learning_rate=0.001)
    stages = ran(project, f"{REPRO} --dry")
    assert {stage.split("@")[0] for stage in stages} == {"train", "train-more", "train-long"}


def test_other_short_videos_leave_the_long_ones_alone(finished: Project, tmp_path: Path) -> None:
    project = finished.copy(tmp_path / "project")
    project.set(frame_mixup__data__short="data/sample/arrow/long")
    assert ran(project, f"{REPRO} --dry") == ["mix@average-all", "mix@none", "videos"]


@pytest.mark.parametrize(
    ("change", "command", "words"),
    [
        ({"cells": ["linaer-all"]}, REPRO, ["frame_mixup.cells", "linaer-all", "allowed"]),
        ({"data__short": "/nowhere/videos"}, REPRO, ["/nowhere/videos"]),
        (
            {"reversed_classes": [["Grow", "Shrnk"]]},
            REPRO,
            ["frame_mixup.reversed_classes", "Shrnk", "frame_mixup.data.", "allowed: Shrink, "],
        ),
        # DVC passes a stage's line on, as the one above shows; here the stage runs directly.
        ({"data__short": "data/raw/ucf101"}, VIDEOS, ["data/raw/ucf101", "no video"]),
    ],
)
def test_bad_input_is_one_clear_line(
    change: dict[str, object], command: str, words: list[str], finished: Project, tmp_path: Path
) -> None:
    project = finished.copy(tmp_path / "project")
    project.set(**{f"frame_mixup__{key}": value for key, value in change.items()})
    output = project.run(command, fails=True)
    line = next(line for line in output.splitlines() if line.lower().startswith("error"))
    assert all(word in line for word in words), output
    assert "Traceback" not in output


def test_videos_that_all_train_are_refused_before_they_are_mixed(
    finished: Project, tmp_path: Path
) -> None:
    project = finished.copy(tmp_path / "project")
    project.run("mkdir data/one_side && cp -r data/sample/arrow/short/train data/one_side")
    project.set(
        frame_mixup__data__short="data/one_side",
        runtime__scheduler=shared_workers().scheduler,
    )
    output = project.run(VIDEOS, fails=True)
    line = output.splitlines()[-1]
    assert line.startswith("error: frame_mixup.data.short = data/one_side: none of ")
    assert " is in val; allowed: " in line
