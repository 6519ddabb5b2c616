"""A second run that was killed again and again leaves what an unbroken first one left: real DVC."""

import shutil
from pathlib import Path

import pytest
import yaml

from tests.pipeline import Project, finished_pipeline, stages_run

# Both ways to be killed, in a stage that mixes and in one that trains: with the whole process
# group, or DVC alone. For each stage: a trace of its work, and an output written after all of it.
# A stage whose DVC alone is killed hears of it within 0.2 s: after its first finished shard, mixing
# takes no longer than that here.
KILLS = [
    (True, ".scratch/mix@ucf101/*[!lk]/*.h5", "data/mixed/ucf101"),
    (False, ".scratch/mix@rldd/*.partial", "data/mixed/rldd"),
    (True, ".scratch/pretrain@vivit/*.partial/last.ckpt", "models/vivit/model.safetensors"),
    (False, ".scratch/finetune/*.partial/last.ckpt", "models/finetuned/model.safetensors"),
]


KILLED = ("mix@ucf101", "mix@rldd", "pretrain@vivit", "finetune")


def forget(project: Project, *stages: str) -> None:
    """Have nothing left of these stages: no outputs, no runs that DVC knows, no work in scratch."""
    file = project.folder / "dvc.lock"
    lock = yaml.safe_load(file.read_text())
    for stage in stages:
        for out in lock["stages"].pop(stage)["outs"]:
            path = project.folder / out["path"]
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    file.write_text(yaml.safe_dump(lock))
    shutil.rmtree(project.folder / ".dvc/cache/runs")
    shutil.rmtree(project.folder / ".scratch")


@pytest.mark.slow  # tests of scratch, of data stages and of trainings hold each part of it
def test_nothing_but_times_differs_when_one_of_two_runs_is_killed_again_and_again(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    finished = finished_pipeline(tmp_path_factory).copy(tmp_path / "finished")
    finished.set(pretrain__vivit__epochs=40, finetune__epochs=40)  # long enough to be killed
    finished.run("git commit -qam longer && dvc repro")
    project = finished.copy(tmp_path / "again")
    forget(project, *KILLED)
    for group, begun, output in KILLS:
        project.kill_repro(lambda begun=begun: any(project.folder.glob(begun)), group=group)
        assert not (project.folder / output).exists()
    assert stages_run(project.run("dvc repro"))[0] == "finetune"
    assert project.outputs() == finished.outputs()
