"""Files as a careless or hostile world leaves them in a dataset, made by ffmpeg and by hand."""

import os
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ffmpeg
import numpy as np

from framemix.video.writing import FFMPEG, video_writer

FRAMES = 24  # of every whole video here
SOUND = "sine=duration=1"


def encode(path: Path, source: str = "testsrc2=size=64x48:rate=25", **options: Any) -> Path:
    """Write what ffmpeg's test source shows."""
    path.parent.mkdir(parents=True, exist_ok=True)
    values = {"frames:v": FRAMES, "format": "avi", "vcodec": "mpeg4", "threads": 1} | options
    output = ffmpeg.input(source, f="lavfi").output(f"file:{path}", **values)
    output.run(cmd=FFMPEG, overwrite_output=True, quiet=True)
    return path


def slowing_down(path: Path) -> Path:
    """Write 12 s, each second brighter, as a phone does at dusk: 10 frames a second, then 5."""
    picture = "nullsrc=size=64x48:rate=10:duration=12,geq=lum='20+16*floor(T)':cb=128:cr=128"
    source = f"{picture},select='lt(t,6)+not(mod(n,2))'"
    how = {"format": "mp4", "vcodec": "libx264", "fps_mode": "passthrough", "frames:v": 999}
    return encode(path, source, **how)


def sound_only(path: Path, container: str) -> None:
    ffmpeg.input(SOUND, f="lavfi").output(f"file:{path}", format=container).run(
        cmd=FFMPEG, overwrite_output=True, quiet=True
    )


def turned(path: Path, rotation: int) -> None:
    picture = np.random.default_rng(rotation).integers(0, 256, (48, 64, 3), np.uint8)
    with video_writer(path, width=64, height=48, fps=25, codec="h264", rotation=rotation) as write:
        for _ in range(FRAMES):
            write(picture)


def shown(path: Path, transform: dict[str, Any]) -> Path:
    """Write a video with display metadata that are no quarter turns."""
    whole = encode(path.with_suffix(".whole"), vcodec="libx264", format="mp4")
    copy = ffmpeg.input(f"file:{whole}", **transform).output(f"file:{path}", c="copy", format="mp4")
    copy.run(cmd=FFMPEG, overwrite_output=True, quiet=True)
    whole.unlink()
    return path


def cut_at(path: Path, share: float) -> None:
    content = encode(path).read_bytes()
    path.write_bytes(content[: int(len(content) * share)])


def header_only(path: Path) -> None:
    content = encode(path).read_bytes()
    path.write_bytes(content[: content.index(b"movi") + 4])


def garbage(path: Path) -> None:
    content = bytearray(encode(path).read_bytes())
    middle = len(content) // 2
    content[middle : middle + 2000] = np.random.default_rng(0).bytes(2000)
    path.write_bytes(content)


def claiming(path: Path, frames: int) -> None:
    """Write a whole AVI file whose two headers say that it has so many frames."""
    content = bytearray(encode(path).read_bytes())
    struct.pack_into("<I", content, content.index(b"avih") + 8 + 16, frames)
    struct.pack_into("<I", content, content.index(b"strh") + 8 + 32, frames)
    path.write_bytes(content)


def varying(path: Path) -> None:
    encode(path, vf="setpts=N*N*0.01/TB", fps_mode="vfr", format="mp4", vcodec="libx264")


