"""`framemix bench videos`: networks, the effect of a leak, and ways to mix, on labelled videos.

Recipes, sizes and folds are those of params.yaml's your_videos, but that all networks start from
random weights, see the whole of each video, and are evaluated after their last epoch.
"""

from collections.abc import Iterable, Sequence
from concurrent.futures import Executor, as_completed
from dataclasses import dataclass, field
from functools import partial
from itertools import chain, product
from pathlib import Path
from statistics import fmean
from typing import Any

import torch

from framemix.benchmarks.cell_tables import Condition, table
from framemix.benchmarks.cells import By, Cell, CellJob, CellRow, finish_cell, mix_name
from framemix.benchmarks.runs import process_pool
from framemix.benchmarks.stores import kept_store
from framemix.datasets.clips import Clip, clip_name
from framemix.datasets.intake import FilterSettings, list_clips
from framemix.datasets.layouts.layout import find_videos
from framemix.datasets.layouts.registry import LABELLED
from framemix.datasets.named_groups import with_groups
from framemix.datasets.summary import summary
from framemix.devices import resolve_device
from framemix.errors import DatasetError
from framemix.jobs.atomic import write_text
from framemix.jobs.execution import Execution
from framemix.jobs.progress import clock
from framemix.jobs.terminal import print_text
from framemix.mixing import Method, MixSettings
from framemix.project.params import Params
from framemix.your_videos.settings import Architecture, YourVideos
from framemix.your_videos.split import split_clips

NETWORKS: dict[Architecture, str] = {
    "tsn": "TSN",
    "tsm": "TSM",
    "nonlocal": "Non-local",
    "vivit": "ViViT",
}
REPEATED, MORE_SEEDS = 2, (1, 2)  # so many networks are trained with more seeds
METHODS: tuple[Method, ...] = ("none", "average", "linear", "harmonic")
LONGER: tuple[Method, ...] = ("linear", "harmonic")  # into twice as many segments, too
WAYS: tuple[By, ...] = ("group", "random")
RULES = """\
Each clip is evaluated once per seed, by a network that did not train on it, after its last epoch: \
no such clip chose anything in the training. AUROC ranks the clips of all folds by the scores of \
their networks. Intervals resample whole groups; with several seeds they are of the mean. The two \
networks with the highest mean accuracy over the folds (if equal, the one with fewer parameters) \
have three seeds, and the better one is the network of the other two tables, at seed 0. It was \
chosen on these clips, which makes it look a little better beside the other networks."""

Splits = dict[tuple[By, int], tuple[list[Clip], float | None]]


def bench_videos(root: Path, params: Params, out: Path, processes: int) -> str:
    """Train all cells that are not finished in `out`; write their tables there and return them.

    Says on stderr what is done. Raises DatasetError where clips have no groups, or a class has
    fewer clips than there are folds.
    """
    yours, mixes = params.your_videos, _mixes(params.your_videos)
    clips = _listed(root, params, max(mix.segments for mix in mixes), out / "scratch" / "list")
    splits = splits_of(clips, yours, root)
    device = resolve_device(params.runtime.device)
    with process_pool(processes) as pool:
        mixed = pool.map(partial(kept_store, clips, root, out / "mixed"), mixes)
        stores = dict(zip(mixes, mixed, strict=True))
        study = Study(yours, splits, stores, device, out / "cells", pool, processes)
        text = f"{_caption(clips, yours)}\n\n{_tables(study)}"
    write_text(out / "tables.md", f"{text}\n")
    return text


def _mixes(yours: YourVideos) -> list[MixSettings]:
    """Return all ways to mix, the last of which is the pipeline's where it is no other one."""
    base = _whole(yours.mix)
    others = [
        base.model_copy(update={"method": method, "segments": times * base.segments})
        for times, methods in ((1, METHODS), (2, LONGER))
        for method in methods
    ]
    return list(dict.fromkeys([*others, base]))


def _whole(mix: MixSettings) -> MixSettings:
    return mix.model_copy(update={"frames_per_segment": "all", "window": "all", "variants": 1})


def _listed(root: Path, params: Params, min_frames: int, scratch: Path) -> list[Clip]:
    """Return the clips that can be mixed in all ways, without the sides that the dataset has.

    Each clip is evaluated, including those that the dataset itself trains on.
    """
    yours, runtime = params.your_videos, params.runtime
    found = find_videos(LABELLED, root, "VIDEOS")
    if yours.group_pattern is not None:
        found[:] = with_groups(found, yours.group_pattern, "your_videos.group_pattern")
    clips = list_clips(
        found,
        root,
        FilterSettings(min_frames=max(min_frames, yours.videos.min_frames)),
        Execution(scratch, runtime.cluster, runtime.limits),
        keys=("VIDEOS", "your_videos.videos"),
        label="list videos",
        clip_seconds=yours.clip_seconds,
    )
    print_text("\n".join([*found.notices, *summary(clips)]), error=True)
    return [clip.model_copy(update={"subset": ""}) for clip in clips if clip.kept]


