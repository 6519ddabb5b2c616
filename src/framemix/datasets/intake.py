"""Decodes every video that a layout found, and keeps it or rejects it with a reason.

The result is one row per video or stretch.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from functools import partial
from itertools import groupby, pairwise
from math import ceil
from operator import attrgetter
from pathlib import Path

from pydantic import Field

from framemix.datasets.clips import Clip, folder_of
from framemix.datasets.files import commonest
from framemix.datasets.layouts.layout import Found
from framemix.errors import DatasetError, VideoError, reason_of
from framemix.jobs.execution import Execution, finished
from framemix.jobs.fingerprint import code_fingerprint
from framemix.jobs.isolation import Limits, isolated
from framemix.jobs.scratch import Unit
from framemix.tables import read_table, write_table
from framemix.validation import Settings
from framemix.video.reading import ExaminedVideo, Reader, VideoInfo, examine, video_files

# Videos of one class. When one changes, all of its unit are decoded again; UCF101's largest class
# has 167.
VIDEOS_A_UNIT = 200
# Lists have whole seconds: a stretch may end this much after the video. Seconds.
ROUNDED = 1.0
ROWS = "clips.csv"


class FilterSettings(Settings):
    """Which videos are kept (params.yaml: filter)."""

    min_frames: int = Field(ge=1, description="decoded frames that a kept video has at least")


def list_clips(
    found: Sequence[Found],
    root: Path,
    settings: FilterSettings,
    execution: Execution,
    *,
    keys: tuple[str, str],
    label: str,
    clip_seconds: float | None = None,
) -> list[Clip]:
    """Return a row for each video or stretch that was `found` in `root`, in order of their paths.

    It is kept when all frames of the video can be decoded, and at least `settings.min_frames` are
    its own. With `clip_seconds`, each video without stretches is cut into stretches of that length;
    the rest at its end is dropped where it is too short. The stretches of one video are a group
    unless the layout names one. Raises DatasetError when none is kept; `keys` are those of
    params.yaml for `root` and for the section of `settings`.
    """
    unread = [clip_of(one) for one in found if not one.reason]
    units = _units(unread, folder_of(root).absolute(), settings, clip_seconds, execution.limits)
    with finished(units, execution, label=label) as done:
        clips = [clip for unit in done for clip in read_table(unit / ROWS, Clip)]
    clips += [clip_of(one) for one in found if one.reason]
    _require_kept(clips, settings.min_frames, f"{keys[0]} = {root}", keys[1])
    if any(clip.start is not None for clip in clips):
        clips = [c.model_copy(update={"group": c.group or c.video}) for c in clips]
    return sorted(clips, key=lambda clip: (clip.video, clip.start or 0.0))


def clip_of(found: Found) -> Clip:
    """Return the row of a video before it is decoded: the values that its layout found."""
    return Clip(
        video=found.video,
        class_name=found.label,
        group=found.group,
        subset=found.subset,
        start=found.start,
        end=found.end,
        reason=found.reason,
    )


def shown(info: VideoInfo) -> dict[str, float]:
    """Return a row's fields for the length, the size and the rate of a video."""
    return {
        "seconds": round(info.seconds, 3),
        "width": info.width,
        "height": info.height,
        "fps": round(info.fps, 3),
    }


def why_outside(start: float, end: float, seconds: float) -> str:
    """Return why a stretch is not within a video of so many seconds; "" where it is."""
    if end <= start:
        return f"ends at {end:g} s, not after its start at {start:g} s"
    if start >= seconds or end > seconds + ROUNDED:
        what = "starts" if start >= seconds else "ends"
        at = start if start >= seconds else end
        return f"{what} at {at:g} s, but the video ends at {seconds:.3f} s"
    return ""


def _units(
    clips: Sequence[Clip],
    folder: Path,
    settings: FilterSettings,
    clip_seconds: float | None,
    limits: Limits,
) -> Iterator[Unit]:
    """Yield the work on each batch of videos."""
    for rows in _batches(clips):
        videos = dict.fromkeys(row.video for row in rows)
        yield Unit(
            make=partial(_inspect_all, folder, rows, settings.min_frames, clip_seconds, limits),
            settings={
                "videos": [row.model_dump() for row in rows],
                "min_frames": settings.min_frames,
                "clip_seconds": clip_seconds,
                **asdict(limits),
            },
            files=[file for video in videos for file in video_files(folder / video)],
            code=code_fingerprint(__file__),
        )


