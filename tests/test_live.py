"""`framemix watch`: what users may rely on while a video comes in."""

import signal
import socket
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from threading import Event, Thread
from typing import Any

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner, Result

from framemix.cli import app
from framemix.errors import FramemixError, VideoError
from framemix.inference.alarm import Alarm
from framemix.inference.classifier import Classifier
from framemix.inference.clips import MixedClip, Sliding, clips_of
from framemix.inference.live import Arrival, LivePrediction, _Handover, watch
from framemix.inference.loading import live_sliding, load_classifier
from framemix.inference.output import live_summary
from framemix.inference.prediction import predict_clips
from framemix.mixing import Pixels
from framemix.video.clock import constant_rate, steady
from framemix.video.live import LONGEST_GAP, opened_live
from framemix.video.planes import stream_planes
from framemix.video.reading import stream_frames
from framemix.video.writing import video_writer
from tests import warm
from tests.bad_videos import FRAMES, encode, shown, slowing_down
from tests.tiny_model import FPS, record, write_model, write_video


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("live")
    write_model(folder / "model.safetensors", classes=("alert", "drowsy"))
    write_video(folder / "a.mp4", frames=45)
    slowing_down(folder / "slowing.mp4")
    return folder


@pytest.mark.parametrize("pixel_format", ["rgb24", "yuv420p"])
@pytest.mark.parametrize(("video", "windows"), [("a.mp4", 6), ("slowing.mp4", 20)])
def test_a_file_played_live_is_predicted_as_by_predict(
    video: str, windows: int, pixel_format: str, here: Path, tmp_path: Path
) -> None:
    write_model(tmp_path / "model.safetensors", pixel_format=pixel_format)
    classifier, sliding = load_classifier(tmp_path / "model.safetensors", "cpu"), Sliding(2.0, 0.5)
    seen = list(watch(classifier, str(here / video), sliding, as_fast_as_possible=True))
    said = predict_clips(classifier, clips_of(here / video, classifier.mix, sliding)[1])
    assert len(seen) == windows
    for live, (_, offline) in zip(seen, said, strict=True):
        assert live.seconds == pytest.approx(offline.end)
        assert live.skipped == 0
        np.testing.assert_allclose(live.probabilities, offline.probabilities, atol=1e-6)


@pytest.mark.parametrize("pixel_format", ["rgb24", "yuv420p"])
@pytest.mark.parametrize("fit", ["squeeze", "crop", "pad"])
@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
def test_live_frames_are_those_of_the_file(
    pixel_format: Any, fit: Any, rotation: int, tmp_path: Path
) -> None:
    path, random = tmp_path / "a.mp4", np.random.default_rng(0)
    with video_writer(path, width=64, height=48, fps=FPS, codec="h264", rotation=rotation) as write:
        for _ in range(5):
            coarse = random.integers(0, 256, (6, 8, 3), np.uint8)
            write(coarse.repeat(8, axis=0).repeat(8, axis=1))
    read = stream_planes if pixel_format == "yuv420p" else stream_frames
    expected = np.stack(list(read(path, size=(16, 24), fit=fit)))
    how: dict[str, Any] = {"size": (16, 24), "fit": fit, "pixel_format": pixel_format}
    with opened_live(str(path), **how, paced=False) as live:
        frames = list(live.frames)
    assert [frame.seconds for frame in frames] == pytest.approx([i / FPS for i in range(5)])
    pixels = np.stack([frame.pixels for frame in frames])
    assert np.array_equal(pixels, expected)


def live_pixels(path: Path, pixel_format: Any) -> Pixels:
    how: dict[str, Any] = {"size": (60, 80), "fit": "squeeze", "pixel_format": pixel_format}
    with opened_live(str(path), **how, paced=False) as live:
        frames = [frame.pixels for frame in live.frames]
    # A file may lack a frame, as one of UCF101's does: that before it is shown again.
    return np.stack([frame for n, frame in enumerate(frames) if frame is not frames[n - 1]])


def test_a_frame_that_is_shown_again_arrives_with_the_one_behind_it(here: Path) -> None:
    how: dict[str, Any] = {"size": (16, 24), "fit": "squeeze", "pixel_format": "rgb24"}
    with opened_live(str(here / "slowing.mp4"), **how, paced=False) as live:
        frames = list(live.frames)
    again = [n for n in range(1, len(frames)) if frames[n].pixels is frames[n - 1].pixels]
    assert again
    for number in again[:-1]:
        before, one, behind = frames[number - 1 : number + 2]
        assert before.arrived < one.arrived == behind.arrived


