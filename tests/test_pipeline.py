"""The pipeline as its users run it: real DVC in a copy of the project, with the test profile."""

import json
import re
import shutil
from pathlib import Path

import pytest

from tests.pipeline import Project, finished_pipeline, shown_pipeline, stages_run
from tests.terminal import assert_readable

STAGES = [
    "sample",
    "filter",
    "split",
    "resize",
    "mix@ucf101",
    "mix@rldd",
    "pretrain@vivit",
    "pretrain@nonlocal",
    "report_pretraining",
    "finetune",
    "evaluate",
]
DRIVERS_STAGES = {"resize", "mix@rldd", "finetune", "evaluate"}
STAGE = "PYTHONPATH=src python -m stages"


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Project:
    return finished_pipeline(tmp_path_factory)


def test_every_stage_is_readable_on_a_terminal(tmp_path_factory: pytest.TempPathFactory) -> None:
    shown = shown_pipeline(tmp_path_factory)
    assert_readable(shown)
    for work in ("render videos", "filter videos", "resize videos", "mix shards"):
        assert re.search(rf"{work} ━+ (\d+)/\1 \S+/s, took 0:", shown.text), shown.text
    # One line for each epoch; the bar below shows more, and goes with the training.
    left = r", \d+:\d\d left of \d+:\d\d"  # and how long all epochs take
    for epoch in (1, 2):
        line = rf"^epoch {epoch}/2: loss .* s{left if epoch == 1 else ''}$"
        assert len(re.findall(line, shown.text, re.M)) == 3
    assert re.search(rb"epoch \d+/\d+, step \d+/\d+, loss \d", shown.written)
    assert not re.search("^epoch .* step", shown.text, re.M)
    assert "reports/index.html" in shown.text


def test_ctrl_c_in_a_training_saves_and_leaves_the_terminal_as_it_was(
    finished: Project, tmp_path: Path
) -> None:
    project = finished.copy(tmp_path / "project")
    project.set(pretrain__vivit__epochs=500)
    shown = project.show("dvc repro pretrain@vivit", ctrl_c_after=r"epoch \d+/500, step")
    assert shown.code != 0
    assert "Traceback" not in shown.text
    assert shown.cursor_is_visible
    assert "stopped by SIGINT: saved, run again to resume" in shown.text


def test_every_output_is_there_after_one_repro(finished: Project) -> None:
    assert sorted(finished.run("dvc stage list --name-only").split()) == sorted(STAGES)
    for path in finished.outputs():
        assert (finished.folder / path).exists()


def test_commands_of_the_project_are_readable_on_a_terminal(
    finished: Project, tmp_path: Path
) -> None:
    project = finished.copy(tmp_path / "project")
    for command in ("doctor --decode", "table2", "folds", "profile paper"):
        shown = project.show(f"framemix {command}")
        assert shown.code == 0, shown.text
        assert_readable(shown)
        assert shown.lines


def test_second_repro_runs_nothing(finished: Project) -> None:
    assert stages_run(finished.run("dvc repro")) == []


def test_outputs_hold_no_path_of_this_machine(finished: Project) -> None:
    outputs = [finished.folder / path for path in finished.outputs()]
    files = [file for output in outputs for file in (output, *output.rglob("*")) if file.is_file()]
    assert any(file.suffix == ".h5" for file in files)
    for file in files:
        assert str(finished.folder).encode() not in file.read_bytes(), file


def test_plots_and_experiments_have_something_to_show(finished: Project) -> None:
    finished.run("dvc plots show")
    page = (finished.folder / "dvc_plots/index.html").read_text()
    assert "Loss by epoch" in page
    assert "data:image/png" in page or (finished.folder / "dvc_plots/static").is_dir()
    assert "finetuned.drowsy" in finished.run("dvc exp show --md")


