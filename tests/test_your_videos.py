"""What users may rely on with their own videos: the split, the model to start from, the report."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from framemix.cli import app
from framemix.datasets.clips import Clip, class_labels
from framemix.datasets.layouts.folders import FOLDERS
from framemix.datasets.origin import Origin
from framemix.errors import DatasetError, ModelError
from framemix.evaluation.tables import by_metric
from framemix.models import load_model
from framemix.project.params import PARAMS, load_params
from framemix.project.profiles import apply_values
from framemix.store import MixedStore
from framemix.store.build import build_store
from framemix.store.sources import sources_of
from framemix.training.run import Machine
from framemix.your_videos.report import MODEL, write_report
from framemix.your_videos.settings import YourTraining
from framemix.your_videos.split import YourSplit, split_clips
from framemix.your_videos.train import train
from tests.listing import execution, listed
from tests.pipeline import ROOT, Project
from tests.tiny_model import write_video
from tests.tiny_store import mix_settings

CPU = torch.device("cpu")


def clip(number: int, class_name: str, group: str = "", subset: str = "") -> Clip:
    return Clip(
        video=f"{class_name}/{number}.mp4",
        class_name=class_name,
        group=group,
        subset=subset,
        frames=8,
        seconds=1.0,
        kept=True,
    )


def split_by(by: Any, clips: Sequence[Clip], **changes: Any) -> list[Clip]:
    values = {"by": by, "folds": 2, "fold": 0, "seed": 0, **changes}
    return split_clips(clips, YourSplit.model_validate(values))[0]


@given(
    groups=st.lists(st.sampled_from("abcdef"), min_size=8, max_size=30).filter(
        lambda names: len(set(names)) > 3
    ),
    fold=st.integers(0, 1),
)
def test_no_group_is_on_both_sides(groups: list[str], fold: int) -> None:
    clips = [clip(n, "xy"[n % 2], group) for n, group in enumerate(groups)]
    rows = split_by("group", clips, fold=fold)
    sides = [{row.group for row in rows if row.subset == side} for side in ("train", "val")]
    assert sides[0].isdisjoint(sides[1])
    assert all(sides)


@pytest.mark.parametrize("by", ["given", "group", "random"])
def test_a_test_subset_stays_one_and_train_gives_the_val_clips_that_are_missing(by: Any) -> None:
    clips = [clip(n, "xy"[n % 2], f"{n}", "test" if n < 4 else "train") for n in range(12)]
    rows = split_by(by, clips)
    assert [row.subset for row in rows[:4]] == ["test"] * 4
    assert {row.subset for row in rows[4:]} == {"train", "val"}


def test_given_sides_are_taken_as_they_are() -> None:
    clips = [clip(n, "xy"[n % 2], "one", "val" if n < 4 else "train") for n in range(12)]
    assert split_by("given", clips) == clips


def test_without_groups_clips_of_each_class_are_on_both_sides() -> None:
    rows = split_by("group", [clip(n, "xy"[n % 2]) for n in range(12)])
    assert {(row.class_name, row.subset) for row in rows} == {
        (name, side) for name in "xy" for side in ("train", "val")
    }


@pytest.mark.parametrize(
    ("by", "clips", "words"),
    [
        ("given", [clip(n, "xy"[n % 2]) for n in range(6)], "split.by = given: no train clip"),
        ("group", [clip(n, "xy"[n % 2], "one") for n in range(6)], "split.folds = 2: 1 groups"),
    ],
)
def test_a_split_that_cannot_be_made_is_one_line(by: Any, clips: list[Clip], words: str) -> None:
    with pytest.raises(DatasetError, match=words):
        split_by(by, clips)


# From files to a report


def write_videos(paths: list[Path], seed: int = 0) -> None:
    """Write one video of 12 frames to all paths."""
    first = write_video(paths[0], 12, seed=seed)
    for path in paths[1:]:
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(first, path)


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout beside a folder of videos whose names say nothing."""
    folder = tmp_path_factory.mktemp("yours")
    write_videos([folder / f"videos/cats/IMG_00{11 + n}.MOV" for n in range(8)], seed=1)
    write_videos([folder / f"videos/walk/clip ({n}).mp4" for n in range(8)], seed=2)
    (folder / "videos/walk/broken.mp4").write_bytes(b"broken")
    (folder / "videos/walk/._clip (1).mp4").write_bytes(b"\0\5\26\7")
    write_video(folder / "videos/cats/short.avi", 3, seed=3)
    Project.fresh(folder / "project")
    return folder


