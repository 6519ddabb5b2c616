"""What users may rely on when UTA-RLDD is cut: the layout, the cap, exact clips, a reason each."""

import subprocess
from collections import Counter, defaultdict
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

import ffmpeg
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from framemix.datasets.clips import STATES, Clip, DriverClip, clip_file, clip_name
from framemix.datasets.cutting import (
    DriverVideo,
    ResizeSettings,
    cut_clips,
    find_sources,
    plan_clips,
)
from framemix.datasets.layouts.layout import find_videos
from framemix.datasets.layouts.rldd import RLDD
from framemix.datasets.splits import SplitSettings, split_drivers, without_drowsy_val
from framemix.errors import DatasetError
from framemix.video.reading import VideoInfo, describe, stream_frames
from framemix.video.writing import FFMPEG, video_writer
from tests.bad_videos import encode
from tests.listing import LIMITS, count_frames, execution

# path: coded size (width, height), frames at 30 a second, rotation
LAYOUT: dict[str, tuple[tuple[int, int], int, int]] = {
    "Fold1_part1/01/0.mp4": ((96, 64), 45, 0),
    "Fold1_part1/01/10.MOV": ((96, 64), 31, 0),
    "Fold2_part1/7/10.m4v": ((96, 64), 15, 0),
    "Fold2_part2/13/0.AVI": ((96, 64), 20, 0),
    "Fold3_part1/20/0.mp4": ((64, 96), 20, 0),
    "Fold3_part1/20/10.mp4": ((64, 64), 20, 0),
    "Fold3_part2/21/0.mp4": ((64, 96), 20, 90),
    "Fold3_part2/21/10.mp4": ((96, 64), 20, 270),
    "Fold4_part1/30/5.mp4": ((96, 64), 20, 0),
    "Fold4_part1/31/0.mp4": ((96, 64), 10, 0),
    "Fold5_part1/41/0.mov": ((96, 64), 20, 0),
    "Fold5_part1/41/0.mp4": ((96, 64), 20, 0),
}
NO_VIDEO, NOTES = "Fold5_part1/40/0.mp4", "Fold5_part1/notes.txt"


def settings_with(**changes: Any) -> ResizeSettings:
    values = {"states": [0, 10], "orientation": "landscape", "frames": 15, "fps": 30, "clips": None}
    return ResizeSettings.model_validate(values | changes)


def split_settings(rldd: str, fold: int = 0, folds: int = 2) -> SplitSettings:
    return SplitSettings.model_validate(
        {
            "strategy": "group",
            "group_scope": "class",
            "folds": folds,
            "fold": fold,
            "seed": 0,
            "rldd": rldd,
        }
    )


def write_video(path: Path, size: tuple[int, int], count: int, rotation: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    codec = "xvid" if path.suffix.lower() == ".avi" else "h264"
    width, height = size
    with video_writer(
        path, width=width, height=height, fps=30, codec=codec, rotation=rotation
    ) as write:
        for number in range(count):
            write(np.full((height, width, 3), 4 * number, np.uint8))
    return path


def cut(
    root: Path, folder: Path, workers: int | None = None, **changes: Any
) -> tuple[list[Clip], Path]:
    target = folder / "clips"
    clips = cut_clips(
        find_videos([RLDD], root, "data.rldd"),
        root,
        target,
        settings_with(**changes),
        execution(folder / "scratch", workers),
    )
    return clips, target


def sources_in(root: Path, chosen: ResizeSettings) -> tuple[list[DriverVideo], list[Clip]]:
    return find_sources(find_videos([RLDD], root, "data.rldd"), root, chosen, LIMITS)


@pytest.fixture(scope="session")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("UTA-RLDD")
    for name, what in LAYOUT.items():
        write_video(root / name, *what)
    (root / NO_VIDEO).parent.mkdir()
    (root / NO_VIDEO).write_text("this is no video\n" * 300)
    (root / NOTES).write_text("notes")
    return root


@pytest.fixture(scope="session")
def resized(root: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Clip], Path]:
    return cut(root, tmp_path_factory.mktemp("resized"))


@pytest.fixture(scope="session")
def rows(resized: tuple[list[Clip], Path]) -> dict[str, list[Clip]]:
    rows = defaultdict(list)
    for clip in resized[0]:
        rows[clip.video].append(clip)
    return rows


