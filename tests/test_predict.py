"""`framemix predict`: what users may rely on when they ask a model about videos."""

import csv
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Any

import av
import ffmpeg
import numpy as np
import psutil
import pytest
import torch
from typer.testing import CliRunner
from typer.testing import Result as Ended

from framemix.cli import app
from framemix.datasets import clips
from framemix.errors import FramemixError, ModelError
from framemix.inference import overlay
from framemix.inference.clips import (
    BATCH,
    USUAL_LIMITS,
    MixedClip,
    Sliding,
    clips_of,
    isolated_clips,
    rolling_mix,
)
from framemix.inference.loading import load_classifier
from framemix.inference.output import as_csv, as_json, as_text
from framemix.inference.overlay import annotate, write_lines
from framemix.inference.prediction import ClipPrediction, Result, predict_videos
from framemix.inference.timeline import draw_timeline
from framemix.inference.videos import require_videos, search_videos
from framemix.jobs import isolation
from framemix.mixing import Pixels, mix_frames
from framemix.models import load_model
from framemix.store import MixedStore
from framemix.store.build import build_store
from framemix.store.sources import sources_of
from framemix.training.data import Example
from framemix.training.prediction import predict as predict_store
from framemix.video.reading import describe, examine, stream_frames
from framemix.video.writing import FFMPEG, video_writer
from tests.bad_videos import encode, slowing_down
from tests.listing import count_frames, execution
from tests.tiny_model import FPS, record, write_model, write_video
from tests.tiny_store import ACTIONS, HEIGHT, WIDTH, mix_settings, nonlocal_config


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("predict")
    write_model(folder / "model.safetensors")
    write_video(folder / "videos/a.avi", frames=30, seed=0)
    write_video(folder / "videos/below/b.mp4", frames=43, seed=1)
    (folder / "videos/notes.txt").write_text("no video")
    (folder / "broken.avi").write_text("no video")
    return folder


def run(*arguments: object) -> Ended:
    return CliRunner().invoke(app, ["predict", *map(str, arguments)])


@pytest.mark.parametrize("pixel_format", ["rgb24", "yuv420p"])
@pytest.mark.parametrize("network", ["vivit", "nonlocal"])
@pytest.mark.parametrize("window", ["all", {"frames": 20, "at": "centre"}])
def test_predicts_the_same_as_the_pipeline_for_the_same_video(
    network: str, pixel_format: str, window: Any, here: Path, tmp_path: Path
) -> None:
    config = nonlocal_config() if network == "nonlocal" else None
    mix = {"pixel_format": pixel_format, "window": window}
    write_model(tmp_path / "model.safetensors", config, **mix)
    root = here / "videos"
    videos = require_videos([str(root)])
    rows = [
        clips.Clip(
            video=video.relative_to(root).as_posix(),
            class_name="a",
            frames=count_frames(video),
            kept=True,
        )
        for video in videos
    ]
    sources = sources_of(rows, root, {"a": 0})
    store = tmp_path / "store"
    store.mkdir()
    build_store(sources, store, mix_settings(**mix), execution(tmp_path / "scratch"))
    examples = [Example(MixedStore(store), row, 0) for row in MixedStore(store).index]
    model = load_model(tmp_path / "model.safetensors")
    expected = predict_store(model, examples, batch_size=2, device=torch.device("cpu")).numpy()

    classifier = load_classifier(tmp_path / "model.safetensors", "cpu")
    results = list(predict_videos(classifier, videos, None, USUAL_LIMITS))
    said = np.stack([result.predictions[0].probabilities for result in results])
    np.testing.assert_allclose(said, expected, atol=1e-6)
    assert np.abs(said[0] - said[1]).max() > 1e-4  # else the videos could be mixed up


