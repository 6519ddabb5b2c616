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

from framemix.datasets.files import Entry, commonest, list_entries
from framemix.datasets.records import Video
from framemix.errors import DatasetError, VideoError, reason_of
from framemix.jobs.cluster import Cluster
from framemix.jobs.fingerprint import code_fingerprint
from framemix.jobs.isolation import Limits, isolated
from framemix.jobs.scratch import Unit, finished
from framemix.tables import read_table, write_table
from framemix.video.reading import examine

NAME = re.compile(r"v_.+_(?P<group>g\d+)_c\d+\.avi", re.IGNORECASE)


class FilterSettings(BaseModel):
    """Which videos are kept (params.yaml: filter)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    min_frames: int = Field(ge=1)


def filter_videos(
    root: Path, settings: FilterSettings, *, scratch: Path, cluster: Cluster, limits: Limits
) -> list[Video]:
    """Return a row for every file below `root`: kept, or rejected with a reason.

    A video is kept when at least `settings.min_frames` frames of it can be decoded. Raises
    DatasetError when there is no video, or none is kept.
    """
    entries = find_entries(root)
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
        for class_name, files in _by_class(entries).items()
    ]
    with finished(scratch, units, cluster=cluster, label="filter classes") as done:
        videos = [video for folder in done for video in read_table(folder / "videos.csv", Video)]
    if not any(video.kept for video in videos):
        most = max((video.frames for video in videos), default=0)
        if not most:
            reasons = [row.reason for row in videos] + [e.reason for e in entries if e.reason]
            raise DatasetError(f"data.ucf101 = {root}: no video can be used: {commonest(reasons)}")
        raise DatasetError(
            f"filter.min_frames = {settings.min_frames}: no video of data.ucf101 = {root} has "
            f"as many; allowed: at most {most}"
        )
    others = [
        Video(video=e.path, class_name=_class_of(e.path), group="", reason=e.reason)
        for e in entries
        if e.reason
    ]
    return sorted([*videos, *others], key=lambda video: video.video)


def find_entries(root: Path) -> list[Entry]:
    """Return what is below `root`. Raises DatasetError when there is nothing named *.avi."""
    if not root.is_dir():
        raise DatasetError(f"data.ucf101 = {root}: no such folder; {_expected()}")
    entries = list_entries(root)
    if not any(entry.path.lower().endswith(".avi") for entry in entries):
        raise DatasetError(f"data.ucf101 = {root}: no video in it; {_expected()}")
    return entries


def _by_class(entries: Sequence[Entry]) -> dict[str, list[str]]:
    """Return the files by their class folder; those outside of one stand under ""."""
    classes: dict[str, list[str]] = {}
    for entry in entries:
        if not entry.reason:
            classes.setdefault(_class_of(entry.path), []).append(entry.path)
    return classes


def _class_of(path: str) -> str:
    folder, slash, _ = path.partition("/")
    return folder if slash else ""


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
        video = isolated(examine, path, limits)
    except VideoError as error:
        return row.model_copy(update={"reason": reason_of(error, path)})
    kept = video.frames >= min_frames
    found = {
        "frames": video.frames,
        "width": video.info.width,
        "height": video.info.height,
        "fps": round(video.info.fps, 3),
        "kept": kept,
        "reason": "" if kept else f"{video.frames} frames, fewer than {min_frames}",
        "reader": video.reader,
    }
    return row.model_copy(update=found)


def _expected() -> str:
    return "allowed: a folder with <Class>/v_<Class>_gNN_cNN.avi files"
