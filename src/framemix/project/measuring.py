"""Measures, in about a minute, what the work of the pipeline's stages takes on this machine."""

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from math import inf
from pathlib import Path
from typing import TypeVar

import psutil

from framemix.datasets.clips import STATE_NUMBERS, Stretch, folder_of
from framemix.datasets.layouts.actions import find_actions
from framemix.datasets.layouts.drivers import find_drivers
from framemix.datasets.layouts.layout import Found
from framemix.datasets.sample import Task, action_tasks, face_tasks
from framemix.errors import DatasetError
from framemix.jobs.terminal import print_text
from framemix.project.amounts import (
    Count,
    Places,
    Sides,
    count_clips,
    count_videos,
    found_in,
    training_clips,
)
from framemix.project.params import Params
from framemix.project.trial_data import (
    NOISE_HEIGHT,
    NOISE_WIDTH,
    DataTrial,
    Disk,
    Trial,
    timed,
    try_disk,
    try_videos,
    write_noise,
)
from framemix.project.trial_networks import Networks, try_networks
from framemix.video.reading import video_files

Item = TypeVar("Item")
TRIED = 4  # videos of each of two datasets, at least; more where workers would be idle
# Threads that DVC hashes with, where core.checksum_jobs is not set.
HASHING = max(1, min(4, (os.cpu_count() or 1) // 2))


@dataclass(frozen=True)
class Measured:
    """The amounts of data and what their work takes.

    `process` is the seconds that a process without networks takes to start, `memory` the bytes that
    are free, and `raw` the bytes of the videos that were found, by the stage that reads them.
    `missing` has a line about each dataset that has no video to try.
    """

    actions: Count
    drivers: Count
    sides: Mapping[str, Sides]
    process: float
    disk: Disk
    data: DataTrial
    networks: Networks
    memory: int
    raw: Mapping[str, int]
    missing: Sequence[str]

    def reading(self, size: float, store: float) -> float:
        """Return the seconds to read bytes of a store of that size, which was read before."""
        return size / (self.disk.cached if store <= self.memory else self.disk.read)

    def hashing(self, size: float) -> float:
        """Return the seconds that DVC takes to hash bytes."""
        return max(size / (self.disk.hashed * HASHING), self.reading(size, size))


@dataclass(frozen=True)
class Videos:
    """The usable videos of a dataset, the value `root` of `key`; `is_sample` if they are drawn."""

    key: str
    root: Path
    found: Sequence[Found]
    is_sample: bool

    @property
    def are_missing(self) -> bool:
        """Whether there is none, and none will be drawn."""
        return not (self.found or self.is_sample)

    @property
    def missing(self) -> str:
        """The line about that."""
        return (
            f"{self.key} = {self.root}: no video there to measure; noise of "
            f"{NOISE_WIDTH}x{NOISE_HEIGHT} was tried"
        )

    @property
    def size(self) -> int:
        """The bytes of all files."""
        folder = folder_of(self.root)
        videos = dict.fromkeys(folder / one.video for one in self.found)
        return sum(file.stat().st_size for video in videos for file in video_files(video))

    def sources(self, count: int) -> list[tuple[Path, Stretch | None]]:
        """Return the files of some videos, spread over all."""
        folder = folder_of(self.root).absolute()
        return [
            (folder / one.video, None if one.start is None else (one.start, one.end or inf))
            for one in spread(self.found, count)
        ]


def measure(params: Params, places: Places, folder: Path) -> Measured:
    """Measure in `folder`, which must exist.

    Raises DatasetError where no tried video of a dataset can be used, and the errors of training.
    """
    print_text("trying the networks, then the disk and a few videos", error=True)
    actions, drivers = count_videos(params, places), count_clips(params, places)
    sides = training_clips(params, actions, drivers)
    # Before the videos, whose workers leave OMP_NUM_THREADS = 1 to what is started after them.
    networks = try_networks(params, actions.classes, sides, folder / "networks")
    process = timed(partial(_start, "framemix.project.params"))[1]
    disk = try_disk(folder, params.runtime.workers)
    videos = [_actions_in(params, places), _drivers_in(params, places)]
    data = try_videos([*_trials(params, videos, folder)], params.runtime.workers)
    _require_tried(params, data, videos)
    return Measured(
        actions=actions,
        drivers=drivers,
        sides=sides,
        process=process,
        disk=disk,
        data=data,
        networks=networks,
        memory=psutil.virtual_memory().available,
        raw={"filter": videos[0].size, "resize": videos[1].size},
        missing=[one.missing for one in videos if one.are_missing],
    )


def spread(items: Sequence[Item], count: int) -> list[Item]:
    """Return `count` items that are spread evenly over all; some of few items more than once."""
    return [items[(2 * place + 1) * len(items) // (2 * count)] for place in range(count)]


def _actions_in(params: Params, places: Places) -> Videos:
    root, key = params.data.ucf101, "data.ucf101"
    found = [one for one in found_in(find_actions, root, key) if not one.reason]
    return Videos(key, root, found, root.is_relative_to(places.sample))


def _drivers_in(params: Params, places: Places) -> Videos:
    root, key = params.data.rldd, "data.rldd"
    found = [
        one
        for one in found_in(find_drivers, root, key)
        if not one.reason and STATE_NUMBERS[one.label] in params.resize.states
    ]
    return Videos(key, root, found, root.is_relative_to(places.sample))


def _trials(params: Params, videos: Sequence[Videos], folder: Path) -> Iterator[Trial]:
    """Yield as many trials of each dataset; drivers, which take longer, are first."""
    count = max(TRIED, -(-params.runtime.workers // 2))
    drawn: list[list[Task]] = [
        [*action_tasks(folder, params.sample)],
        [*face_tasks(folder, params.sample)],
    ]
    # A clip is cut from the middle of a longer video.
    lengths = (params.filter.min_frames, 2 * params.resize.frames)
    for number in (1, 0):
        of = videos[number]
        sources: Sequence[tuple[Path, Stretch | None] | None] = [None] * count
        if of.are_missing:
            sources = [(write_noise(folder / f"{of.key}.avi", lengths[number]), None)] * count
        elif not of.is_sample:
            sources = of.sources(count)
        for place, (_, video) in enumerate(spread(drawn[number], count)):
            yield Trial(video, sources[place], folder / f"{of.key}-{place}", params)


def _require_tried(params: Params, data: DataTrial, videos: Sequence[Videos]) -> None:
    actions, drivers = videos
    for stage, of, what in (
        ("filter", actions, "decoded"),
        ("mix@ucf101", actions, f"mixed into {params.mix.segments} segments"),
        ("resize", drivers, "cut"),
        ("mix@rldd", drivers, f"mixed into {params.mix.segments} segments"),
    ):
        if not data.has(stage):
            raise DatasetError(
                f"{of.key} = {of.root}: none of the videos that were tried can be {what}; "
                f"framemix doctor --decode names the reasons"
            )


def _start(module: str) -> None:
    """Start a process that imports a module, and wait for its end."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run([sys.executable, "-P", "-c", f"import {module}"], env=environment, check=True)
