"""How accurate each network is after equal training time; what mixing and `init` do to ViViT.

Clips are real ones, in UCF101's layout, and `gNN` is a person: folds divide the persons, so that
each clip is evaluated once a seed, by a network that never saw its person. Every run trains for
about as many seconds, whatever the network: a short one before it finds how many epochs that is.
Networks are evaluated after the last epoch, and their val clips are not used before.

Dask and ffmpeg are not needed here: videos are decoded alone, in the processes that train.
"""

import sys
import tempfile
from collections import defaultdict
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor, as_completed
from dataclasses import dataclass
from functools import partial
from itertools import chain, product
from pathlib import Path
from statistics import fmean, median
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from framemix.benchmarks.candidates import TABLES, Candidate, frames_needed
from framemix.benchmarks.runs import Job, Outcome, process_pool, run_job
from framemix.benchmarks.stores import write_store
from framemix.datasets.clips import Clip
from framemix.datasets.intake import clip_of
from framemix.datasets.layouts.layout import find_videos
from framemix.datasets.layouts.ucf101 import UCF101
from framemix.datasets.splits import divided, group_split
from framemix.errors import DatasetError, VideoError
from framemix.metrics.intervals import estimate
from framemix.metrics.measures import share_measure
from framemix.metrics.seeds import OverSeeds
from framemix.mixing import MixSettings
from framemix.pretraining.settings import PretrainSettings
from framemix.text.markdown import Table
from framemix.video.reading import examine

# Shapes: K seeds, N clips.

FOLD_SEED = 0
HEAD = (
    "parameters",
    "epochs in the time",
    "seconds",
    "clips/s training",
    "clips/s predicting",
    "accuracy, %",
    "95 % interval",
)


@dataclass(frozen=True)
class Options:
    """Which tables, how long each run trains (seconds), how many there are, and on what device."""

    tables: Sequence[str]  # names in TABLES
    folds: int
    seconds: float
    seeds: int
    processes: int  # side by side
    device: torch.device


@dataclass(frozen=True)
class Data:
    """The videos, the sides that they are on in each fold, and a store for each way to mix."""

    videos: Sequence[Clip]
    splits: Sequence[Sequence[Clip]]
    stores: Mapping[MixSettings, Path]


def bench_networks(
    root: Path, pretrain: PretrainSettings, mix: MixSettings, options: Options
) -> str:
    """Train all candidates on the videos in `root`; return the tables that `options` names.

    Recipes and sizes are those of `pretrain`. Reports each run on stderr. Raises
    DatasetError where there is no video or are too few groups, VideoError for a video that is too
    short or cannot be decoded, ModelError for networks that do not fit the clips.
    """
    tables = [TABLES[name](pretrain, mix) for name in options.tables]
    names: dict[Candidate, str] = {}
    for name, candidate in chain.from_iterable(table.items() for table in tables):
        names.setdefault(candidate, name)  # one that is in two tables is trained once
    videos = counted_videos(root, max(frames_needed(candidate.mix) for candidate in names))
    splits = fold_splits(videos, options.folds)
    with tempfile.TemporaryDirectory() as folder, process_pool(options.processes) as pool:
        mixes = list(dict.fromkeys(candidate.mix for candidate in names))
        stores = [Path(folder) / str(number) for number in range(len(mixes))]
        list(pool.map(partial(write_store, videos, root), mixes, stores))
        data = Data(videos, splits, dict(zip(mixes, stores, strict=True)))
        outcomes = _train_all(pool, names, data, options)
    shown = [_table(table, outcomes, videos) for table in tables]
    return "\n\n".join([_caption(videos, options), *shown])


def counted_videos(root: Path, least: int) -> list[Clip]:
    """Return the videos in `root` with their frames, by path.

    Raises DatasetError where there is none, VideoError for one of fewer than `least` frames.
    """
    found = [one for one in find_videos([UCF101], root, "VIDEOS") if not one.reason]
    return [_inspect(root / one.video, clip_of(one), least) for one in found]


def _inspect(path: Path, clip: Clip, least: int) -> Clip:
    video = examine(path)
    if video.frames < least:
        raise VideoError(path, f"{video.frames} frames; allowed: at least {least}")
    found = {"frames": video.frames, "reader": video.reader, "kept": True}
    return clip.model_copy(update=found)


