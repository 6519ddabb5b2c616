"""What users may rely on when a dataset is mixed: each kept video, exactly, when needed."""

import csv
import fcntl
import os
import shutil
import subprocess
import sys
from fractions import Fraction
from functools import partial
from pathlib import Path
from subprocess import PIPE
from typing import Any

import av
import numpy as np
import pytest

from framemix.datasets.clips import Clip, DriverClip, class_labels
from framemix.errors import FramemixError, VideoError
from framemix.jobs.scratch import link
from framemix.mixing import files as mixing_files
from framemix.mixing import mix_frames
from framemix.mixing.files import mix_variants, mix_video
from framemix.store import MixedStore
from framemix.store import build as store_build
from framemix.store.build import build_store
from framemix.store.sources import Source, sources_of
from framemix.video.planes import stream_planes
from framemix.video.writing import video_writer
from tests.listing import count_frames, execution
from tests.noise import write_noise
from tests.tiny_store import mix_settings

COUNTS = {
    "b/v_b_g01_c01.avi": 20,
    "b/v_b_g02_c01.avi": 24,
    "Zoo/v_Zoo_g01_c01.avi": 21,
    "a/v_a_g01_c01.avi": 20,
    "a/v_a_g01_c02.avi": 25,
    "a/v_a_g02_c01.avi": 22,
}
FPS = 25


settings_with = partial(mix_settings, size=[24, 32])


def rows_of(counts: dict[str, int]) -> list[Clip]:
    return [
        Clip(video=name, class_name=name.split("/")[0], group="g01", frames=count, kept=True)
        for name, count in counts.items()
    ]


def frames_of(path: Path, size: tuple[int, int] = (24, 32)) -> np.ndarray:
    reader = pytest.importorskip("decord").VideoReader(str(path), width=size[1], height=size[0])
    return np.stack([reader.next().asnumpy() for _ in range(len(reader))])


def build(root: Path, folder: Path, counts: dict[str, int] = COUNTS, **changes: Any) -> MixedStore:
    """Mix as the stage does: its outputs are gone before it runs, its scratch folder is not."""
    shutil.rmtree(folder / "store", ignore_errors=True)
    rows = rows_of(counts)
    sources = sources_of(rows, root, class_labels(rows))
    how = execution(folder / "scratch", changes.pop("workers", None))
    build_store(sources, folder / "store", settings_with(**changes), how)
    return MixedStore(folder / "store")


def inodes(store: MixedStore) -> dict[str, int]:
    return {file.name: file.stat().st_ino for file in store.folder.glob("*.h5")}


@pytest.fixture(scope="session")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("ucf101")
    for seed, (name, count) in enumerate(COUNTS.items()):
        write_noise(root / name, count, seed=seed)
    return root


@pytest.fixture(scope="session")
def video(videos: Path) -> Path:
    return videos / "b/v_b_g01_c01.avi"


# One video


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"method": "average", "frames_per_segment": 3},
        {"method": "none"},
        {"method": "none", "segments": 20},
        {"size": [30, 50], "segments": 1},
    ],
)
def test_a_mixed_video_is_the_mix_of_decords_frames(video, changes):
    settings = settings_with(**changes)
    expected = mix_frames(
        frames_of(video, settings.size),
        segments=settings.segments,
        method=settings.method,
        frames_per_segment=settings.frames_per_segment,
    )
    assert np.array_equal(list(mix_video(video, 20, settings, reader="pyav")), expected)


@pytest.mark.parametrize("fit", ["squeeze", "pad"])
def test_planes_are_mixed_as_pixels_are(video, fit):
    settings = settings_with(pixel_format="yuv420p", fit=fit)
    planes = np.stack(list(stream_planes(video, size=(24, 32), fit=fit)))
    expected = mix_frames(planes, segments=4, method="linear", frames_per_segment="all")
    assert expected.shape == (4, 36, 32)
    assert np.array_equal(list(mix_video(video, 20, settings, reader="pyav")), expected)


@pytest.mark.parametrize(("at", "start"), [("start", 0), ("centre", 5)])
def test_of_a_window_only_its_frames_are_mixed(video, at, start):
    settings = settings_with(window={"frames": 9, "at": at})
    frames = frames_of(video)[start : start + 9]
    for backward, window in ((False, frames), (True, frames[::-1])):
        expected = mix_frames(window, segments=4, method="linear", frames_per_segment="all")
        mixed = list(mix_video(video, 20, settings, backward=backward, reader="pyav"))
        assert np.array_equal(mixed, expected), backward


