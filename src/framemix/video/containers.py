"""Which files are read as videos at all: never a file that names other files.

ffmpeg, and with it decord and PyAV, reads the name "a:b" as a protocol, and opens the files that a
playlist (HLS, DASH, ffconcat) names. So names get the prefix "file:", and a file is read only when
it begins like a container. decord accepts no options to forbid playlists, so it gets only files
whose first bytes cannot be those of a playlist.
"""

import stat
from pathlib import Path

from framemix.errors import VideoError

# The suffixes of video files, in lower case.
SUFFIXES = (
    *(
        ".avi",
        ".m4v",
        ".mkv",
        ".mov",
        ".mp4",
        ".webm",
        ".wmv",
        ".3gp",
        ".3g2",
        ".asf",
        ".divx",
        ".qt",
    ),
    *(".mpg", ".mpeg", ".vob", ".ts", ".mts", ".m2ts", ".flv", ".f4v", ".ogv", ".gif"),
)
# Options of ffmpeg, whose own probing looks beyond the first bytes.
ONLY_ITSELF = {
    "format_whitelist": "avi,mov,matroska,asf,mpeg,mpegts,flv,ogg,gif",
    "protocol_whitelist": "file",
}
# The type of the first atom of an MP4 or MOV file, which follows its length.
ATOMS = {b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"pnot"}
MATROSKA, ASF = b"\x1a\x45\xdf\xa3", b"\x30\x26\xb2\x75\x8e\x66\xcf\x11"
MPEG_PS, FLV, OGG, GIF = b"\x00\x00\x01\xba", b"FLV\x01", b"OggS", b"GIF8"
# Each packet of an MPEG transport stream has 188 bytes and begins with this one; in .m2ts files,
# 4 more bytes come before it.
SYNC, PACKET, TIME_CODE = b"G", 188, 4


def is_macos_note(name: str) -> bool:
    """Return whether a file holds macOS's metadata of another file: `._a.mp4` beside `a.mp4`."""
    return name.startswith("._")


def require_video_file(path: Path) -> None:
    """Raise VideoError unless `path` is a regular file that begins like one of the containers."""
    start = _start_of(path)
    if not (_is_for_decord(start) or _is_for_pyav(start)):
        raise VideoError(
            path, "is no AVI, MP4, MOV, MKV, WebM, WMV, MPEG, TS, FLV, Ogg or GIF file"
        )


def is_for_decord(path: Path) -> bool:
    """Return whether decord may be given a file. Raises VideoError where it cannot be read."""
    return _is_for_decord(_start_of(path))


def _start_of(path: Path) -> bytes:
    """Return a file's first bytes. A pipe is not opened, which would wait for its writer."""
    try:
        mode = path.stat().st_mode
        if not stat.S_ISREG(mode):
            kind = "a folder" if stat.S_ISDIR(mode) else "a pipe, socket or device"
            raise VideoError(path, f"is {kind}, not a file")
        with path.open("rb") as file:
            start = file.read(2 * (PACKET + TIME_CODE))
    except OSError as error:
        raise VideoError(path, f"cannot be read: {error.strerror}") from None
    if not start:
        raise VideoError(path, "is empty")
    return start


def _is_for_decord(start: bytes) -> bool:
    avi = start[:4] == b"RIFF" and start[8:11] == b"AVI"
    return avi or start[4:8] in ATOMS or start.startswith((MATROSKA, ASF))


def _is_for_pyav(start: bytes) -> bool:
    return start.startswith((MPEG_PS, FLV, OGG, GIF)) or any(
        start[before : before + 1] == start[2 * before + PACKET :][:1] == SYNC
        for before in (0, TIME_CODE)
    )
