"""UCF101: `<root>/<Class>/v_<Class>_gNN_cNN.avi`, its videos and its official lists.

Soomro, Zamir, Shah: UCF101, CRCV-TR-12-01 (2012). A group `gNN` holds clips cut out of one
longer video.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from framemix.cluster import Cluster
from framemix.codetree import code_fingerprint
from framemix.datasets.records import Video
from framemix.errors import DatasetError, VideoError
from framemix.isolation import Limits, isolated
from framemix.scratch import Unit, finish_all
from framemix.tables import read_table, write_table
from framemix.video.reading import VideoInfo, count_frames, describe

NAME = re.compile(r"v_.+_(?P<group>g\d+)_c\d+\.avi", re.IGNORECASE)


class FilterSettings(BaseModel):
    """Which videos are kept (params.yaml: filter)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    min_frames: int = Field(ge=1)


def find_videos(root: Path) -> dict[str, list[str]]:
    """Return the files below `root` by their class folder, as sorted POSIX paths.

    Files outside a class folder stand under "". Raises DatasetError when there is no AVI file.
    """
    if not root.is_dir():
        raise DatasetError(f"data.ucf101 = {root}: no such folder; {_expected()}")
    files = sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file())
    if not any(file.lower().endswith(".avi") for file in files):
        raise DatasetError(f"data.ucf101 = {root}: no video in it; {_expected()}")
    classes: dict[str, list[str]] = {}
    for file in files:
        folder, slash, _ = file.partition("/")
        classes.setdefault(folder if slash else "", []).append(file)
    return classes


def filter_videos(
    root: Path, settings: FilterSettings, *, scratch: Path, cluster: Cluster, limits: Limits
) -> list[Video]:
    """Return a row for every file below `root`: kept, or rejected with a reason.

    A video is kept when at least `settings.min_frames` frames of it can be decoded. Raises
    DatasetError when there is no video, or none is kept.
    """
    units = [
        Unit(
            folder=scratch,
            make=partial(_inspect_class, root.absolute(), class_name, files, settings, limits),
            settings={
                "class": class_name,
                "videos": files,
                **settings.model_dump(),
                **asdict(limits),
            },
            files=[root.absolute() / file for file in files],
            code=code_fingerprint(__file__),
        )
        for class_name, files in find_videos(root).items()
    ]
    done = finish_all(scratch, units, cluster=cluster, label="filter classes")
    videos = [video for folder in done for video in read_table(folder / "videos.csv", Video)]
    if not any(video.kept for video in videos):
        raise DatasetError(
            f"filter.min_frames = {settings.min_frames}: no video of data.ucf101 = {root} has "
            f"as many; allowed: at most {max(video.frames for video in videos)}"
        )
    return sorted(videos, key=lambda video: video.video)


def _inspect_class(
    root: Path,
    class_name: str,
    files: Sequence[str],
    settings: FilterSettings,
    limits: Limits,
    folder: Path,
) -> None:
    rows = _inspect_files(root, class_name, files, settings, limits)
    write_table(folder / "videos.csv", Video, rows)


def _inspect_files(
    root: Path, class_name: str, files: Sequence[str], settings: FilterSettings, limits: Limits
) -> Iterator[Video]:
    for file in files:
        name = NAME.fullmatch(file.removeprefix(f"{class_name}/"))
        if name is None or not class_name:
            reason = "not <Class>/v_<Class>_gNN_cNN.avi"
            yield Video(video=file, class_name=class_name, group="", reason=reason)
        else:
            row = Video(video=file, class_name=class_name, group=name["group"].lower())
            yield _inspect(root / file, row, settings.min_frames, limits)


def _inspect(path: Path, row: Video, min_frames: int, limits: Limits) -> Video:
    """Return `row`, of which name, class and group are known, with what decoding tells."""
    try:
        frames, info = isolated(_decode, path, limits)
    except VideoError as error:
        return row.model_copy(update={"reason": str(error).removeprefix(f"{path}: ")})
    kept = frames >= min_frames
    found = {
        "frames": frames,
        "width": info.width,
        "height": info.height,
        "fps": round(info.fps, 3),
        "kept": kept,
        "reason": "" if kept else f"{frames} frames, fewer than {min_frames}",
    }
    return row.model_copy(update=found)


def _decode(path: Path) -> tuple[int, VideoInfo]:
    return count_frames(path), describe(path)


def _expected() -> str:
    return "allowed: a folder with <Class>/v_<Class>_gNN_cNN.avi files"