def test_a_window_sees_its_frames_mixed_like_a_clip(here: Path) -> None:
    video, mix = here / "videos/below/b.mp4", mix_settings()
    total, windows = clips_of(video, mix, Sliding(window=2.0, step=0.7))
    clips = list(windows)
    assert len(clips) == total
    frames = np.stack(list(stream_frames(video, size=(HEIGHT, WIDTH), fit="squeeze")))
    assert [clip.start for clip in clips] == pytest.approx([0.0, 0.7, 1.4, 2.1])
    for clip in clips:
        start = round(clip.start * FPS)
        assert clip.end == pytest.approx(clip.start + 2.0)
        expected = mix_frames(
            frames[start : start + 20], segments=4, method="linear", frames_per_segment="all"
        )
        assert np.array_equal(clip.mixed, expected)


def test_a_window_spans_its_seconds_where_the_frame_rate_changes(tmp_path: Path) -> None:
    video, mix = slowing_down(tmp_path / "a.mp4"), mix_settings(method="average")
    assert count_frames(video) == 90
    clips = list(clips_of(video, mix, Sliding(window=2.0, step=2.0))[1])
    assert [clip.start for clip in clips] == pytest.approx(list(np.arange(6) * 2.0), abs=0.3)
    for clip in clips:  # each second is 16 of 219 levels brighter
        seconds = (clip.start + clip.end) / 2 - 0.5
        assert clip.mixed.mean() == pytest.approx((4 + 16 * seconds) * 255 / 219, abs=6)


def test_a_whole_video_ends_when_its_last_frame_does(tmp_path: Path) -> None:
    video = slowing_down(tmp_path / "a.mp4")
    (clip,) = clips_of(video, mix_settings(), None)[1]
    assert (clip.start, clip.end) == (0.0, pytest.approx(12.0, abs=0.1))
    (clip,) = clips_of(video, mix_settings(window={"frames": 20, "at": "centre"}), None)[1]
    assert (clip.start, clip.end) == (pytest.approx(3.5), pytest.approx(5.5, abs=0.1))


def test_a_video_whose_clock_starts_late_starts_at_zero(here: Path, tmp_path: Path) -> None:
    source, path = here / "videos/below/b.mp4", tmp_path / "a.mkv"
    late = ffmpeg.input(f"file:{source}", itsoffset=20).output(f"file:{path}", c="copy")
    late.global_args("-copyts").run(cmd=FFMPEG, quiet=True)
    with av.open(path) as container:
        assert next(container.decode(video=0)).time > 10
    assert examine(path).times[0] == 0
    (clip,) = clips_of(path, mix_settings(), None)[1]
    assert (clip.start, clip.end) == (0.0, pytest.approx(4.3, abs=0.01))
    windows = list(clips_of(path, mix_settings(), Sliding(2.0, 1.0))[1])
    assert [window.start for window in windows] == pytest.approx([0.0, 1.0, 2.0])