@pytest.mark.parametrize("transform", [{"display_rotation": 45}, {"display_hflip": None}])
def test_a_picture_that_is_no_quarter_turn_is_reported(
    transform: dict[str, Any], tmp_path: Path
) -> None:
    path = shown(tmp_path / "a.mp4", transform)
    with pytest.raises(VideoError, match=r"a\.mp4: is .* allowed: 0, 90, 180 or 270 degrees"):
        live_pixels(path, "rgb24")


def test_frames_whose_times_are_out_of_order_come_once_each(tmp_path: Path) -> None:
    path = encode(tmp_path / "a.avi", vcodec="libx264", bf=3, b_strategy=0)
    with av.open(path) as container:
        times = [frame.time for frame in container.decode(video=0)]
    assert times != sorted(times)
    expected = list(stream_planes(path, size=(60, 80), fit="squeeze"))
    assert len(expected) == FRAMES
    assert np.array_equal(live_pixels(path, "yuv420p"), expected)


def test_live_frames_of_real_videos_are_those_of_the_file(real_ucf101: list[Path]) -> None:
    for path in real_ucf101:
        planes = list(stream_planes(path, size=(60, 80), fit="squeeze"))
        assert np.array_equal(live_pixels(path, "yuv420p"), planes), path
        rgb = np.stack(list(stream_frames(path, size=(60, 80), fit="squeeze")))
        # decord's ffmpeg and PyAV's round XviD's transform differently.
        assert np.abs(live_pixels(path, "rgb24") - rgb.astype(int)).max() <= 2, path


def test_a_file_is_played_at_its_speed(here: Path) -> None:
    classifier = load_classifier(here / "model.safetensors", "cpu")
    start = time.monotonic()
    seen = list(watch(classifier, str(here / "a.mp4"), Sliding(2, 1), as_fast_as_possible=False))
    assert time.monotonic() - start > 4.3  # 45 frames at 10 a second
    assert seen[-1].seconds == pytest.approx(4.0)
    assert sum(one.skipped for one in seen) + len(seen) == 3
    assert all(0 <= one.latency < 1 for one in seen)  # from when a frame was due


def test_a_slow_network_predicts_the_newest_window_and_counts_the_others(here: Path) -> None:
    fast = load_classifier(here / "model.safetensors", "cpu")

    def slowly(clips: Pixels) -> Any:
        time.sleep(1.2)
        return fast.probabilities(clips)

    slow = Classifier(fast.name, fast.classes, fast.mix, slowly)
    source, sliding = str(here / "a.mp4"), Sliding(2.0, 0.3)
    seen = list(watch(slow, source, sliding, as_fast_as_possible=False))
    assert 1 < len(seen) < 9
    assert len(seen) + sum(one.skipped for one in seen) == 9
    assert all(1.2 <= one.latency < 4 for one in seen)  # it does not fall further behind


def numbers(times: list[float], fps: float) -> list[int]:
    return list(steady(range(len(times)), times, fps, Path("a.mp4")))


def test_late_frames_are_repeated_and_too_many_are_dropped() -> None:
    assert numbers([0.0, 0.1, 0.2], 10) == [0, 1, 2]
    assert numbers([0.0, 0.3, 0.4], 10) == [0, 0, 0, 1, 2]
    assert numbers([0.0, 0.02, 0.1, 0.12, 0.2], 10) == [0, 2, 4]


def test_a_cameras_clock_that_jumps_stops_nothing() -> None:
    def seen(times: list[float]) -> list[int]:
        timed = zip(times, range(len(times)), strict=True)
        return [shown for shown, _ in constant_rate(timed, 10, LONGEST_GAP)]

    assert seen([0.0, 0.1, 1e6, 1e6 + 0.1, -50.0, -49.9]) == [0, 1, 2, 3, 4, 5]
    # From there on it counts again.
    assert seen([0.0, 0.1, 1e6, 1e6 + 0.3]) == [0, 1, 2, 2, 2, 3]


def test_a_picture_that_a_file_holds_for_long_is_shown_for_as_long() -> None:
    assert numbers([0.0, 0.1, 8.1, 8.2], 10) == [0, *[1] * 80, 2, 3]


