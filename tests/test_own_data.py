"""What users may rely on where paper A's pipeline is given their own actions and drivers."""

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from framemix.datasets.clips import Clip, DriverClip, clip_file, clip_name
from framemix.datasets.layouts.actions import find_actions
from framemix.datasets.layouts.drivers import find_drivers
from framemix.datasets.layouts.layout import Found
from framemix.datasets.splits import split_drivers, split_videos
from framemix.errors import DatasetError, NoVideosError
from framemix.project.doctor import examine_rldd, examine_ucf101
from framemix.tables import read_table
from framemix.video.reading import stream_frames
from stages import filter as filter_stage
from stages import resize as resize_stage
from stages import split as split_stage
from tests.listing import count_frames
from tests.test_labelled import place
from tests.test_rldd import split_settings, write_video

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def drive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A video of a second."""
    return write_video(tmp_path_factory.mktemp("drive") / "drive.mp4", (96, 64), 30)


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that stages run in."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def set_params(folder: Path, **changes: dict[str, Any]) -> None:
    """Write params.yaml, changed section by section, for clips of half a second."""
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    small: dict[str, dict[str, Any]] = {
        "filter": {"min_frames": 15},
        "resize": {"frames": 15},
        "mix": {"segments": 8},
        "runtime": {"workers": 1, "scratch": str(folder / "scratch")},
    }
    for section, values in [*small.items(), *changes.items()]:
        params[section] |= values
    (folder / "params.yaml").write_text(yaml.safe_dump(params))


def write_list(path: Path, columns: str, *lines: str) -> Path:
    path.write_text("\n".join([columns, *lines]))
    return path


def test_own_actions_go_through_filter_and_split_by_their_own_groups(
    drive: Path, checkout: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = [f"{person} {n}.mp4" for person in ("ann", "bob") for n in (1, 2)]
    root = place(checkout / "actions", drive, *names)
    lines = [f"{name},{'wave' if '1' in name else 'nod'},{name[:3]},train" for name in names]
    write_list(root / "metadata.csv", "file_name,label,group,split", *lines, "gone.mp4,nod,ann,")
    split = {"folds": 2, "strategy": "group", "group_scope": "dataset"}
    set_params(checkout, data={"ucf101": str(root)}, split=split)
    filter_stage.main()
    split_stage.main()
    rows = read_table(checkout / "data/ucf101/split.csv", Clip)
    assert [(row.video, row.class_name, row.group) for row in rows] == sorted(
        (name, label, group) for name, label, group, _ in csv.reader(lines)
    )
    train, val = ({row.group for row in rows if row.subset == side} for side in ("train", "val"))
    assert (len(train), len(val), train & val) == (1, 1, set())
    said = capsys.readouterr().out
    assert "kept 4 videos of 2 classes, rejected 1 " in said
    assert "the dataset's own sides (train) are not used" in said


def test_own_drivers_are_cut_and_split_by_their_names(
    drive: Path, checkout: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("ann/1.mp4", "ann/2.mp4", "ann/3.mp4", "Bob's drives/long.mp4", "cid.mp4"):
        place(checkout / "drives", drive, name)
    table = write_list(
        checkout / "drives/drivers.csv",
        "path,label,group,start,end",
        "ann/1.mp4,alert,ann,,",
        "ann/2.mp4,alert,ann,,",  # a second video of her in the same state
        "ann/3.mp4,drowsy,ann,,",
        "ann/3.mp4,alert,ann,0.5,1",
        "Bob's drives/long.mp4,alert,Bob B.,,0.5",
        "Bob's drives/long.mp4,drowsy,Bob B.,0.5,",
        "cid.mp4,asleep,cid,,",
    )
    set_params(checkout, data={"rldd": str(table)}, split={"folds": 2, "rldd": "subject"})
    resize_stage.main()
    clips = read_table(checkout / "data/rldd/clips.csv", DriverClip)
    kept = [clip for clip in clips if clip.kept]
    assert [(clip_name(clip), clip.class_name, clip.group) for clip in kept] == [
        ("Bob's drives/long.mp4@0-0.5", "alert", "Bob B."),
        ("Bob's drives/long.mp4@0.5-1", "drowsy", "Bob B."),
        *((f"ann/{n}.mp4@{part}", "alert", "ann") for n in (1, 2) for part in ("0-0.5", "0.5-1")),
        *((f"ann/3.mp4@{part}", "drowsy", "ann") for part in ("0-0.5", "0.5-1")),
    ]
    assert {clip.video: clip.reason for clip in clips if not clip.kept} == {
        "ann/3.mp4": "overlaps the stretch before it",
        "cid.mp4": "label asleep: allowed: alert, low_vigilant, drowsy",
    }
    folder = checkout / "data/rldd/clips"
    assert {clip_file(clip, folder) for clip in kept} == {
        folder / file.name for file in folder.iterdir()
    }
    assert {count_frames(file) for file in folder.iterdir()} == {15}
    first = next(stream_frames(clip_file(kept[1], folder), size=(8, 8), fit="squeeze"))
    assert first.mean() == pytest.approx(15 * 4, abs=3)  # frame n of the drive is of brightness 4 n
    rows = read_table(checkout / "data/rldd/split.csv", DriverClip)
    assert len({(row.group, row.subset) for row in rows}) == 2
    assert {row.subset for row in rows} == {"train", "val"}
    assert "warning" not in capsys.readouterr().out


def test_folders_of_states_have_folders_of_drivers(drive: Path, tmp_path: Path) -> None:
    names = ["alert/ann/a b/1.mp4", "drowsy/ann/2.mp4", "drowsy/3.mp4", "awake/bob/4.mp4"]
    found = find_drivers(place(tmp_path, drive, *names), "data.rldd")
    assert {one.video: (one.label, one.group) for one in found if not one.reason} == {
        "alert/ann/a b/1.mp4": ("alert", "ann"),
        "drowsy/ann/2.mp4": ("drowsy", "ann"),
        "drowsy/3.mp4": ("drowsy", "drowsy/3.mp4"),
    }
    assert found.notices == [
        "warning: 1 videos come without a subject: clips of one person may be on both sides of a "
        "split"
    ]


def test_uta_rldd_and_ucf101_are_recognised_among_other_files(drive: Path, tmp_path: Path) -> None:
    names = ["Fold1_part1/1/0.mp4", "Fold1_part1/1/drowsy.mp4", "drowsy/ann/1.mp4"]
    (driver,) = usable(find_drivers(place(tmp_path / "rldd", drive, *names), "data.rldd"))
    assert (driver.video, driver.group, driver.subset) == ("Fold1_part1/1/0.mp4", "01", "fold1")
    names = ["Nod/v_Nod_g01_c01.avi", "Nod/copy.avi", "Wave/1.avi"]
    (action,) = usable(find_actions(place(tmp_path / "ucf", drive, *names), "data.ucf101"))
    assert (action.video, action.group) == ("Nod/v_Nod_g01_c01.avi", "g01")


def usable(found: Sequence[Found]) -> list[Found]:
    return [one for one in found if not one.reason]


@pytest.mark.parametrize(
    ("names", "says"),
    [
        (["UTA-RLDD/Fold1_part1/1/0.mp4"], ["label UTA-RLDD", "FoldN_partM", "<state>"]),
        (["notes.txt"], ["no video of a class", "1 .txt files", "<state>"]),
    ],
)
def test_a_folder_without_drivers_is_refused_with_what_is_allowed(
    names: list[str], says: list[str], drive: Path, tmp_path: Path
) -> None:
    with pytest.raises(NoVideosError) as caught:
        find_drivers(place(tmp_path, drive, *names), "data.rldd")
    said = str(caught.value)
    assert said.startswith(f"data.rldd = {tmp_path}: ")
    assert [part for part in [*says, "allowed"] if part not in said] == []


def test_actions_of_one_class_are_refused(drive: Path, tmp_path: Path) -> None:
    """As UCF101 in a folder of its own, one too deep."""
    place(tmp_path, drive, "UCF-101/Nod/v_Nod_g01_c01.avi", "UCF-101/Wave/v_Wave_g01_c01.avi")
    with pytest.raises(DatasetError, match="all of one class, UCF-101; allowed: two classes"):
        find_actions(tmp_path, "data.ucf101")


def clip(video: str, label: str = "alert", group: str = "") -> Clip:
    return Clip(video=video, class_name=label, group=group, kept=True)


def test_folds_are_of_uta_rldd_alone() -> None:
    clips = [clip(name, label, name) for name in "abc" for label in ("alert", "drowsy")]
    with pytest.raises(DatasetError, match=r"split\.rldd = fold2: .* allowed: subject or random"):
        split_drivers(clips, split_settings("fold2"), "alert_drowsy")
    assert len(split_drivers(clips, split_settings("subject"), "alert_drowsy")) == 6


def test_videos_without_groups_are_divided_at_random_alone() -> None:
    videos = [clip(f"{label}/{n}.mp4", label) for label in ("nod", "wave") for n in range(4)]
    with pytest.raises(DatasetError, match=r"strategy = group: none of 8 .* allowed: random"):
        split_videos(videos, split_settings("subject"), Path())
    at_random = split_settings("subject").model_copy(update={"strategy": "random"})
    _, known = split_videos(videos, at_random, Path())
    assert (known["train_clips"], known["val_clips"], known["leak_share"]) == (4, 4, None)


def test_a_video_without_a_group_among_others_is_a_group_of_its_own() -> None:
    videos = [clip(f"nod/{n}.mp4", "nod", "ann" if n < 2 else "") for n in range(8)]
    rows, _ = split_videos(videos, split_settings("subject"), Path())
    assert len({row.subset for row in rows if row.group == "ann"}) == 1
    assert len({row.subset for row in rows if not row.group}) == 2


PATHS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=150)


@given(st.lists(PATHS, min_size=2, max_size=4, unique=True))
@settings(deadline=None, max_examples=50)
def test_every_clip_has_a_file_of_its_own_whatever_its_video_is_called(videos: list[str]) -> None:
    where = {"class_name": "alert", "group": "ann", "start": 0.5, "end": 1.0, "fps": 30.0}
    files = [clip_file(DriverClip(video=video, **where), Path("clips")) for video in videos]
    assert len(set(files)) == len(videos)
    for file in files:
        assert file.parent == Path("clips")
        assert file.name.isascii()
        assert file.name.isprintable()
        assert len(file.name) < 150


def test_the_doctor_takes_own_data_for_well(drive: Path, tmp_path: Path) -> None:
    actions = place(tmp_path / "actions", drive, "nod/1.mp4", "wave/1.mp4")
    (finding,) = examine_ucf101(actions, tmp_path, None, lists_needed=False)
    assert finding.well
    assert finding.line.startswith("data.ucf101: 2 videos of 2 classes; 2 begin as videos do")
    drives = place(tmp_path / "drives", drive, "alert/ann/1.mp4", "awake/ann/1.mp4")
    well, bad = examine_rldd(drives, None)
    assert well.line.startswith("data.rldd: 1 videos of 1 classes; 1 begin as videos do")
    assert bad.line.startswith("data.rldd: not used: 1: awake/ann/1.mp4: label awake: allowed: ")
