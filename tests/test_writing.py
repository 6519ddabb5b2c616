"""What users may rely on when videos are written: whole files of the same bytes, or none."""

import sys
import time
from itertools import islice, pairwise
from pathlib import Path

import av
import numpy as np
import psutil
import pytest

from framemix.errors import VideoError
from framemix.video.reading import describe, stream_frames
from framemix.video.writing import cut_clip, video_writer
from tests.bad_videos import encode
from tests.listing import count_frames

AWKWARD_NAMES = ["a b.mp4", "a:b.mp4", "-d.mp4", "süß 日本.mp4", "%03d.mp4", "q'\"?#.mp4"]
COUNT = 60


def write_ramp(
    path: Path, *, fps: float = 30, codec: str = "xvid", count: int = COUNT, rotation: int = 0
) -> Path:
    """A video whose frame number is its brightness / 4."""
    with video_writer(path, width=64, height=48, fps=fps, codec=codec, rotation=rotation) as write:
        for number in range(count):
            write(np.full((48, 64, 3), 4 * number, np.uint8))
    return path


def brightness(path: Path) -> list[float]:
    return [frame.mean() for frame in stream_frames(path, size=(8, 8), fit="squeeze")]


def cut(source: Path, target: Path, **changes: object) -> Path:
    values = {"stream": 0, "start": 0.0, "frames": 10, "fps": 30, "width": 32, "height": 24}
    cut_clip(source, target, **(values | changes))
    return target


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture(scope="session")
def ramp(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_ramp(tmp_path_factory.mktemp("ramp") / "ramp.avi")


# Frame by frame


@pytest.mark.parametrize(
    ("codec", "suffix", "name"), [("xvid", ".avi", "mpeg4"), ("h264", ".mp4", "h264")]
)
def test_the_frames_written_are_those_read_in_order(tmp_path, codec, suffix, name):
    path = write_ramp(tmp_path / f"a{suffix}", codec=codec, fps=25)
    assert brightness(path) == pytest.approx([4 * i for i in range(COUNT)], abs=4)
    info = describe(path)
    assert (info.width, info.height, info.fps) == (64, 48, 25)
    with av.open(path) as container:
        assert container.streams.video[0].codec_context.name == name
    assert names(tmp_path) == [path.name]


def test_avi_files_carry_the_tag_that_ucf101s_have(ramp):
    with av.open(ramp) as container:
        assert container.streams.video[0].codec_context.codec_tag == "XVID"


@pytest.mark.parametrize(("codec", "suffix"), [("xvid", ".avi"), ("h264", ".mp4")])
def test_the_same_frames_give_the_same_bytes(tmp_path, codec, suffix):
    one, two = (
        write_ramp(tmp_path / f"{name}{suffix}", codec=codec, rotation=90 if codec == "h264" else 0)
        for name in ("one", "two")
    )
    assert one.read_bytes() == two.read_bytes()


def test_a_writer_that_is_interrupted_leaves_no_file(tmp_path):
    def interrupted() -> None:
        with video_writer(tmp_path / "a.avi", width=64, height=48, fps=30, codec="xvid") as write:
            write(np.zeros((48, 64, 3), np.uint8))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert names(tmp_path) == []


@pytest.mark.parametrize("count", [1, 3, 200])
def test_what_ffmpeg_refuses_is_one_line_with_its_reason_and_leaves_the_old_file(tmp_path, count):
    target = tmp_path / "odd.mp4"
    target.write_text("old")

    def write_odd() -> None:
        with video_writer(target, width=63, height=47, fps=30, codec="h264") as write:
            for _ in range(count):
                write(np.zeros((47, 63, 3), np.uint8))

    with pytest.raises(VideoError) as caught:
        write_odd()
    message = str(caught.value)
    assert message.startswith(f"{target}: ")
    assert message.endswith("width not divisible by 2 (63x47)")
    assert target.read_text() == "old"
    assert names(tmp_path) == ["odd.mp4"]


@pytest.mark.parametrize("count", [1, 300])
def test_a_folder_that_is_not_there_is_an_error(tmp_path, count):
    with pytest.raises(VideoError, match=r"nowhere/a\.avi: .*No such file or directory"):
        write_ramp(tmp_path / "nowhere/a.avi", count=min(count, 60))


# Clips cut out of a longer video


@pytest.mark.parametrize(("start", "first"), [(0.0, 0), (0.5, 15), (1.0, 30), (1.5, 45)])
def test_a_clip_starts_where_it_should_and_has_exactly_its_frames(tmp_path, ramp, start, first):
    clip = cut(ramp, tmp_path / "clip.mp4", start=start)
    expected = [4 * (first + i) for i in range(10)]
    assert brightness(clip) == pytest.approx(expected, abs=6)
    info = describe(clip)
    assert (info.width, info.height, info.fps) == (32, 24, 30)


def test_consecutive_clips_share_no_frame(tmp_path, ramp):
    clips = [
        brightness(cut(ramp, tmp_path / f"{i}.mp4", start=round(i * 15 / 30, 3), frames=15))
        for i in range(4)
    ]
    for before, after in pairwise(clips):
        assert after[0] - before[-1] == pytest.approx(4, abs=3)


@pytest.mark.parametrize("fps", [24, 25, 29.97, 50, 60])
def test_a_clip_of_a_video_at_another_rate_keeps_its_speed(tmp_path, fps):
    source = write_ramp(tmp_path / "source.avi", fps=fps)
    clip = cut(source, tmp_path / "clip.mp4", frames=20)
    assert count_frames(clip) == 20
    speed = np.polyfit(np.arange(20), brightness(clip), 1)[0]
    assert speed == pytest.approx(4 * fps / 30, rel=0.1)


def test_a_clip_starts_at_the_start_of_a_recording_that_was_cut_short(tmp_path):
    options = {"vcodec": "libx264", "format": "matroska", "frames:v": 60}
    whole, source = encode(tmp_path / "whole.mkv", **options), tmp_path / "short.mkv"
    source.write_bytes(whole.read_bytes()[: int(0.8 * whole.stat().st_size)])
    assert count_frames(cut(source, tmp_path / "clip.mp4", frames=10, fps=25)) == 10


def test_a_clip_of_a_real_video_starts_with_its_key_frame(tmp_path, shared):
    source = shared / "data/UCF-101/ApplyEyeMakeup/v_ApplyEyeMakeup_g01_c01.avi"
    clip = cut(source, tmp_path / "clip.mp4", fps=25, width=320, height=240)
    ten, expected = (
        np.stack(list(islice(stream_frames(path, size=(240, 320), fit="squeeze"), 10)))
        for path in (clip, source)
    )
    assert np.abs(ten.astype(int) - expected).mean() < 4


def test_a_clip_of_a_turned_video_is_turned_as_displayed(tmp_path):
    with video_writer(
        tmp_path / "turned.mp4", width=64, height=48, fps=30, codec="h264", rotation=90
    ) as write:
        for _ in range(10):
            write(np.repeat([[[250] * 3, [0] * 3]], 32, axis=1).repeat(48, axis=0).astype(np.uint8))
    clip = cut(tmp_path / "turned.mp4", tmp_path / "clip.mp4", frames=5, width=48, height=64)
    frame = next(stream_frames(clip, size=(64, 48), fit="squeeze"))
    assert frame[:20].mean() < 20
    assert frame[-20:].mean() > 230


def test_the_same_cut_gives_the_same_bytes(tmp_path, ramp):
    one, two = (cut(ramp, tmp_path / f"{name}.mp4", start=0.5) for name in ("one", "two"))
    assert one.read_bytes() == two.read_bytes()


def test_a_clip_has_no_metadata_of_its_source_or_writer(tmp_path):
    source = encode(tmp_path / "a.mp4", format="mp4", metadata="comment=at home")
    assert b"at home" in source.read_bytes()
    content = cut(source, tmp_path / "b.mp4").read_bytes()
    turned = write_ramp(tmp_path / "c.mp4", codec="h264", rotation=90).read_bytes()
    assert b"at home" not in content
    assert b"Lavf" not in content + turned


def test_a_source_that_ends_early_gives_fewer_frames(tmp_path, ramp):
    clip = cut(ramp, tmp_path / "clip.mp4", start=1.8)
    assert count_frames(clip) == 6


@pytest.mark.parametrize("name", AWKWARD_NAMES)
def test_any_file_name_can_be_cut_from_and_written_to(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    write_ramp(Path(name), codec="h264", count=12)
    assert count_frames(cut(Path(name), Path(f"clip {name}"))) == 10


@pytest.mark.parametrize("content", [None, b"", b"this is no video\n" * 300])
def test_a_source_that_is_no_video_is_an_error_that_is_the_same_each_time(tmp_path, content):
    source, messages = tmp_path / "0.mp4", set()
    if content is not None:
        source.write_bytes(content)
    for _ in range(2):
        with pytest.raises(VideoError, match=rf"^{source}: (is |cannot be read)") as caught:
            cut(source, tmp_path / "clip.mp4")
        messages.add(str(caught.value))
    (message,) = messages
    assert "\n" not in message
    assert not (tmp_path / "clip.mp4").exists()


# Killed


def test_ffmpeg_dies_with_the_process_that_cuts_a_clip(tmp_path):
    """At the speed of playing the cut would take a minute."""
    source = write_ramp(tmp_path / "source.avi", fps=1)
    job = f"""
from pathlib import Path
from framemix.video import writing
writing.FFMPEG.append("-re")
writing.cut_clip(
    Path({str(source)!r}), Path({str(tmp_path / "clip.mp4")!r}),
    stream=0, start=0, frames=60, fps=1, width=64, height=48,
)
"""
    worker = psutil.Popen([sys.executable, "-c", job])
    try:
        deadline = time.monotonic() + 30
        while not (tmp_path / ".clip.mp4.partial").exists():
            assert worker.poll() is None
            assert time.monotonic() < deadline, "ffmpeg did not start"
            time.sleep(0.02)
        (encoder,) = worker.children()
        assert encoder.is_running()
    finally:
        worker.kill()
        worker.wait()
    assert psutil.wait_procs([encoder], timeout=5)[1] == []