# Layout


def test_every_file_has_a_row(root, rows):
    files = [path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()]
    assert list(rows) == sorted(files)


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ("Fold1_part1/01/0.mp4", ["01_0_0", "01_0_15", "01_0_30"]),
        ("Fold1_part1/01/10.MOV", ["01_10_0", "01_10_15"]),
        ("Fold2_part1/7/10.m4v", ["07_10_0"]),
        ("Fold2_part2/13/0.AVI", ["13_0_0"]),
        ("Fold3_part2/21/0.mp4", ["21_0_0"]),
    ],
)
def test_clips_are_named_by_subject_state_and_start_frame(rows, source, names):
    assert [clip_name(clip) for clip in rows[source]] == names
    assert all(clip.kept and not clip.reason for clip in rows[source])


def test_a_clips_row_says_what_it_is_and_where_it_comes_from(rows):
    row = rows["Fold1_part1/01/10.MOV"][1]
    assert row == DriverClip(
        video="Fold1_part1/01/10.MOV",
        class_name="drowsy",
        group="01",
        subset="fold1",
        start=0.5,
        end=1.0,
        frames=15,
        seconds=0.5,
        width=320,
        height=240,
        fps=30.0,
        reader=row.reader,
        kept=True,
    )
    assert row.reader in ("decord", "pyav")


def test_every_kept_clip_is_a_file_of_exactly_its_frames_at_320x240_and_no_other_is_there(resized):
    clips, target = resized
    kept = [clip for clip in clips if clip.kept]
    assert sorted(f.name for f in target.iterdir()) == sorted(f"{clip_name(c)}.mp4" for c in kept)
    for clip in kept:
        info = describe(clip_file(clip, target))
        assert (info.width, info.height, info.fps) == (320, 240, 30)
        assert count_frames(clip_file(clip, target)) == 15


def test_of_several_streams_clips_show_the_one_whose_shape_was_looked_at(tmp_path):
    """As of a file that begins with a small picture of itself."""
    parts = [
        encode(tmp_path / "small.mp4", "color=white:size=48x64:rate=30", format="mp4"),
        write_video(tmp_path / "large.mp4", (192, 128), 20),
    ]
    path = tmp_path / "root/Fold1_part1/01/10.mp4"
    path.parent.mkdir(parents=True)
    both = ffmpeg.output(*(ffmpeg.input(str(part)) for part in parts), str(path), c="copy")
    both.run(cmd=FFMPEG, quiet=True)
    info = describe(path)
    (clip,), target = cut(tmp_path / "root", tmp_path)
    assert (info.width, info.height, info.stream) == (192, 128, 1)
    assert clip.kept
    cut_frames = stream_frames(clip_file(clip, target), size=(8, 8), fit="squeeze")
    source = stream_frames(path, size=(8, 8), fit="squeeze")
    for frame, expected in zip(cut_frames, islice(source, 15), strict=True):
        assert np.abs(frame - expected.astype(float)).max() < 4


def test_a_subject_that_is_in_two_folds_gives_clips_of_one(tmp_path):
    for fold in (1, 2):
        write_video(tmp_path / f"Fold{fold}_part1/01/10.mp4", (96, 64), 20)
    sources, rejected = sources_in(tmp_path, settings_with())
    assert [source.row.video for source in sources] == ["Fold1_part1/01/10.mp4"]
    (row,) = rejected
    assert (row.video, row.reason) == (
        "Fold2_part1/01/10.mp4",
        "same subject and state as Fold1_part1/01/10.mp4",
    )


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("Fold3_part1/20/0.mp4", "displayed as 64x96, not landscape"),
        ("Fold3_part1/20/10.mp4", "displayed as 64x64, not landscape"),
        ("Fold3_part2/21/10.mp4", "displayed as 64x96, not landscape"),
        ("Fold4_part1/30/5.mp4", "low_vigilant is not in resize.states = [0, 10]"),
        ("Fold4_part1/31/0.mp4", "0.3 s, shorter than a clip of 0.5 s"),
        ("Fold5_part1/41/0.mp4", "same subject and state as Fold5_part1/41/0.mov"),
        (NO_VIDEO, "is no AVI, MP4, MOV, MKV, WebM, WMV, MPEG, TS, FLV, Ogg or GIF file"),
        (NOTES, "not FoldN_partM/<subject>/{0,5,10}.<mov|mp4|...>"),
    ],
)
def test_a_file_that_gives_no_clip_has_a_reason(rows, source, reason):
    (row,) = rows[source]
    assert (row.start, row.kept, row.reason) == (None, False, reason)