# What a file holds, and what the filter at 12 frames or more says: the frames of a kept one, or
# how the reason begins. None: either, but what is kept must be mixed without a word.
CONTENTS: dict[str, tuple[Callable[[Path], Any], int | str | None]] = {
    "empty": (Path.touch, "is empty"),
    "text": (lambda p: p.write_text("no video\n" * 300), "is no AVI"),
    "header": (header_only, ""),
    "cut10": (lambda p: cut_at(p, 0.1), ""),
    "cut50": (lambda p: cut_at(p, 0.5), None),
    "cut90": (lambda p: cut_at(p, 0.9), None),
    "garbage": (garbage, "damaged: "),
    "wave": (lambda p: sound_only(p, "wav"), "is no AVI"),
    "sound": (lambda p: sound_only(p, "avi"), "has no video stream"),
    "soundmkv": (lambda p: sound_only(p, "matroska"), "has no video stream"),
    "one": (lambda p: encode(p, **{"frames:v": 1}), "1 frames, fewer than 12"),
    "black": (lambda p: encode(p, "color=black:size=64x48:rate=25"), FRAMES),
    "says3": (lambda p: claiming(p, 3), FRAMES),
    "says999": (lambda p: claiming(p, 999), FRAMES),
    "varying": (varying, FRAMES),
    "odd": (lambda p: encode(p, "testsrc2=size=321x241"), FRAMES),
    "uhd": (lambda p: encode(p, "testsrc2=size=3840x2160", **{"frames:v": 12}), 12),
    "grey": (lambda p: encode(p, vcodec="ffv1", pix_fmt="gray"), FRAMES),
    "tenbit": (lambda p: encode(p, vcodec="libx264", pix_fmt="yuv420p10le"), FRAMES),
    "yuv444": (lambda p: encode(p, vcodec="libx264", pix_fmt="yuv444p"), FRAMES),
    "turned90": (lambda p: turned(p, 90), FRAMES),
    "turned180": (lambda p: turned(p, 180), FRAMES),
    "turned270": (lambda p: turned(p, 270), FRAMES),
    "slanted": (lambda p: shown(p, {"display_rotation": 45}), "is turned by 45 degrees"),
    "mirrored": (lambda p: shown(p, {"display_hflip": None}), "is mirrored"),
    "interlaced": (lambda p: encode(p, flags="+ildct+ilme"), FRAMES),
}
# Names of whole videos, and what the filter says.
CONTROL = "its name has control characters or is not UTF-8"
NAMES: dict[str, int | str] = {
    "v_süß 日本_g01_c01.avi": FRAMES,
    f"v_{'long' * 58}_g01_c01.avi": FRAMES,
    "v_concat:a|b_g01_c01.avi": FRAMES,
    "v_http:a.m3u8_g01_c01.avi": FRAMES,
    "v_file,subfile:,start,9,:x_g01_c01.avi": FRAMES,
    "v_%03d_g01_c01.avi": FRAMES,
    "-rf.avi": "not <Class>/",
    "v_new\nline_g01_c01.avi": CONTROL,
    "v_return\r_g01_c01.avi": CONTROL,
    os.fsdecode(b"v_\xff_g01_c01.avi"): CONTROL,
}


def add_contents(folder: Path) -> dict[str, int | str | None]:
    """Write a file of each kind as v_<kind>_g01_c01.avi; return what to expect by name."""
    folder.mkdir(parents=True, exist_ok=True)
    for kind, (make, _) in CONTENTS.items():
        make(folder / f"v_{kind}_g01_c01.avi")
    return {f"v_{kind}_g01_c01.avi": expected for kind, (_, expected) in CONTENTS.items()}


def add_names(folder: Path, video: Path) -> dict[str, int | str | None]:
    """Put `video` there under each awkward name; return what to expect by printable name."""
    for name in NAMES:
        (folder / name).write_bytes(video.read_bytes())
    printable = {"\n": r"\n", "\r": r"\r", "\udcff": r"\xff"}
    return {name.translate(str.maketrans(printable)): says for name, says in NAMES.items()}


def add_no_files(folder: Path) -> dict[str, int | str | None]:
    """Put there what has a video's name and is no file."""
    (folder / "v_nowhere_g01_c01.avi").symlink_to("gone.avi")
    (folder / "v_itself_g01_c01.avi").symlink_to("v_itself_g01_c01.avi")
    (folder / "v_above_g01_c01.avi").symlink_to("..")
    (folder / "v_folder_g01_c01.avi").mkdir()
    os.mkfifo(folder / "v_pipe_g01_c01.avi")
    (folder / "v_zero_g01_c01.avi").symlink_to("/dev/zero")
    return {
        "v_nowhere_g01_c01.avi": "a link that leads nowhere: No such file",
        "v_itself_g01_c01.avi": "a link that leads nowhere: Too many levels",
        "v_above_g01_c01.avi": "a link to a folder",
        "v_folder_g01_c01.avi": "a folder",
        "v_pipe_g01_c01.avi": "a pipe",
        "v_zero_g01_c01.avi": "a pipe, socket or device",
    }


def add_playlists(folder: Path, canary: Path) -> dict[str, int | str | None]:
    """Put there text that makes ffmpeg read `canary`, a video beside it, in place of the text."""
    lists = {
        "hls": f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{canary.name}\n#EXT-X-ENDLIST\n",
        "ffconcat": f"ffconcat version 1.0\nfile {canary.name}\n",
        "dash": f'<?xml version="1.0"?><MPD><BaseURL>{canary.name}</BaseURL></MPD>',
    }
    for name, text in lists.items():
        (folder / f"v_{name}_g01_c01.avi").write_text(text)
    return {f"v_{name}_g01_c01.avi": "is no AVI" for name in lists}
