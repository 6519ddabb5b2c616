"""What users may rely on for odd files: all ways to read one show what ffmpeg shows of it."""

import csv
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch
from einops import rearrange

from framemix.datasets.clips import Clip, class_labels, clip_name
from framemix.datasets.cutting import (
    DriverVideo,
    ResizeSettings,
    cut_clips,
    find_sources,
    plan_clips,
)
from framemix.datasets.layouts.folders import FOLDERS
from framemix.datasets.layouts.layout import find_videos
from framemix.datasets.layouts.rldd import RLDD
from framemix.errors import DatasetError, VideoError
from framemix.explain.explanation import Explanation
from framemix.inference.analyser import Analyser
from framemix.inference.clips import Sliding, clips_of
from framemix.inference.film import write_film
from framemix.inference.overlay import annotate
from framemix.inference.prediction import ClipPrediction
from framemix.inference.videos import search_videos
from framemix.jobs.isolation import Limits
from framemix.mixing.files import mix_video
from framemix.models.input import to_rgb
from framemix.project.doctor import examine_ucf101
from framemix.store import MixedStore
from framemix.store.build import build_store
from framemix.store.sources import sources_of
from framemix.video import decoding, live, reading
from framemix.video.live import opened_live
from framemix.video.planes import stream_planes
from framemix.video.reading import describe, examine, stream_frames, video_files
from tests.bad_videos import encode
from tests.listing import LIMITS, execution, listed
from tests.odd_videos import (
    DRIVERS,
    ODD,
    colours_of,
    number_of,
    numbers_of,
    programs_frames,
    write,
    write_drivers,
)
from tests.tiny_model import write_model
from tests.tiny_store import mix_settings, nonlocal_config

ROOT = Path(__file__).resolve().parents[1]
# The largest difference, of 255, between the colours that ffmpeg shows and those that are read.
ALIKE = 6
SHARED = (
    *("plain.mp4", "rotate_tag.mkv", "rotate_matrix.mkv", "rotate_matrix.mp4", "pal8.avi"),
    *("qtrle_grey.mov", "trimmed.mp4", "trimmed.mov", "open_gop_cut.mp4", "av1.mp4", "av1.webm"),
    *("no_duration.webm", "no_duration.mkv", "long_sound.mp4", "clock_at_1h.mkv"),
    *("late_picture.mp4", "hold_8s.mp4", "wide_pixels.mp4", "upright_by_pixels.mp4"),
)


@dataclass(frozen=True)
class Case:
    """A file, and what is right of it; what only ffmpeg can tell is None."""

    path: Path
    frames: int | None
    seconds: float | None
    size: tuple[int, int]  # width, height

    def shown(self) -> np.ndarray:
        """What the ffmpeg program shows, (F, H, W, 3) of the size that is stored, upright."""
        return shown_by_ffmpeg(self.path)


@cache
def shown_by_ffmpeg(path: Path) -> np.ndarray:
    with av.open(path) as container:
        frame = next(container.decode(video=0))
    height, width = frame.height, frame.width
    return programs_frames(path, *((width, height) if frame.rotation % 180 else (height, width)))


examined = cache(examine)  # for all tests of a file alike


@pytest.fixture(scope="session")
def odd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the files that are made here."""
    folder = tmp_path_factory.mktemp("odd")
    for name, what in ODD.items():
        what.make(folder / name)
    return folder


@pytest.fixture(scope="session")
def shared_cases(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the shared files that once were read wrong."""
    script = shared / "cases/make_cases.py"
    if not script.is_file():
        pytest.skip("the shared cases are not here")
    folder = tmp_path_factory.mktemp("cases")
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    subprocess.run([sys.executable, script, folder], env=environment, check=True)
    return folder


# The shared files are larger, and odd in the ways of those that are made here.
CASES = [*ODD, *(pytest.param(f"shared {name}", marks=pytest.mark.slow) for name in SHARED)]


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest) -> Case:
    name = request.param
    if name in ODD:
        what = ODD[name]
        path = request.getfixturevalue("odd") / name
        return Case(path, what.frames, what.seconds, what.size)
    folder = request.getfixturevalue("shared_cases")
    with (folder / "expected.csv").open(newline="") as file:
        (row,) = [row for row in csv.DictReader(file) if f"shared {row['file']}" == name]
    return Case(
        folder / row["file"],
        int(row["frames"]) if row["frames"] else None,
        float(row["seconds"]) if row["seconds"] else None,
        (int(row["width"]), int(row["height"])),
    )