def test_a_start_from_elsewhere_needs_no_pretraining_and_none_of_ucf101s_stages(
    finished: Project, tmp_path: Path
) -> None:
    project = finished.copy(tmp_path / "project")
    checkpoint = project.folder / "data/pretrained/somebodys/model.safetensors"
    checkpoint.parent.mkdir(parents=True)
    checkpoint.write_text("weights")
    project.set(finetune__start="data/pretrained/somebodys", finetune__needs="rldd")
    assert stages_run(project.run("dvc repro finetune --dry")) == ["finetune"]
    before_it = stages_run(project.run("dvc repro finetune --dry --force"))
    assert before_it == ["sample", "resize", "mix@rldd", "finetune"]


def test_a_mode_reruns_only_fine_tuning_and_what_follows(finished: Project, tmp_path: Path) -> None:
    project = finished.copy(tmp_path / "project")
    project.set(finetune__mode="temporal_fc")
    assert stages_run(project.run("dvc repro --dry")) == ["finetune", "evaluate"]
    changes = json.loads(project.run("dvc params diff --json"))
    assert changes == {"params.yaml": {"finetune.mode": {"old": "all", "new": "temporal_fc"}}}


def test_vivit_settings_leave_mixing_and_the_other_network_alone(
    finished: Project, tmp_path: Path
) -> None:
    project = finished.copy(tmp_path / "project")
    project.set(pretrain__vivit__learning_rate=0.01)
    ran = project.run("dvc repro --dry")
    # What follows depends on the weights that come out: a dry run cannot know them.
    assert stages_run(ran) == ["pretrain@vivit"]


def test_another_size_mixes_again(finished: Project, tmp_path: Path) -> None:
    """Which DVC's run cache overlooks where a whole section is listed."""
    project = finished.copy(tmp_path / "project")
    project.set(mix__size=[24, 40])
    assert stages_run(project.run("dvc repro mix@rldd")) == ["mix@rldd"]


def test_runtime_settings_rerun_nothing(finished: Project, tmp_path: Path) -> None:
    project = finished.copy(tmp_path / "project")
    project.set(runtime__workers=2)
    assert stages_run(project.run("dvc repro --dry")) == []


def test_without_drivers_pretraining_is_reported_and_the_whole_pipeline_says_so(
    finished: Project, tmp_path: Path
) -> None:
    project = finished.copy(tmp_path / "project")
    project.set(data__rldd="data/raw/rldd", evaluate__batch_size=5)
    for path in ("data/rldd", "data/mixed/rldd", "models/finetuned", "reports"):
        shutil.rmtree(project.folder / path)
    output = project.run("dvc repro report_pretraining")
    assert stages_run(output) == ["report_pretraining"]
    assert set(re.findall(r"[Ss]tage '(\S+)'", output)) == {*STAGES} - DRIVERS_STAGES
    for name in ("table1.md", "predictions_vivit.csv", "confusion_nonlocal.png"):
        path = f"reports/{name}"
        assert (project.folder / path).read_bytes() == (finished.folder / path).read_bytes()
    assert (project.folder / "reports/pretraining.html").is_file()
    *_, stage, dvc = project.run("dvc repro", fails=True).strip().splitlines()
    assert stage.startswith("error: data.rldd = data/raw/rldd: no video")
    assert stage.endswith("; without drivers: dvc repro report_pretraining")
    assert "resize" in dvc


def test_paper_profile_lists_the_papers_pipeline(finished: Project, tmp_path: Path) -> None:
    project = finished.copy(tmp_path / "project")
    project.run("git checkout -q params.yaml && framemix profile paper")
    assert stages_run(project.run("dvc repro --dry --force")) == STAGES
    # The sample stays as it is.
    assert stages_run(project.run("dvc repro --dry")) == STAGES[1:]
    changed = project.run("dvc params diff")
    for value in ("pretrain.vivit.model.dim ", "mix.window", "data.ucf101"):
        assert value in changed


