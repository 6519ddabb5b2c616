"""What users may rely on when yuv420p is read: the same picture as RGB, from whatever file."""

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch
from einops import rearrange
from imageio_ffmpeg import get_ffmpeg_exe

from framemix.errors import VideoError
from framemix.mixing import MixSettings
from framemix.mixing.files import mix_video
from framemix.models.input import normalise, to_rgb
from framemix.video.planes import stream_planes
from framemix.video.reading import stream_frames
from framemix.video.writing import video_writer
from tests.bad_videos import shown
from tests.listing import count_frames

H264 = ["-c:v", "libx264", "-crf", "4", "-preset", "ultrafast"]
FFV1 = ["-c:v", "ffv1"]
HEIGHT, WIDTH = 96, 128
START = {"frames": 24, "at": "start"}  # of a real video: three frames for each mixed one


def scene(height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    """Soft colours, uint8 (height, width, 3), different in every corner."""
    down, across = np.mgrid[:height:1.0, :width:1.0] / max(height, width)
    colours = [60 + 150 * across, 200 - 160 * down, 120 + 80 * np.sin(4 * (down + across))]
    return np.stack(colours, axis=-1).round().astype(np.uint8)


def encoded(path: Path, picture: np.ndarray, *options: str, filters: str = "null") -> Path:
    """Write three frames of `picture` with ffmpeg's own options."""
    height, width, _ = picture.shape
    source = f"-f rawvideo -pix_fmt rgb24 -s {width}x{height} -r 30 -i pipe:".split()
    subprocess.run(
        [get_ffmpeg_exe(), "-loglevel", "error", *source, "-vf", filters, *options, f"file:{path}"],
        input=picture.tobytes() * 3,
        check=True,
    )
    return path


def rgb_of(planes: np.ndarray) -> np.ndarray:
    """Planes (T, 3H/2, W) -> (T, H, W, 3), as the networks get them."""
    return to_rgb(torch.from_numpy(planes)[None])[0].numpy()


def read(path: Path, size: tuple[int, int] = (HEIGHT, WIDTH), fit: str = "squeeze") -> np.ndarray:
    """The file's frames by way of planes, (T, H, W, 3)."""
    return rgb_of(np.stack(list(stream_planes(path, size=size, fit=fit))))


def decords(path: Path, size: tuple[int, int] = (HEIGHT, WIDTH), fit: str = "squeeze"):
    return np.stack(list(stream_frames(path, size=size, fit=fit)))


def psnr(one: np.ndarray, other: np.ndarray) -> float:
    assert one.shape == other.shape
    return float(10 * np.log10(255**2 / np.mean((one.astype(float) - other) ** 2)))


def clip_psnr(path: Path, size: tuple[int, int], window: Any) -> float:
    """The PSNR of a clip mixed as planes, in uint8 or normalised, against one mixed as RGB."""
    frames = count_frames(path) if window == "all" else window["frames"]
    expected, planes = (
        np.stack(list(mix_video(path, frames, how, reader="pyav")))
        for how in (settings_of(name, size, window) for name in ("rgb24", "yuv420p"))
    )
    assert planes.shape == (8, size[0] * 3 // 2, size[1])
    normalised = normalise(torch.from_numpy(planes)[None], (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))[0]
    for_networks = 255 * rearrange(normalised, "c t h w -> t h w c").numpy()
    return min(psnr(rgb_of(planes), expected), psnr(for_networks, expected))


def settings_of(
    pixel_format: str, size: tuple[int, int] = (240, 320), window: Any = "all"
) -> MixSettings:
    return MixSettings.model_validate(
        {
            "method": "linear",
            "segments": 8,
            "frames_per_segment": "all",
            "window": window,
            "variants": 1,
            "size": size,
            "fit": "squeeze",
            "pixel_format": pixel_format,
        }
    )


@pytest.mark.parametrize(
    ("dataset", "size", "least", "window"),
    [
        ("UCF-101", (240, 320), 43, START),
        pytest.param("UCF-101", (240, 320), 43, "all", marks=pytest.mark.slow),
        ("UCF-101", (60, 80), 36, "all"),
        ("Weizmann", (240, 320), 40, START),
        pytest.param("Weizmann", (240, 320), 40, "all", marks=pytest.mark.slow),
    ],
)
def test_real_videos_mixed_as_planes_look_as_if_mixed_as_rgb(shared, dataset, size, least, window):
    videos = sorted((shared / "data" / dataset).rglob("*.avi"))
    assert videos
    metrics = {video.name: clip_psnr(video, size, window) for video in videos}
    assert {name: figure for name, figure in metrics.items() if figure < least} == {}


def test_at_native_size_the_planes_are_the_files_own(tmp_path):
    path = encoded(tmp_path / "a.avi", scene(), *FFV1, "-pix_fmt", "yuv420p")
    with av.open(path) as container:
        expected = [frame.to_ndarray() for frame in container.decode(video=0)]
    planes = list(stream_planes(path, size=(HEIGHT, WIDTH), fit="squeeze"))
    assert len(planes) == 3
    assert planes[0].dtype == np.uint8
    assert np.array_equal(planes, expected)


@pytest.mark.parametrize("size", [(6, 8), (10, 14), (2, 2), (50, 66)])
def test_heights_that_four_does_not_divide_hold_the_planes_one_behind_the_other(tmp_path, size):
    height, width = size
    path = encoded(tmp_path / "a.avi", scene(*size), *FFV1, "-pix_fmt", "yuv420p")
    with av.open(path) as container:
        y, u, v = next(container.decode(video=0)).planes
        expected = b"".join(
            bytes(plane)[row * plane.line_size :][: plane.width]
            for plane in (y, u, v)
            for row in range(plane.height)
        )
    planes = next(stream_planes(path, size=size, fit="squeeze"))
    assert planes.shape == (3 * height // 2, width)
    assert planes.tobytes() == expected


# Encodings


@pytest.mark.parametrize("colour_range", ["tv", "pc"])
@pytest.mark.parametrize("matrix", ["bt601", "bt709"])
def test_the_declared_matrix_and_range_are_honoured(tmp_path, matrix, colour_range):
    declared = {"bt601": "smpte170m", "bt709": "bt709"}[matrix]
    path = encoded(
        tmp_path / "a.mp4",
        scene(),
        *H264,
        *("-pix_fmt", "yuvj420p" if colour_range == "pc" else "yuv420p"),
        filters=f"scale=out_color_matrix={matrix}:out_range={colour_range},"
        f"setparams=colorspace={declared}:range={colour_range}",
    )
    with av.open(path) as container:
        frame = next(container.decode(video=0))
    assert (frame.colorspace, frame.color_range) == (
        {"bt601": 6, "bt709": 1}[matrix],
        {"tv": 1, "pc": 2}[colour_range],
    )
    assert psnr(read(path)[0], scene()) > 38
    assert psnr(read(path), decords(path)) > 40


@pytest.mark.parametrize(
    ("matrix", "declared", "colour_range"),
    [("bt2020", "bt2020nc", "tv"), ("smpte240m", "smpte240m", "tv"), ("bt601", "smpte170m", "pc")],
)
def test_what_webm_declares_is_honoured(tmp_path, matrix, declared, colour_range):
    """VP9's frames of full range are named yuv420p, like all others."""
    path = encoded(
        tmp_path / "a.webm",
        scene(),
        *("-c:v", "libvpx-vp9", "-crf", "4", "-b:v", "0", "-cpu-used", "8", "-pix_fmt", "yuv420p"),
        filters=f"scale=out_color_matrix={matrix}:out_range={colour_range},"
        f"setparams=colorspace={declared}:range={colour_range}",
    )
    assert psnr(read(path)[0], scene()) > 38


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("plain.avi", [*FFV1, "-pix_fmt", "yuv420p"]),
        ("motion_jpeg.avi", ["-c:v", "mjpeg", "-q:v", "1", "-pix_fmt", "yuvj420p"]),
        ("ten_bits.mkv", [*FFV1, "-pix_fmt", "yuv420p10le"]),
        ("all_colours.mp4", [*H264, "-pix_fmt", "yuv444p"]),
        ("half_the_colours.avi", [*FFV1, "-pix_fmt", "yuv422p"]),
        ("rgb.avi", [*FFV1, "-pix_fmt", "bgr0"]),
    ],
)
def test_other_pixel_formats_are_converted(tmp_path, name, options):
    path = encoded(tmp_path / name, scene(), *options)
    assert psnr(read(path)[0], scene()) > 38
    assert psnr(read(path), decords(path)) > 40


def test_grey_files_stay_grey(tmp_path):
    path = encoded(tmp_path / "grey.avi", scene(), *FFV1, "-pix_fmt", "gray")
    frames = read(path)
    assert (frames[..., :1] == frames).all()
    assert psnr(frames, decords(path)) > 45


def test_black_and_white_keep_their_full_contrast(tmp_path):
    picture = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    picture[:, WIDTH // 2 :] = 255
    path = encoded(tmp_path / "a.avi", picture, *FFV1, "-pix_fmt", "yuvj420p")
    assert np.array_equal(read(path)[0], picture)


# Sizes, fit and rotation


@pytest.mark.parametrize("fit", ["squeeze", "crop", "pad"])
@pytest.mark.parametrize("size", [(240, 320), (60, 80), (96, 96), (50, 130)])
def test_pictures_of_odd_size_are_fitted_as_in_rgb(tmp_path, size, fit):
    path = encoded(tmp_path / "odd.avi", scene(241, 321), *FFV1, "-pix_fmt", "yuv420p")
    frames = read(path, size, fit)
    assert frames.shape == (3, *size, 3)
    # Even offsets: by up to a pixel beside decord's.
    inner = np.s_[:, 10:-10, 10:-10] if fit == "crop" else np.s_[:]
    edges = 22 if fit == "pad" and size != (240, 320) else 36
    assert psnr(frames[inner], decords(path, size, fit)[inner]) > edges


def test_padding_is_black_and_even(tmp_path):
    path = encoded(tmp_path / "a.avi", scene(), *FFV1, "-pix_fmt", "yuv420p")
    frames = read(path, (128, 128), "pad")
    assert (frames[:, :16] == 0).all()
    assert (frames[:, -16:] == 0).all()
    assert psnr(frames[0, 16:-16], scene()) > 38


def test_padded_planes_are_the_files_own_colours_on_their_brightness_in_black(tmp_path):
    path = encoded(tmp_path / "a.avi", scene(), *FFV1, "-pix_fmt", "yuv420p")
    own = next(stream_planes(path, size=(HEIGHT, WIDTH), fit="squeeze"))
    padded = next(stream_planes(path, size=(HEIGHT + 2, WIDTH), fit="pad"))
    y, u, v = np.split(own.reshape(-1), [HEIGHT * WIDTH, HEIGHT * WIDTH * 5 // 4])
    black = [np.full(n, value, np.uint8) for n, value in ((2 * WIDTH, 16), (WIDTH // 2, 128))]
    expected = np.concatenate([y, black[0], u, black[1], v, black[1]])
    assert np.array_equal(padded.reshape(-1), expected)


@pytest.mark.parametrize("transform", [{"display_rotation": 45}, {"display_hflip": None}])
def test_a_picture_that_is_no_quarter_turn_is_reported(tmp_path, transform):
    path = shown(tmp_path / "a.mp4", transform)
    with pytest.raises(VideoError, match=r"a\.mp4: is .* allowed: 0, 90, 180 or 270 degrees"):
        next(stream_planes(path, size=(48, 64), fit="squeeze"))


@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
@pytest.mark.parametrize("fit", ["squeeze", "crop", "pad"])
def test_pictures_are_turned_as_metadata_says(tmp_path, rotation, fit):
    path = tmp_path / "turned.mp4"
    shape = {"width": WIDTH, "height": HEIGHT, "fps": 30}
    with video_writer(path, codec="h264", rotation=rotation, **shape) as write:
        for _ in range(3):
            write(scene())
    displayed = np.rot90(scene(), rotation // 90)
    size = displayed.shape[:2]
    assert psnr(read(path, size, fit)[0], displayed) > 34
    assert psnr(read(path, size, fit), decords(path, size, fit)) > 38
    half = (size[0] // 2, size[1] // 2)
    assert psnr(read(path, half, fit), decords(path, half, fit)) > 34


# Files that are not as they should be


@pytest.mark.parametrize("fit", ["squeeze", "pad"])
@pytest.mark.parametrize(
    "spoil",
    [Path.touch, Path.mkdir, lambda path: path.write_text("no video\n" * 300)],
    ids=["empty", "folder", "text"],
)
def test_what_is_no_video_is_an_error_in_one_line_that_names_it(
    tmp_path, spoil: Callable[[Path], object], fit
):
    path = tmp_path / "a.avi"
    spoil(path)
    with pytest.raises(VideoError) as caught:
        read(path, (8, 8), fit)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)