@pytest.mark.parametrize("pixel_format", ["rgb24", "yuv420p"])
@pytest.mark.parametrize(("at", "starts"), [("start", [0, 11, 5]), ("centre", [5, 11, 0])])
def test_each_variant_is_the_mix_of_its_own_window(video, at, starts, pixel_format):
    settings = settings_with(
        window={"frames": 9, "at": at}, variants=3, pixel_format=pixel_format, method="average"
    )
    frames = (
        frames_of(video)
        if pixel_format == "rgb24"
        else np.stack(list(stream_planes(video, size=(24, 32), fit="squeeze")))
    )
    variants = mix_variants(video, 20, settings, clip="a", reader="pyav")
    assert variants.shape == (3, 4, *settings.frame_shape)
    for variant, start in zip(variants, starts, strict=True):
        expected = mix_frames(
            frames[start : start + 9], segments=4, method="average", frames_per_segment="all"
        )
        assert np.array_equal(variant, expected)
    assert np.array_equal(list(mix_video(video, 20, settings, reader="pyav")), variants[0])


def test_all_variants_take_one_pass_over_the_video(video, monkeypatch):
    passes = []
    read = mixing_files.stream_frames

    def counting(*args: Any, **how: Any) -> Any:
        passes.append(0)
        for frame in read(*args, **how):
            passes[-1] += 1
            yield frame

    monkeypatch.setattr(mixing_files, "stream_frames", counting)
    settings = settings_with(window={"frames": 9, "at": "start"}, variants=5)
    mix_variants(video, 20, settings, clip="a", reader="pyav")
    assert passes == [20]


def test_a_video_no_longer_than_the_window_has_equal_variants(video):
    settings = settings_with(window={"frames": 20, "at": "start"}, variants=4)
    variants = mix_variants(video, 20, settings, clip="a", reader="pyav")
    assert all(np.array_equal(variant, variants[0]) for variant in variants)