@pytest.fixture(scope="module")
def used(checkout: Path) -> str:
    """What `framemix use` said of the folder, and after it of a few clips in every stage."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(checkout / "project")
        done = CliRunner().invoke(app, ["use", "../videos", "--check"])
    assert done.exit_code == 0, (done.output, done.exception)
    return done.output


def test_use_says_what_is_in_a_folder_and_what_cannot_be_used(used: str) -> None:
    assert "| cats | 9 |" in used
    assert "| walk | 8 |" in used
    assert "Unusable: 2 files." in used
    assert "broken.mp4" in used
    assert "1 are shorter and will be left out" in used


def test_use_writes_settings_that_suit_and_keeps_comments(checkout: Path, used: str) -> None:
    project = checkout / "project"
    yours = load_params(project / "params.yaml").your_videos
    assert yours.data == (checkout / "videos").resolve()
    assert yours.mix.segments == 8
    assert yours.split.by == "random"  # no layout or list names groups
    before = (ROOT / "params.yaml").read_text()
    assert (project / "params.yaml").read_text().count("#") == before.count("#")
    assert (project / "your_videos/dvc.yaml").is_file()


def test_use_writes_a_path_in_the_checkout_as_relative(
    checkout: Path, used: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = Project(checkout / "project").copy(tmp_path / "project")
    monkeypatch.chdir(project.folder)
    (project.folder / "data/own").mkdir()
    for name in ("cats", "walk"):
        (project.folder / f"data/own/{name}").mkdir()
        video = next((checkout / "videos" / name).glob("[Ic]*"))
        (project.folder / f"data/own/{name}/{video.name}").hardlink_to(video)
    assert CliRunner().invoke(app, ["use", "data/own"]).exit_code == 0
    assert load_params().your_videos.data == Path("data/own")


def test_use_keeps_what_was_chosen_for_the_same_videos_and_drops_what_was_for_others(
    checkout: Path, used: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = Project(checkout / "project").copy(tmp_path / "project")
    monkeypatch.chdir(project.folder)
    names = [(name, n) for name in ("cats", "walk") for n in range(3)]
    mine = [tmp_path / f"mine/{name}/subject{n}_a.mp4" for name, n in names]
    write_videos(mine + [tmp_path / f"others/{name}/{n}.mp4" for name, n in names])
    use = ["use", str(tmp_path / "mine")]
    assert CliRunner().invoke(app, use).exit_code == 0
    chosen = {"group_pattern": r"subject(\d+)", "clip_seconds": 1.0}
    apply_values({"your_videos": chosen}, PARAMS, Path("test"))
    assert "| cats | 3 | 3 |" in CliRunner().invoke(app, use).output
    yours = load_params().your_videos
    assert (yours.group_pattern, yours.split.by) == (r"subject(\d+)", "group")
    assert yours.clip_seconds == 1.0

    shutil.copy(mine[0], tmp_path / "mine/cats/nobody.mp4")
    done = CliRunner().invoke(app, [*use, "--check"])
    assert "your_videos.group_pattern" in str(done.exception)
    assert "cats/nobody.mp4" in str(done.exception)

    assert CliRunner().invoke(app, ["use", str(tmp_path / "others")]).exit_code == 0
    yours = load_params().your_videos
    assert (yours.group_pattern, yours.clip_seconds) == (None, None)


def test_use_with_check_has_gone_through_every_stage(used: str) -> None:
    assert "every stage ran through with 8 clips" in used
    assert used.rstrip().endswith("next: dvc repro your_videos/dvc.yaml")


def test_use_of_one_class_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_video(tmp_path / "videos/cats/a.mp4", 12)
    monkeypatch.chdir(ROOT)
    done = CliRunner().invoke(app, ["use", str(tmp_path / "videos")])
    assert done.exit_code == 1
    assert "of 1 classes (cats); allowed: two classes or more" in str(done.exception)


def recipe(**changes: Any) -> YourTraining:
    settings = load_params(ROOT / "params.yaml").your_videos.train
    small = {"epochs": 1, "warmup_epochs": 0.0, "batch_size": 4, "augment": settings.augment}
    return settings.model_copy(update=small | changes)


@pytest.fixture(scope="module")
def trained(checkout: Path, used: str) -> tuple[MixedStore, list[Clip], Path]:
    """A store of two classes, its split with test clips, and a model of it."""
    folder = checkout / "trained"
    rows = listed(checkout / "videos", folder / "scratch", FOLDERS, min_frames=8)
    sources = sources_of(rows, checkout / "videos", class_labels(rows))
    build_store(sources, folder / "mixed", mix_settings(segments=8), execution(folder / "mix"))
    kept = [row for row in rows if row.kept]
    sides = ["test" if n % 4 == 0 else "train" for n in range(len(kept))]
    given = [row.model_copy(update={"subset": s}) for row, s in zip(kept, sides, strict=True)]
    split = split_by("given", given)
    store = MixedStore(folder / "mixed")
    fit(store, split, folder / "model", recipe())
    return store, split, folder / "model"


def fit(store: MixedStore, split: list[Clip], target: Path, settings: YourTraining) -> None:
    machine = Machine(CPU, 1, 1, 0, False, target.with_name(f"{target.name}-scratch"))
    origin = Origin(name="videos", drawn=False)
    train(store, split, settings, origin=origin, target=target, machine=machine, views=1)


def test_the_report_is_about_the_test_clips(
    trained: tuple[MixedStore, list[Clip], Path], tmp_path: Path
) -> None:
    store, split, model = trained
    settings = load_params(ROOT / "params.yaml").your_videos.evaluate
    rows = write_report(
        model,
        store,
        split,
        settings,
        device=CPU,
        target=tmp_path / "report",
        metrics=tmp_path / "metrics.json",
    )
    metrics = by_metric(rows, MODEL)
    held_out = [clip for clip in split if clip.subset == "test"]
    assert metrics["top1"].clips == len(held_out)
    assert {"auroc", "mean_class_accuracy", "parameters"} <= metrics.keys()
    assert json.loads((tmp_path / "metrics.json").read_text())["top1"] == metrics["top1"].value
    page = (tmp_path / "report/index.html").read_text()
    assert "Metrics of the test clips" in page
    assert "did not choose it" in (model / "README.md").read_text()
    assert {"roc.png", "confusion.png", "predictions.csv"} <= {
        file.name for file in (tmp_path / "report").iterdir()
    }


def test_a_model_can_start_from_another_and_train_its_last_layer_alone(
    trained: tuple[MixedStore, list[Clip], Path], tmp_path: Path
) -> None:
    store, split, model = trained
    start = model / "model.safetensors"
    fit(store, split, tmp_path / "tuned", recipe(start=start, mode="fc"))
    before, after = load_model(start), load_model(tmp_path / "tuned/model.safetensors")
    old, new = before.network.state_dict(), after.network.state_dict()
    changed = {name.split(".")[0] for name in old if not torch.equal(old[name], new[name])}
    assert changed == {"fc"}
    assert after.trained_on is not None
    assert after.trained_on.start is not None


def test_a_start_of_another_architecture_is_one_line(
    trained: tuple[MixedStore, list[Clip], Path], tmp_path: Path
) -> None:
    store, split, model = trained
    start = recipe(start=model / "model.safetensors", architecture="tsn")
    with pytest.raises(ModelError, match="is of architecture nonlocal; allowed"):
        fit(store, split, tmp_path / "tuned", start)
