"""Measures what training takes here: each network learns from a few random clips, at real sizes.

The stages' own functions do it, in the process that `trial_networks` starts as a stage would be.
On a CPU, it may take no more memory than is free.
"""

import json
import pickle
import resource
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import psutil
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from framemix.datasets.clips import STATES, Clip, DriverClip, Subset
from framemix.devices import resolve_device
from framemix.errors import FramemixError, is_out_of_memory
from framemix.evaluation.page import Circumstances
from framemix.evaluation.report import report_pretraining, write_report
from framemix.finetuning.data import FinetuneData
from framemix.finetuning.finetune import finetune
from framemix.jobs.lifeline import die_with
from framemix.models import build_model
from framemix.models.clips import logits_of
from framemix.models.config import ImageWeights
from framemix.models.input import IMAGENET
from framemix.pretraining.pretrain import model_config, pretrain
from framemix.pretraining.settings import PretrainModel
from framemix.project.amounts import stored_bytes
from framemix.project.params import Params
from framemix.project.paths import PRETRAINED_VIVIT
from framemix.project.trial_networks import ANSWER, REQUEST, Networks, Request, Trained
from framemix.starting.start import read_start
from framemix.store import IndexRow, MixedStore, write_index, write_shard
from framemix.training.batches import is_resident
from framemix.training.frozen import split_frozen
from framemix.training.parts import freeze_for
from framemix.training.run import Machine
from framemix.training.settings import TrainingSettings

Result = TypeVar("Result")
SECONDS = 10.0  # that a training may take; a network that needs longer does one step
EPOCHS = 3  # of a training; the first is slower, so the median counts
STEPS = 4  # of an epoch, at most
TIMES_PREDICTED = 4  # seconds to train on a clip and to validate on it, in those of a prediction
PREDICTED_IN_REPORTS = 40  # clips, about; their pictures of what a prediction depends on take most
STORED = 2  # clips; the index lists them again and again
REPORTED = 4  # val clips of the reports
SIDES: tuple[Subset, ...] = ("train", "val")


