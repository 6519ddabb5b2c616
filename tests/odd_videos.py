"""Small videos that are odd in one way each, of frames that say which one they are."""

import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from framemix.video.writing import FFMPEG

BITS = 8
COLOURS = ((200, 40, 40), (40, 180, 40), (40, 40, 200), (220, 220, 220))
H264 = ["-c:v", "libx264", "-preset", "ultrafast", "-crf", "16", "-pix_fmt", "yuv420p"]
MPEG4 = ["-c:v", "mpeg4", "-q:v", "2", "-threads", "1"]


@dataclass(frozen=True)
class Odd:
    """How a video is made, and what is right of it: frames, seconds, (width, height) as displayed.

    Frames are those that ffmpeg shows, None where only ffmpeg can tell.
    """

    make: Callable[[Path], object]
    frames: int | None = 60
    seconds: float | None = 2.4
    size: tuple[int, int] = (160, 120)


def picture(number: int, width: int = 160, height: int = 120) -> np.ndarray:
    """The bits of a number, white and black from left to right, above four colours."""
    bits = [[235 if number >> bit & 1 else 20] * 3 for bit in reversed(range(BITS))]
    upper = np.array([bits], np.uint8).repeat(height // 2, axis=0)
    lower = np.array([COLOURS], np.uint8).repeat(height - height // 2, axis=0)
    halves = (upper.repeat(width // BITS, axis=1), lower.repeat(width // len(COLOURS), axis=1))
    return np.concatenate(halves)


def number_of(frame: np.ndarray) -> int:
    """Which number an upright frame (H, W, 3) shows."""
    return int(numbers_of(frame[None])[0])


def numbers_of(frames: np.ndarray) -> np.ndarray:
    """Which numbers upright frames (F, H, W, 3) show."""
    height, width = frames.shape[1:3]
    middles = ((np.arange(BITS) + 0.5) * width / BITS).astype(int)
    bits = frames[:, height // 4 : 3 * height // 8, middles].mean(axis=(1, 3)) > 128
    return bits @ (1 << np.arange(BITS)[::-1])


def colours_of(frames: np.ndarray) -> np.ndarray:
    """The four colours (F, 4, 3) that each upright frame of (F, H, W, 3) shows."""
    height, width = frames.shape[1:3]
    strips = frames[:, 11 * height // 16 : 13 * height // 16]
    middles = ((np.arange(len(COLOURS)) + 0.5) * width / len(COLOURS)).astype(int)
    reach = max(1, width // 20)
    colours = [strips[:, :, m - reach : m + reach].mean(axis=(1, 2)) for m in middles]
    return np.stack(colours, axis=1)


def write(
    path: Path,
    *options: str,
    frames: int = 60,
    size: tuple[int, int] = (160, 120),
    into: Sequence[str] = (),
) -> Path:
    """Encode numbered pictures, 25 a second, with ffmpeg's own options."""
    width, height = size
    source = f"-f rawvideo -pix_fmt rgb24 -s {width}x{height} -r 25 -i pipe:".split()
    content = b"".join(picture(number % 256, width, height).tobytes() for number in range(frames))
    command = [*FFMPEG, "-y", *source, *options, *(into or [f"file:{path}"])]
    done = subprocess.run(
        [argument for argument in command if argument != "-nostdin"],
        input=content,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,  # where AV1's encoder introduces itself
        check=True,
    )
    if into:
        path.write_bytes(done.stdout)
    return path


def convert(source: Path, path: Path, *options: str, before: Sequence[str] = ()) -> Path:
    """Copy a video's streams with ffmpeg's own options."""
    command = [*FFMPEG, "-y", *before, "-i", source, *options, f"file:{path}"]
    subprocess.run(command, check=True)
    return path


def again(
    path: Path, *options: str, before: Sequence[str] = (), encode: Sequence[str] = ()
) -> Path:
    """Write a video and copy it with ffmpeg's own options: what encoding would not leave alone."""
    whole = write(path.with_suffix(f".whole{path.suffix}"), *(encode or [*H264, "-g", "25"]))
    convert(whole, path, "-c", "copy", *options, before=before)
    whole.unlink()
    return path


def with_sound(path: Path, *, seconds: int, late: float = 0.0) -> Path:
    """Write a video beside sound of another length, its picture late by so many seconds."""
    whole = write(path.with_suffix(f".whole{path.suffix}"), *H264, "-g", "25")
    sound = ["-f", "lavfi", "-i", f"sine=duration={seconds}"]
    maps = ["-map", "0:v", "-map", "1:a", "-c:v", "copy", "-c:a", "aac"]
    convert(whole, path, *sound, *maps, before=["-itsoffset", str(late)])
    whole.unlink()
    return path


def piped(path: Path, container: str, *options: str) -> Path:
    """Write a video as who cannot go back to its header: without a length."""
    return write(path, *options, into=["-f", container, "pipe:1"])


def cut_short(path: Path, mark: bytes, container: str, *options: str) -> Path:
    """Write a video and cut it before the last of the parts that begin with `mark`."""
    piped(path, container, *options)
    content = path.read_bytes()
    path.write_bytes(content[: content.rindex(mark) - (4 if mark == b"moof" else 0)])
    return path


SHIFTED = "setts=pts=PTS-0.7/TB:dts=DTS-0.7/TB"
HOLD = ["-vf", "setpts='if(gte(N,30),N+150,N)/(25*TB)'", "-fps_mode", "passthrough"]
UNEVEN = ["-vf", "setpts='(N+0.3*mod(N,3))/(25*TB)'", "-fps_mode", "passthrough"]
OPEN = "open-gop=1:keyint=20:min-keyint=20:bframes=2:scenecut=0:b-adapt=0"

HEVC = ["-c:v", "libx265", "-preset", "ultrafast", "-x265-params", "log-level=error", "-crf", "14"]
VP9 = ["-c:v", "libvpx-vp9", "-cpu-used", "8", "-crf", "10", "-b:v", "0", "-pix_fmt", "yuv420p"]
VP8 = ["-c:v", "libvpx", "-deadline", "realtime", "-cpu-used", "8", "-b:v", "2M"]
AV1 = ["-c:v", "libsvtav1", "-preset", "12", "-crf", "20", "-pix_fmt", "yuv420p"]
FRAGMENTS = [*H264, "-g", "10", "-movflags", "frag_keyframe+empty_moov"]
FULL_RANGE = ["-vf", "scale=out_range=pc,setparams=range=pc"]
BT709 = ["-vf", "scale=out_color_matrix=bt709,setparams=colorspace=bt709:range=tv"]
OPEN_GOP = [*H264, "-preset", "veryfast", "-x264-params", OPEN]
NOT_MOVED = ["-avoid_negative_ts", "disabled"]


def written(*options: str, **right: Any) -> Odd:
    return Odd(lambda path: write(path, *options), **right)


def turned(degrees: int, *encode: str, size: tuple[int, int]) -> Odd:
    before = ["-display_rotation", str(degrees)]
    return Odd(lambda path: again(path, before=before, encode=encode), size=size)


def copied(*options: str, before: Sequence[str] = (), encode: Sequence[str] = ()) -> Odd:
    """What is left of a video is for ffmpeg to tell."""
    return Odd(lambda path: again(path, *options, before=before, encode=encode), None, None)


ODD = {
    "plain.mp4": written(*H264, "-g", "25", "-bf", "2"),
    # Codecs.
    "hevc.mp4": written(*HEVC, "-pix_fmt", "yuv420p"),
    "vp9.webm": written(*VP9),
    "av1.mkv": written(*AV1),
    "mpeg2.mkv": written("-c:v", "mpeg2video", "-q:v", "2", "-bf", "2"),
    "mjpeg.avi": written("-c:v", "mjpeg", "-q:v", "2", "-pix_fmt", "yuvj420p"),
    "bframes.avi": written(*MPEG4, "-bf", "2", "-vtag", "XVID"),
    # Containers that only PyAV is given.
    "mpeg1.mpg": written("-c:v", "mpeg1video", "-q:v", "2", "-bf", "2"),
    "broadcast.ts": written(*H264, "-g", "25", "-bf", "2"),
    "flash.flv": written(*H264, "-g", "25"),
    "theora.ogv": written("-c:v", "libtheora", "-q:v", "8"),
    "animated.gif": written(),
    # Pixels.
    "palette.mov": written("-c:v", "png", "-pix_fmt", "pal8"),
    "raw_palette.avi": written("-c:v", "rawvideo", "-pix_fmt", "pal8"),
    "grey.mov": written("-c:v", "qtrle", "-pix_fmt", "gray"),
    "grey10.mkv": written("-c:v", "ffv1", "-pix_fmt", "gray10le"),
    "full_range.webm": written(*VP9, *FULL_RANGE),
    "bt709.mp4": written(*H264, *BT709),
    # Orientation.
    "turned180.mov": turned(180, size=(160, 120)),
    "turned270.mov": turned(270, size=(120, 160)),
    "turned270.mkv": turned(270, size=(120, 160)),
    "rotate_tag180.mkv": written(*H264, "-metadata:s:v", "rotate=180"),
    # Pixels that are not square.
    "narrow_pixels.avi": written(*MPEG4, "-vf", "setsar=8/9", size=(142, 120)),
    "wide_pixels.mkv": written(*H264, "-vf", "setsar=3/2", size=(240, 120)),
    "turned_wide_pixels.mov": turned(90, *H264, "-vf", "setsar=2", size=(60, 160)),
    # Cut without encoding.
    "edit_list.mp4": copied("-bsf:v", SHIFTED, *NOT_MOVED),
    "trimmed.mov": copied(before=["-ss", "0.9"]),
    "open_gop.mp4": copied(
        "-avoid_negative_ts", "make_zero", before=["-ss", "1.7"], encode=OPEN_GOP
    ),
    # No length in the header.
    "fragmented.mp4": written(*FRAGMENTS),
    "cut_fragments.mp4": Odd(lambda path: cut_short(path, b"moof", "mp4", *FRAGMENTS), 50, 2.0),
    "killed.mkv": Odd(lambda path: piped(path, "matroska", *H264, "-live", "1")),
    "recorder.webm": Odd(lambda path: piped(path, "webm", *VP8, "-live", "1")),
    # Clocks.
    "long_sound.mov": Odd(lambda path: with_sound(path, seconds=9)),
    "late_picture.mkv": Odd(lambda path: with_sound(path, seconds=5, late=1.5)),
    "clock_at_half_past.mkv": Odd(lambda path: again(path, "-output_ts_offset", "1800")),
    "uneven.mp4": written(*H264, *UNEVEN, seconds=None),
    "hold.mp4": written(*H264, *HOLD, seconds=8.4),
}


DRIVERS: dict[str, Callable[[Path], object]] = {
    "Fold1_part1/01/0.mp4": lambda path: write(path, *H264, "-g", "25", "-bf", "2"),
    "Fold2_part1/01/10.mp4": lambda path: with_sound(path, seconds=9),
    "Fold3_part1/02/10.mp4": lambda path: with_sound(path, seconds=5, late=2.0),
    "Fold4_part1/03/10.mkv": lambda path: piped(path, "matroska", *H264, "-live", "1"),
    "Fold5_part1/04/10.mp4": lambda path: again(path, "-aspect", "80:120"),
    "Fold1_part1/05/10.mp4": lambda path: again(path, "-t", "1.2", before=["-ss", "0.9"]),
    "Fold2_part1/06/10.mkv": lambda path: again(path, "-output_ts_offset", "3600"),
    "Fold3_part1/07/10.mp4": lambda path: write(path, *H264, "-vf", "setsar=3", size=(120, 160)),
}


def write_drivers(root: Path) -> None:
    """Write UTA-RLDD's layout with drivers that are odd in one way each; number 5 is trimmed."""
    for name, make in DRIVERS.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        make(root / name)


def programs_frames(path: Path, height: int, width: int) -> np.ndarray:
    """What the ffmpeg program shows, uint8 (F, height, width, 3), of a file stored in that size."""
    how = "-map 0:v:0 -fps_mode passthrough -vf scale=flags=bilinear -f rawvideo -pix_fmt rgb24"
    command = [*FFMPEG, "-i", f"file:{path}", *how.split(), "pipe:1"]
    shown = subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout
    return np.frombuffer(shown, np.uint8).reshape(-1, height, width, 3)