def test_any_orientation_takes_portrait_and_square_too(root):
    sources, rejected = sources_in(root, settings_with(orientation="any"))
    found = {source.row.video for source in sources}
    assert {"Fold3_part1/20/0.mp4", "Fold3_part1/20/10.mp4", "Fold3_part2/21/10.mp4"} <= found
    assert not [row for row in rejected if "landscape" in row.reason]


@pytest.mark.parametrize(
    ("states", "found"),
    [([5], {"low_vigilant"}), ([0, 5, 10], {"alert", "low_vigilant", "drowsy"})],
)
def test_only_the_states_asked_for_are_cut(root, states, found):
    sources, _ = sources_in(root, settings_with(states=states))
    assert {source.row.class_name for source in sources} == found


def test_clips_are_the_same_bytes_in_another_run(root, resized, tmp_path):
    clips, target = resized
    again, other = cut(root, tmp_path, workers=1)
    assert again == clips
    for file in target.iterdir():
        assert file.read_bytes() == (other / file.name).read_bytes(), file.name


def test_a_clip_that_was_deleted_because_it_is_damaged_is_cut_again(root, resized, tmp_path):
    clips, target = cut(root, tmp_path)
    name = next(f"{clip_name(clip)}.mp4" for clip in clips if clip.kept)
    for file in tmp_path.rglob(name):  # the scratch folder has it too
        file.unlink()
    assert cut(root, tmp_path)[0] == clips
    assert (target / name).read_bytes() == (resized[1] / name).read_bytes()


# The cap


def driver_video(subject: int, state: int, clips: int) -> DriverVideo:
    row = Clip(
        video=f"Fold1_part1/{subject:02}/{state}.mp4",
        class_name=STATES[state],
        group=f"{subject:02}",
        subset="fold1",
    )
    return DriverVideo(row, VideoInfo(640, 480, 30.0, 600.0), clips)


@st.composite
def driver_videos(draw: st.DrawFn) -> list[DriverVideo]:
    subjects = draw(st.lists(st.integers(1, 60), min_size=1, max_size=8, unique=True))
    return [
        driver_video(subject, state, draw(st.integers(1, 12)))
        for subject in subjects
        for state in draw(st.sets(st.sampled_from([0, 5, 10]), min_size=1))
    ]


@given(driver_videos(), st.one_of(st.none(), st.integers(1, 60)))
@settings(deadline=None)
def test_the_cap_is_kept_in_every_state_and_spread_over_its_videos(videos, cap):
    chosen = settings_with(states=[0, 5, 10], clips=cap)
    plan = plan_clips(videos, chosen)
    taken = Counter(source.row.video for source, _ in plan)
    for state in STATES.values():
        of_state = [video for video in videos if video.row.class_name == state]
        available = sum(video.clips for video in of_state)
        planned = sum(taken[video.row.video] for video in of_state)
        assert planned == (available if cap is None else min(cap, available))
        # A video gives fewer than another, by more than one, only when it has no more.
        most = max((taken[video.row.video] for video in of_state), default=0)
        assert all(taken[v.row.video] >= min(most - 1, v.clips) for v in of_state)


@given(driver_videos(), st.one_of(st.none(), st.integers(1, 60)))
@settings(deadline=None)
def test_planned_clips_have_one_name_each_and_do_not_overlap(videos, cap):
    chosen = settings_with(states=[0, 5, 10], clips=cap)
    plan = plan_clips(videos, chosen)
    assert len({clip_name(clip) for _, clip in plan}) == len(plan)
    starts = defaultdict(list)
    for source, clip in plan:
        start = int(clip_name(clip).rsplit("_", 1)[1])
        assert clip.start == pytest.approx(start / 30, abs=0.0006)
        assert clip.end - clip.start == pytest.approx(15 / 30, abs=0.0011)
        assert 0 <= start <= (source.clips - 1) * 15
        starts[source.row.video].append(start)
    for of_video in starts.values():
        assert all(b - a >= 15 for a, b in pairwise(of_video))