@pytest.mark.parametrize(
    ("change", "command", "words"),
    [
        ({"data__ucf101": "/nowhere/UCF-101"}, "dvc repro filter", ["/nowhere/UCF-101"]),
        (
            {"finetune__mode": "banana"},
            "dvc repro finetune",
            ["finetune.mode", "banana", "temporal_fc"],
        ),
        # The two above show that DVC passes a stage's line on; the rest run the stage directly.
        (
            {"data__ucf101": "data/raw/ucf101"},
            f"{STAGE}.filter",
            ["data.ucf101", "data/raw/ucf101", "allowed"],
        ),
        (
            {"data__rldd": "data/raw/rldd"},
            f"{STAGE}.resize",
            ["data.rldd", "data/raw/rldd", "allowed", "dvc repro report_pretraining"],
        ),
        ({"finetune__moed": "all"}, f"{STAGE}.finetune", ["finetune.moed", "allowed", "mode"]),
        ({"mix__segments": 5}, f"{STAGE}.mix rldd", ["mix.segments", "5", "frame_patch_size = 2"]),
        (
            {"mix__segments": 26},
            f"{STAGE}.mix rldd",
            ["mix.segments", "26", "filter.min_frames = 24"],
        ),
        (
            {"mix__size": [24, 33]},
            f"{STAGE}.mix rldd",
            ["mix.size", "33", "image_patch_size = 8"],
        ),
    ],
)
def test_bad_input_is_one_clear_line(
    change: dict[str, object], command: str, words: list[str], finished: Project, tmp_path: Path
) -> None:
    project = finished.copy(tmp_path / "project")
    project.set(**change)
    output = project.run(command, fails=True)
    line = next(line for line in output.splitlines() if line.lower().startswith("error"))
    assert all(word in line for word in words), output
    assert "Traceback" not in output


def test_the_next_experiment_is_one_setting_away_and_warns_of_no_other_pipeline(
    finished: Project, tmp_path: Path
) -> None:
    project = finished.copy(tmp_path / "project")
    project.run("cp pipelines/frame_mixup.yaml pipelines/another.yaml && git add pipelines")
    project.run("git commit -qm another")
    output = project.run("dvc exp run -S finetune.mode=temporal_fc")
    assert stages_run(output) == ["finetune", "evaluate"]
    assert "WARNING" not in output
    assert "up to date" in project.run("dvc status")
    # DVC adds a column for the hash of each file that a later stage reads.
    for command, column in (
        ("dvc metrics show", "finetuned.auroc"),
        ("dvc exp show --only-changed --drop '.*/'", "finetune.mode"),
    ):
        shown = project.run(command).splitlines()
        assert any(column in line for line in shown)
        assert max(map(len, shown)) <= 160, shown


def test_val_without_drowsy_clips_is_refused(finished: Project, tmp_path: Path) -> None:
    project = finished.copy(tmp_path / "project")
    project.set(split__rldd="fold5")
    refused = project.run("dvc repro resize", fails=True)
    assert stages_run(refused)[-1] == "resize"
    assert "error: split.rldd = fold5: no alert val clip, which finetune.task =" in refused


def test_a_fresh_clone_pulls_what_was_pushed_and_runs_nothing(
    finished: Project, tmp_path: Path
) -> None:
    project = finished.copy(tmp_path / "project")
    project.run("dvc remote add --default lab ../lab && git commit -qam remote")
    project.run("dvc push --run-cache")
    project.run("git clone -q . ../clone")
    clone = Project(tmp_path / "clone")
    clone.run("dvc pull --run-cache")
    assert stages_run(clone.run("dvc repro")) == []
    assert clone.outputs() == project.outputs()
    # A lock file that DVC was killed writing can be deleted: the runs themselves came along.
    (clone.folder / "dvc.lock").write_text("")
    assert "'./dvc.lock' validation failed" in clone.run("dvc repro", fails=True)
    (clone.folder / "dvc.lock").unlink()
    assert stages_run(clone.run("dvc repro")) == []
    assert clone.outputs() == project.outputs()


@pytest.mark.slow
def test_queued_modes_fill_the_papers_second_table(finished: Project, tmp_path: Path) -> None:
    project = finished.copy(tmp_path / "project")
    modes = ["all", "spatial_temporal_fc", "temporal_fc", "fc"]
    task = "-S finetune.task=drowsy_class"
    project.run(f"dvc exp run --queue {task} -S 'finetune.mode={','.join(modes)}'")
    project.run("dvc queue start")
    project.await_queue()
    table = project.run("dvc exp show --csv")
    assert all(f",{mode}," in table for mode in modes)
    assert "finetuned.drowsy" in table
