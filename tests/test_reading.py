"""What users may rely on when videos are read: decord's pixels, and errors in one line."""

import gc
import wave
from collections.abc import Iterator
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Any

import av
import ffmpeg
import numpy as np
import psutil
import pytest

from framemix.errors import VideoError
from framemix.video.live import LiveFrame, opened_live
from framemix.video.planes import stream_planes
from framemix.video.reading import (
    describe,
    examine,
    stream_frames,
    video_files,
)
from framemix.video.writing import FFMPEG, video_writer
from tests.bad_videos import encode, shown
from tests.listing import count_frames
from tests.odd_videos import H264, VP8, number_of, write

RED, GREEN, BLUE, BLACK = (200, 30, 30), (30, 200, 30), (30, 30, 200), (0, 0, 0)
AWKWARD_NAMES = [
    "a b.avi",
    "a:b.avi",
    "http:c.avi",
    "-d.avi",
    "süß 日本.avi",
    "%03d.avi",
    "q'\"?#.avi",
]


def write_video(path: Path, frame: np.ndarray, count: int = 4, rotation: int = 0) -> Path:
    height, width, _ = frame.shape
    codec = "h264" if path.suffix == ".mp4" else "xvid"
    with video_writer(
        path, width=width, height=height, fps=30, codec=codec, rotation=rotation
    ) as write:
        for _ in range(count):
            write(frame)
    return path


def bands(*colours: tuple[int, int, int], height: int = 48) -> np.ndarray:
    """Vertical bands, 24 pixels wide each."""
    return np.repeat(np.array([colours], np.uint8), 24, axis=1).repeat(height, axis=0)


def moving_noise(path: Path, count: int) -> Path:
    generator = np.random.default_rng(0)
    with video_writer(path, width=64, height=48, fps=30, codec="xvid") as write:
        for _ in range(count):
            write(generator.integers(0, 256, (48, 64, 3), np.uint8))
    return path


def first_frame(path: Path, size: tuple[int, int], fit: str = "squeeze") -> np.ndarray:
    return next(stream_frames(path, size=size, fit=fit))


def assert_colour(pixels: np.ndarray, colour: tuple[int, int, int]) -> None:
    assert pixels.size
    assert np.abs(pixels.astype(int) - colour).max() < 40, pixels.reshape(-1, 3)[:3]


@pytest.fixture(scope="session")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """96x48: a quarter red, half green, a quarter blue."""
    path = tmp_path_factory.mktemp("videos") / "wide.avi"
    return write_video(path, bands(RED, GREEN, GREEN, BLUE))


