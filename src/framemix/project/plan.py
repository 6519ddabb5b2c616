"""What a run of the pipeline costs on this machine: `framemix plan`.

Every stage runs, and nothing is taken from DVC's cache. What DVC itself does is counted where it
hashes large files.
"""

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from framemix.datasets.sample import action_tasks, face_tasks
from framemix.jobs.atomic import disk_errors
from framemix.jobs.lifeline import cleaning_up
from framemix.jobs.progress import clock
from framemix.project.amounts import Count, Places, Sides, readable_size, stored_bytes
from framemix.project.doctor import examine_disk, existing
from framemix.project.measuring import Measured, measure
from framemix.project.params import Params
from framemix.project.trial_data import Tried, mean_of
from framemix.project.trial_networks import Trained
from framemix.store.build import CLIPS_PER_SHARD
from framemix.text.markdown import Table
from framemix.training.settings import TrainingSettings

# A seed's best and last model are kept in scratch; models/ has the first seed's, with its record.
MODELS_A_SEED, MODELS_SHOWN = 2, 1
KEPT_ONCE = (
    "mixed clips are kept once: data/, .scratch and DVC's cache hold hard links to the "
    "same files, where they are on one disk"
)
TOO_LARGE = "one clip takes more memory than is free"


@dataclass(frozen=True)
class Cost:
    """The bytes that a stage leaves on the disk, its seconds (None: unknown), and their source."""

    stage: str
    size: float
    seconds: float | None
    source: str


@dataclass(frozen=True)
class Plan:
    """The costs of all stages, in their order, and lines about them."""

    costs: Sequence[Cost]
    notes: Sequence[str]

    def text(self) -> str:
        """Return the plan in Markdown: a table, its totals and the lines."""
        rows = [
            [
                cost.stage,
                readable_size(cost.size),
                "–" if cost.seconds is None else clock(cost.seconds),
                cost.source,
            ]
            for cost in self.costs
        ]
        known = [cost.seconds for cost in self.costs if cost.seconds is not None]
        least = "at least " if len(known) < len(rows) else ""
        size = readable_size(sum(cost.size for cost in self.costs))
        return "\n".join(
            [
                Table(["stage", "disk", "time", "computed from"], rows).markdown(),
                f"all stages: {size}, {least}{clock(sum(known))}",
                *self.notes,
            ]
        )


def plan(params: Params, places: Places) -> Plan:
    """Measure in a temporary folder on scratch's disk, and return what a run of all stages costs.

    Raises the errors of `measure`, and DatasetError where the disk is full.
    """
    parent = existing(places.scratch)
    with (
        cleaning_up(),
        disk_errors(parent),
        tempfile.TemporaryDirectory(dir=parent, prefix=".framemix-plan-") as folder,
    ):
        measured = measure(params, places, Path(folder))
    return planned(params, places, measured)


def planned(params: Params, places: Places, measured: Measured) -> Plan:
    """Return what a run of all stages costs, by what was measured."""
    trainings = dict(_trainings(params, measured))
    costs = [*_data_costs(params, measured), *_network_costs(trainings, measured)]
    notes = [measured.actions.line, measured.drivers.line, KEPT_ONCE]
    return Plan(costs, [*notes, *_warnings(params, places, measured, trainings)])