def fold_splits(videos: Sequence[Clip], folds: int) -> list[list[Clip]]:
    """Return the sides of all videos in each fold; the val sides divide the groups between them.

    Raises DatasetError where a fold would have no group.
    """
    groups = [video.group for video in videos]
    if len(set(groups)) < folds:
        raise DatasetError(
            f"--folds = {folds}: the videos have {len(set(groups))} groups (gNN); "
            f"allowed: at most a fold a group"
        )
    classes = [video.class_name for video in videos]
    how: dict[str, Any] = {"scope": "dataset", "folds": folds, "seed": FOLD_SEED}
    return [
        divided(videos, group_split(classes, groups, fold=fold, **how)) for fold in range(folds)
    ]


def _train_all(
    pool: Executor, names: Mapping[Candidate, str], data: Data, options: Options
) -> dict[Candidate, list[Outcome]]:
    """Train each candidate on each fold with each seed; reports each run on stderr."""
    jobs = [
        Job(
            name=names[candidate],
            candidate=candidate,
            seconds=options.seconds,
            store=data.stores[candidate.mix],
            split=data.splits[fold],
            fold=fold,
            seed=seed,
            device=options.device,
        )
        # Networks take turns: the load, which is lighter at both ends, is alike for all of them.
        for fold, seed, candidate in product(range(options.folds), range(options.seeds), names)
    ]
    futures = {pool.submit(run_job, job): job for job in jobs}
    for done, future in enumerate(as_completed(futures), 1):
        line = _line(futures[future], future.result())
        print(f"{done}/{len(jobs)}: {line}", file=sys.stderr)
    outcomes: dict[Candidate, list[Outcome]] = defaultdict(list)
    for future, job in futures.items():
        outcomes[job.candidate].append(future.result())
    return outcomes


def _line(job: Job, outcome: Outcome) -> str:
    right = f"{sum(outcome.hits.values())} of {len(outcome.hits)} right"
    run = f"{job.name}, fold {job.fold + 1}, seed {job.seed}"
    return f"{run}: {outcome.epochs} epochs in {outcome.seconds:.1f} s, {right}"


def hits_of(outcomes: Sequence[Outcome], videos: Sequence[Clip]) -> NDArray[np.bool_]:
    """Return whether each seed's networks, one a fold, have each video right, bool (K, N)."""
    seeds: dict[int, dict[str, bool]] = defaultdict(dict)
    for outcome in outcomes:
        seeds[outcome.seed].update(outcome.hits)
    return np.array([[hits[video.video] for video in videos] for hits in seeds.values()])


def _table(
    candidates: Mapping[str, Candidate],
    outcomes: Mapping[Candidate, Sequence[Outcome]],
    videos: Sequence[Clip],
) -> str:
    rows = [[name, *_cells(outcomes[one], videos)] for name, one in candidates.items()]
    return Table(["network", *HEAD], rows).markdown()


def _cells(outcomes: Sequence[Outcome], videos: Sequence[Clip]) -> list[str]:
    hits = hits_of(outcomes, videos)
    return [
        f"{outcomes[0].parameters:,}",
        f"{median(outcome.epochs for outcome in outcomes):.0f}",
        f"{fmean(outcome.seconds for outcome in outcomes):.1f}",
        f"{median(outcome.trained for outcome in outcomes):.1f}",
        f"{median(outcome.predicted for outcome in outcomes):.1f}",
        over_seeds((100 * hits.mean(1)).tolist()),
        _interval(hits, [video.group for video in videos]),
    ]


def over_seeds(values: Sequence[float], digits: int = 1) -> str:
    """Return mean and sample deviation of the seeds' values; of one seed, the value."""
    if len(values) == 1:
        return f"{values[0]:.{digits}f}"
    seeds = OverSeeds.of(values)
    return f"{seeds.mean:.{digits}f} ± {seeds.std:.{digits}f}"


def _interval(hits: NDArray[np.bool_], groups: Sequence[str]) -> str:
    """Return the interval of the mean over the seeds of `hits` (K, N).

    The mean over the seeds counts for each clip: predicted three times, it is still one clip.
    """
    found = estimate(share_measure("top-1", hits.mean(0)), groups)
    assert found is not None
    assert found.low is not None
    assert found.high is not None
    return f"{100 * found.low:.1f} to {100 * found.high:.1f}"


def _caption(videos: Sequence[Clip], options: Options) -> str:
    classes, groups = ({getattr(v, of) for v in videos} for of in ("class_name", "group"))
    cuda = options.device.type == "cuda"
    where = torch.cuda.get_device_name(options.device) if cuda else "CPU"
    return (
        f"{len(videos)} clips of {len(classes)} classes and {len(groups)} groups; "
        f"`--folds {options.folds} --seconds {options.seconds:g} --seeds {options.seeds} "
        f"--processes {options.processes}` on {where}"
    )