@dataclass(frozen=True)
class Size:
    """The size of a training: steps of an epoch, and clips of a step."""

    steps: int
    at_once: int

    @property
    def train(self) -> int:
        """The number of train clips."""
        return self.steps * self.at_once

    @property
    def val(self) -> int:
        """The number of val clips, of which there are fewer, as in a split."""
        return -(-self.train // 4)


@dataclass(frozen=True)
class Probe:
    """What a network shows before it trains: seconds of a prediction, bytes, frozen layers."""

    predict: float
    weights: int
    frozen: bool


@dataclass(frozen=True)
class Attempt:
    """A training to try: its work, folder, and clips, of which `evaluated` are predicted twice."""

    work: Callable[[], object]
    target: Path
    train: int
    val: int
    evaluated: int


@dataclass(frozen=True)
class Bench:
    """Where the networks are tried: the settings, a folder, a device, and stores of made clips."""

    request: Request
    folder: Path
    device: torch.device
    actions: MixedStore
    drivers: MixedStore

    @property
    def params(self) -> Params:
        """All settings."""
        return self.request.params

    def target(self, name: str) -> Path:
        """Return the folder of a model."""
        return self.folder / "models" / name

    def machine(self, stage: str) -> Machine:
        """Return the hardware of a stage, of which one device is tried."""
        runtime = self.params.runtime
        scratch, resident = self.folder / "scratch" / stage, self.resident(stage)
        return Machine(self.device, 1, 1, runtime.workers, resident, scratch)

    def resident(self, stage: str) -> bool:
        """Return whether a stage would keep all its clips in the device's memory."""
        mix, runtime, sides = self.params.mix, self.params.runtime, self.request.sides[stage]
        size = (sides.train * mix.variants + sides.val) * stored_bytes(mix) // mix.variants
        return is_resident(runtime.resident, size, self.device, runtime.devices)

    def clip(self) -> Tensor:
        """Return a clip on the device, uint8 (1, *clip_shape)."""
        return torch.from_numpy(self.actions.read(self.actions.index[:1])).to(self.device)

    def data(self, actions: tuple[int, int], drivers: tuple[int, int]) -> FinetuneData:
        """Return so many train and val clips of each store; of drivers, those of each state."""
        states = len(self.params.resize.states)
        train, val = (max(count, states) for count in drivers)
        return FinetuneData(
            self.actions,
            split_of(self.actions, Clip, *actions),
            self.drivers,
            split_of(self.drivers, DriverClip, train, val),
        )


def try_training(request: Request, folder: Path) -> Networks:
    """Train and report as the stages do; see `trial_networks`."""
    start = time.monotonic() - request.asked
    params = request.params
    device = resolve_device(params.runtime.device)
    if device.type == "cpu":
        _take_only_free_memory()
    recipes = (params.pretrain.vivit, params.pretrain.nonlocal_, params.finetune)
    rows = request.classes + 2 * STEPS * max(recipe.batch_size for recipe in recipes)
    actions = [f"class {number}" for number in range(request.classes)]
    states = [STATES[number] for number in sorted(params.resize.states)]
    bench = Bench(
        request,
        folder,
        device,
        made_store(folder / "ucf101", params, actions, rows, params.filter.min_frames),
        made_store(folder / "rldd", params, states, rows, params.resize.frames),
    )
    vivit = _pretrained(bench, "vivit", params.pretrain.vivit)
    other = _pretrained(bench, "nonlocal", params.pretrain.nonlocal_)
    tuned = _finetuned(bench) if vivit else None
    trained = {"pretrain@vivit": vivit, "pretrain@nonlocal": other, "finetune": tuned}
    return Networks(start, trained, _reports(bench, [vivit, other, tuned]))


def made_store(
    folder: Path, params: Params, classes: Sequence[str], rows: int, frames: int
) -> MixedStore:
    """Return a store in a new `folder` that lists so many clips of noise, of all classes in turn.

    They are the same few clips, so that the store is small.
    """
    mix, generator = params.mix, np.random.default_rng(0)
    folder.mkdir()
    count, shape = STORED * mix.variants, (mix.segments, *mix.frame_shape)
    clips = (generator.integers(0, 256, shape, np.uint8) for _ in range(count))
    write_shard(folder / "noise.h5", clips, count, mix)
    write_index(
        folder,
        [
            IndexRow(
                clip=f"{folder.name}/{row}",
                class_name=classes[row % len(classes)],
                label=row % len(classes),
                shard="noise.h5",
                row=row % STORED * mix.variants,
                frames=frames,
            )
            for row in range(rows)
        ],
    )
    return MixedStore(folder)


def split_of(store: MixedStore, row_type: type[Clip], train: int, val: int) -> list[Clip]:
    """Return the first clips of a store as train clips, and the next ones as val clips."""
    sides = [SIDES[0]] * train + [SIDES[1]] * val
    return [
        row_type(
            video=row.clip,
            class_name=row.class_name,
            group=row.clip,
            subset=side,
            frames=row.frames,
            kept=True,
        )
        for side, row in zip(sides, store.index[: len(sides)], strict=True)
    ]


def _pretrained(bench: Bench, name: str, settings: PretrainModel) -> Trained | None:
    """Try the pretraining of a network from random weights."""
    model, params = settings.model, bench.params
    if isinstance(model, ImageWeights):
        model = model.model_copy(update={"weights": None})

    def attempt(size: Size) -> Attempt:
        work = partial(
            pretrain,
            bench.actions,
            split_of(bench.actions, Clip, size.train, size.val),
            settings.model_copy(update={**_short(size), "model": model}),
            seeds=(0,),
            target=bench.target(name),
            machine=bench.machine(f"pretrain@{name}"),
            views=params.evaluate.views,
        )
        return Attempt(work, bench.target(name), size.train, size.val, evaluated=size.val)

    config = model_config(model, params.mix, bench.request.classes)
    return _tried(bench, f"pretrain@{name}", partial(build_model, config), settings, attempt)


def _finetuned(bench: Bench) -> Trained | None:
    """Try the fine-tuning of the network that it starts from; a ViViT too slow to train is new."""
    settings, params, start = bench.params.finetune, bench.params, bench.params.finetune.start
    if start == PRETRAINED_VIVIT:
        start = bench.target("vivit") / PRETRAINED_VIVIT.name
    is_new = settings.start == PRETRAINED_VIVIT and not start.exists()

    def network() -> nn.Module:
        if is_new:
            vivit = params.pretrain.vivit.model
            built = build_model(model_config(vivit, params.mix, bench.request.classes))
        else:
            source = read_start(start).fitted(bench.drivers, settings.positions)
            classes = len(bench.data((1, 1), (1, 1)).classes(settings.task))
            built = source.network(classes, head=settings.head, temporal=settings.temporal)
        freeze_for(built, settings.mode)
        return built

    def attempt(size: Size) -> Attempt:
        counts = (size.train, size.val)
        data = bench.data(counts, counts)
        work = partial(
            finetune,
            data,
            settings.model_copy(update={**_short(size), "start": start}),
            seeds=(0,),
            target=bench.target("finetuned"),
            machine=bench.machine("finetune"),
            views=params.evaluate.views,
        )
        train, val = (len(data.examples(settings.task, side)) for side in SIDES)
        evaluated = val + len(data.drivers("val"))
        return Attempt(work, bench.target("finetuned"), train, val, evaluated)

    return _tried(bench, "finetune", network, settings, None if is_new else attempt)


def _tried(
    bench: Bench,
    stage: str,
    build: Callable[[], nn.Module],
    recipe: TrainingSettings,
    attempt: Callable[[Size], Attempt] | None,
) -> Trained | None:
    """Train with as many clips at once as time and memory allow; None where one is too many.

    Without an `attempt`, and for a slow network, this is one step with one clip.
    """
    runtime = bench.params.runtime
    parts = recipe.accumulate * runtime.devices * runtime.num_nodes
    at_once = -(-recipe.batch_size // parts)
    found = _unless_too_large(partial(_probe, build, bench, recipe, at_once))
    if found is None:
        return None
    clips = int(SECONDS / (EPOCHS * TIMES_PREDICTED * found.predict))  # of an epoch
    if attempt is None or not clips:
        step = _unless_too_large(partial(_seconds_of_step, build, bench))
        resident = bench.resident(stage)
        return None if step is None else _in_one_step(step, found, resident=resident)
    while at_once := min(clips, at_once):
        size = Size(min(clips // at_once, STEPS), at_once)
        work = partial(_timed, bench, stage, attempt(size), size, found)
        if trained := _unless_too_large(work):
            return trained
        at_once //= 2
    return None


def _probe(
    build: Callable[[], nn.Module], bench: Bench, recipe: TrainingSettings, at_once: int
) -> Probe:
    """Predict a clip until it is as fast as it gets, then several where there is time."""
    network = build()
    frozen, _ = split_frozen(network, recipe.augment)
    network.eval().to(bench.device)
    clips, predict = bench.clip(), 0.0
    for count in (1, 1, at_once):
        if count * predict > SECONDS / 2:
            break
        began = time.monotonic()
        with torch.inference_mode():
            # To the CPU, so that a GPU has done it.
            logits_of(network, clips.repeat_interleave(count, 0), IMAGENET).cpu()
        predict = (time.monotonic() - began) / count
    weights = sum(tensor.nbytes for tensor in network.state_dict().values())
    return Probe(predict, weights, frozen is not None)


def _seconds_of_step(build: Callable[[], nn.Module], bench: Bench) -> float:
    """Return the seconds of a step with one clip, in fp32 and without an optimizer."""
    network = build().train().to(bench.device)
    began = time.monotonic()
    logits = logits_of(network, bench.clip(), IMAGENET)
    loss = F.cross_entropy(logits, torch.zeros_like(logits[:, 0], dtype=torch.int64))
    loss.backward()  # type: ignore[no-untyped-call]
    loss.item()  # so that a GPU has done it
    return time.monotonic() - began


def _in_one_step(step: float, found: Probe, *, resident: bool) -> Trained:
    return Trained(
        train=step,
        predict=found.predict,
        rest=0.0,
        weights=found.weights,
        at_once=1,
        resident=resident,
        frozen=found.frozen,
    )


def _unless_too_large(work: Callable[[], Result]) -> Result | None:
    """Return what `work` returns; None where a device, or this process, has too little memory."""
    try:
        return work()
    except (RuntimeError, MemoryError) as error:
        out = isinstance(error, MemoryError) or is_out_of_memory(error)
        if not out and "can't allocate memory" not in str(error):
            raise
        return None


def _short(size: Size) -> dict[str, Any]:
    """Return the recipe's changes for a short training; its rate is too low to diverge on noise."""
    return {
        "epochs": EPOCHS,
        "patience": None,
        "select": "last",
        "batch_size": size.at_once,
        "accumulate": 1,
        "learning_rate": 1e-8,
        "warmup_epochs": 0.0,
    }


def _timed(bench: Bench, stage: str, attempt: Attempt, size: Size, found: Probe) -> Trained:
    """Do a training's work, and divide its time between its parts."""
    began = time.monotonic()
    attempt.work()
    seconds = time.monotonic() - began
    timing = json.loads((attempt.target / "timing.json").read_text())
    # The last epoch's model and the best one's.
    evaluating = 2 * bench.params.evaluate.views * attempt.evaluated * found.predict
    training = max(0.0, timing["seconds_an_epoch"] - attempt.val * found.predict)
    return Trained(
        train=training / attempt.train,
        predict=found.predict,
        rest=max(0.0, seconds - timing["seconds"] - evaluating),
        weights=found.weights,
        at_once=size.at_once,
        resident=bench.resident(stage),
        frozen=found.frozen,
    )


def _reports(bench: Bench, trained: Sequence[Trained | None]) -> dict[str, float]:
    """Write both reports of a few clips; return their seconds, predictions apart."""
    rates = [one.predict for one in trained if one]
    if len(rates) < len(trained) or sum(rates) * PREDICTED_IN_REPORTS > SECONDS:
        return {}
    params, target = bench.params, bench.folder / "reports"
    data = bench.data((1, REPORTED), (1, REPORTED))
    folders = {name: bench.target(name) for name in ("vivit", "nonlocal")}
    how: dict[str, Any] = {"device": bench.device, "target": target}
    split, mode = params.split, params.finetune.mode
    began = time.monotonic()
    report_pretraining(
        folders, bench.actions, data.ucf101_split, Circumstances(split), params.evaluate, **how
    )
    between = time.monotonic()
    tuned = bench.target("finetuned")
    write_report(folders, tuned, data, Circumstances(split, mode), params.evaluate, **how)
    spent = {"report_pretraining": between - began, "evaluate": time.monotonic() - between}
    evaluated = len(data.examples(params.finetune.task, "val")) + len(data.drivers("val"))
    predicting = {
        "report_pretraining": REPORTED * (rates[0] + rates[1]),
        "evaluate": evaluated * rates[2],
    }
    views = params.evaluate.views
    return {name: max(0.0, spent[name] - views * predicting[name]) for name in spent}


def _take_only_free_memory() -> None:
    """Have this process's memory end where the machine's free memory does."""
    process = psutil.Process()
    limit = process.memory_info().vms + psutil.virtual_memory().available
    _, most = resource.getrlimit(resource.RLIMIT_AS)
    if most == resource.RLIM_INFINITY or limit < most:
        resource.setrlimit(resource.RLIMIT_AS, (limit, most))


def main(folder: Path) -> None:
    """Answer the request in `folder`."""
    request: Request = pickle.loads((folder / REQUEST).read_bytes())
    die_with(request.parent)
    answer: Networks | FramemixError
    try:
        answer = try_training(request, folder)
    except FramemixError as error:
        answer = error
    (folder / ANSWER).write_bytes(pickle.dumps(answer))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