@pytest.mark.parametrize("window", ["all", {"frames": 18, "at": "centre"}])
def test_random_variants_are_frames_of_their_segments_and_the_first_has_the_middle_ones(
    video, window
):
    settings = settings_with(method="random", variants=4, window=window)
    variants = mix_variants(video, 20, settings, clip="a", reader="pyav")
    middle = mix_video(video, 20, settings_with(method="none", window=window), reader="pyav")
    assert np.array_equal(variants[0], list(middle))
    frames = frames_of(video)
    for variant, start in zip(variants, settings.starts(20), strict=True):
        first, length = (0, 20) if window == "all" else (start, 18)
        for number, frame in enumerate(variant):
            ends = [first + place * length // 4 for place in (number, number + 1)]
            assert any(np.array_equal(frame, one) for one in frames[slice(*ends)])
    again, other = (
        mix_variants(video, 20, settings, clip=clip, reader="pyav") for clip in ("a", "b")
    )
    assert np.array_equal(variants, again)
    assert np.array_equal(variants[0], other[0])
    assert not np.array_equal(variants[1:], other[1:])


@pytest.mark.parametrize("method", ["none", "average", "linear", "random"])
@pytest.mark.parametrize("promised", [19, 21, 30, 12])
@pytest.mark.parametrize("backward", [False, True])
def test_a_video_with_another_number_of_frames_than_its_table_says_is_named(
    video, method, promised, backward
):
    with pytest.raises(VideoError) as caught:
        list(
            mix_video(
                video, promised, settings_with(method=method), backward=backward, reader="pyav"
            )
        )
    message = str(caught.value)
    assert message.startswith(f"{video}: cannot be mixed: ")
    assert str(promised) in message
    assert "\n" not in message


@pytest.mark.parametrize("promised", [19, 21])
def test_a_wrong_number_of_frames_is_noticed_whatever_is_drawn(video, promised):
    settings = settings_with(method="random", variants=3)
    for clip in "abcdefgh":
        with pytest.raises(VideoError, match="cannot be mixed"):
            mix_variants(video, promised, settings, clip=clip, reader="pyav")


def test_a_video_that_ends_inside_of_the_window_is_named(video):
    settings = settings_with(window={"frames": 25, "at": "start"})
    with pytest.raises(VideoError, match=rf"^{video}: cannot be mixed: .* frame 25 of 25"):
        list(mix_video(video, 25, settings, reader="pyav"))
    with pytest.raises(VideoError, match=rf"^{video}: cannot be mixed: .* the video's 20 frames"):
        list(mix_video(video, 20, settings, reader="pyav"))


def test_a_real_video_mixes_to_what_its_frames_mix_to(shared):
    path = shared / "data/UCF-101/Biking/v_Biking_g02_c02.avi"
    with (shared / "data/ucf101_frame_counts.csv").open(newline="") as file:
        (count,) = (int(r["decoded_est"]) for r in csv.DictReader(file) if r["video"] == path.stem)
    settings = settings_with(size=[60, 80], segments=8)
    expected = mix_frames(
        frames_of(path, (60, 80)), segments=8, method="linear", frames_per_segment="all"
    )
    assert np.array_equal(list(mix_video(path, count, settings, reader="pyav")), expected)


# What is mixed


def test_labels_are_those_of_the_kept_classes_by_code_point():
    rows = [
        Clip(video=f"{name}/v.avi", class_name=name, group="g01", frames=9, kept=kept)
        for name, kept in [("b", True), ("Zoo", True), ("Aa", False), ("été", True), ("a", True)]
    ]
    sources = sources_of(rows, Path("/data"), class_labels(rows))
    assert {s.class_name: s.label for s in sources} == {"Zoo": 0, "a": 1, "b": 2, "été": 3}
    assert sources[0] == Source("b/v.avi", rows[0], Path("/data/b/v.avi"), "b", 2)


def test_a_stretch_of_a_drivers_video_is_mixed_from_the_clip_that_was_cut_out():
    labels = {"alert": 0, "low_vigilant": 1, "drowsy": 2}
    where = {"video": "Fold1_part1/1/0.mp4", "group": "01", "start": 5.0, "end": 10.0, "fps": 30}
    clips = [DriverClip(class_name=name, kept=name != "alert", **where) for name in labels]
    assert sources_of(clips, Path("/clips"), labels) == [
        Source("01_5_150", clips[1], Path("/clips/01_5_150.mp4"), "low_vigilant", 1),
        Source("01_10_150", clips[2], Path("/clips/01_10_150.mp4"), "drowsy", 2),
    ]


# The store


@pytest.fixture(scope="module")
def store(videos: Path, tmp_path_factory: pytest.TempPathFactory) -> MixedStore:
    return build(videos, tmp_path_factory.mktemp("mixed"))


def test_every_kept_video_is_in_the_store_as_it_mixes_alone(store, videos):
    assert {row.clip: row.frames for row in store.index} == COUNTS
    clips = store.read(store.index)
    for row, clip in zip(store.index, clips, strict=True):
        assert np.array_equal(
            clip, list(mix_video(videos / row.clip, row.frames, settings_with(), reader="pyav"))
        )


def test_the_store_is_in_the_order_of_labels_and_clips_a_shard_a_class(store):
    assert [row.clip for row in store.index] == sorted(COUNTS)
    assert sorted(inodes(store)) == ["a-1-000.h5", "b-2-000.h5", "zoo-0-000.h5"]
    assert [(row.shard, row.label, row.row) for row in store.index] == [
        ("zoo-0-000.h5", 0, 0),
        ("a-1-000.h5", 1, 0),
        ("a-1-000.h5", 1, 1),
        ("a-1-000.h5", 1, 2),
        ("b-2-000.h5", 2, 0),
        ("b-2-000.h5", 2, 1),
    ]
    assert store.settings == settings_with()


def test_the_store_is_the_same_bytes_whatever_the_order_and_the_workers(store, videos, tmp_path):
    shuffled = dict(sorted(COUNTS.items(), key=lambda item: item[1]))
    again = build(videos, tmp_path, shuffled, workers=1)
    for file in store.folder.iterdir():
        assert file.read_bytes() == (again.folder / file.name).read_bytes(), file.name


def test_all_variants_of_every_kept_video_are_in_the_store(videos, tmp_path, monkeypatch):
    monkeypatch.setattr(store_build, "CLIPS_PER_SHARD", 2)
    only_a = {name: count for name, count in COUNTS.items() if name.startswith("a/")}
    changes = {"window": {"frames": 12, "at": "centre"}, "variants": 3}
    store = build(videos, tmp_path, only_a, **changes)
    assert [(row.shard, row.row) for row in store.index] == [
        ("a-0-000.h5", 0),
        ("a-0-000.h5", 3),
        ("a-0-001.h5", 0),
    ]
    assert store.settings == settings_with(**changes)
    assert [len(crcs) for crcs in store.checksums().values()] == [6, 3]
    for row in store.index:
        stored = np.concatenate([store.read([row], variant) for variant in range(3)])
        alone = mix_variants(
            videos / row.clip, row.frames, settings_with(**changes), clip=row.clip, reader="pyav"
        )
        assert np.array_equal(stored, alone)
    plain = build(videos, tmp_path, only_a, **changes | {"variants": 1})
    assert np.array_equal(plain.read(plain.index), store.read(store.index))


def test_a_large_class_has_several_shards(videos, tmp_path, monkeypatch):
    monkeypatch.setattr(store_build, "CLIPS_PER_SHARD", 2)
    only_a = {name: count for name, count in COUNTS.items() if name.startswith("a/")}
    store = build(videos, tmp_path, only_a)
    assert [(row.shard, row.row) for row in store.index] == [
        ("a-0-000.h5", 0),
        ("a-0-000.h5", 1),
        ("a-0-001.h5", 0),
    ]
    assert len(store.read(store.index)) == 3


def test_after_one_video_changed_only_its_shard_is_mixed_again(videos, tmp_path):
    root = shutil.copytree(videos, tmp_path / "root")
    before = inodes(build(root, tmp_path))
    assert inodes(build(root, tmp_path)) == before

    write_noise(root / "a/v_a_g01_c02.avi", 25, seed=99)
    after = build(root, tmp_path)
    assert {name for name, inode in inodes(after).items() if inode != before[name]} == {
        "a-1-000.h5"
    }
    changed = mix_video(root / "a/v_a_g01_c02.avi", 25, settings_with(), reader="pyav")
    assert np.array_equal(after.read(after.index[2:3])[0], list(changed))


def test_a_class_that_goes_shifts_labels_and_mixes_nothing_again(videos, tmp_path):
    before = inodes(build(videos, tmp_path))
    fewer = {name: count for name, count in COUNTS.items() if not name.startswith("Zoo/")}
    store = build(videos, tmp_path, fewer)
    assert inodes(store) == {"a-0-000.h5": before["a-1-000.h5"], "b-1-000.h5": before["b-2-000.h5"]}
    assert len(store.read(store.index)) == 5


def test_no_other_run_can_delete_a_shard_that_is_not_in_the_store_yet(
    videos, tmp_path, monkeypatch
):
    def link_under_lock(shard: Path, target: Path) -> None:
        with (shard.parents[1] / "stage.lock").open() as lock, pytest.raises(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        link(shard, target)

    monkeypatch.setattr(store_build, "link", link_under_lock)
    build(videos, tmp_path)


def test_other_settings_mix_all_again(videos, tmp_path):
    only_zoo = {"Zoo/v_Zoo_g01_c01.avi": 21}
    linear = build(videos, tmp_path, only_zoo)
    first = linear.read(linear.index)
    average = build(videos, tmp_path, only_zoo, method="average")
    assert not np.array_equal(first, average.read(average.index))
    assert average.settings.method == "average"


@pytest.mark.parametrize(
    ("name", "message"),
    [("Zoo/v_Zoo_g01_c01.avi", "cannot be mixed"), ("Zoo/gone.avi", "No such file")],
)
def test_a_video_that_cannot_be_mixed_stops_the_stage_and_is_named(videos, tmp_path, name, message):
    with pytest.raises(FramemixError, match=rf"^{videos / name}: .*{message}") as caught:
        build(videos, tmp_path, {name: 22})
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "store").exists()


# Memory


PEAK = """
import resource, sys
from pathlib import Path
from framemix.mixing.files import mix_video
from tests.tiny_store import mix_settings
settings = mix_settings(segments=8, size=(96, 128), pixel_format=sys.argv[3])
for frame in mix_video(Path(sys.argv[1]), int(sys.argv[2]), settings, reader="pyav"):
    pass
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""


def repeated(source: Path, target: Path, times: int) -> Path:
    """Copy the packets of a video again and again: long videos at no cost."""
    with av.open(source) as short, av.open(target, "w") as long:
        stream = long.add_stream_from_template(short.streams.video[0])
        packets = [packet for packet in short.demux(video=0) if packet.size]
        for number, packet in enumerate(packets * times):
            packet.stream = stream
            packet.pts = packet.dts = number
            packet.time_base = Fraction(1, FPS)
            long.mux(packet)
    return target


def peak_megabytes(path: Path, frames: int, pixel_format: str) -> float:
    command = [sys.executable, "-c", PEAK, str(path), str(frames), pixel_format]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    return float(subprocess.run(command, env=environment, check=True, stdout=PIPE).stdout)


@pytest.mark.slow
@pytest.mark.parametrize("pixel_format", ["rgb24", "yuv420p"])
def test_a_video_of_half_an_hour_takes_no_more_memory_than_one_of_seconds(tmp_path, pixel_format):
    short = tmp_path / "short.avi"
    with video_writer(short, width=128, height=96, fps=FPS, codec="xvid") as write:
        for number in range(6 * FPS):
            write(np.full((96, 128, 3), number, np.uint8))
    long = repeated(short, tmp_path / "long.avi", 300)
    assert count_frames(long) == 30 * 60 * FPS
    seconds = peak_megabytes(short, 6 * FPS, pixel_format)
    # Its frames are 1.6 GB, those of a segment 200 MB.
    assert peak_megabytes(long, 30 * 60 * FPS, pixel_format) < seconds + 150