def assert_alike(frames: np.ndarray, expected: np.ndarray) -> None:
    """Assert that as many frames show the same pictures, in the same colours."""
    assert frames.shape == expected.shape
    assert np.array_equal(numbers_of(frames), numbers_of(expected))
    assert np.abs(colours_of(frames) - colours_of(expected)).max() <= ALIKE


def rgb_of(planes: Iterator[np.ndarray]) -> np.ndarray:
    return to_rgb(torch.from_numpy(np.stack(list(planes)))[None])[0].numpy()


def test_pyav_shows_what_the_ffmpeg_program_shows(case: Case) -> None:
    shown = case.shown()
    frames = np.stack(list(stream_frames(case.path, size=shown.shape[1:3], fit="squeeze")))
    assert frames.shape == shown.shape
    assert np.abs(frames.astype(np.int16) - shown).max() <= 2  # two builds of ffmpeg may round


def test_frames_seconds_and_shape_are_as_a_player_shows_them(case: Case) -> None:
    video, shown = examined(case.path), case.shown()
    assert video.frames == len(shown) == (case.frames or len(shown))
    assert (video.info.width, video.info.height) == case.size
    assert list(video.times) == sorted(video.times)
    assert video.times[0] == 0
    assert len(set(video.times)) == video.frames
    if case.seconds is not None:
        assert video.info.seconds == pytest.approx(case.seconds, abs=0.05)
    told = describe(case.path)
    assert (told.width, told.height) == case.size
    assert told.seconds == pytest.approx(video.info.seconds, abs=0.05)


def test_whoever_reads_a_file_shows_what_ffmpeg_shows(case: Case) -> None:
    shown, video = case.shown(), examined(case.path)
    how: dict[str, Any] = {"size": shown.shape[1:3], "fit": "squeeze"}
    frames = np.stack(list(stream_frames(case.path, **how, reader=video.reader)))
    assert_alike(frames, shown)
    assert_alike(rgb_of(stream_planes(case.path, **how)), shown)
    for pixel_format in ("rgb24", "yuv420p"):
        mix = mix_settings(
            method="none",
            segments=video.frames,
            size=how["size"],
            pixel_format=pixel_format,
        )
        mixed = mix_video(case.path, video.frames, mix, reader=video.reader)
        assert_alike(np.stack(list(mixed)) if pixel_format == "rgb24" else rgb_of(mixed), shown)


def test_a_stretch_is_what_slicing_all_frames_by_their_times_gives(case: Case) -> None:
    video, how = examined(case.path), {"size": (48, 64), "fit": "squeeze"}
    rgb = list(stream_frames(case.path, **how))
    planes = list(stream_planes(case.path, **how))
    for bounds in ((0.0, 0.1), (0.3, 0.5), (0.6, 0.9), (0.8, 2.0)):
        start, end = (round(share * video.info.seconds, 3) for share in bounds)
        inside = [n for n, time in enumerate(video.times) if start <= round(time, 6) < end]
        assert list(video.within((start, end))) == inside
        for whole, stream in ((rgb, stream_frames), (planes, stream_planes)):
            frames = list(stream(case.path, **how, stretch=(start, end)))
            assert np.array_equal(np.array(frames), np.array([whole[n] for n in inside]))


