"""The one way in which videos enter: each is decoded, and kept or rejected with a reason.

What a layout found goes in, a row for each comes out.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path

from pydantic import Field

from framemix.datasets.clips import Clip
from framemix.datasets.files import commonest
from framemix.datasets.layouts.layout import Found, folder_of
from framemix.errors import DatasetError, VideoError, reason_of
from framemix.jobs.cluster import Cluster
from framemix.jobs.fingerprint import code_fingerprint
from framemix.jobs.isolation import Limits, isolated
from framemix.jobs.scratch import Unit, finished
from framemix.tables import read_table, write_table
from framemix.validation import Settings
from framemix.video.reading import VideoInfo, examine, video_files

# Of one class. One that changes has so many decoded again; UCF101's largest class has 167.
VIDEOS_A_UNIT = 200
ROWS = "clips.csv"


class FilterSettings(Settings):
    """Which videos are kept (params.yaml: filter)."""

    min_frames: int = Field(ge=1, description="decoded frames that a kept video has at least")


def list_clips(
    found: Sequence[Found],
    root: Path,
    settings: FilterSettings,
    *,
    keys: tuple[str, str],
    scratch: Path,
    cluster: Cluster,
    limits: Limits,
    label: str,
) -> list[Clip]:
    """Return a row for each video that was `found` in `root`, in order of their paths.

    A video is kept when all of its frames can be decoded and there are at least
    `settings.min_frames`. Raises DatasetError when none is kept; `keys` are those of params.yaml
    for `root` and for the section of `settings`.
    """
    folder = folder_of(root).absolute()
    units = [
        Unit(
            folder=scratch,
            make=partial(_inspect_all, folder, rows, settings.min_frames, limits),
            settings={
                "videos": [row.model_dump() for row in rows],
                "min_frames": settings.min_frames,
                **asdict(limits),
            },
            files=[file for row in rows for file in video_files(folder / row.video)],
            code=code_fingerprint(__file__),
        )
        for rows in _batches([clip_of(one) for one in found if not one.reason])
    ]
    with finished(scratch, units, cluster=cluster, label=label) as done:
        clips = [clip for unit in done for clip in read_table(unit / ROWS, Clip)]
    clips += [clip_of(one) for one in found if one.reason]
    _require_kept(clips, settings.min_frames, f"{keys[0]} = {root}", keys[1])
    return sorted(clips, key=lambda clip: clip.video)


def clip_of(found: Found) -> Clip:
    """Return the row of a video of which is known what its layout says."""
    return Clip(
        video=found.video,
        class_name=found.label,
        group=found.group,
        subset=found.subset,
        reason=found.reason,
    )


def shown(info: VideoInfo) -> dict[str, float]:
    """Return the fields of a row that say what a video looks like."""
    return {
        "seconds": round(info.seconds, 3),
        "width": info.width,
        "height": info.height,
        "fps": round(info.fps, 3),
    }


def _batches(clips: Sequence[Clip]) -> Iterator[list[Clip]]:
    """Yield clips of one class each: what is added to a class leaves the others as they are."""
    classes: dict[str, list[Clip]] = {}
    for clip in clips:
        classes.setdefault(clip.class_name, []).append(clip)
    for members in classes.values():
        yield from (members[i : i + VIDEOS_A_UNIT] for i in range(0, len(members), VIDEOS_A_UNIT))


def _inspect_all(
    root: Path, clips: Sequence[Clip], min_frames: int, limits: Limits, folder: Path
) -> None:
    rows = [_inspect(root / clip.video, clip, min_frames, limits) for clip in clips]
    write_table(folder / ROWS, Clip, rows)


def _inspect(path: Path, clip: Clip, min_frames: int, limits: Limits) -> Clip:
    """Return `clip` with its length, size and reader, or rejected with the reason."""
    try:
        video = isolated(examine, path, limits)
    except VideoError as error:
        return clip.rejected(reason_of(error, path))
    frames, pictures, reason = video.frames, len(video_files(path)), ""
    if path.is_dir() and frames < pictures:
        reason = f"{pictures} jpg files, {frames} of them in sequence and readable"
    elif frames < min_frames:
        reason = f"{frames} frames, fewer than {min_frames}"
    found = {
        "frames": frames,
        **shown(video.info),
        "reader": video.reader,
        "kept": not reason,
        "reason": reason,
    }
    return clip.model_copy(update=found)


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