@given(st.floats(0.5, 240), st.integers(1, 300), st.integers(1, 2000))
@settings(deadline=None)
def test_clips_are_named_by_their_first_frame_at_any_rate(fps, frames, places):
    video = driver_video(7, 10, clips=places)
    plan = plan_clips([video], settings_with(fps=fps, frames=frames))
    names = [clip_name(clip) for _, clip in plan]
    assert names == [f"07_10_{place * frames}" for place in range(places)]


def test_a_few_clips_of_a_long_video_lie_evenly_over_it():
    plan = plan_clips([driver_video(1, 0, clips=1200)], settings_with(clips=3))
    assert [clip.start for _, clip in plan] == [100.0, 300.0, 500.0]


def test_with_a_cap_a_video_that_is_not_needed_says_so(root, tmp_path):
    clips, target = cut(root, tmp_path, clips=1)
    kept = [clip for clip in clips if clip.kept]
    assert Counter(clip.class_name for clip in kept) == {"alert": 1, "drowsy": 1}
    assert len(list(target.iterdir())) == 2
    reasons = {clip.video: clip.reason for clip in clips if not clip.kept}
    assert reasons["Fold2_part1/7/10.m4v"] == "resize.clips = 1 is reached"


# Damage and errors


def test_a_video_that_ends_before_its_header_says_gives_the_clips_that_are_there(tmp_path):
    """As a copy that broke off: the header in front promises 60 frames."""
    generator = np.random.default_rng(0)
    whole = tmp_path / "whole.mp4"
    with video_writer(whole, width=96, height=64, fps=30, codec="h264") as write:
        for _ in range(60):
            write(generator.integers(0, 256, (64, 96, 3), np.uint8))
    video = tmp_path / "root/Fold1_part1/01/0.mp4"
    video.parent.mkdir(parents=True)
    subprocess.run(
        [*FFMPEG, "-i", whole, "-c", "copy", "-movflags", "+faststart", video], check=True
    )
    content = video.read_bytes()
    video.write_bytes(content[: len(content) * 6 // 10])

    clips, target = cut(tmp_path / "root", tmp_path)
    kept = [clip for clip in clips if clip.kept]
    assert [clip_name(clip) for clip in clips] == ["01_0_0", "01_0_15", "01_0_30", "01_0_45"]
    assert 1 <= len(kept) < 4
    assert sorted(f.name for f in target.iterdir()) == [f"{clip_name(clip)}.mp4" for clip in kept]
    for clip in clips[len(kept) :]:
        assert clip.reason
        assert str(tmp_path) not in clip.reason
        assert "0x" not in clip.reason


@pytest.mark.parametrize("present", [None, "README.md"])
def test_a_missing_or_empty_root_names_the_param_and_what_is_expected(tmp_path, present):
    root = tmp_path / "rldd"
    if present:
        root.mkdir()
        (root / present).write_text("put UTA-RLDD here\n")
    there = "no video of a class in it, but 1 .md files"
    problem = there if present else "no such folder or file"
    with pytest.raises(DatasetError) as caught:
        cut(root, tmp_path)
    assert str(caught.value) == (
        f"data.rldd = {root}: {problem}; "
        "allowed: a folder with FoldN_partM/<subject>/{0,5,10}.<mov|mp4|...> files"
    )


def test_when_no_video_gives_a_clip_the_error_says_why(root, tmp_path):
    with pytest.raises(DatasetError, match=r"data\.rldd = .*no video gives a clip") as caught:
        cut(root, tmp_path, frames=1000)
    assert "shorter than a clip of 33.3 s" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "change",
    [{"states": []}, {"states": [3]}, {"orientation": "portrait"}, {"frames": 0}, {"clips": 0}],
)
def test_resize_settings_refuse_what_does_not_exist(change):
    with pytest.raises(ValidationError):
        settings_with(**change)


# Splits of what was cut


@pytest.mark.parametrize("fold", [0, 1])
def test_by_subject_no_driver_is_on_both_sides(resized, fold):
    split = split_drivers(resized[0], split_settings("subject", fold), "drowsy_class")
    assert [clip_name(row) for row in split] == [clip_name(c) for c in resized[0] if c.kept]
    train, val = ({row.group for row in split if row.subset == s} for s in ("train", "val"))
    assert train
    assert val
    assert not train & val


def test_fold3_validates_the_clips_of_the_third_folds_folders(resized):
    split = split_drivers(resized[0], split_settings("fold3"), "drowsy_class")
    assert [clip_name(row) for row in split if row.subset == "val"] == ["21_0_0"]
    folds = {row.video.partition("_")[0] for row in split if row.subset == "train"}
    assert folds == {"Fold1", "Fold2", "Fold5"}


def clip_of(subject: str, fold: int, state: str) -> Clip:
    name = f"{subject}_{state}"
    return Clip(video=name, class_name=state, group=subject, subset=f"fold{fold}", kept=True)


DROWSY = [clip_of(f"{fold:02}", fold, "drowsy") for fold in (1, 3)]
NULL = "no drowsy val clip: drowsy_accuracy will be null; allowed:"


@pytest.mark.parametrize(
    ("rldd", "clips", "warning"),
    [
        ("fold3", DROWSY, None),
        ("fold4", DROWSY, f"split.rldd = fold4: {NULL} split.rldd = fold1 or fold3"),
        (
            "fold4",  # of which a subject has no drowsy video that is fit
            [*DROWSY, clip_of("04", 4, "alert")],
            f"split.rldd = fold4: {NULL} split.rldd = fold1 or fold3",
        ),
        (
            "fold2",  # all of them in val is no way out
            DROWSY[:1],
            f"split.rldd = fold2: {NULL} another split.rldd, or more drivers",
        ),
        (
            "subject",
            DROWSY[:1],
            f"split.rldd = subject, split.fold = 0: {NULL} another split.rldd, or more drivers",
        ),
    ],
)
def test_where_no_drowsy_clip_validates_the_warning_says_what_follows_and_which_folds_have_some(
    rldd, clips, warning
):
    assert without_drowsy_val(clips, split_settings(rldd)) == warning


def test_by_subject_the_warning_names_the_folds_with_drowsy_clips():
    clips = [*DROWSY, *(clip_of(f"{subject:02}", 2, "alert") for subject in (5, 6))]
    found = [without_drowsy_val(clips, split_settings("subject", fold, 4)) for fold in range(4)]
    good = [str(fold) for fold, warning in enumerate(found) if warning is None]
    assert 0 < len(good) < 4
    for warning in filter(None, found):
        assert warning.endswith(f"null; allowed: split.fold = {' or '.join(good)}")


# Real videos


@pytest.fixture(scope="module")
def drivers(shared: Path) -> Path:
    return shared / "data/UTA-RLDD-standin"


def test_of_real_videos_only_the_landscape_ones_are_taken(drivers):
    sources, rejected = sources_in(drivers, settings_with(states=[0, 5, 10], frames=150))
    assert [(s.row.video, s.clips) for s in sources] == [
        ("Fold1_part1/01/0.mp4", 1),
        ("Fold1_part1/01/10.mp4", 1),
    ]
    assert {row.video: row.reason for row in rejected} == {
        f"{folder}.mp4": f"displayed as {size}, not landscape"
        for folder, size in [
            ("Fold1_part1/01/5", "512x512"),
            ("Fold1_part2/07/0", "720x1280"),
            ("Fold1_part2/07/10", "512x512"),
            ("Fold2_part1/13/0", "512x512"),
            ("Fold2_part1/13/10", "480x908"),
        ]
    }


def test_real_videos_of_any_orientation_and_rate_become_exact_clips(drivers, tmp_path):
    clips, target = cut(
        drivers,
        tmp_path,
        states=[0, 5, 10],
        orientation="any",
        clips=3,
    )
    kept = [clip for clip in clips if clip.kept]
    assert Counter(clip.class_name for clip in kept) == {"alert": 3, "low_vigilant": 3, "drowsy": 3}
    assert {clip.group for clip in kept if clip.class_name == "alert"} == {"01", "07", "13"}
    for clip in kept:
        assert count_frames(clip_file(clip, target)) == 15
