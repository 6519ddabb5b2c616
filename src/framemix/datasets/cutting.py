"""Cuts clips of one size and length out of drivers' videos; UTA-RLDD's have ten minutes each.

Paper A resizes clips of the drowsy videos to 320x240.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from framemix.datasets.clips import STATES, Clip, DriverClip, clip_file, clip_name, folder_of
from framemix.datasets.files import commonest
from framemix.datasets.intake import clip_of, shown, why_outside
from framemix.datasets.layouts.layout import Found
from framemix.errors import DatasetError, VideoError, reason_of
from framemix.jobs.execution import Execution, finished
from framemix.jobs.fingerprint import code_fingerprint
from framemix.jobs.isolation import Limits, isolated
from framemix.jobs.scratch import Unit, link
from framemix.tables import read_table, write_table
from framemix.validation import Integer, Settings
from framemix.video.reading import ExaminedVideo, VideoInfo, describe, examine
from framemix.video.writing import cut_clip

WIDTH, HEIGHT = 320, 240
# Starts are rounded to milliseconds: clips are cut this much earlier, to keep their first frame.
ROUNDED = 0.001
ROWS = "clips.csv"


class ResizeSettings(Settings):
    """Which clips are cut, and how long they are (params.yaml: resize)."""

    states: list[Annotated[Literal[0, 5, 10], Integer]] = Field(
        min_length=1, description="0 alert, 5 low vigilant, 10 drowsy"
    )
    orientation: Literal["landscape", "any"] = Field(description="of the videos that are cut")
    frames: int = Field(ge=1, description="length of a clip, frames")
    fps: float = Field(gt=0, description="of a clip, frames a second")
    clips: Annotated[int, Field(ge=1)] | None = Field(description="of a state at most; null: all")


@dataclass(frozen=True)
class DriverVideo:
    """A video or stretch to cut: its row, its properties as displayed, and its number of clips."""

    row: Clip
    info: VideoInfo
    clips: int

    @property
    def key(self) -> tuple[str, float]:
        """Its file, and where in that it begins, in seconds."""
        return self.row.video, self.row.start or 0.0


def cut_clips(
    found: Iterable[Found],
    root: Path,
    target: Path,
    settings: ResizeSettings,
    execution: Execution,
) -> list[Clip]:
    """Cut clips into `target`/<clip>.mp4 and return a row for every clip and rejected file.

    There are at most `settings.clips` clips per state; only the stretches that become clips are
    decoded. A clip that cannot be cut is replaced by the nearest one of that video which was not
    planned. Damage within a stretch goes unnoticed: ffmpeg repeats the frame before.
    """
    folder = folder_of(root).absolute()
    sources, rejected = find_sources(found, folder, settings, execution.limits)
    plan = plan_clips(sources, settings)
    units = list(_units(plan, folder, settings, execution.limits))
    if not units:
        why = commonest(row.reason for row in rejected)
        raise DatasetError(f"data.rldd = {root}: no video gives a clip: {why}; see resize")
    with finished(units, execution, label="resize videos") as done:
        clips = [clip for folder in done for clip in read_table(folder / ROWS, DriverClip)]
        if not any(clip.kept for clip in clips):
            why = commonest(clip.reason for clip in clips)
            raise DatasetError(f"data.rldd = {root}: no clip came out whole: {why}")
        for folder in done:
            for file in folder.glob("*.mp4"):
                link(file, target / file.name)
    used = {source.key for source, _ in plan}
    unused = [
        source.row.rejected(f"resize.clips = {settings.clips} is reached")
        for source in sources
        if source.key not in used
    ]
    return sorted([*clips, *unused, *rejected], key=lambda clip: (clip.video, clip.start or 0.0))


def find_sources(
    found: Iterable[Found], folder: Path, settings: ResizeSettings, limits: Limits
) -> tuple[list[DriverVideo], list[Clip]]:
    """Return the videos in `folder` that give clips, and a row with the reason for every other."""
    looked_at = [_inspect(clip_of(one), folder, settings, limits) for one in found]
    sources, rejected = [], [item for item in looked_at if isinstance(item, Clip)]
    first: dict[str, Clip] = {}
    ends: dict[str, float] = {}
    for item in looked_at:
        if not isinstance(item, DriverVideo):
            continue
        video, start = item.key
        # A clip with the name of another would overwrite it.
        other = first.setdefault(clip_name(_planned(item, 0, settings)), item.row)
        if start < ends.get(video, 0.0):
            rejected.append(item.row.rejected("overlaps the stretch before it"))
        elif other is not item.row:
            rejected.append(item.row.rejected(f"same subject and state as {other.video}"))
        else:
            sources.append(item)
            ends[video] = _end(item.row, item.info)
    return sources, rejected


def plan_clips(
    sources: Sequence[DriverVideo], settings: ResizeSettings
) -> list[tuple[DriverVideo, Clip]]:
    """Return the clips to cut: at most `settings.clips` per state, spread evenly.

    Each round takes one more clip of every video that has one left, so that no subject
    dominates; a video's clips are spread evenly over its length.
    """
    taken: Counter[tuple[str, float]] = Counter()
    for state in (STATES[number] for number in set(settings.states)):
        videos = [source for source in sources if source.row.class_name == state]
        left = sum(v.clips for v in videos) if settings.clips is None else settings.clips
        while left and (open_ := [v for v in videos if taken[v.key] < v.clips]):
            taken.update(v.key for v in open_[:left])
            left -= len(open_[:left])
    return [
        (source, _planned(source, place, settings))
        for source in sources
        for place in _spread(taken[source.key], source.clips)
    ]


def _units(
    plan: Sequence[tuple[DriverVideo, Clip]],
    root: Path,
    settings: ResizeSettings,
    limits: Limits,
) -> Iterator[Unit]:
    """Yield the work on each video that gives clips."""
    for source, members in groupby(plan, key=itemgetter(0)):
        clips = [clip for _, clip in members]
        yield Unit(
            make=partial(_cut_all, root, source, clips, settings, limits),
            settings={
                "planned": [clip.model_dump() for clip in clips],
                **settings.model_dump(),
                **asdict(limits),
            },
            files=[root / source.row.video],
            code=code_fingerprint(__file__),
            whole=_has_kept_clips,
        )


def _has_kept_clips(folder: Path) -> bool:
    table = folder / ROWS
    return table.is_file() and all(
        clip_file(row, folder).is_file() for row in read_table(table, DriverClip) if row.kept
    )


def _cut_all(
    root: Path,
    source: DriverVideo,
    clips: Sequence[Clip],
    settings: ResizeSettings,
    limits: Limits,
    folder: Path,
) -> None:
    """Cut the planned clips; replace each that fails by another one of the video, if there is."""
    every = [_planned(source, place, settings) for place in range(source.clips)]
    spare = {clip.start or 0.0: clip for clip in every if clip not in clips}
    rows: list[Clip] = []
    for planned in clips:
        clip, start = planned, planned.start or 0.0
        while True:
            rows.append(_cut(root, source, clip, folder, settings, limits))
            if rows[-1].kept or not spare:
                break
            clip = spare.pop(min(spare, key=lambda other: abs(other - start)))
    write_table(folder / ROWS, Clip, rows)


def _cut(
    root: Path,
    video: DriverVideo,
    clip: Clip,
    folder: Path,
    settings: ResizeSettings,
    limits: Limits,
) -> Clip:
    """Write one planned clip into `folder`; return its row, rejected if the clip is too short."""
    source, target = root / clip.video, clip_file(clip, folder)
    work = partial(
        cut_and_examine, target=target, info=video.info, start=clip.start or 0.0, settings=settings
    )
    try:
        cut = isolated(work, source, limits)
    except VideoError as error:
        target.unlink(missing_ok=True)
        what = "the clip " if error.path == target else ""
        return clip.rejected(what + reason_of(error, source))
    if cut.frames < settings.frames:
        target.unlink()
        reason = f"{cut.frames} frames, fewer than resize.frames = {settings.frames}"
        return clip.model_copy(update={"frames": cut.frames, "reason": reason})
    # Not the file's frame rate, which is rounded: the clip's name is computed from it.
    seen = shown(cut.info) | {"fps": settings.fps}
    return clip.model_copy(
        update={"frames": cut.frames, **seen, "reader": cut.reader, "kept": True}
    )


def cut_and_examine(
    source: Path, *, target: Path, info: VideoInfo, start: float, settings: ResizeSettings
) -> ExaminedVideo:
    """Cut a clip into `target`, from `start` seconds of the video's own time; decode it once.

    Raises VideoError for a `source` that ffmpeg cannot read, or a clip that is not whole.
    """
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


def _inspect(row: Clip, root: Path, settings: ResizeSettings, limits: Limits) -> DriverVideo | Clip:
    if row.reason:
        return row
    if row.class_name not in (STATES[number] for number in settings.states):
        return row.rejected(f"{row.class_name} is not in resize.states = {settings.states}")
    path = root / row.video
    try:
        info = isolated(describe, path, limits)
    except VideoError as error:
        return row.rejected(reason_of(error, path))
    row = row.model_copy(update=shown(info))
    if row.start is not None:
        end = info.seconds if row.end is None else row.end
        if reason := why_outside(row.start, end, info.seconds):
            return row.rejected(reason)
    seconds = _end(row, info) - (row.start or 0.0)
    # With half a frame of tolerance, because a container's duration is rounded.
    clips = int((seconds * settings.fps + 0.5) // settings.frames)
    if reason := _unfit(info, seconds, clips, settings):
        return row.rejected(reason)
    return DriverVideo(row, info, clips)


def _end(row: Clip, info: VideoInfo) -> float:
    """Return where a stretch ends that may be all of its video, in seconds."""
    return info.seconds if row.end is None else min(row.end, info.seconds)


def _unfit(info: VideoInfo, seconds: float, clips: int, settings: ResizeSettings) -> str:
    if settings.orientation == "landscape" and info.width <= info.height:
        return f"displayed as {info.width}x{info.height}, not landscape"
    if not clips:
        needed = settings.frames / settings.fps
        return f"{seconds:.1f} s, shorter than a clip of {needed:.1f} s"
    return ""


def _planned(source: DriverVideo, place: int, settings: ResizeSettings) -> DriverClip:
    _, first = source.key
    start, end = (first + (place + i) * settings.frames / settings.fps for i in (0, 1))
    return DriverClip(
        video=source.row.video,
        class_name=source.row.class_name,
        group=source.row.group,
        subset=source.row.subset,
        start=round(start, 3),
        end=round(end, 3),
        fps=settings.fps,
    )


def _spread(count: int, places: int) -> list[int]:
    return [(2 * i + 1) * places // (2 * count) for i in range(count)]