def test_the_annotated_video_keeps_the_pace_of_one_whose_frame_rate_changes(tmp_path: Path) -> None:
    write_model(tmp_path / "model.safetensors")
    video, annotated = slowing_down(tmp_path / "a.mp4"), tmp_path / "out.mp4"
    options = ("--window", 2, "--top", 1, "--annotate", annotated)
    done = run(tmp_path / "model.safetensors", video, *options)
    assert done.exit_code == 0, done.output
    info = describe(annotated)
    assert info.seconds == pytest.approx(12.0, abs=0.3)
    frames = list(stream_frames(annotated, size=(48, 64), fit="squeeze"))
    corner = [frame[-8:, -8:].mean() for frame in frames]
    expected = [(4 + 16 * (number / info.fps // 1)) * 255 / 219 for number in range(len(frames))]
    assert np.mean(np.abs(np.subtract(corner, expected)) < 3) > 0.8  # all but where seconds change


def assert_same(clips: list[MixedClip], expected: list[MixedClip]) -> None:
    assert [(c.start, c.end) for c in clips] == [(c.start, c.end) for c in expected]
    assert all(np.array_equal(a.mixed, b.mixed) for a, b in zip(clips, expected, strict=True))


def test_windows_come_from_the_subprocess_batch_by_batch(here: Path) -> None:
    video, mix, sliding = here / "videos/below/b.mp4", mix_settings(), Sliding(1.0, 0.1)
    expected = list(clips_of(video, mix, sliding)[1])
    assert len(expected) > 2 * BATCH
    assert_same(list(isolated_clips(video, mix, sliding, USUAL_LIMITS)), expected)


def test_a_new_subprocess_continues_where_the_last_one_was(here: Path) -> None:
    video, mix, sliding = here / "videos/below/b.mp4", mix_settings(), Sliding(1.0, 0.1)
    clips = isolated_clips(video, mix, sliding, USUAL_LIMITS)
    begun = [next(clips) for _ in range(BATCH)]
    isolation._of_thread.child.end()
    isolation._of_thread.child = None
    assert_same([*begun, *clips], list(clips_of(video, mix, sliding)[1]))


def test_a_file_that_takes_too_long_is_one_line(here: Path) -> None:
    done = run(here / "model.safetensors", here / "videos/a.avi", "--timeout", 1e-4)
    assert done.exit_code == 1
    assert "a.avi: decoding took more than 0.0001 s (--timeout)" in done.stderr


def test_a_video_as_long_as_the_window_is_one_clip(here: Path) -> None:
    sliding = Sliding(window=3.0, step=1.0)
    total, (clip,) = clips_of(here / "videos/a.avi", mix_settings(), sliding)
    assert total == 1
    assert (clip.start, clip.end) == (0.0, 3.0)


def test_folders_files_and_patterns_name_each_video_once(here: Path) -> None:
    both = [here / "videos/a.avi", here / "videos/below/b.mp4"]
    assert require_videos([str(here / "videos")]) == both
    assert require_videos([f"{here}/videos/**/*.mp4", str(here / "videos")]) == both[::-1]
    assert require_videos([str(here / "videos/notes.txt")]) == [here / "videos/notes.txt"]


def test_videos_come_in_order_whatever_their_suffix(tmp_path: Path) -> None:
    kinds = (".avi", ".m4v", ".MKV", ".mov", ".Mp4", ".webm", ".wmv", ".3gp")
    videos = [tmp_path / f"{n % 4}/{n % 2}/{n}{kinds[n % 8]}" for n in range(32)]
    for video in [tmp_path / "4.avi", *videos]:
        video.parent.mkdir(parents=True, exist_ok=True)
        video.touch()
    expected = sorted([tmp_path / "4.avi", *videos])
    assert require_videos([str(tmp_path)]) == expected
    assert require_videos([f"{tmp_path}/**/*.*"]) == expected


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("missing.avi", "cannot be read: No such file or directory"),
        ("dangling[1].avi", "cannot be read: No such file or directory"),
        ("none/**/*.avi", "no video there; allowed"),
        ("empty", "no video there; allowed"),
    ],
)
def test_a_name_without_a_video_is_reported(name: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "dangling[1].avi").symlink_to("none")
    with pytest.raises(FramemixError, match=message) as error:
        require_videos([str(tmp_path / name)])
    assert str(tmp_path / name) in str(error.value)


def test_a_file_whose_name_is_not_utf_8_is_one_line_and_the_rest_is_processed(
    tmp_path: Path,
) -> None:
    bad = tmp_path / os.fsdecode(b"s\xfc\xdf.avi")
    bad.touch()
    (tmp_path / "b.avi").touch()
    said = f"{tmp_path}/s\\xfc\\xdf.avi: its name is not UTF-8; allowed: another name"
    found = search_videos([str(tmp_path)])
    expected = {Path(f"{tmp_path}/s\\xfc\\xdf.avi"): said, tmp_path / "b.avi": "None"}
    assert {path: str(problem) for path, problem in found.items()} == expected
    done = CliRunner().invoke(app, ["explain", str(tmp_path / "no model"), str(bad)])
    assert str(done.exception) == said


def test_an_empty_name_is_not_the_folder_that_one_is_in(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(here / "videos")
    with pytest.raises(FramemixError, match="'': no name of a video; allowed: a video file"):
        require_videos(["a.avi", ""])


def test_prints_the_likeliest_classes_first(here: Path) -> None:
    done = run(here / "model.safetensors", here / "videos/a.avi", "--top", 2)
    assert done.exit_code == 0, done.output
    name, line = done.stdout.splitlines()
    assert name == str(here / "videos/a.avi")
    shares = [float(word.rstrip("%")) for word in line.split() if word.endswith("%")]
    assert len(shares) == 2
    assert shares == sorted(shares, reverse=True)


def test_json_and_csv_hold_the_same(here: Path) -> None:
    sliding = ("--window", 2, "--step", 0.5)
    arguments = (here / "model.safetensors", here / "videos", *sliding, "--top", 3)
    as_json = json.loads(run(*arguments, "--json").stdout)
    rows = list(csv.DictReader(StringIO(run(*arguments, "--csv").stdout)))
    assert [video["video"] for video in as_json] == [
        str(here / "videos/a.avi"),
        str(here / "videos/below/b.mp4"),
    ]
    from_json = [
        (video["video"], said["start_seconds"], name, pytest.approx(p, abs=1e-6))
        for video in as_json
        for said in video["predictions"]
        for name, p in said["classes"].items()
    ]
    assert len(rows) == 3 * (3 + 5)
    assert [
        (row["video"], float(row["start_seconds"]), row["class"], float(row["probability"]))
        for row in rows
    ] == from_json
    assert {row["class"] for row in rows} == set(ACTIONS)
    assert {float(row["end_seconds"]) - float(row["start_seconds"]) for row in rows} == {2.0}


def test_text_json_and_csv_have_times_and_classes() -> None:
    said = ClipPrediction(1.0, 3.5, np.array([0.25, 0.75], np.float32))
    given: Any = ([Result(Path("a.avi"), [said])], ["alert", "drowsy"], 2)
    assert as_text(*given) == "a.avi\n     1.0 -   3.5 s  drowsy 75.0%  alert 25.0%"
    window = {"start_seconds": 1.0, "end_seconds": 3.5, "classes": {"drowsy": 0.75, "alert": 0.25}}
    assert json.loads(as_json(*given)) == [{"video": "a.avi", "predictions": [window]}]
    rows = ["a.avi,1.000,3.500,1,drowsy,0.750000", "a.avi,1.000,3.500,2,alert,0.250000"]
    assert as_csv(*given).splitlines()[1:] == rows


def test_the_timeline_has_the_classes_that_are_likeliest_at_some_time() -> None:
    chances = ([0, 0.9, 0, 0.02, 0.03, 0.04, 0.01], [0, 0, 0.8, 0.05, 0.06, 0.09, 0])
    windows = [
        ClipPrediction(start, start + 2.0, np.array(probabilities, np.float32))
        for start, probabilities in zip((0.0, 1.0), chances, strict=True)
    ]
    (axes,) = draw_timeline(windows, list("abcdefg")).axes
    assert [name.get_text() for name in axes.get_legend().get_texts()] == list("bcdef")
    for line, values in zip(axes.lines, np.transpose(chances)[1:], strict=False):
        np.testing.assert_allclose(line.get_xydata(), np.c_[[1.0, 2.0], values])
    assert axes.get_xlim() == (0, 3)
    assert axes.get_xlabel() == "seconds (middle of a window of 2.0 s)"


def test_a_bad_file_is_one_line_and_the_rest_is_processed(here: Path) -> None:
    done = run(here / "model.safetensors", here / "broken.avi", here / "videos", "--json")
    assert done.exit_code == 1
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert str(here / "broken.avi") in line
    bad, *good = json.loads(done.stdout)
    assert bad["error"] in line
    assert [len(video["predictions"]) for video in good] == [1, 1]


def test_a_window_of_fewer_frames_than_segments_is_reported(here: Path) -> None:
    done = run(here / "model.safetensors", here / "videos/a.avi", "--window", 0.3)
    assert done.exit_code == 1
    assert "window = 0.3 s: 3 frames at 10 frames a second; allowed: at least" in done.stderr


def test_a_window_may_be_of_as_many_frames_as_segments(here: Path) -> None:
    video, mix = here / "videos/a.avi", mix_settings(method="average")
    clips = list(clips_of(video, mix, Sliding(0.4, 0.4))[1])
    frames = np.stack(list(stream_frames(video, size=(HEIGHT, WIDTH), fit="squeeze")))
    assert np.array_equal(np.concatenate([clip.mixed for clip in clips]), frames[:28])


@pytest.mark.parametrize(
    ("fps", "step", "frames", "frames_apart"), [(29.97, 1.0, 60, 30), (10.0, 0.04, 20, 1)]
)
def test_windows_are_of_the_nearest_number_of_frames_and_at_least_one_apart(
    fps: float, step: float, frames: int, frames_apart: int
) -> None:
    rolling = rolling_mix(mix_settings(), Sliding(2.0, step), fps)
    assert (rolling.frames, rolling.step) == (frames, frames_apart)


def test_a_file_that_windows_slide_over_is_not_read_into_memory(tmp_path: Path) -> None:
    how = {"frames:v": 100, "vcodec": "mjpeg", "q:v": 2}
    video = encode(tmp_path / "a.avi", "testsrc2=size=1280x720:rate=25,noise=alls=100", **how)
    assert video.stat().st_size > 80e6
    _, clips = clips_of(video, mix_settings(), Sliding(1.0, 0.2))
    before = psutil.Process().memory_info().rss
    held = [psutil.Process().memory_info().rss for _ in clips]
    assert len(held) == 16
    assert max(held) - before < 40e6


def test_a_bad_file_is_one_line_where_a_picture_of_it_is_asked_for(
    here: Path, tmp_path: Path
) -> None:
    (tmp_path / "a.png").write_text("as before")
    options = ("--plot", tmp_path / "a.png", "--annotate", tmp_path / "a.mp4")
    done = run(here / "model.safetensors", here / "broken.avi", *options)
    assert done.exit_code == 1
    assert f"error: {here}/broken.avi: is no AVI" in done.stderr
    assert [path.read_text() for path in tmp_path.iterdir()] == ["as before"]


def test_writes_a_timeline_and_a_video_with_the_classes_on_it(here: Path, tmp_path: Path) -> None:
    video = here / "videos/below/b.mp4"
    plot, annotated = tmp_path / "plot.PNG", tmp_path / "annotated.mp4"
    arguments = (here / "model.safetensors", video, "--window", 2)
    done = run(*arguments, "--plot", plot, "--annotate", annotated)
    assert done.exit_code == 0, done.output
    assert plot.read_bytes().startswith(b"\x89PNG")
    assert b"matplotlib" not in plot.read_bytes()  # whose version would be in it
    assert count_frames(annotated) == count_frames(video)
    before, after = describe(video), describe(annotated)
    assert (before.width, before.height, before.fps) == (after.width, after.height, after.fps)


def test_each_frame_is_annotated_by_the_window_whose_middle_is_nearest(tmp_path: Path) -> None:
    video, out = tmp_path / "grey.avi", tmp_path / "out.mp4"
    with video_writer(video, width=320, height=240, fps=10, codec="ffv1") as write:
        for _ in range(40):
            write(np.full((240, 320, 3), 200, np.uint8))
    said = [
        ClipPrediction(start, start + 2.0, np.array([1.0], np.float32) * share)
        for start, share in ((0.0, 0.0), (1.0, 1.0), (2.0, 0.0))
    ]
    annotate(video, out, said, ["a"], 1)
    frames = np.stack(list(stream_frames(out, size=(240, 320), fit="squeeze"))).astype(int)
    distance = [np.abs(frame[:40, :120] - frames[0, :40, :120]).mean() for frame in frames]
    second = [number for number, value in enumerate(distance) if value > max(distance) / 2]
    assert second == list(range(16, 26))


def test_a_video_of_odd_sides_is_annotated_with_as_many_classes_as_asked_for(
    tmp_path: Path,
) -> None:
    video, out = tmp_path / "odd.avi", tmp_path / "out.mp4"
    grey = np.full((241, 321, 3), 200, np.uint8)
    with video_writer(video, width=321, height=241, fps=10, codec="ffv1") as write:
        write(grey)
    said = ClipPrediction(0.0, 0.1, np.array([0.2, 0.7, 0.1], np.float32))
    annotate(video, out, [said], ["alert", "drowsy", "other"], 2)
    expected = write_lines(grey[:-1, :-1], [" 70%  drowsy", " 20%  alert"])
    (frame,) = stream_frames(out, size=(240, 320), fit="squeeze")
    assert (describe(out).height, describe(out).width) == (240, 320)
    assert np.abs(frame.astype(int) - expected)[:60, :120].mean() < 6  # H.264 blurs letters


def test_a_large_video_is_decoded_no_further_than_it_is_annotated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    how = {"frames:v": 120}
    video = encode(tmp_path / "hd.avi", "testsrc2=size=1280x720:rate=25", **how)
    held: list[int] = []

    def write_slowly(frame: Pixels, lines: Sequence[str]) -> Pixels:
        held.append(psutil.Process().memory_info().rss)
        time.sleep(0.01)
        return frame

    monkeypatch.setattr(overlay, "write_lines", write_slowly)
    annotate(
        video, tmp_path / "out.mp4", [ClipPrediction(0.0, 4.8, np.ones(1, np.float32))], ["a"], 1
    )
    assert len(held) == 120
    assert max(held) - held[0] < 100e6  # all 120 are 332 MB


def test_letters_are_on_the_frame_and_the_rest_of_it_stays() -> None:
    frame = np.full((120, 320, 3), 200, np.uint8)
    written = write_lines(frame, ["90%  Archery"])
    assert written.shape == frame.shape
    assert written.min() < 120  # the band
    assert written.max() > 230  # the letters
    assert np.array_equal(written[60:], frame[60:])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--json", "--csv"], "--json and --csv: allowed: one of them"),
        (["--plot", "a.png"], "--plot and --annotate: 2 videos; allowed: one"),
        (["--device", "cuda:7"], "no CUDA device here"),
    ],
)
def test_options_that_do_not_fit_are_reported(options: list[str], message: str, here: Path) -> None:
    done = run(here / "model.safetensors", here / "videos", *options)
    assert done.exit_code != 0
    assert message in str(done.exception)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_model_with_weights_that_are_not_finite_is_reported(value: float, tmp_path: Path) -> None:
    from framemix.models import save_model

    model = write_model(tmp_path / "model.safetensors")
    weights = dict(model.network.named_parameters())
    name = sorted(weights)[-1]
    torch.nn.init.constant_(weights[name], value)
    save_model(tmp_path / "model.safetensors", model)
    done = run(tmp_path / "model.safetensors", tmp_path / "a.avi", "--json")
    assert str(done.exception) == f"{tmp_path}/model.safetensors: weights not finite: {name}"
    assert done.stdout == ""


