"""A pipeline that was killed goes on where it was: real DVC in a copy of the project."""

from pathlib import Path

import pytest

from tests.pipeline import Project, stages_run

# Of each stage to kill: a trace of its work, and an output that comes after all of it.
MIXED = "data/mixed/ucf101"
PRETRAIN = (".scratch/pretrain@vivit/*.partial/last.ckpt", "models/vivit/model.safetensors")


@pytest.fixture(scope="module")
def resized(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project run up to the stage before mixing; pretraining is long enough to be killed."""
    project = Project.fresh(tmp_path_factory.mktemp("resized"))
    project.set(pretrain__vivit__epochs=40, runtime__workers=1)
    project.run("git commit -qam longer && dvc repro split resize")
    return project


@pytest.fixture(scope="module")
def unbroken(resized: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    project = resized.copy(tmp_path_factory.mktemp("unbroken") / "project")
    project.run("dvc repro")
    return project


# A stage whose DVC alone is killed hears of it within 0.2 s: after the first finished shard, mixing
# takes no longer than that here.
@pytest.mark.parametrize(
    ("group", "mixing"),
    [(False, ".scratch/mix@ucf101/*.partial"), (True, ".scratch/mix@ucf101/*[!lk]/*.h5")],
    ids=["dvc alone", "process group"],
)
def test_repro_killed_again_and_again_goes_on_to_the_same_bytes(
    group: bool, mixing: str, resized: Project, unbroken: Project, tmp_path: Path
) -> None:
    project = resized.copy(tmp_path / "project")
    for begun, output in ((mixing, MIXED), PRETRAIN):
        project.kill_repro(lambda begun=begun: any(project.folder.glob(begun)), group=group)
        assert not (project.folder / output).exists()
    ran = stages_run(project.run("dvc repro"))
    assert "pretrain@vivit" in ran
    assert "mix@ucf101" not in ran
    assert project.outputs() == unbroken.outputs()
