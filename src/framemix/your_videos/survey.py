"""The content of a folder or list of labelled videos, and suitable settings.

Headers of files are fast to read; decoding gives exact lengths.
"""

import os
from collections import Counter, defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from math import prod
from os.path import commonpath
from pathlib import Path
from statistics import median
from typing import Any

from framemix.datasets.clips import folder_of
from framemix.datasets.layouts.layout import Found
from framemix.errors import VideoError, reason_of
from framemix.jobs.isolation import Limits, isolated
from framemix.jobs.progress import track
from framemix.mixing import MixSettings
from framemix.text.markdown import Table
from framemix.text.names import printable
from framemix.video.reading import describe, examine
from framemix.your_videos.settings import YourVideos

FEWEST_SEGMENTS, USUAL_SEGMENTS = 4, 8
# If more than this share of the videos is too short for the usual segments, fewer are suggested.
SHORT_SHARE = 0.1
FOLDS = 5
NAMED = 3  # reasons that are listed; the others are counted


@dataclass(frozen=True)
class Seen:
    """A video that could be opened, or the reason why not."""

    found: Found
    frames: int = 0
    seconds: float = 0.0
    size: tuple[int, int] = (0, 0)
    reason: str = ""


@dataclass(frozen=True)
class Survey:
    """All files of a dataset, each opened.

    `group_pattern` is the pattern that found the groups, and `clip_seconds` what videos are cut to.
    """

    root: Path
    seen: Sequence[Seen]
    notices: Sequence[str]
    group_pattern: str | None
    clip_seconds: float | None

    @property
    def usable(self) -> list[Seen]:
        """The videos that have a class and can be opened."""
        return [one for one in self.seen if not one.reason]

    @property
    def segments(self) -> int:
        """The suitable number of segments: fewer than usual where many videos are very short."""
        short = sum(one.frames < USUAL_SEGMENTS for one in self.usable)
        return FEWEST_SEGMENTS if short > SHORT_SHARE * len(self.usable) else USUAL_SEGMENTS

    def _folder(self) -> Path:
        """Return the folder that contains all usable videos."""
        if self.root.is_dir():
            return self.root.resolve()
        folder = folder_of(self.root).resolve()
        return Path(commonpath([(folder / one.found.video).parent for one in self.usable]))

    def settings(self) -> dict[str, Any]:
        """Return suitable settings, as a part of params.yaml's your_videos."""
        groups = {one.found.group for one in self.usable} - {""}
        subsets = {one.found.subset for one in self.usable} - {""}
        by = "given" if {"train", "val"} <= subsets else "group" if groups else "random"
        return {
            "data": _from_here(self.root.resolve()),
            "folder": _from_here(self._folder()),
            "group_pattern": self.group_pattern,
            "clip_seconds": self.clip_seconds,
            "videos": {"min_frames": self.segments},
            "split": {"by": by, "folds": max(2, min(FOLDS, len(groups) or FOLDS)), "fold": 0},
            "mix": {"segments": self.segments, "window": "all", "variants": 1},
        }


def _from_here(path: Path) -> str:
    """Return a path in the checkout as relative, so that it is valid in other clones too."""
    here = Path.cwd().resolve()
    return path.relative_to(here).as_posix() if path.is_relative_to(here) else str(path)


def survey(
    root: Path,
    found: Sequence[Found],
    notices: Sequence[str],
    yours: YourVideos,
    *,
    decode: bool,
    limits: Limits,
) -> Survey:
    """Open each file, or with `decode` read it to its end; `yours` are the settings for them."""
    look = partial(_look, root=folder_of(root), decode=decode, limits=limits)
    # A subprocess for each thread: more than there are cores would only have to start.
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        seen = list(track(threads.map(look, found), total=len(found), label="look at videos"))
    return Survey(root, seen, notices, yours.group_pattern, yours.clip_seconds)


def _look(found: Found, *, root: Path, decode: bool, limits: Limits) -> Seen:
    if found.reason:
        return Seen(found, reason=found.reason)
    path = root.absolute() / found.video
    try:
        video = isolated(examine, path, limits) if decode else None
        info = video.info if video else isolated(describe, path, limits)
    except VideoError as error:
        return Seen(found, reason=reason_of(error, path))
    frames = video.frames if video else round(info.seconds * info.fps)
    return Seen(found, frames, info.seconds, (info.width, info.height))


def described(survey: Survey, mix: MixSettings, *, decode: bool) -> str:
    """Return a survey in Markdown: a row per class, unusable files, and the clips that fit."""
    usable = survey.usable
    short = [one for one in usable if one.frames < mix.segments]
    size = len(usable) * mix.segments * prod(mix.frame_shape) * mix.variants
    paragraphs = [
        _table(usable).markdown(),
        _sizes(usable),
        *([_unusable(survey)] if len(usable) < len(survey.seen) else []),
        *survey.notices,
        f"{mix.segments} segments over the whole of each video: {len(usable) - len(short)} clips "
        f"fit, {len(short)} are shorter and will be left out. Their mixed clips take "
        f"{size / 1e6:.0f} MB.",
        "Lengths are exact."
        if decode
        else "Lengths are those in the headers; --decode reads every frame.",
    ]
    return "\n\n".join(paragraphs)


def _table(usable: Sequence[Seen]) -> Table:
    classes: dict[str, list[Seen]] = defaultdict(list)
    for one in usable:
        classes[one.found.label].append(one)
    return Table(
        columns=["class", "videos", "groups", "seconds", "frames"],
        rows=[_row(name, classes[name]) for name in sorted(classes)],
    )


def _row(name: str, videos: Sequence[Seen]) -> list[str]:
    groups = {one.found.group for one in videos} - {""}
    seconds, frames = [one.seconds for one in videos], [one.frames for one in videos]
    return [
        printable(name),
        str(len(videos)),
        str(len(groups) or "–"),
        f"{min(seconds):.1f} to {max(seconds):.1f}, median {median(seconds):.1f}",
        f"{min(frames)} to {max(frames)}, median {median(frames):.0f}",
    ]


def _sizes(usable: Sequence[Seen]) -> str:
    counts = Counter(one.size for one in usable)
    (width, height), most = counts.most_common(1)[0]
    others = f" and {len(counts) - 1} other sizes" if len(counts) > 1 else ""
    subsets = Counter(one.found.subset for one in usable if one.found.subset)
    given = ", ".join(f"{count} {name}" for name, count in sorted(subsets.items()))
    return f"{width}x{height} pixels ({most} videos){others}." + (
        f" Subsets that are given: {given}." if given else ""
    )


def _unusable(survey: Survey) -> str:
    unusable = [one for one in survey.seen if one.reason]
    reasons = Counter(one.reason for one in unusable).most_common()
    lines = [
        f"- {count}: {printable(reason)}, {next(_named(unusable, reason))}"
        for reason, count in reasons[:NAMED]
    ]
    if rest := sum(count for _, count in reasons[NAMED:]):
        lines.append(f"- {rest}: for other reasons")
    return "\n".join([f"Unusable: {len(unusable)} files.", *lines])


def _named(unusable: Sequence[Seen], reason: str) -> Any:
    return (printable(one.found.video) for one in unusable if one.reason == reason)