@pytest.mark.parametrize("command", ["predict", "explain", "watch"])
def test_a_network_whose_outputs_are_not_finite_ends_the_command(
    command: str, tmp_path: Path
) -> None:
    from framemix.models import save_model

    model = write_model(tmp_path / "model.safetensors")
    save_model(tmp_path / "model.safetensors", replace(model, std=(1e-320,) * 3))
    video = write_video(tmp_path / "a.avi", frames=60)
    done = CliRunner().invoke(app, [command, str(tmp_path / "model.safetensors"), str(video)])
    assert done.exit_code == 1
    assert "nan" not in done.stdout
    assert isinstance(done.exception, ModelError)
    assert "outputs nan; allowed: " in str(done.exception)


def test_a_model_without_mix_settings_is_reported(here: Path, tmp_path: Path) -> None:
    model = load_model(here / "model.safetensors")
    model.mix.clear()
    from framemix.models import save_model

    save_model(tmp_path / "model.safetensors", model)
    with pytest.raises(FramemixError, match="mix settings: method: missing"):
        load_classifier(tmp_path / "model.safetensors")


def test_annotated_frames_have_the_band_and_are_else_the_videos(here: Path, tmp_path: Path) -> None:
    video, annotated = write_video(tmp_path / "a.avi", size=(240, 320)), tmp_path / "b.mp4"
    run(here / "model.safetensors", video, "--annotate", annotated)
    plain, written = (
        np.stack(list(stream_frames(path, size=(240, 320), fit="squeeze")))
        for path in (video, annotated)
    )
    changed = np.abs(plain.astype(int) - written).mean(axis=(0, 3))  # (H, W)
    assert changed[:40, :60].mean() > 3 * changed[100:].mean()
    with av.open(str(annotated)) as container:
        assert container.streams.video[0].codec_context.name == "h264"