@pytest.mark.parametrize("frames", [2, 4])
def test_a_video_of_more_or_fewer_frames_than_times_is_named(frames: int) -> None:
    with pytest.raises(VideoError, match=r"^a\.mp4: another number of frames"):
        list(steady(range(frames), [0.0, 0.1, 0.2], 10, Path("a.mp4")))


@given(st.lists(st.floats(0.001, 2.0), max_size=40), st.sampled_from([5.0, 10.0, 29.97]))
def test_frames_come_at_the_rate_whatever_their_times(gaps: list[float], fps: float) -> None:
    times = [float(t) for t in np.cumsum([0.0, *gaps])]
    shown = [times[number] for number in numbers(times, fps)]
    assert abs(len(shown) - 1 - times[-1] * fps) <= 1
    for tick, seconds in enumerate(shown):  # nothing is shown early, and nothing later left out
        assert seconds <= (tick + 1) / fps
        assert not [t for t in times if seconds < t < (tick - 1) / fps]


def test_the_alarm_continues_and_off_once_where_the_probability_wavers() -> None:
    alarm, states = Alarm(on=0.7, off=0.4, half_life=0.0), []
    for second, p in enumerate([0.5, 0.69, 0.7, 0.6, 0.4, 0.69, 0.39, 0.5, 0.69]):
        alarm.update(p, second)
        states.append(alarm.active)
    assert states == [False, False, True, True, True, True, False, False, False]


def test_smoothing_makes_half_of_a_change_in_a_half_life() -> None:
    alarm = Alarm(on=0.9, off=0.1, half_life=2.0)
    assert alarm.update(0.0, 10.0) == 0.0
    assert alarm.update(1.0, 12.0) == pytest.approx(0.5)
    slow, fast = Alarm(0.9, 0.1, 2.0), Alarm(0.9, 0.1, 2.0)
    for alarm, steps in ((slow, 4), (fast, 16)):  # whatever the rate of predictions
        alarm.update(0.0, 0.0)
        for step in range(1, steps + 1):
            alarm.update(1.0, 4.0 * step / steps)
    assert slow.level == pytest.approx(fast.level)


@pytest.mark.parametrize(("off", "on"), [(0.8, 0.5), (0.4, 70.0), (-0.1, 0.7)])
def test_thresholds_that_do_not_fit_are_reported(off: float, on: float) -> None:
    with pytest.raises(FramemixError, match=f"off = {off:g}, on = {on:g}: allowed"):
        Alarm(on=on, off=off, half_life=1.0)


def test_an_error_of_the_source_reaches_whoever_waits() -> None:
    def windows() -> Iterator[Arrival]:
        yield MixedClip(0.0, 1.0, np.zeros((1, 1, 1, 3), np.uint8)), 0.0
        raise VideoError("camera", "is gone")

    handover = _Handover(keep_all=True)
    handover.fill(windows())
    with pytest.raises(VideoError, match="camera: is gone"):
        list(handover.drain())


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["watch", *map(str, arguments)])


def test_prints_a_line_a_window_and_the_latency(here: Path) -> None:
    arguments = ("--window", 2, "--step", 0.5, "--as-fast-as-possible", "--on", 0, "--off", 0)
    done = run(here / "model.safetensors", here / "a.mp4", *arguments)
    assert done.exit_code == 0, done.output
    *lines, summary = done.stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["2.0", "2.5", "3.0", "3.5", "4.0", "4.5"]
    assert all("ALARM" in line and line.endswith(" ms") for line in lines)
    assert summary.startswith("6 windows, 0 skipped; latency ")


