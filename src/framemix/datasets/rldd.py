"""UTA-RLDD: `<root>/FoldN_partM/<subject>/{0,5,10}.<ext>`, cut into clips of one size.

Ghoddoosian, Galib, Athitsos: A Realistic Dataset and Baseline Temporal Model for Early
Drowsiness Detection (CVPRW 2019): 60 subjects film themselves for ten minutes in each of
three states. Paper A resizes clips of the drowsy ones to 320x240.
"""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from framemix.datasets.files import Entry, commonest, list_entries
from framemix.datasets.records import STATES, Clip
from framemix.errors import DatasetError, VideoError, reason_of
from framemix.jobs.cluster import Cluster
from framemix.jobs.fingerprint import code_fingerprint
from framemix.jobs.isolation import Limits, isolated
from framemix.jobs.scratch import Unit, finished, link
from framemix.tables import read_table, write_table
from framemix.validation import Integer
from framemix.video.reading import ExaminedVideo, VideoInfo, describe, examine
from framemix.video.writing import cut_clip

WIDTH, HEIGHT = 320, 240
SUBJECTS = 60
# A clip's start in seconds is rounded by less: the frame that is meant shall not come before it.
ROUNDED = 0.001
NAME = re.compile(
    r"Fold(?P<fold>\d+)_part\d+/(?P<subject>\d+)/(?P<state>0|5|10)\.(mov|mp4|m4v|avi|mkv|wmv|3gp)",
    re.IGNORECASE,
)


