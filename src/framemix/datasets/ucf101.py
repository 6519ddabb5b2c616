"""UCF101: `<root>/<Class>/v_<Class>_gNN_cNN.avi`, its videos and its official lists.

Soomro, Zamir, Shah: UCF101, CRCV-TR-12-01 (2012). A group `gNN` holds clips cut out of one
longer video.
"""

import re
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from framemix.codetree import code_fingerprint
from framemix.datasets.files import Entry, list_entries
from framemix.datasets.records import Video
from framemix.errors import DatasetError, VideoError
from framemix.scratch import Unit, finish_all
from framemix.tables import read_table, write_table
from framemix.video.reading import count_frames, describe

NAME = re.compile(r"v_.+_(?P<group>g\d+)_c\d+\.avi", re.IGNORECASE)


class FilterSettings(BaseModel):
    """Which videos are kept (params.yaml: filter)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    min_frames: int = Field(ge=1)


def filter_videos(
    root: Path, settings: FilterSettings, *, scratch: Path, workers: int
) -> list[Video]:
    """Return a row for every file below `root`: kept, or rejected with a reason.

    A video is kept when at least `settings.min_frames` frames of it can be decoded. Raises
    DatasetError when there is no video, or none is kept.
    """
    entries = find_entries(root)
    units = [
        Unit(
            folder=scratch,
            make=partial(_inspect_class, root, class_name, files, settings),
            settings={"class": class_name, "videos": files, **settings.model_dump()},
            files=[root / file for file in files],
            code=code_fingerprint(__file__),
        )
        for class_name, files in _by_class(entries).items()
    ]
    done = finish_all(scratch, units, workers=workers, label="filter classes")
    videos = [video for folder in done for video in read_table(folder / "videos.csv", Video)]
    if not any(video.kept for video in videos):
        raise DatasetError(
            f"filter.min_frames = {settings.min_frames}: no video of data.ucf101 = {root} has "
            f"as many; allowed: at most {max((video.frames for video in videos), default=0)}"
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
    root: Path, class_name: str, files: Sequence[str], settings: FilterSettings, folder: Path
) -> None:
    rows = _inspect_files(root, class_name, files, settings)
    write_table(folder / "videos.csv", Video, rows)


def _inspect_files(
    root: Path, class_name: str, files: Sequence[str], settings: FilterSettings
) -> Iterator[Video]:
    for file in files:
        name = NAME.fullmatch(file.removeprefix(f"{class_name}/"))
        if name is None or not class_name:
            reason = "not <Class>/v_<Class>_gNN_cNN.avi"
            yield Video(video=file, class_name=class_name, group="", reason=reason)
        else:
            yield _inspect(root, file, class_name, name["group"].lower(), settings.min_frames)


def _inspect(root: Path, file: str, class_name: str, group: str, min_frames: int) -> Video:
    try:
        frames, info = count_frames(root / file), describe(root / file)
    except VideoError as error:
        reason = str(error).removeprefix(f"{root / file}: ")
        return Video(video=file, class_name=class_name, group=group, reason=reason)
    kept = frames >= min_frames
    return Video(
        video=file,
        class_name=class_name,
        group=group,
        frames=frames,
        width=info.width,
        height=info.height,
        fps=round(info.fps, 3),
        kept=kept,
        reason="" if kept else f"{frames} frames, fewer than {min_frames}",
    )


def _expected() -> str:
    return "allowed: a folder with <Class>/v_<Class>_gNN_cNN.avi files"