def test_real_videos_are_predicted(here: Path, shared: Path) -> None:
    """Landscape, portrait and square, 25 and 30 frames a second, AVI and MP4."""
    videos = [shared / "data/UTA-RLDD-standin", shared / "data/UCF-101/Diving"]
    done = run(here / "model.safetensors", *videos, "--window", 2, "--step", 2, "--json")
    assert done.exit_code == 0, done.output
    answers = json.loads(done.stdout)
    assert len(answers) == 10
    assert all(len(video["predictions"]) > 1 for video in answers)


@pytest.mark.parametrize("spelling", ["a.mp4", "below/../a.mp4", "link.mp4", "hardlink.mp4"])
def test_a_video_is_never_overwritten_by_its_annotation(
    spelling: str, here: Path, tmp_path: Path
) -> None:
    video = write_video(tmp_path / "a.mp4")
    (tmp_path / "below").mkdir()
    (tmp_path / "link.mp4").symlink_to("a.mp4")
    (tmp_path / "hardlink.mp4").hardlink_to(video)
    before = video.read_bytes()
    done = run(here / "model.safetensors", video, "--annotate", tmp_path / spelling)
    assert f"{spelling}: would overwrite {video}; allowed: another file" in str(done.exception)
    assert done.stdout == ""  # told before anything is computed
    assert video.read_bytes() == before


