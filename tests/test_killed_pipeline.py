"""A second run that was killed again and again leaves what an unbroken first one left: real DVC."""

from pathlib import Path

import pytest

from tests.pipeline import finished_pipeline, fresh_pipeline, stages_run

# Both ways to be killed, in a stage that mixes and in one that trains: with the whole process
# group, or DVC alone. Of each stage, a trace of its work and an output that comes after all of it.
# A stage whose DVC alone is killed hears of it within 0.2 s: after its first finished shard, mixing
# takes no longer than that here.
KILLS = [
    (True, ".scratch/mix@ucf101/*[!lk]/*.h5", "data/mixed/ucf101"),
    (False, ".scratch/mix@rldd/*.partial", "data/mixed/rldd"),
    (True, ".scratch/pretrain@vivit/*.partial/last.ckpt", "models/vivit/model.safetensors"),
    (False, ".scratch/finetune/*.partial/last.ckpt", "models/finetuned/model.safetensors"),
]


def test_nothing_but_times_differs_when_one_of_two_runs_is_killed_again_and_again(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    project = fresh_pipeline(tmp_path / "again", runtime__workers=1)
    for group, begun, output in KILLS:
        project.kill_repro(lambda begun=begun: any(project.folder.glob(begun)), group=group)
        assert not (project.folder / output).exists()
    ran = stages_run(project.run("dvc repro"))
    assert "finetune" in ran
    assert not {"mix@ucf101", "mix@rldd", "pretrain@vivit"} & set(ran)
    assert project.outputs() == finished_pipeline(tmp_path_factory).outputs()
