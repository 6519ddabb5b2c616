"""What users may rely on in the filter: a row for every file, real counts, and no work twice."""

import csv
import shutil
from functools import partial
from pathlib import Path

import pytest
from pydantic import ValidationError

from framemix.datasets.clips import Clip
from framemix.datasets.files import Entry, list_entries
from framemix.datasets.intake import FilterSettings
from framemix.datasets.layouts.layout import find_videos
from framemix.datasets.layouts.ucf101 import UCF101
from framemix.errors import DatasetError
from framemix.jobs.isolation import Limits
from framemix.video.reading import stream_frames
from tests.listing import listed
from tests.noise import write_noise

MIN_FRAMES = 12
LONG = ["Archery/v_Archery_g01_c01.avi", "HandstandPushups/v_HandStandPushups_G07_c02.AVI"]
SHORT = "Archery/v_Archery_g02_c01.avi"
TRUNCATED = "Archery/v_Archery_g03_c01.avi"
STILL_LONG = "Archery/v_Archery_g03_c02.avi"  # truncated, but of enough frames
TEXT, EMPTY = "Archery/v_Archery_g04_c01.avi", "YoYo/v_YoYo_g01_c01.avi"
NOTE = "Archery/._v_Archery_g01_c01.avi"  # which macOS makes beside a file on other disks
MISNAMED = ["Archery/archery.avi", "Archery/v_Archery_g01.avi", "Archery/v_Archery_g01_c01.mp4"]
OUTSIDE = ["README.md", "v_Archery_g01_c01.avi"]
NAME_REASON = "not <Class>/v_<Class>_gNN_cNN.avi"


write_video = partial(write_noise, seed=0, fps=25)


def truncate(path: Path, share: float) -> None:
    """Cut an AVI file between two frames."""
    content = path.read_bytes()
    path.write_bytes(content[: content.rindex(b"00dc", 0, int(len(content) * share))])


run = partial(listed, min_frames=MIN_FRAMES)


def units(scratch: Path) -> dict[str, int]:
    return {path.name: path.stat().st_ino for path in scratch.iterdir() if path.is_dir()}


@pytest.fixture(scope="session")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("UCF-101")
    for name in LONG:
        write_video(root / name, 14)
    write_video(root / SHORT, MIN_FRAMES - 1)
    truncate(write_video(root / TRUNCATED, 16), 0.5)
    truncate(write_video(root / STILL_LONG, 30), 0.7)
    (root / TEXT).write_text("this is no video\n" * 300)
    (root / EMPTY).parent.mkdir()
    (root / EMPTY).touch()
    (root / NOTE).write_bytes(b"\x00\x05\x16\x07Mac OS X")
    for name in [*MISNAMED, *OUTSIDE]:
        shutil.copy(root / LONG[0], root / name)
    return root


@pytest.fixture(scope="session")
def rows(root: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Clip]:
    return {row.video: row for row in run(root, tmp_path_factory.mktemp("scratch"))}


def test_every_file_is_a_row_in_the_order_of_paths(root, rows):
    files = [path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()]
    assert list(rows) == sorted(files)


def test_long_enough_videos_are_kept_with_what_is_known_of_them(rows):
    assert sorted(name for name, row in rows.items() if row.kept) == sorted([*LONG, STILL_LONG])
    assert rows[LONG[0]] == Clip(
        video=LONG[0],
        class_name="Archery",
        group="g01",
        frames=14,
        seconds=0.56,
        width=64,
        height=48,
        fps=25.0,
        reader=rows[LONG[0]].reader,
        kept=True,
    )
    assert rows[LONG[0]].reader in ("decord", "pyav")


def test_class_is_the_folders_name_and_group_lower_case_whatever_the_file_is_called(rows):
    assert (rows[LONG[1]].class_name, rows[LONG[1]].group) == ("HandstandPushups", "g07")


@pytest.mark.parametrize("name", [*MISNAMED, *OUTSIDE])
def test_files_that_are_not_ucf101s_are_rejected_by_their_name(rows, name):
    assert (rows[name].kept, rows[name].reason, rows[name].frames) == (False, NAME_REASON, 0)
    assert rows[name].class_name == (name.split("/")[0] if "/" in name else "")


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        (TEXT, "is no AVI, MP4, MOV, MKV, WebM, WMV, MPEG, TS, FLV, Ogg or GIF file"),
        (EMPTY, "is empty"),
        (NOTE, "macOS's note of another file, not a video"),
    ],
)
def test_files_that_are_no_video_are_rejected_without_the_path_of_this_machine(rows, name, reason):
    assert (rows[name].kept, rows[name].reason) == (False, reason)