@pytest.fixture(scope="session")
def noise(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return moving_noise(tmp_path_factory.mktemp("videos") / "noise.avi", 30)


@pytest.fixture(scope="session")
def slope(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """64x48: red rises to the right, green falls to the bottom."""
    rows, columns = np.mgrid[:48, :64]
    picture = np.stack([4 * columns, 250 - 5 * rows, 0 * rows], axis=-1).astype(np.uint8)
    return write_video(tmp_path_factory.mktemp("videos") / "slope.avi", picture)


# Pixels


def test_at_native_size_frames_are_decords_own(noise):
    raw = pytest.importorskip("decord").VideoReader(str(noise))
    expected = [raw.next().asnumpy() for _ in range(len(raw))]
    frames = list(stream_frames(noise, size=(48, 64), fit="squeeze", reader="decord"))
    assert len(frames) == 30
    assert frames[0].dtype == np.uint8
    assert np.array_equal(frames, expected)


@pytest.mark.parametrize("fit", ["squeeze", "crop", "pad"])
def test_at_native_size_every_fit_is_the_same(noise, fit):
    squeezed = np.stack(list(stream_frames(noise, size=(48, 64), fit="squeeze")))
    assert np.array_equal(squeezed, list(stream_frames(noise, size=(48, 64), fit=fit)))


def test_real_ucf101_frames_are_decords_own(shared):
    path = shared / "data/UCF-101/Biking/v_Biking_g02_c02.avi"
    raw = pytest.importorskip("decord").VideoReader(str(path))
    frames = islice(stream_frames(path, size=(240, 320), fit="squeeze", reader="decord"), 20)
    assert np.array_equal(list(frames), [raw.next().asnumpy() for _ in range(20)])


@pytest.mark.parametrize("width", [2, 7, 24, 47, 48, 50, 72, 80, 171, 320])
def test_at_any_width_frames_are_those_of_ffmpegs_bilinear_scaling(slope, width):
    """decord gets a few widths wrong (48 and 72 among them) unless its padding is undone."""
    with av.open(slope) as container:
        reference = next(container.decode(video=0)).reformat(
            width=width, height=36, format="rgb24", interpolation="BILINEAR"
        )
    frame = first_frame(slope, (36, width))
    assert frame.shape == (36, width, 3)
    assert np.abs(frame.astype(int) - reference.to_ndarray()).max() < 8


def test_squeeze_keeps_the_whole_picture_in_other_proportions(wide):
    frame = first_frame(wide, (48, 48))
    assert frame.shape == (48, 48, 3)
    assert_colour(frame[:, :9], RED)
    assert_colour(frame[:, 15:33], GREEN)
    assert_colour(frame[:, 39:], BLUE)


def test_crop_takes_the_centre_at_its_own_proportions(wide):
    frame = first_frame(wide, (48, 48), "crop")
    assert frame.shape == (48, 48, 3)
    assert_colour(frame[:, 3:-3], GREEN)


def test_crop_of_a_tall_picture_takes_its_middle_rows(tmp_path):
    tall = write_video(tmp_path / "tall.avi", bands(RED, GREEN, GREEN, BLUE).swapaxes(0, 1))
    assert_colour(first_frame(tall, (48, 48), "crop")[3:-3], GREEN)


def test_pad_puts_the_whole_picture_on_black(wide):
    frame = first_frame(wide, (48, 48), "pad")
    assert frame.shape == (48, 48, 3)
    assert (frame[:12] == 0).all()
    assert (frame[36:] == 0).all()
    assert_colour(frame[14:34, :9], RED)
    assert_colour(frame[14:34, 15:33], GREEN)
    assert_colour(frame[14:34, 39:], BLUE)


@pytest.mark.parametrize("fit", ["crop", "pad"])
@pytest.mark.parametrize("size", [(31, 17), (7, 90), (2, 2), (101, 33)])
def test_any_size_comes_out_exactly(wide, fit, size):
    assert first_frame(wide, size, fit).shape == (*size, 3)


@pytest.mark.parametrize(("fit", "rows"), [("pad", 1), ("squeeze", 48)])
def test_a_picture_much_wider_than_it_is_high_keeps_a_row(tmp_path, fit, rows):
    path = encode(tmp_path / "a.avi", "color=white:size=640x4:rate=25", vcodec="ffv1")
    frame = first_frame(path, (48, 64), fit)
    assert frame.shape == (48, 64, 3)
    assert (frame.mean(axis=(1, 2)) > 200).sum() == rows


def test_times_rise_where_those_of_the_file_do_not(tmp_path):
    path = encode(tmp_path / "a.avi", vcodec="libx264", bf=3, b_strategy=0)
    with av.open(path) as container:
        times = [frame.time for frame in container.decode(video=0)]
    assert times != sorted(times)
    rising = [time - min(times) for time in sorted(times)]
    assert list(examine(path).times) == pytest.approx(rising)


@pytest.mark.parametrize("suffix", ["avi", "matroska", "mp4"])
@pytest.mark.parametrize("counts", [(24, 9), (9, 24)])
def test_of_several_streams_all_read_the_same(tmp_path, suffix, counts):
    """As of a phone that films with both its cameras."""
    streams = [
        encode(tmp_path / f"{size}.{suffix}", source, format=suffix, **{"frames:v": count})
        for size, source, count in (
            ("small", "testsrc2=size=64x48:rate=25", counts[0]),
            ("large", "testsrc2=size=128x96:rate=25", counts[1]),
        )
    ]
    path = tmp_path / f"both.{suffix}"
    inputs = [ffmpeg.input(f"file:{stream}") for stream in streams]
    ffmpeg.output(*inputs, f"file:{path}", c="copy", format=suffix).run(cmd=FFMPEG, quiet=True)
    how: dict[str, Any] = {"size": (48, 64), "fit": "squeeze"}
    shown = len(list(stream_frames(path, **how)))
    assert shown in counts
    assert count_frames(path) == shown
    assert len(list(stream_planes(path, **how))) == shown
    with opened_live(str(path), **how, pixel_format="rgb24", paced=False) as live:
        assert len(list(live.frames)) == shown


def test_the_frames_of_a_folder_are_its_files_in_order(tmp_path):
    for number in (3, 1, 20, 2, 11, 4):
        (tmp_path / f"{number:05}.jpg").touch()
    names = [file.name for file in video_files(tmp_path)]
    assert names == [f"{number:05}.jpg" for number in (1, 2, 3, 4, 11, 20)]


def test_a_shorter_stream_can_be_taken_without_reading_on(noise):
    frames = stream_frames(noise, size=(48, 64), fit="squeeze")
    assert next(frames).shape == (48, 64, 3)
    frames.close()


# Description


def test_a_video_is_described_as_displayed(wide):
    info = describe(wide)
    assert (info.width, info.height, info.fps) == (96, 48, 30)
    assert info.seconds == pytest.approx(4 / 30, abs=0.001)
    assert count_frames(wide) == 4


@pytest.mark.parametrize(
    ("rotation", "size", "top_left", "bottom_right"),
    [
        (0, (48, 96), RED, BLUE),
        (90, (96, 48), BLUE, RED),
        (180, (48, 96), BLUE, RED),
        (270, (96, 48), RED, BLUE),
    ],
)
@pytest.mark.parametrize("fit", ["squeeze", "pad"])
def test_a_video_turned_by_metadata_is_described_and_read_as_displayed(
    tmp_path, rotation, size, top_left, bottom_right, fit
):
    video = write_video(tmp_path / "turned.mp4", bands(RED, GREEN, GREEN, BLUE), rotation=rotation)
    info = describe(video)
    assert (info.height, info.width) == size
    frame = first_frame(video, size, fit)
    assert_colour(frame[:10, :10], top_left)
    assert_colour(frame[-10:, -10:], bottom_right)
    assert_colour(frame[size[0] // 2 - 5 :, size[1] // 2 - 5 :][:10, :10], GREEN)


# Files that are not as they should be


def live_frames(path: Path) -> list[LiveFrame]:
    how: dict[str, Any] = {"size": (8, 8), "fit": "squeeze", "pixel_format": "rgb24"}
    with opened_live(str(path), **how, paced=False) as live:
        return list(live.frames)


@pytest.mark.parametrize(
    "read",
    [
        describe,
        live_frames,
        lambda path: list(stream_planes(path, size=(8, 8), fit="squeeze")),
        lambda path: list(stream_frames(path, size=(8, 8), fit="pad")),
    ],
    ids=["describe", "live", "planes", "pad"],
)
@pytest.mark.parametrize(
    ("transform", "reason"),
    [
        ({"display_rotation": 45}, "is turned by 45 degrees by its metadata"),
        ({"display_hflip": None}, "is mirrored by its metadata"),
        ({"display_rotation": 90, "display_vflip": None}, "is mirrored by its metadata"),
    ],
)
def test_a_video_that_is_mirrored_or_turned_by_less_than_a_quarter_is_refused(
    tmp_path, transform, reason, read
):
    path = shown(tmp_path / "a.mp4", transform)
    with pytest.raises(VideoError) as caught:
        read(path)
    assert str(caught.value) == f"{path}: {reason}; allowed: 0, 90, 180 or 270 degrees"


@pytest.mark.parametrize("pixel_format", ["rgb24", "yuv420p", "live rgb24", "live yuv420p"])
def test_frames_of_large_videos_leave_memory_as_they_are_read(tmp_path, pixel_format):
    path = encode(tmp_path / "hd.avi", "testsrc2=size=1280x720:rate=25", **{"frames:v": 60})
    held = []
    gc.disable()  # when Python collects cycles is chance
    try:
        for _ in read_by(path, pixel_format):
            held.append(psutil.Process().memory_info().rss)
    finally:
        gc.enable()
    assert len(held) == 60
    assert held[-1] - held[19] < 20e6  # 40 frames are 55 MB


def read_by(path: Path, how: str) -> Iterator[object]:
    small: dict[str, Any] = {"size": (8, 8), "fit": "squeeze"}
    if "live" in how:
        chosen: Any = how.removeprefix("live ")
        with opened_live(str(path), **small, pixel_format=chosen, paced=False) as live:
            yield from live.frames
    else:
        yield from (stream_frames if how == "rgb24" else stream_planes)(path, **small)


@pytest.fixture(params=["text", "empty", "sound", "missing", "folder"])
def no_video(request, tmp_path: Path) -> Path:
    path = tmp_path / f"{request.param}.avi"
    if request.param == "text":
        path.write_text("this is no video\n" * 300)
    elif request.param == "empty":
        path.touch()
    elif request.param == "sound":
        with wave.open(str(path), "wb") as sound:
            sound.setparams((1, 2, 8000, 0, "NONE", ""))
            sound.writeframes(bytes(16_000))
    elif request.param == "folder":
        path.mkdir()
    return path


@pytest.mark.parametrize(
    "read",
    [
        count_frames,
        describe,
        lambda path: list(stream_frames(path, size=(8, 8), fit="squeeze")),
        lambda path: list(stream_frames(path, size=(8, 8), fit="pad")),
    ],
    ids=["count_frames", "describe", "squeeze", "pad"],
)
def test_what_is_no_video_is_an_error_in_one_line_that_names_it(no_video, read):
    with pytest.raises(VideoError) as caught:
        read(no_video)
    message = str(caught.value)
    assert message.startswith(f"{no_video}: ")
    assert "\n" not in message
    assert len(message) < 400


def cut_after(path: Path, packet: int, spare: int, target: Path) -> Path:
    """Cut a file `spare` bytes after the end of its packet of that number."""
    with av.open(path) as container:
        last = list(container.demux(video=0))[packet]
    assert last.pos is not None
    target.write_bytes(path.read_bytes()[: last.pos + 8 + last.size + spare])
    return target


@pytest.mark.parametrize("packet", [2, 14, 28])
def test_of_a_video_cut_between_frames_those_that_are_left_are_counted_and_read(
    noise, tmp_path, packet
):
    truncated = cut_after(noise, packet, 0, tmp_path / "truncated.avi")
    frames = list(stream_frames(truncated, size=(8, 8), fit="squeeze"))
    assert 0 < count_frames(truncated) == len(frames) <= packet + 1


@pytest.mark.parametrize("packet", [2, 14, 28])
def test_a_video_cut_within_a_frame_is_refused(noise, tmp_path, packet):
    truncated = cut_after(noise, packet, 500, tmp_path / "truncated.avi")
    with pytest.raises(VideoError) as caught:
        count_frames(truncated)
    assert str(caught.value) == (
        f"{truncated}: damaged: 1 of {packet + 2} frames cannot be decoded whole"
    )


def test_what_decord_says_of_a_file_that_ends_early_has_no_time_or_place_of_its_source(tmp_path):
    how = {"vcodec": "libx264", "format": "mp4", "movflags": "+faststart", "frames:v": 200}
    path = encode(tmp_path / "a.mp4", **how)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    pytest.importorskip("decord")
    with pytest.raises(VideoError) as caught:
        list(stream_frames(path, size=(8, 8), fit="squeeze", reader="decord"))
    assert str(caught.value).startswith(f"{path}: cannot be decoded: av_read_frame failed")


def test_a_real_video_is_refused_when_a_frame_of_it_is_damaged_and_only_then(tmp_path, real_ucf101):
    random, damaged = np.random.default_rng(0), tmp_path / "damaged.avi"
    for path in real_ucf101:
        assert count_frames(path) > 0
        with av.open(path) as container:
            packet = max(container.demux(video=0), key=lambda packet: packet.size)
        assert packet.pos is not None
        content = bytearray(path.read_bytes())
        middle = packet.pos + packet.size // 2
        content[middle : middle + 200] = random.bytes(200)
        damaged.write_bytes(content)
        with pytest.raises(VideoError, match=r"damaged: .* cannot be decoded whole"):
            count_frames(damaged)


@pytest.mark.parametrize("name", AWKWARD_NAMES)
def test_any_file_name_can_be_read(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    write_video(Path(name), bands(RED, BLUE), count=3)
    assert count_frames(Path(name)) == 3
    assert describe(Path(name)).width == 48
    assert len(list(stream_frames(Path(name), size=(8, 8), fit="pad"))) == 3


@pytest.mark.parametrize("name", ["hd.m2ts", "dvd.vob", "sorenson.flv", "vp8.ogv"])
def test_other_files_that_ffmpeg_knows_surely_are_read_as_it_shows_them(
    name: str, tmp_path: Path
) -> None:
    codecs = {
        "hd.m2ts": [*H264, "-g", "25"],
        "dvd.vob": ["-c:v", "mpeg2video", "-q:v", "2", "-f", "vob"],
        "sorenson.flv": ["-c:v", "flv", "-q:v", "2"],
        "vp8.ogv": [*VP8, "-f", "ogg"],
    }
    path = write(tmp_path / name, *codecs[name], frames=30)
    video = examine(path)
    frames = list(stream_frames(path, size=(120, 160), fit="squeeze", reader=video.reader))
    assert [number_of(frame) for frame in frames] == list(range(30))
    assert video.info.seconds == pytest.approx(1.2)


@pytest.mark.parametrize("start", [b"GIF89a", b"FLV\x01", b"OggS", b"\x00\x00\x01\xba", b"G" * 400])
def test_no_playlist_behind_a_videos_first_bytes_reaches_decord(
    start: bytes, tmp_path: Path
) -> None:
    """decord would open what it names."""
    path = tmp_path / "a.gif"
    dash = b'<MPD profiles="urn:mpeg:dash:profile:isoff-live:2011"></MPD>'
    path.write_bytes(start + b"\n#EXTM3U\n" + dash)
    with pytest.raises(VideoError, match=r"cannot be decoded|has no|no file that decord reads"):
        list(stream_frames(path, size=(8, 8), fit="squeeze", reader="decord"))
    with pytest.raises(VideoError, match=r"cannot be decoded|has no"):
        examine(path)


def record(path: Path, milliseconds: list[int]) -> Path:
    """Write frames at these times, and no rate, as browsers and webcams do."""
    with av.open(path, "w") as file:
        stream = file.add_stream("libvpx", rate=1000)
        stream.width, stream.height = 64, 48
        for time in milliseconds:
            frame = av.VideoFrame(64, 48, "yuv420p")
            frame.pts, frame.time_base = time, Fraction(1, 1000)
            file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
    return path


@pytest.mark.parametrize(
    ("milliseconds", "fps"),
    [([33 * n + n % 3 for n in range(31)], 30.3), (list(range(50)), 1000)],
    ids=["browser", "high-speed camera"],
)
def test_a_recording_that_states_no_rate_has_that_of_its_frames(
    milliseconds: list[int], fps: float, tmp_path: Path
) -> None:
    path = record(tmp_path / "recorded.webm", milliseconds)
    how: dict[str, Any] = {"size": (48, 64), "fit": "squeeze", "pixel_format": "rgb24"}
    with opened_live(str(path), **how, paced=False) as live:
        rates = [live.fps, describe(path).fps, examine(path).info.fps]
    assert rates == pytest.approx([fps] * 3, rel=0.01)
