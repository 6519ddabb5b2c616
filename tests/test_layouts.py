"""What users may rely on in layouts: one small file is a dataset that goes all the way."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from framemix.datasets.clips import class_labels
from framemix.datasets.layouts.folders import FOLDERS
from framemix.datasets.layouts.layout import Found, Layout, find_videos
from framemix.datasets.layouts.registry import LABELLED
from framemix.datasets.splits import SplitSettings, split_videos
from framemix.errors import DatasetError
from framemix.mixing.files import mix_video
from framemix.store import MixedStore
from framemix.store.build import build_store
from framemix.store.sources import sources_of
from tests.listing import execution, listed
from tests.noise import write_noise
from tests.tiny_store import mix_settings

# A layout of the test's own: `labels.txt` has lines of a path, a class and a person.


def find(root: Path) -> Iterator[Found]:
    for line in (root / "labels.txt").read_text().splitlines():
        path, label, person = line.split()
        yield Found(path, label, group=person)


PERSONS = Layout("a folder with labels.txt", find, lambda root: (root / "labels.txt").is_file())
VIDEOS = {
    "b/IMG_1.avi": ("walk", "ann", 9),
    "IMG_2.avi": ("run", "ann", 10),
    "b/c/x.avi": ("run", "bob", 8),
    "clip-3.avi": ("walk", "bob", 12),
    "short.avi": ("run", "cid", 7),
}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("persons")
    for seed, (name, (_, _, frames)) in enumerate(VIDEOS.items()):
        write_noise(root / name, frames, seed=seed, fps=25)
    (root / "notes.txt").write_text("is in no list")
    lines = [f"{name} {label} {who}" for name, (label, who, _) in VIDEOS.items()]
    (root / "labels.txt").write_text("\n".join([*lines, "gone.avi walk dan"]))
    return root


def test_a_layout_of_a_few_lines_goes_through_listing_splitting_and_mixing(
    root: Path, tmp_path: Path
) -> None:
    rows = {row.video: row for row in listed(root, tmp_path / "list", PERSONS, min_frames=8)}
    assert list(rows) == sorted([*VIDEOS, "gone.avi"])
    assert rows["short.avi"].reason == "7 frames, fewer than 8"
    assert rows["gone.avi"].reason == "cannot be read: No such file or directory"
    assert [row.frames for row in rows.values() if row.kept] == [10, 9, 8, 12]

    how = {"strategy": "group", "group_scope": "dataset", "folds": 2, "fold": 0, "seed": 0}
    settings = SplitSettings.model_validate(how | {"rldd": "subject"})
    split, metrics = split_videos(list(rows.values()), settings, tmp_path)
    train, val = ({row.group for row in split if row.subset == s} for s in ("train", "val"))
    assert sorted([*train, *val]) == ["ann", "bob"]
    assert metrics == {
        "train_clips": 2,
        "val_clips": 2,
        "leak_share": 0.0,
        "classes_without_train": "",
        "classes_without_val": "",
    }

    sources = sources_of(rows.values(), root, class_labels(rows.values()))
    mix = mix_settings(size=[24, 32])
    build_store(sources, tmp_path / "store", mix, execution(tmp_path / "mix"))
    store = MixedStore(tmp_path / "store")
    assert {(row.clip, row.class_name, row.label) for row in store.index} == {
        (row.video, row.class_name, ["run", "walk"].index(row.class_name)) for row in split
    }
    for row in store.index:
        alone = mix_video(root / row.clip, row.frames, mix, reader=rows[row.clip].reader)
        assert np.array_equal(store.read([row])[0], list(alone))


def test_the_first_layout_that_fits_a_folder_is_taken(root: Path, tmp_path: Path) -> None:
    by_list, by_folder = ([PERSONS, FOLDERS], [FOLDERS])
    assert "gone.avi" in {found.video for found in find_videos(by_list, root, "data")}
    assert "notes.txt" in {found.video for found in find_videos(by_folder, root, "data")}


def test_a_folder_that_is_not_there_is_reported_with_all_layouts_that_could_be(
    tmp_path: Path,
) -> None:
    layouts = [PERSONS, *LABELLED]
    with pytest.raises(DatasetError) as caught:
        find_videos(layouts, tmp_path / "none", "data")
    said = str(caught.value)
    assert said.startswith(f"data = {tmp_path}/none: no such folder or file; allowed: ")
    assert all(layout.looks in said for layout in layouts)
    assert "\n" not in said


def test_what_is_beside_the_folders_of_subsets_is_a_row_with_a_reason(tmp_path: Path) -> None:
    """As where a class is called train: the other classes shall not go unseen."""
    names = ["train/Up/a.avi", "val/Up/b.avi", "bus/c.avi", "train/d.avi", "g.avi"]
    for name in [*names, "train/Up/._a.avi"]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "val/Up/gone.avi").symlink_to("nowhere")
    found = {one.video: one for one in find_videos([FOLDERS], tmp_path, "data")}
    usable = {name: (one.label, one.subset) for name, one in found.items() if not one.reason}
    assert usable == {"train/Up/a.avi": ("Up", "train"), "val/Up/b.avi": ("Up", "val")}
    reasons = {name: one.reason for name, one in found.items() if one.reason}
    misplaced = "not [<train|val|test>/]<Class>/<video>"
    assert reasons == {
        **dict.fromkeys(["bus/c.avi", "train/d.avi", "g.avi"], misplaced),
        "train/Up/._a.avi": "macOS's note of another file, not a video",
        "val/Up/gone.avi": "a link that leads nowhere: No such file or directory",
    }


def test_a_folder_of_bad_videos_alone_says_what_is_wrong_with_most(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        (tmp_path / f"videos/Up/{name}.avi").parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / f"videos/Up/{name}.avi").touch()
    (tmp_path / "videos/notes").touch()
    with pytest.raises(DatasetError) as caught:
        listed(tmp_path / "videos", tmp_path / "list", FOLDERS, min_frames=8)
    assert str(caught.value) == (
        f"data.ucf101 = {tmp_path}/videos: no video can be used: is empty (3 of 4)"
    )


def test_classes_of_many_videos_are_listed_in_parts_so_that_little_is_decoded_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("framemix.datasets.intake.VIDEOS_A_UNIT", 2)
    for number in range(5):
        write_noise(tmp_path / f"videos/Up/{number}.avi", 8, seed=number, fps=25)
    scratch = tmp_path / "list"

    def units() -> set[Path]:
        listed(tmp_path / "videos", scratch, FOLDERS, min_frames=8)
        return {path for path in scratch.iterdir() if path.is_dir()}

    before = units()
    assert len(before) == 3
    write_noise(tmp_path / "videos/Up/5.avi", 8, seed=5, fps=25)
    assert len(units() - before) == 1