def test_short_and_truncated_videos_are_rejected_by_the_frames_that_can_be_decoded(root, rows):
    assert rows[SHORT].reason == "11 frames, fewer than 12"
    for name in (TRUNCATED, STILL_LONG):
        readable = sum(1 for _ in stream_frames(root / name, size=(8, 8), fit="squeeze"))
        assert rows[name].frames == readable
    assert 0 < rows[TRUNCATED].frames < MIN_FRAMES <= rows[STILL_LONG].frames < 30
    assert rows[TRUNCATED].reason == f"{rows[TRUNCATED].frames} frames, fewer than 12"


@pytest.mark.parametrize(("least", "kept"), [(11, 4), (12, 3), (14, 3), (15, 1)])
def test_a_video_of_exactly_the_least_frames_is_kept(root, tmp_path, least, kept):
    videos = run(root, tmp_path, min_frames=least)
    assert sum(video.kept for video in videos) == kept


def test_the_result_depends_on_neither_workers_nor_earlier_work(root, rows, tmp_path):
    first = run(root, tmp_path, workers=1)
    assert first == list(rows.values())
    assert run(root, tmp_path) == first


def test_a_finished_class_is_not_decoded_again(root, tmp_path):
    own, scratch = shutil.copytree(root, tmp_path / "root"), tmp_path / "scratch"
    first = run(own, scratch)
    before = units(scratch)
    assert len(before) == 3  # Archery, HandstandPushups, YoYo
    assert run(own, scratch) == first
    assert units(scratch) == before

    write_video(own / "YoYo/v_YoYo_g02_c01.avi", 13)
    second = run(own, scratch)
    assert len(second) == len(first) + 1
    assert len(set(units(scratch).items()) - set(before.items())) == 1


def test_a_video_that_changed_in_place_is_decoded_again(tmp_path):
    video = write_video(tmp_path / "root/A/v_A_g01_c01.avi", 13)
    assert [row.frames for row in run(tmp_path / "root", tmp_path / "scratch")] == [13]
    write_video(video, 14)
    assert [row.frames for row in run(tmp_path / "root", tmp_path / "scratch")] == [14]


def test_what_a_limit_rejected_is_decoded_again_under_a_higher_one(tmp_path):
    write_video(tmp_path / "root" / LONG[0], 14)
    with pytest.raises(DatasetError, match=r"no video can be used: .*took more than 0\.0001 s"):
        run(tmp_path / "root", tmp_path / "scratch", limits=Limits(seconds=1e-4, memory_mb=1024))
    (row,) = run(tmp_path / "root", tmp_path / "scratch")
    assert row.kept


def test_a_link_to_a_folder_of_videos_is_reported_and_not_followed(root, tmp_path):
    (tmp_path / "Archery").symlink_to(root, target_is_directory=True)
    assert list_entries(tmp_path) == [Entry("Archery", "a link to a folder, not a file")]


def test_a_root_behind_a_link_is_read(root, rows, tmp_path):
    (tmp_path / "ucf101").symlink_to(root)
    found = (find_videos([UCF101], path, "data.ucf101") for path in (tmp_path / "ucf101", root))
    assert next(found) == next(found)


@pytest.mark.parametrize("present", [None, "README.md"])
def test_a_missing_or_empty_root_names_the_param_and_what_is_expected(tmp_path, present):
    root = tmp_path / "ucf101"
    if present:
        root.mkdir()
        (root / present).write_text("put UCF101 here\n")
    there = "no video of a class in it, but 1 .md files"
    problem = there if present else "no such folder or file"
    with pytest.raises(DatasetError) as caught:
        run(root, tmp_path / "scratch")
    assert str(caught.value) == (
        f"data.ucf101 = {root}: {problem}; "
        "allowed: a folder with <Class>/v_<Class>_gNN_cNN.avi files"
    )


def test_when_no_video_is_long_enough_the_error_says_how_long_they_are(root, tmp_path):
    with pytest.raises(DatasetError) as caught:
        run(root, tmp_path, min_frames=1000)
    assert str(caught.value) == (
        f"filter.min_frames = 1000: no video of data.ucf101 = {root} has as many; "
        "allowed: at most 20"
    )


def test_filter_settings_refuse_less_than_a_frame():
    with pytest.raises(ValidationError):
        FilterSettings(min_frames=0)


def test_real_videos_have_the_frames_that_the_full_datasets_list_says(shared, tmp_path):
    with (shared / "data/ucf101_frame_counts.csv").open(newline="") as file:
        listed = {row["video"]: int(row["decoded_est"]) for row in csv.DictReader(file)}
    videos = run(shared / "data/UCF-101", tmp_path, min_frames=150)
    assert len(videos) == len(list((shared / "data/UCF-101").rglob("*.avi"))) > 20
    for video in videos:
        assert video.frames == listed[Path(video.video).stem], video.video
        assert video.kept == (video.frames >= 150)
        assert (video.width, video.height) == (320, 240)