def test_the_alarm_goes_by_the_streams_time_and_every_skipped_window_is_counted(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    windows = [
        LivePrediction(seconds, np.array([1 - p, p], np.float32), latency, skipped)
        for seconds, p, latency, skipped in ((5, 0.2, 0.02, 0), (7, 1, 0.03, 1), (11, 1, 0.9, 2))
    ]
    monkeypatch.setattr("framemix.inference.live.watch", lambda *_, **how: iter(windows))
    done = run(here / "model.safetensors", "/dev/video0")
    assert done.stdout.splitlines() == [
        "     5.0 s  alert 80.0%  drowsy 20.0%  smoothed 0.20  20 ms",
        "     7.0 s  drowsy 100.0%  alert 0.0%  smoothed 0.60  30 ms  1 skipped",
        "    11.0 s  drowsy 100.0%  alert 0.0%  smoothed 0.90  ALARM  900 ms  2 skipped",
        "3 windows, 3 skipped; latency 30 ms in the median, 900 ms for 95 %",
    ]


def test_a_named_class_that_the_model_lacks_is_reported(here: Path) -> None:
    done = run(here / "model.safetensors", here / "a.mp4", "--alarm", "Drowsy")
    assert done.exit_code == 1
    assert str(done.exception) == "--alarm Drowsy: not the model's; allowed: alert, drowsy"


def test_a_model_without_drowsiness_is_watched_without_an_alarm(here: Path, tmp_path: Path) -> None:
    write_model(tmp_path / "model.safetensors")
    arguments = ("--window", 2, "--as-fast-as-possible")
    done = run(tmp_path / "model.safetensors", here / "a.mp4", *arguments)
    assert done.exit_code == 0, done.output
    assert "smoothed" not in done.stdout


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("/dev/video99", "/dev/video99: cannot be watched: No such file or directory"),
        ("99", "/dev/video99: cannot be watched: No such file or directory"),
        ("missing.mp4", "missing.mp4: cannot be watched: No such file or directory"),
        ("rtsp://127.0.0.1:9/x", "cannot be watched: Connection refused"),
    ],
)
def test_a_source_that_cannot_be_opened_is_one_line(source: str, message: str, here: Path) -> None:
    done = run(here / "model.safetensors", source)
    assert done.exit_code == 1
    assert message in str(done.exception)


@pytest.mark.parametrize("share", [0.0, 0.2])  # of 6 seconds
def test_a_stream_that_falls_silent_before_a_window_is_full_is_one_line_that_says_so(
    share: float, here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("framemix.video.live.PATIENCE", 1.0)
    noise = np.random.default_rng(0).integers(0, 256, (60, 48, 64, 3), np.uint8)
    with video_writer(tmp_path / "a.avi", width=64, height=48, fps=FPS, codec="xvid") as write:
        for frame in noise:
            write(frame)
    content = (tmp_path / "a.avi").read_bytes()
    with socket.create_server(("127.0.0.1", 0)) as server:

        def send_a_part() -> None:
            visitor, _ = server.accept()
            part = content[: int(share * len(content))]
            visitor.sendall(b"HTTP/1.0 200 OK\r\n\r\n" + part)
            ended.wait()
            visitor.close()

        ended = Event()
        Thread(target=send_a_part).start()
        source = f"http://127.0.0.1:{server.getsockname()[1]}/a.avi"
        done = run(here / "model.safetensors", source, "--window", 3)
        ended.set()
    assert done.exit_code == 1
    assert str(done.exception) == f"{source}: sent nothing for 1 s"


def test_a_source_shorter_than_the_window_is_reported(here: Path) -> None:
    done = run(here / "model.safetensors", here / "a.mp4", "--as-fast-as-possible")
    assert "ended before the first 5 s were over" in str(done.exception)


def test_ctrl_c_ends_it_with_the_summary(here: Path) -> None:
    arguments = ["watch", here / "model.safetensors", here / "a.mp4", "--window", "1"]
    process = warm.start([*warm.COMMAND, *arguments])
    while not process.written():
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    shown, _ = process.communicate(timeout=30)
    assert process.returncode == 0
    assert "windows, " in shown.splitlines()[-1]


@pytest.mark.parametrize(
    ("latencies", "median", "late"),
    [([0.08], 80, 80), ([0.08, 0.02], 50, 80), ([0.001 * n for n in range(1, 21)], 10, 19)],
)
def test_the_latency_of_95_percent_is_one_that_so_many_windows_keep(
    latencies: list[float], median: int, late: int
) -> None:
    words = live_summary(Counter(round(1000 * latency) for latency in latencies), 0)
    assert f"latency {median} ms in the median, {late} ms for 95 %" in words


def test_a_stream_that_is_ended_before_the_first_window_has_a_summary() -> None:
    assert live_summary(Counter(), 0) == "no window was full"


def test_without_a_window_it_is_as_long_as_the_models_clips_or_five_seconds() -> None:
    assert live_sliding(record(seconds=2.5), None, 1.0) == Sliding(2.5, 1.0, usual=True)
    assert live_sliding(record(seconds=2.5), 4.0, 1.0) == Sliding(4.0, 1.0)
    for silent in (record(), None):
        assert live_sliding(silent, None, 1.0) == Sliding(5.0, 1.0, usual=True)