def splits_of(clips: Sequence[Clip], yours: YourVideos, root: Path) -> Splits:
    """Return the sides of all clips and the leak share, by way to divide and fold."""
    if not any(clip.group for clip in clips):
        raise DatasetError(
            f"VIDEOS = {root}: no clip has a group; allowed: a list with a column group, or "
            f"your_videos.group_pattern"
        )
    splits: Splits = {}
    for by, fold in product(WAYS, range(yours.split.folds)):
        settings = yours.split.model_copy(update={"by": by, "fold": fold})
        split, known = split_clips(clips, settings)
        splits[by, fold] = split, known["leak_share"]
    evaluated = [clip_name(c) for split, _ in splits.values() for c in split if c.subset == "val"]
    if sorted(evaluated) != sorted([clip_name(clip) for clip in clips] * len(WAYS)):
        raise DatasetError(
            f"your_videos.split.folds = {yours.split.folds}: a class has fewer clips; "
            f"allowed: at most the number of clips of the smallest class"
        )
    return splits


@dataclass(frozen=True)
class Study:
    """What cells are trained on and where, and the predictions of those that are finished."""

    yours: YourVideos
    splits: Splits
    stores: dict[MixSettings, Path]
    device: torch.device
    folder: Path
    pool: Executor
    processes: int
    rows: dict[Cell, list[CellRow]] = field(default_factory=dict)

    @property
    def base(self) -> MixSettings:
        """How the clips are mixed that networks are compared on."""
        return _whole(self.yours.mix)

    def finish(self, runs: Iterable[tuple[Architecture, By, MixSettings, int]]) -> None:
        """Get the predictions of all folds of each network, way to divide, mix and seed."""
        cells = [Cell(*run, fold) for run, fold in product(runs, range(self.yours.split.folds))]
        futures = {self.pool.submit(finish_cell, self._job(cell)): cell for cell in cells}
        for future in as_completed(futures):
            self.rows[futures[future]] = future.result()
            print_text(self._line(futures[future]), error=True)

    def condition(self, name: str, **values: Any) -> Condition:
        """Return the predictions of the finished cells that have these values."""
        rows = [
            rows
            for cell, rows in self.rows.items()
            if all(getattr(cell, key) == value for key, value in values.items())
        ]
        return Condition(name, list(chain.from_iterable(rows)))

    def ranked(self, networks: Iterable[Architecture]) -> list[Architecture]:
        """Return networks on clips that are divided by group, the best first."""

        def rank(network: Architecture) -> tuple[float, int]:
            found = self.condition("", network=network, by="group", mix=self.base)
            return -found.accuracy, found.rows[0].parameters

        return sorted(networks, key=rank)

    def _job(self, cell: Cell) -> CellJob:
        split, leak = self.splits[cell.by, cell.fold]
        recipe = self.yours.train.model_copy(update={"architecture": cell.network}).chosen
        assert recipe is not None  # only a published checkpoint has no settings of its own
        return CellJob(cell, recipe, self.stores[cell.mix], split, leak, self.device, self.folder)

    def _line(self, cell: Cell) -> str:
        rows, done = self.rows[cell], len(self.rows)
        more = REPEATED * len(MORE_SEEDS) + 1 + len(self.stores) - 1
        left = (len(NETWORKS) + more) * self.yours.split.folds - done
        seconds = left * fmean(one[0].seconds for one in self.rows.values()) / self.processes
        return (
            f"{done}/{done + left}: {NETWORKS[cell.network]}, {mix_name(cell.mix)}, {cell.by} "
            f"fold {cell.fold + 1}, seed {cell.seed}: {sum(row.is_right for row in rows)} of "
            f"{len(rows)} right, {rows[0].seconds:.0f} s; about {clock(seconds)} left"
        )


def _tables(study: Study) -> str:
    """Finish all cells, of which later ones depend on what earlier ones show; return the tables."""
    base, mixes = study.base, list(study.stores)
    study.finish((network, "group", base, 0) for network in NETWORKS)
    two, others = (ranked := study.ranked(NETWORKS))[:REPEATED], ranked[REPEATED:]
    study.finish((network, "group", base, seed) for network, seed in product(two, MORE_SEEDS))
    best, *_ = two = study.ranked(two)
    study.finish(
        [
            (best, "random", base, 0),
            *((best, "group", mix, 0) for mix in mixes if mix != base),
        ]
    )
    one = {"network": best, "seed": 0}
    tables = (
        table(
            "network",
            [
                study.condition(NETWORKS[network], network=network, by="group", mix=base)
                for network in (*two, *others)
            ],
        ),
        table(
            f"{NETWORKS[best]}, divided by",
            [study.condition(by, by=by, mix=base, **one) for by in WAYS],
        ),
        table(
            f"{NETWORKS[best]}, mixed",
            [study.condition(mix_name(mix), by="group", mix=mix, **one) for mix in mixes],
        ),
    )
    cpu = sum(rows[0].cpu_seconds for rows in study.rows.values())
    total = f"{len(study.rows)} trainings took {cpu / 60:.0f} CPU minutes."
    return "\n\n".join([f"{RULES} {total}", *(one.markdown() for one in tables)])


def _caption(clips: Sequence[Clip], yours: YourVideos) -> str:
    classes = sorted({clip.class_name for clip in clips})
    height, width = yours.mix.size
    counts = [sum(clip.class_name == name for clip in clips) for name in classes]
    most = max(counts) / len(clips)
    return (
        f"{len(clips)} clips of {len(classes)} classes (the largest has {100 * most:.1f} %) and "
        f"{len({clip.group or clip.video for clip in clips})} groups in {yours.split.folds} folds; "
        f"{mix_name(yours.mix)} of {height}x{width} unless a table states otherwise; "
        f"{yours.train.epochs} epochs."
    )