def _batches(clips: Sequence[Clip]) -> Iterator[list[Clip]]:
    """Yield batches of clips of one class, so that new videos of a class leave the others' units.

    All stretches of a video are in one batch, that of the class of its first stretch.
    """
    videos: dict[str, list[Clip]] = {}
    for clip in clips:
        videos.setdefault(clip.video, []).append(clip)
    classes: dict[str, list[list[Clip]]] = {}
    for stretches in videos.values():
        classes.setdefault(stretches[0].class_name, []).append(stretches)
    for members in classes.values():
        for i in range(0, len(members), VIDEOS_A_UNIT):
            yield [clip for stretches in members[i : i + VIDEOS_A_UNIT] for clip in stretches]


def _inspect_all(
    root: Path,
    clips: Sequence[Clip],
    min_frames: int,
    clip_seconds: float | None,
    limits: Limits,
    folder: Path,
) -> None:
    rows: list[Clip] = []
    for video, stretches in groupby(clips, key=attrgetter("video")):
        rows += _inspect(root / video, [*stretches], min_frames, clip_seconds, limits)
    write_table(folder / ROWS, Clip, rows)


def _inspect(
    path: Path, clips: list[Clip], min_frames: int, clip_seconds: float | None, limits: Limits
) -> list[Clip]:
    """Return a video's clips with their lengths, size and reader, or rejected with the reason."""
    try:
        video = isolated(examine, path, limits)
    except VideoError as error:
        return [clip.rejected(reason_of(error, path)) for clip in clips]
    if clip_seconds is not None and all(clip.start is None for clip in clips):
        clips = _cut(clips[0], video, min_frames, clip_seconds)
    return [_measured(path, clip, video, min_frames) for clip in clips]


def _cut(clip: Clip, video: ExaminedVideo, min_frames: int, seconds: float) -> list[Clip]:
    """Return a whole video as stretches of `seconds` each."""
    ends = [round(n * seconds, 6) for n in range(1, ceil(video.info.seconds / seconds))]
    bounds = pairwise([0.0, *ends, round(video.info.seconds, 3)])
    clips = [clip.model_copy(update={"start": start, "end": end}) for start, end in bounds]
    last = clips[-1].stretch
    if len(clips) > 1 and last and len(video.within(last)) < min_frames:
        del clips[-1]
    return clips


def _measured(path: Path, clip: Clip, video: ExaminedVideo, min_frames: int) -> Clip:
    """Return a clip with its measurements, kept or with the reason."""
    seen, frames = shown(video.info), video.frames
    reader: Reader = video.reader
    if clip.start is not None:
        end = seen["seconds"] if clip.end is None else clip.end
        frames, reader = len(video.within((clip.start, end))), "pyav"
        seen["seconds"] = round(max(0.0, min(end, seen["seconds"]) - clip.start), 3)
        clip = clip.model_copy(update={"end": end})
    reason = _why_unfit(path, clip, video, frames, min_frames)
    found = {"frames": frames, **seen, "reader": reader, "kept": not reason, "reason": reason}
    return clip.model_copy(update=found)


def _why_unfit(path: Path, clip: Clip, video: ExaminedVideo, frames: int, min_frames: int) -> str:
    pictures = len(video_files(path))
    if path.is_dir() and video.frames < pictures:
        return f"{pictures} jpg files, {video.frames} of them in sequence and readable"
    if clip.stretch and (reason := why_outside(*clip.stretch, video.info.seconds)):
        return reason
    return f"{frames} frames, fewer than {min_frames}" if frames < min_frames else ""


def _require_kept(clips: Sequence[Clip], min_frames: int, what: str, section: str) -> None:
    if any(clip.kept for clip in clips):
        return
    most = max(clip.frames for clip in clips)
    if most >= min_frames or not most:
        raise DatasetError(f"{what}: no video can be used: {commonest(c.reason for c in clips)}")
    raise DatasetError(
        f"{section}.min_frames = {min_frames}: no video of {what} has as many; "
        f"allowed: at most {most}"
    )