def test_a_model_is_never_overwritten_by_a_picture(here: Path, tmp_path: Path) -> None:
    (tmp_path / "link.png").symlink_to(here / "model.safetensors")
    video, plot = here / "videos/a.avi", tmp_path / "link.png"
    done = run(here / "model.safetensors", video, "--plot", plot)
    assert f"link.png: would overwrite {here}/model.safetensors" in str(done.exception)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--plot", "none/a.png"], "none/a.png: cannot be written: No such file or directory"),
        (["--plot", "a.xyz"], "a.xyz: cannot be written; allowed: a name that ends in .png"),
        (["--plot", "folder.png"], "folder.png: cannot be written: Is a directory"),
        (["--annotate", "none/a.mp4"], "none/a.mp4: cannot be written: No such file or directory"),
        (["--annotate", "a.avi"], "a.avi: cannot be written; allowed: a name that ends in .mp4"),
        (["--annotate", "/proc/a.mp4"], "/proc/a.mp4: cannot be written: No such file"),
    ],
)
def test_what_cannot_be_written_is_reported_before_anything_is_computed(
    options: list[str], message: str, here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("folder.png").mkdir()
    done = run(here / "model.safetensors", here / "videos/a.avi", *options)
    assert isinstance(done.exception, FramemixError)
    assert message in str(done.exception)
    assert done.stdout == ""


@pytest.mark.parametrize(
    ("command", "option"),
    [
        ("predict", "--window"),
        ("predict", "--step"),
        ("predict", "--timeout"),
        ("watch", "--window"),
        ("watch", "--step"),
    ],
)
@pytest.mark.parametrize("value", ["0", "-1", "nan", "inf", "1e300"])
def test_seconds_that_are_no_length_of_time_are_reported(
    command: str, option: str, value: str, here: Path
) -> None:
    video = str(here / "videos/a.avi")
    arguments = [command, str(here / "model.safetensors"), video, option, value]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 2
    assert f"Invalid value for '{option}'" in done.stderr


def test_a_file_that_is_not_there_is_one_line_and_the_rest_is_processed(
    here: Path, tmp_path: Path
) -> None:
    write_video(tmp_path / "folder/a.mp4")
    (tmp_path / "folder/b.mp4").symlink_to("none")
    missing = tmp_path / "missing.mp4"
    done = run(here / "model.safetensors", missing, tmp_path / "folder", "--json")
    assert done.exit_code == 1
    lines = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    reason = "cannot be read: No such file or directory"
    assert lines == [f"error: {missing}: {reason}", f"error: {tmp_path}/folder/b.mp4: {reason}"]
    answered = [video["video"] for video in json.loads(done.stdout) if "predictions" in video]
    assert answered == [f"{tmp_path}/folder/a.mp4"]


def test_folders_that_cannot_be_read_are_reported(tmp_path: Path) -> None:
    write_video(tmp_path / "a.mp4")
    closed = write_video(tmp_path / "closed/b.mp4").parent
    closed.chmod(0)
    code = "import sys; from framemix.inference.videos import search_videos as s; " + (
        "[print(*one, sep='|') for one in s(sys.argv[1:]).items()]"
    )
    powers = "-dac_override,-dac_read_search"
    ordinary = ["setpriv", f"--bounding-set={powers}", f"--inh-caps={powers}"]
    command = [sys.executable, "-c", code, str(tmp_path), str(closed / "b.mp4")]
    try:
        done = subprocess.run(
            [*(ordinary if os.geteuid() == 0 else []), *command], capture_output=True, text=True
        )
    finally:
        closed.chmod(0o755)
    assert done.stdout.splitlines() == [
        f"{tmp_path}/a.mp4|None",
        f"{closed}|{closed}: cannot be read: Permission denied",
        f"{closed}/b.mp4|{closed}/b.mp4: cannot be read: Permission denied",
    ]


def spans(done: Ended) -> list[list[tuple[float, float]]]:
    """Start and end of each prediction, a list for each video."""
    return [
        [(said["start_seconds"], said["end_seconds"]) for said in video["predictions"]]
        for video in json.loads(done.stdout)
    ]


def test_much_longer_videos_are_taken_in_windows_as_long_as_the_models_clips(
    here: Path, tmp_path: Path
) -> None:
    model = tmp_path / "model.safetensors"
    write_model(model, trained_on=record(seconds=2.0))
    done = run(model, here / "videos", "--json")
    # One is of 3.0 s, just 1.5 times as long, the other of 4.3 s.
    assert spans(done) == [[(0.0, 3.0)], [(0.0, 2.0), (1.0, 3.0), (2.0, 4.0)]]
    assert done.stderr.endswith(
        "note: videos longer than 3 s are taken in windows of 2 s, as long as the model's clips; "
        "--window sets another length\n"
    )


def test_a_window_that_is_asked_for_goes_before_the_models(here: Path, tmp_path: Path) -> None:
    model = tmp_path / "model.safetensors"
    write_model(model, trained_on=record(seconds=2.0))
    done = run(model, here / "videos", "--window", 60, "--json")
    assert spans(done) == [[(0.0, 3.0)], [(0.0, 4.3)]]
    assert done.stderr == ""


def test_the_models_own_window_has_frames_for_all_of_its_segments(
    here: Path, tmp_path: Path
) -> None:
    """At a low frame rate its seconds may have too few, and nobody asked for them."""
    model = tmp_path / "model.safetensors"
    write_model(model, trained_on=record(seconds=0.2))  # two frames; there are four segments
    done = run(model, here / "videos/a.avi", "--json")
    assert spans(done) == [[(0.0, 0.4), (1.0, 1.4), (2.0, 2.4)]]


def test_a_model_of_drawn_videos_is_reported_to_be_one(here: Path, tmp_path: Path) -> None:
    model = tmp_path / "model.safetensors"
    write_model(model, trained_on=record(drawn=True))
    done = run(model, here / "videos/a.avi", "--json")
    assert spans(done) == [[(0.0, 3.0)]]
    words = f"note: {model}: This model was trained on the rendered sample (tiny): "
    assert done.stderr.startswith(words)
    write_model(model, trained_on=record())
    assert "note" not in run(model, here / "videos/a.avi").stderr