class ResizeSettings(BaseModel):
    """Which clips are cut, and how long they are (params.yaml: resize)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    states: list[Annotated[Literal[0, 5, 10], Integer]] = Field(min_length=1)
    orientation: Literal["landscape", "any"]
    frames: int = Field(ge=1)
    fps: float = Field(gt=0)
    clips: Annotated[int, Field(ge=1)] | None


@dataclass(frozen=True)
class DriverVideo:
    """A video of the dataset as displayed, and how many clips it could give."""

    video: str
    subject: str
    fold: int
    state: int
    info: VideoInfo
    clips: int


def resize_clips(
    root: Path,
    target: Path,
    settings: ResizeSettings,
    *,
    scratch: Path,
    cluster: Cluster,
    limits: Limits,
) -> list[Clip]:
    """Cut clips into `target`/<clip>.mp4 and return a row for every clip and rejected file.

    At most `settings.clips` a state; only the stretches that become clips are decoded. One that
    cannot be cut is replaced by the nearest of that video which was not planned. A damaged stretch
    is not told from a whole one: ffmpeg repeats the frame before.
    """
    sources, rejected = find_sources(root, settings, limits)
    plan = plan_clips(sources, settings)
    used = {source.video for source, _ in plan}
    units = [
        Unit(
            folder=scratch,
            make=partial(_cut_all, root.absolute(), source, clips, settings, limits),
            settings={
                "planned": [clip.model_dump() for clip in clips],
                **settings.model_dump(),
                **asdict(limits),
            },
            files=[root.absolute() / source.video],
            code=code_fingerprint(__file__),
            whole=_has_kept_clips,
        )
        for source in sources
        if (clips := [clip for planned, clip in plan if planned == source])
    ]
    if not units:
        why = commonest(row.reason for row in rejected)
        raise DatasetError(f"data.rldd = {root}: no video gives a clip: {why}; see resize")
    with finished(scratch, units, cluster=cluster, label="resize videos") as done:
        clips = [clip for folder in done for clip in read_table(folder / "clips.csv", Clip)]
        if not any(clip.kept for clip in clips):
            why = commonest(clip.reason for clip in clips)
            raise DatasetError(f"data.rldd = {root}: no clip came out whole: {why}")
        for folder in done:
            for file in folder.glob("*.mp4"):
                link(file, target / file.name)
    unused = [
        _rejected(source, f"resize.clips = {settings.clips} is reached")
        for source in sources
        if source.video not in used
    ]
    return sorted([*clips, *unused, *rejected], key=lambda clip: (clip.source, clip.start_seconds))


def find_sources(
    root: Path, settings: ResizeSettings, limits: Limits
) -> tuple[list[DriverVideo], list[Clip]]:
    """Return the videos that give clips, and a row with the reason for every other file.

    Raises DatasetError when there is no video in the dataset's layout.
    """
    allowed = "allowed: a folder with FoldN_partM/<subject>/{0,5,10}.<mov|mp4|...> files"
    if not root.is_dir():
        raise DatasetError(f"data.rldd = {root}: no such folder; {allowed}")
    entries = list_entries(root)
    if not any(NAME.fullmatch(entry.path) for entry in entries):
        raise DatasetError(f"data.rldd = {root}: no video in it; {allowed}")
    found = [_inspect(root, entry, settings, limits) for entry in entries]
    sources, rejected = [], [item for item in found if isinstance(item, Clip)]
    first: dict[tuple[str, int], DriverVideo] = {}
    for item in found:
        if isinstance(item, DriverVideo):
            # Clips are named by subject and state: a second file would overwrite the first's.
            if (other := first.setdefault((item.subject, item.state), item)) is item:
                sources.append(item)
            else:
                rejected.append(_rejected(item, f"same subject and state as {other.video}"))
    return sources, rejected


def plan_clips(
    sources: Sequence[DriverVideo], settings: ResizeSettings
) -> list[tuple[DriverVideo, Clip]]:
    """Return the clips to cut: at most `settings.clips` a state, spread evenly.

    Each round takes one more clip of every video that has one left, so that no subject
    dominates; a video's clips lie evenly over its length.
    """
    taken: Counter[str] = Counter()
    for state in set(settings.states):
        videos = [source for source in sources if source.state == state]
        left = sum(v.clips for v in videos) if settings.clips is None else settings.clips
        while left and (open_ := [v for v in videos if taken[v.video] < v.clips]):
            taken.update(v.video for v in open_[:left])
            left -= len(open_[:left])
    return [
        (source, _planned(source, place, settings))
        for source in sources
        for place in _spread(taken[source.video], source.clips)
    ]


def _has_kept_clips(folder: Path) -> bool:
    table = folder / "clips.csv"
    return table.is_file() and all(
        (folder / f"{row.clip}.mp4").is_file() for row in read_table(table, Clip) if row.kept
    )


def _cut_all(
    root: Path,
    source: DriverVideo,
    clips: Sequence[Clip],
    settings: ResizeSettings,
    limits: Limits,
    folder: Path,
) -> None:
    """Cut the planned clips, and for each that is lost another of the video, while it has any."""
    every = (_planned(source, place, settings) for place in range(source.clips))
    spare = [clip for clip in every if clip not in clips]
    rows: list[Clip] = []
    for planned in clips:
        clip = planned
        while True:
            rows.append(_cut(root, source, clip, folder / f"{clip.clip}.mp4", settings, limits))
            if rows[-1].kept or not spare:
                break
            clip = min(spare, key=lambda other: abs(other.start_seconds - planned.start_seconds))
            spare.remove(clip)
    write_table(folder / "clips.csv", Clip, rows)


def _cut(
    root: Path,
    video: DriverVideo,
    clip: Clip,
    target: Path,
    settings: ResizeSettings,
    limits: Limits,
) -> Clip:
    """Write one planned clip to `target` and return its row, rejected when it came out short."""
    source = root / clip.source
    try:
        work = partial(
            _cut_and_examine,
            target=target,
            info=video.info,
            start=clip.start_seconds,
            settings=settings,
        )
        cut = isolated(work, source, limits)
    except VideoError as error:
        target.unlink(missing_ok=True)
        reason = reason_of(error, source).replace(f"{target}: ", "the clip ")
        return clip.model_copy(update={"reason": reason})
    if cut.frames < settings.frames:
        target.unlink()
        reason = f"{cut.frames} frames, fewer than resize.frames = {settings.frames}"
        return clip.model_copy(update={"frames": cut.frames, "reason": reason})
    return clip.model_copy(
        update={
            "frames": cut.frames,
            "width": WIDTH,
            "height": HEIGHT,
            "kept": True,
            "reader": cut.reader,
        }
    )


def _cut_and_examine(
    source: Path, *, target: Path, info: VideoInfo, start: float, settings: ResizeSettings
) -> ExaminedVideo:
    cut_clip(
        source,
        target,
        stream=info.stream,
        start=max(0.0, info.start + start - ROUNDED),
        frames=settings.frames,
        fps=settings.fps,
        width=WIDTH,
        height=HEIGHT,
    )
    return examine(target)


def _inspect(
    root: Path, entry: Entry, settings: ResizeSettings, limits: Limits
) -> DriverVideo | Clip:
    file, name = entry.path, NAME.fullmatch(entry.path)
    if name is None:
        reason = entry.reason or "not FoldN_partM/<subject>/{0,5,10}.<mov|mp4|...>"
        return Clip(clip="", subject="", source=file, reason=reason)
    subject, fold, state = f"{int(name['subject']):02}", int(name["fold"]), int(name["state"])
    rejected = Clip(clip="", subject=subject, fold=fold, state=STATES[state], source=file)
    if entry.reason:
        return rejected.model_copy(update={"reason": entry.reason})
    if state not in settings.states:
        reason = f"state {state} is not in resize.states"
        return rejected.model_copy(update={"reason": reason})
    try:
        info = isolated(describe, root / file, limits)
    except VideoError as error:
        return rejected.model_copy(update={"reason": reason_of(error, root / file)})
    # Half a frame of tolerance: a container's duration is rounded.
    clips = int((info.seconds * settings.fps + 0.5) // settings.frames)
    if reason := _unfit(info, clips, settings):
        size = {"width": info.width, "height": info.height}
        return rejected.model_copy(update={**size, "reason": reason})
    return DriverVideo(file, subject, fold, state, info, clips)


def _unfit(info: VideoInfo, clips: int, settings: ResizeSettings) -> str:
    if settings.orientation == "landscape" and info.width <= info.height:
        return f"displayed as {info.width}x{info.height}, not landscape"
    if not clips:
        needed = settings.frames / settings.fps
        return f"{info.seconds:.1f} s, shorter than a clip of {needed:.1f} s"
    return ""


def _rejected(video: DriverVideo, reason: str) -> Clip:
    return Clip(
        clip="",
        subject=video.subject,
        fold=video.fold,
        state=STATES[video.state],
        source=video.video,
        width=video.info.width,
        height=video.info.height,
        reason=reason,
    )


def _planned(source: DriverVideo, place: int, settings: ResizeSettings) -> Clip:
    start = place * settings.frames
    return Clip(
        clip=f"{source.subject}_{source.state}_{start}",
        subject=source.subject,
        fold=source.fold,
        state=STATES[source.state],
        source=source.video,
        start_seconds=round(start / settings.fps, 3),
    )


def _spread(count: int, places: int) -> list[int]:
    return [(2 * i + 1) * places // (2 * count) for i in range(count)]