@dataclass(frozen=True)
class Training:
    """A stage that trains: its recipe and clips, and what a short training took."""

    stage: str
    recipe: TrainingSettings
    sides: Sides
    tried: Trained
    params: Params
    found: Measured

    @property
    def processes(self) -> int:
        """The number of devices that train together."""
        return self.params.runtime.devices * self.params.runtime.num_nodes

    @property
    def at_once(self) -> int:
        """The number of clips that one device has at once."""
        return -(-self.recipe.batch_size // (self.recipe.accumulate * self.processes))

    @property
    def read(self) -> int:
        """The bytes that an epoch reads where clips are not resident."""
        mix = self.params.mix
        return (self.sides.train + self.sides.val) * stored_bytes(mix) // mix.variants

    @property
    def reading(self) -> float:
        """The seconds of reading these bytes."""
        return self.found.reading(self.read, self.read * self.params.mix.variants)

    @property
    def computing(self) -> float:
        """The seconds in which the devices compute an epoch."""
        clips = self.sides.train * self.tried.train + self.sides.val * self.tried.predict
        return clips / self.processes

    @property
    def waits(self) -> bool:
        """Whether an epoch takes as long as reading its clips, and no less."""
        return not self.tried.resident and self.reading > self.computing

    @property
    def seconds(self) -> float:
        """The seconds of the whole stage: each seed trains, then two models of it are evaluated."""
        once = self.reading if self.tried.resident else 0.0
        if self.tried.frozen:
            once += (self.sides.train + self.sides.val) * self.tried.predict / self.processes
        epochs = self.recipe.epochs * (self.reading if self.waits else self.computing)
        evaluating = 2 * self.params.evaluate.views * self.sides.evaluated * self.tried.predict
        seeds = len(self.params.seeds)
        return self.found.networks.start + seeds * (self.tried.rest + once + epochs + evaluating)

    @property
    def cost(self) -> Cost:
        """The cost of the stage."""
        models = MODELS_A_SEED * len(self.params.seeds) + MODELS_SHOWN
        source = (
            f"{self.recipe.epochs} epochs of {self.sides.train} + {self.sides.val} clips; "
            f"{self.tried.at_once} at once tried"
        )
        return Cost(self.stage, models * self.tried.weights, self.seconds, source)


def _data_costs(params: Params, found: Measured) -> Iterator[Cost]:
    """Yield the costs of the stages that make clips of videos."""
    start = found.process + found.data.start
    actions, drivers = found.data.actions, found.data.drivers
    yield _drawing(params, found, start)
    videos, clips = found.actions.videos, found.drivers.clips
    seconds = _working(params, actions, "filter", videos) + found.hashing(found.raw["filter"])
    yield Cost("filter", 0, start + seconds, f"{videos} videos; {_tried(actions, 'filter')}")
    yield Cost("split", 0, found.process, "the start of a process")
    seconds = _working(params, drivers, "resize", clips) + found.hashing(found.raw["resize"])
    size = clips * mean_of([one.sizes for one in drivers], "resize")
    yield Cost("resize", size, start + seconds, f"{clips} clips; {_tried(drivers, 'resize')}")
    yield _mixing(params, found, start, "mix@ucf101", found.actions, actions)
    yield _mixing(params, found, start, "mix@rldd", found.drivers, drivers)


def _drawing(params: Params, found: Measured, start: float) -> Cost:
    """Return the cost of the sample, which is drawn whatever `data` names."""
    seconds = size = 0.0
    videos = 0
    for tried, tasks in (
        (found.data.actions, action_tasks(Path(), params.sample)),
        (found.data.drivers, face_tasks(Path(), params.sample)),
    ):
        count = len([*tasks])
        seconds += _working(params, tried, "sample", count)
        size += count * mean_of([one.sizes for one in tried], "sample")
        videos += count
    each = _tried([*found.data.actions, *found.data.drivers], "sample")
    return Cost("sample", size, start + seconds, f"{videos} videos to draw; {each}")


def _mixing(
    params: Params,
    found: Measured,
    start: float,
    stage: str,
    count: Count,
    tried: Sequence[Tried],
) -> Cost:
    """Return the cost of a store: workers mix, no faster than the disk writes, and DVC hashes."""
    size = count.clips * stored_bytes(params.mix)
    shards = max(count.classes, -(-count.clips // CLIPS_PER_SHARD))
    working = _working(params, tried, stage, count.clips, parts=shards)
    seconds = start + max(working, size / found.disk.written) + found.hashing(size)
    return Cost(stage, size, seconds, f"{count.clips} clips; {_tried(tried, stage)}")


def _working(
    params: Params, tried: Sequence[Tried], stage: str, count: int, parts: int | None = None
) -> float:
    """Return the seconds in which the workers do a stage's work on `count` videos or clips.

    The work has so many `parts`, each of which one worker does.
    """
    workers = min(params.runtime.workers, parts or count or 1)
    return count * mean_of([one.seconds for one in tried], stage) / workers


def _tried(tried: Sequence[Tried], stage: str) -> str:
    return f"{sum(stage in one.seconds for one in tried)} tried"


def _trainings(params: Params, found: Measured) -> Iterator[tuple[str, Training | None]]:
    """Yield each training stage, None where no clip fits into the memory."""
    recipes: dict[str, TrainingSettings] = {
        "pretrain@vivit": params.pretrain.vivit,
        "pretrain@nonlocal": params.pretrain.nonlocal_,
        "finetune": params.finetune,
    }
    for stage, recipe in recipes.items():
        tried, sides = found.networks.trained[stage], found.sides[stage]
        if tried is None:
            yield stage, None
        else:
            yield stage, Training(stage, recipe, sides, tried, params, found)


def _network_costs(trainings: Mapping[str, Training | None], found: Measured) -> Iterator[Cost]:
    """Yield the costs of the stages with networks, in their order."""
    costs = {
        stage: one.cost if one else Cost(stage, 0, None, TOO_LARGE)
        for stage, one in trainings.items()
    }
    vivit, other, tuned = trainings.values()
    yield costs["pretrain@vivit"]
    yield costs["pretrain@nonlocal"]
    yield _report("report_pretraining", [vivit, other], found)
    yield costs["finetune"]
    yield _report("evaluate", [tuned], found)


def _report(stage: str, evaluated: Sequence[Training | None], found: Measured) -> Cost:
    """Return the cost of a report, which predicts the val clips of some networks."""
    seconds, clips = found.networks.start + found.networks.reports.get(stage, 0.0), 0
    for one in evaluated:
        if one is None:
            return Cost(stage, 0, None, TOO_LARGE)
        clips += one.sides.evaluated * one.params.evaluate.views
        seconds += one.sides.evaluated * one.params.evaluate.views * one.tried.predict
    pictures = "one tried" if stage in found.networks.reports else "no page or picture tried"
    return Cost(stage, 0, seconds, f"{clips} predictions; {pictures}")


def _warnings(
    params: Params,
    places: Places,
    found: Measured,
    trainings: Mapping[str, Training | None],
) -> Iterator[str]:
    """Yield what a user should know before the run starts."""
    yield from (f"warning: {line}" for line in found.missing)
    clips = found.actions.clips + found.drivers.clips
    folders = {"store": places.store, "scratch": places.scratch, "DVC cache": places.cache}
    for finding in examine_disk(clips, params.mix, folders):
        if not finding.well:
            yield f"warning: {finding.line}"
    for one in filter(None, trainings.values()):
        if one.waits:
            yield (
                f"warning: {one.stage}: an epoch reads {readable_size(one.read)}, which takes "
                f"{clock(one.reading)}; it computes for {clock(one.computing)}"
            )
        if one.tried.at_once < one.at_once:
            yield (
                f"warning: {one.stage}: extrapolated from steps of {one.tried.at_once} clips; "
                f"{one.at_once} are set, which take more time than a trial has, or more memory "
                f"than is free"
            )
    if params.runtime.scheduler:
        yield (
            f"warning: runtime.scheduler = {params.runtime.scheduler}: videos were tried on this "
            f"machine, and their stages are planned for its {params.runtime.workers} workers"
        )