@pytest.mark.parametrize("fit", ["crop", "pad"])
def test_what_is_fitted_keeps_its_displayed_proportions(case: Case, fit: Any) -> None:
    """At its displayed size, nothing is cut and nothing is filled."""
    width, height = (2 * (side // 2) for side in case.size)
    video = examined(case.path)
    how: dict[str, Any] = {"size": (height, width)}
    expected = next(stream_frames(case.path, **how, fit="squeeze"))
    fitted = [
        next(stream_frames(case.path, **how, fit=fit, reader=video.reader)),
        rgb_of(iter([next(stream_planes(case.path, **how, fit=fit))]))[0],
    ]
    for frame in fitted:
        assert_alike(frame[None], expected[None])
        assert (frame[:2].mean(axis=2) > 5).any()
        assert (frame[:, :2].mean(axis=2) > 5).any()


def numbers_at_rate(path: Path, fps: float) -> list[int]:
    """The frame to show at each 1 / fps seconds: of those whose time it is the first, or the last.

    The last one is of those before, where it is no frame's time.
    """
    ticks = [round(time * fps) for time in examined(path).times]
    return [
        ticks.index(tick) if tick in ticks else max(n for n, at in enumerate(ticks) if at < tick)
        for tick in range(ticks[-1] + 1)
    ]


@pytest.mark.parametrize("pixel_format", ["rgb24", "yuv420p"])
def test_what_is_watched_is_what_ffmpeg_shows_at_each_time(case: Case, pixel_format: Any) -> None:
    shown = case.shown()
    how: dict[str, Any] = {"size": shown.shape[1:3], "fit": "squeeze", "pixel_format": pixel_format}
    with opened_live(str(case.path), **how, paced=False) as source:
        fps = source.fps
        pixels = [frame.pixels for frame in source.frames]
    frames = np.stack(pixels) if pixel_format == "rgb24" else rgb_of(iter(pixels))
    assert_alike(frames, shown[numbers_at_rate(case.path, fps)])
    assert len(frames) / fps == pytest.approx(examined(case.path).info.seconds, abs=2 / fps)


def middle_frames(total: int) -> list[int]:
    """The frame in the middle of each of 8 segments."""
    first = [i * total // 8 for i in range(8)]
    spare = [(i + 1) * total // 8 - start - 1 for i, start in enumerate(first)]
    return [
        start + (rest // 2 if i < 4 else (rest + 1) // 2)
        for i, (start, rest) in enumerate(zip(first, spare, strict=True))
    ]


def test_a_prediction_is_of_what_ffmpeg_shows(case: Case) -> None:
    shown, video = case.shown(), examined(case.path)
    mix = mix_settings(method="none", segments=8, size=shown.shape[1:3])
    total, (clip,) = clips_of(case.path, mix, None)
    assert total == 1
    assert (clip.start, clip.end) == (0.0, pytest.approx(video.info.seconds))
    assert_alike(clip.mixed, shown[middle_frames(video.frames)])

    at_rate = shown[numbers_at_rate(case.path, video.info.fps)]
    length = max(8, round(len(at_rate) / 3))
    sliding = Sliding(length / video.info.fps, length / video.info.fps)
    total, windows = clips_of(case.path, mix.model_copy(update={"segments": 1}), sliding)
    seen = np.concatenate([window.mixed for window in windows])
    assert len(seen) == total
    assert_alike(seen, at_rate[[(length - 1) // 2 + length * n for n in range(total)]])


@pytest.mark.parametrize("name", ["hold.mp4", "turned270.mkv", "raw_palette.avi", "recorder.webm"])
def test_the_demo_shows_what_ffmpeg_shows(
    odd: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    # The figures beside the frames are not looked at here, and take longer than all else.
    monkeypatch.setattr("framemix.inference.analyser._picture", lambda figure: None)
    width, height = ODD[name].size
    shown = programs_frames(odd / name, height, width)
    model = tmp_path / "model.safetensors"
    write_model(model, nonlocal_config(), method="none", segments=8, size=(height, width))
    pages = Analyser(model, 1000.0, tmp_path).predictions(odd / name)
    *_, (message, classes, _, _, mixed, _) = pages
    assert "1 window;" in message
    assert classes is not None
    frames = rearrange(np.asarray(mixed), "(r h) (c w) k -> (r c) h w k", r=2, c=4)
    assert_alike(frames, shown[middle_frames(len(shown))])


@pytest.mark.parametrize("name", ["hold.mp4", "turned270.mkv", "wide_pixels.mkv", "recorder.webm"])
def test_films_have_the_shape_and_length_that_a_player_shows(
    odd: Path, tmp_path: Path, name: str
) -> None:
    video = examined(odd / name)
    said = ClipPrediction(0.0, 1.0, np.ones(1, np.float32))
    annotate(odd / name, tmp_path / "annotated.mp4", [said], ["a"], 1)
    annotated = examine(tmp_path / "annotated.mp4")
    assert (annotated.info.width, annotated.info.height) == ODD[name].size
    assert annotated.info.seconds == pytest.approx(video.info.seconds, abs=2 / video.info.fps)

    mix = mix_settings(method="average", size=[48, 64])
    clip = np.zeros((mix.segments, *mix.frame_shape), np.uint8)
    cold = Explanation(clip, "a", 0.5, "made up", torch.zeros(2, 1, 1), None)
    write_film(odd / name, tmp_path / "film.mp4", cold, mix)
    film = examine(tmp_path / "film.mp4")
    assert film.info.seconds == pytest.approx(video.info.seconds, abs=2 / video.info.fps)
    last = list(stream_frames(tmp_path / "film.mp4", size=(240, 320), fit="squeeze"))[-1]
    assert last.std() > 20  # no black picture


# The stages


@pytest.fixture(scope="module")
def kept(odd: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Any]]:
    """A dataset in UCF101's layout of all that is made here, and the filter's rows."""
    root = tmp_path_factory.mktemp("root")
    (root / "Odd").mkdir()
    for number, name in enumerate(ODD):
        (root / f"Odd/v_Odd_g{number:02}_c01.avi").hardlink_to(odd / name)
    rows = listed(root, tmp_path_factory.mktemp("scratch"), min_frames=12)
    return root, rows


def test_the_filter_keeps_them_all_and_what_it_keeps_is_mixed_and_found_well(
    kept: tuple[Path, list[Any]], odd: Path, tmp_path: Path
) -> None:
    root, rows = kept
    assert [row.reason for row in rows] == [""] * len(ODD)
    for row, (name, what) in zip(rows, ODD.items(), strict=True):
        assert (row.width, row.height) == what.size
        assert row.frames == (what.frames or examined(odd / name).frames)
    for pixel_format in ("rgb24", "yuv420p"):
        folder = tmp_path / pixel_format
        settings = mix_settings(method="none", segments=1, pixel_format=pixel_format)
        sources = sources_of(rows, root, class_labels(rows))
        build_store(sources, folder / "store", settings, execution(folder / "s"))
        assert len(MixedStore(folder / "store").index) == len(ODD)
    (finding,) = [
        one
        for one in examine_ucf101(root, tmp_path / "no lists", LIMITS, lists_needed=False)
        if "decoded" in one.line
    ]
    assert finding.well
    assert f"{len(ODD)} decoded to their end" in finding.line


def settings_with(**changes: Any) -> ResizeSettings:
    values = {"states": [0, 10], "orientation": "any", "frames": 100, "fps": 25, "clips": None}
    return ResizeSettings.model_validate(values | changes)


def cut(root: Path, folder: Path, settings: ResizeSettings) -> dict[str, list[Any]]:
    """The rows of each source, after clips were cut into `folder`/clips."""
    found = find_videos([RLDD], root, "data.rldd")
    rows = cut_clips(found, root, folder / "clips", settings, execution(folder / "s"))
    return {video: [r for r in rows if r.video == video] for video in {r.video for r in rows}}


def sources_in(root: Path, settings: ResizeSettings) -> tuple[list[DriverVideo], list[Clip]]:
    return find_sources(find_videos([RLDD], root, "data.rldd"), root, settings, LIMITS)


@dataclass(frozen=True)
class Drivers:
    """Drivers that are odd in one way each; the fifth was trimmed without encoding."""

    root: Path
    videos: int
    frames: int  # of a clip
    clips: int  # of a video
    clips_of_trimmed: int
    first_of_trimmed: int  # the number on its first frame


@pytest.fixture(scope="module", params=["small", pytest.param("shared", marks=pytest.mark.slow)])
def drivers(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Drivers:
    if request.param == "shared":
        return Drivers(request.getfixturevalue("shared_cases") / "rldd", 14, 100, 5, 4, 38)
    root = tmp_path_factory.mktemp("drivers")
    write_drivers(root)
    return Drivers(root, len(DRIVERS), 20, 3, 1, 23)


def test_every_driver_gives_its_clips_of_its_own_frames(drivers: Drivers, tmp_path: Path) -> None:
    rows = cut(drivers.root, tmp_path, settings_with(frames=drivers.frames))
    assert len(rows) == drivers.videos
    for source, clips in rows.items():
        assert all(clip.kept for clip in clips), source
        trimmed = source.endswith("05/10.mp4")
        assert len(clips) == (drivers.clips_of_trimmed if trimmed else drivers.clips)
        numbers = [
            number_of(frame)
            for clip in clips
            for frame in stream_frames(
                tmp_path / f"clips/{clip_name(clip)}.mp4", size=(240, 320), fit="squeeze"
            )
        ]
        first = drivers.first_of_trimmed if trimmed else 0
        assert numbers == [number % 256 for number in range(first, first + len(numbers))]


def test_with_a_cap_the_first_drivers_give_theirs(drivers: Drivers, tmp_path: Path) -> None:
    capped = settings_with(frames=drivers.frames, clips=2, orientation="landscape")
    rows = cut(drivers.root, tmp_path, capped)
    kept = [clip.class_name for clips in rows.values() for clip in clips if clip.kept]
    assert sorted(kept) == ["alert", "alert", "drowsy", "drowsy"]
    (upright,) = rows["Fold5_part1/04/10.mp4"]
    assert re.fullmatch("displayed as (160x240|80x120), not landscape", upright.reason)


def test_a_clip_that_is_lost_is_replaced_by_another_of_that_video(tmp_path: Path) -> None:
    path = tmp_path / "root/Fold1_part1/01/10.mp4"
    path.parent.mkdir(parents=True)
    how = ("-c:v", "libx264", "-preset", "ultrafast", "-g", "10", "-movflags", "+faststart")
    write(path, *how, frames=200)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 4 // 10])
    rows = cut(tmp_path / "root", tmp_path, settings_with(frames=25, clips=2))
    clips = rows["Fold1_part1/01/10.mp4"]
    assert sum(clip.kept for clip in clips) == 2
    lost = [clip for clip in clips if not clip.kept]
    assert lost
    for clip in lost:
        assert clip.reason
        assert str(tmp_path) not in clip.reason
    starts = sorted(clip.start for clip in clips if clip.kept)
    assert all(other - one >= 1 for one, other in pairwise(starts))


def test_a_clip_whose_start_is_rounded_up_begins_with_its_frame(tmp_path: Path) -> None:
    path = tmp_path / "root/Fold1_part1/01/10.avi"
    path.parent.mkdir(parents=True)
    write(path, "-c:v", "mpeg4", "-q:v", "2", "-r", "30", "-g", "5", frames=60)
    settings = settings_with(frames=8, fps=30)
    sources, _ = sources_in(tmp_path / "root", settings)
    starts = [clip.start for _, clip in plan_clips(sources, settings)]
    assert any(start * 30 > round(start * 30) for start in starts)
    clips = cut(tmp_path / "root", tmp_path, settings)["Fold1_part1/01/10.avi"]
    whole = [number_of(f) for f in stream_frames(path, size=(120, 160), fit="squeeze")]
    seen = [
        number_of(frame)
        for clip in clips
        for frame in stream_frames(
            tmp_path / f"clips/{clip_name(clip)}.mp4", size=(120, 160), fit="squeeze"
        )
    ]
    assert seen == whole[: len(seen)]


# What is no video, and what is said of it


def test_what_macos_notes_of_files_is_no_video_and_no_picture(odd: Path, tmp_path: Path) -> None:
    for name in ("a.mp4", "._a.mp4"):
        (tmp_path / "walk").mkdir(exist_ok=True)
        (tmp_path / "walk" / name).hardlink_to(odd / "plain.mp4")
    for name in ("00001.jpg", "._00001.jpg"):
        (tmp_path / name).touch()
    assert [file.name for file in video_files(tmp_path)] == ["00001.jpg"]
    assert list(search_videos([str(tmp_path)])) == [tmp_path / "walk/a.mp4"]
    found = {one.video: one.reason for one in find_videos([FOLDERS], tmp_path, "data")}
    assert [video for video, reason in found.items() if not reason] == ["walk/a.mp4"]
    assert "macOS" in found["walk/._a.mp4"]


def test_where_no_file_can_be_read_the_commonest_reason_is_reported(tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "A").mkdir(parents=True)
    for number in range(3):
        (root / f"A/v_A_g01_c{number:02}.avi").touch()
    (root / "A/v_A_g02_c01.avi").write_text("no video\n" * 99)
    with pytest.raises(DatasetError) as caught:
        listed(root, tmp_path / "s", min_frames=12)
    assert str(caught.value) == f"data.ucf101 = {root}: no video can be used: is empty (3 of 4)"


def test_no_reason_has_a_path_of_this_machine(tmp_path: Path) -> None:
    path = tmp_path / "root/Fold1_part1/01/10.mp4"
    encode(path, "testsrc2=size=64x48:rate=25", vcodec="libx264", format="mp4")
    content = path.read_bytes()
    path.write_bytes(content[: content.index(b"mdat")] + b"moov" + content[-200:])
    _, rejected = sources_in(tmp_path / "root", settings_with())
    (row,) = rejected
    assert row.reason
    assert "/" not in row.reason


# What it costs, and where


def counted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Count, from now on, the frames that are decoded in this process."""
    frames = [0]

    def counting(*args: Any, decoded: Any) -> Iterator[Any]:
        for frame in decoded(*args):
            frames[0] += 1
            yield frame

    for module in (decoding, reading, live):
        monkeypatch.setattr(module, "decoded", partial(counting, decoded=module.decoded))
    return frames


def test_windows_are_of_one_pass_over_the_file(odd: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    frames = counted(monkeypatch)
    total, windows = clips_of(odd / "plain.mp4", mix_settings(), Sliding(1.0, 0.2))
    assert sum(1 for _ in windows) == total == 8
    assert frames[0] <= 61  # and the first, for its shape


def test_mixing_does_not_examine_again(odd: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    frames = counted(monkeypatch)
    assert list(mix_video(odd / "plain.mp4", 60, mix_settings(), reader="pyav"))
    assert frames[0] == 60


CRASHES = """
import os, av

def open_(file, *args, open=av.open, **kwargs):
    if str(file).endswith("crashes.mp4"):
        os.abort()
    return open(file, *args, **kwargs)

av.open = open_
"""


def test_films_of_a_file_that_crashes_the_decoder_end_in_one_line(
    odd: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "crashes.mp4"
    path.hardlink_to(odd / "plain.mp4")
    (tmp_path / "sitecustomize.py").write_text(CRASHES)
    monkeypatch.syspath_prepend(tmp_path)
    limits = Limits(seconds=30, memory_mb=1024)  # none that a subprocess has which is there already
    said = ClipPrediction(0.0, 1.0, np.ones(1, np.float32))
    mix = mix_settings(method="average")
    clip = np.zeros((mix.segments, *mix.frame_shape), np.uint8)
    cold = Explanation(clip, "a", 0.5, "made up", torch.zeros(2, 1, 1), None)
    monkeypatch.setattr("framemix.inference.film.USUAL_LIMITS", limits)
    for film in (
        lambda: annotate(path, tmp_path / "out.mp4", [said], ["a"], 1, limits),
        lambda: write_film(path, tmp_path / "out.mp4", cold, mix),
    ):
        with pytest.raises(VideoError, match=r"crashes\.mp4: the decoder crashed \(SIGABRT\)$"):
            film()
    assert not (tmp_path / "out.mp4").exists()
    assert not list(tmp_path.glob(".out*"))


@pytest.mark.slow
def test_where_decord_is_not_installed_everything_is_read_as_well() -> None:
    """The tests of reading, once more, in a process that cannot import it."""
    script = (
        "import sys; sys.modules['decord'] = None; import pytest\n"
        "sys.exit(pytest.main(sys.argv[1:]))"
    )
    odd = "tests/test_odd_videos.py::test_whoever_reads_a_file_shows_what_ffmpeg_shows"
    command = [sys.executable, "-c", script, "tests/test_reading.py", odd, "-k", "not shared"]
    done = subprocess.run(
        [*command, "-p", "no:cacheprovider"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-3000:]
    assert "skipped" in done.stdout  # what compares with decord


def test_without_decord_an_odd_and_a_plain_file_are_read(odd: Path) -> None:
    script = (
        "import sys; sys.modules['decord'] = None\n"
        "from pathlib import Path; from framemix.video.reading import examine, stream_frames\n"
        "for path in map(Path, sys.argv[1:]):\n"
        "    video = examine(path)\n"
        "    frames = stream_frames(path, size=(24, 32), fit='squeeze', reader='decord')\n"
        "    print(video.reader, len(list(frames)) == video.frames)\n"
    )
    command = [sys.executable, "-c", script, odd / "plain.mp4", odd / "raw_palette.avi"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["pyav", "True"] * 2


def test_a_video_that_decord_shows_the_same_of_is_read_by_it(odd: Path) -> None:
    pytest.importorskip("decord")
    assert examine(odd / "plain.mp4").reader == "decord"
    for name in ("raw_palette.avi", "grey.mov", "turned270.mkv", "rotate_tag180.mkv", "av1.mkv"):
        assert examined(odd / name).reader == "pyav"


def test_the_real_video_that_decord_counts_wrongly_is_whole(shared: Path) -> None:
    path = shared / "data/UCF-101/BaseballPitch/v_BaseballPitch_g01_c03.avi"
    video = examine(path)
    assert (video.frames, video.reader) == (103, "pyav")
    assert sum(1 for _ in stream_frames(path, size=(8, 8), fit="squeeze")) == 103
