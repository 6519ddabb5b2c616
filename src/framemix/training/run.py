"""Runs a training to its end, across interruptions, and keeps its outputs."""

import logging
import statistics
import sys
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import lightning.pytorch as pl
import torch
from torch import nn

from framemix.errors import DatasetError, ParamsError
from framemix.jobs.fingerprint import code_fingerprint
from framemix.jobs.scratch import Unit
from framemix.jobs.terminal import can_draw
from framemix.models import TrainedModel, save_model
from framemix.models.config import ModelConfig
from framemix.models.input import IMAGENET, Normalisation
from framemix.tables import write_json
from framemix.training.bar import TrainingBar
from framemix.training.batches import ClipBatches, Orders, Resident
from framemix.training.callbacks import (
    AtomicCheckpointIO,
    AveragedWeights,
    ChosenAndLast,
    Kept,
    StopEarly,
)
from framemix.training.data import ClipDataset, Example
from framemix.training.frozen import split_frozen
from framemix.training.interrupt import Interrupt
from framemix.training.launch import InterruptibleDDP, check_launched, cluster_environment
from framemix.training.logs import Logs, StepLog
from framemix.training.module import TrainingModule
from framemix.training.processes import process_rank
from framemix.training.settings import Precision, TrainingSettings

# Lightning logs hardware and advertisements; torch warns of Lightning's use of it.
for library in ("lightning.pytorch", "lightning.fabric"):
    logging.getLogger(library).setLevel(logging.WARNING)
warnings.filterwarnings("ignore", message=".*LeafSpec.*", module="lightning")
# On a GPU, attention may sum in a random order: equal bits are promised on CPUs only.
warnings.filterwarnings("ignore", message=".*defaults to a non-deterministic algorithm")
# The order is resumable: see BatchOrder.
warnings.filterwarnings("ignore", message=".*your dataloader is not resumable", module="lightning")

MODEL = "model.safetensors"
HISTORY = "history.csv"
OUTPUTS = (MODEL, HISTORY, "timing.json")
LAST_MODEL = "last.safetensors"
STATE = "last.ckpt"
LOG_NAME = 8  # letters of a run's fingerprint that separate its logs from those of other settings


@dataclass(frozen=True)
class Machine:
    """The hardware of a run, and its logs: they change its speed but not its result.

    Each of `num_nodes` machines has `devices` devices, with one process per device.
    """

    device: torch.device
    devices: int
    num_nodes: int
    workers: int
    resident: Resident
    scratch: Path
    logs: Logs | None = None

    @property
    def processes(self) -> int:
        """The number of processes that train together."""
        return self.devices * self.num_nodes


@dataclass(frozen=True)
class Run:
    """A training run: a network with its first weights, and the clips it learns from.

    Training validates on `val` after each epoch, which chooses the epoch that is kept. `origin`
    identifies the first weights. Together with the other fields it identifies the run: an
    interrupted run resumes only if all of them are the same. The weights take clips as
    `normalisation` makes them.
    """

    network: nn.Module
    config: ModelConfig
    classes: list[str]
    train: list[Example]
    val: list[Example]
    settings: TrainingSettings
    seed: int
    origin: Mapping[str, Any]
    normalisation: Normalisation = IMAGENET


def train(run: Run, machine: Machine, live: Path | None = None) -> Path:
    """Train, or resume a training; return the folder with model, history and timing (OUTPUTS).

    While it trains, the history so far is at `live` too.

    The model is that of the epoch which the settings' `select` means; the last epoch's model is
    beside it (LAST_MODEL). SIGTERM and Ctrl-C save the state and end the run with exit code 143 or
    130; the next call resumes from there with the same bits (on the CPU).

    Where several processes train together, only the first writes, and the others must not use the
    folder. Raises DatasetError without clips to train or validate on, ParamsError where processes
    were not started as `machine` requires, and TrainingError as `TrainingModule` does.
    """
    for name, examples in (("train", run.train), ("val", run.val)):
        if not examples:
            raise DatasetError(f"the split leaves no {name} clip; allowed: at least one, see split")
    unit = Unit(
        make=partial(_fit, run, machine, live),
        settings=_identity(run),
        files=[],
        code=code_fingerprint(__file__),
        resume=True,
        whole=_has_outputs,
    )
    if rank := process_rank():
        if machine.processes == 1:
            raise ParamsError(
                f"runtime.devices = 1 and runtime.num_nodes = 1: but this is process {rank} of a "
                f"torchrun or srun; allowed: as many devices and nodes as it starts processes on"
            )
        return unit.assist(machine.scratch)
    done = unit.finish(machine.scratch)
    (done / STATE).unlink(missing_ok=True)
    return done


def trained_model(run: Run) -> TrainedModel:
    """Return the run's network, as it is now, with everything that prediction needs."""
    return TrainedModel(
        network=run.network,
        config=run.config,
        classes=run.classes,
        mix=run.train[0].store.settings.model_dump(mode="json"),
        mean=run.normalisation.mean,
        std=run.normalisation.std,
    )


def _has_outputs(folder: Path) -> bool:
    return all((folder / name).is_file() for name in (*OUTPUTS, LAST_MODEL))


def _fit(run: Run, machine: Machine, live: Path | None, folder: Path) -> None:
    torch.use_deterministic_algorithms(True, warn_only=True)
    # Otherwise torch would fill all new memory with NaN first, a pass over each large tensor.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    labels = [example.label for example in run.train]
    variants = run.train[0].store.settings.variants
    orders = Orders.of(labels, variants, len(run.val), run.settings, run.seed)
    model = trained_model(run)
    frozen, trained = split_frozen(run.network, run.settings.augment, model.normalisation)
    pinned = machine.device.type == "cuda"
    data = ClipBatches(
        ClipDataset(run.train, views=variants, pinned=pinned),
        ClipDataset(run.val, pinned=pinned),
        orders,
        workers=machine.workers,
        resident=machine.resident,
        frozen=frozen,
    )
    interrupt = Interrupt()
    classifier = TrainingModule(
        trained, run.settings, orders, run.seed, interrupt, model.normalisation
    )
    files = Kept(
        state=folder / STATE,
        model=folder / MODEL,
        last=folder / LAST_MODEL,
        history=folder / HISTORY,
        live=live,
    )
    save = partial(save_model, trained=model)
    name = f"seed{run.seed}-{folder.name[:LOG_NAME]}"
    trainer = _trainer(run.settings, machine, ChosenAndLast(files, save, interrupt), name)
    check_launched(trainer.strategy, num_nodes=machine.num_nodes, processes=machine.processes)
    with interrupt:
        trainer.fit(classifier, data, ckpt_path=files.state if files.state.exists() else None)
    if trainer.is_global_zero:
        write_json(folder / "timing.json", _timing(classifier.epoch_seconds, machine))


def _trainer(
    settings: TrainingSettings, machine: Machine, keep: ChosenAndLast, name: str
) -> pl.Trainer:
    """Return the trainer of the run that the logs call `name`."""
    callbacks: list[pl.Callback] = [keep]
    loggers = machine.logs.loggers(name) if machine.logs else []
    if loggers:
        callbacks.append(StepLog())
    if can_draw(sys.stderr):
        callbacks.append(TrainingBar())
    if settings.patience is not None:
        callbacks.append(StopEarly(settings.patience))
    if settings.ema_decay is not None:
        keep.average = AveragedWeights(settings.ema_decay)
        callbacks.append(keep.average)
    cuda, together = machine.device.type == "cuda", machine.processes > 1
    return pl.Trainer(
        accelerator="gpu" if cuda else "cpu",
        devices=[machine.device.index or 0] if cuda and not together else machine.devices,
        num_nodes=machine.num_nodes,
        strategy=InterruptibleDDP() if together else "auto",
        sync_batchnorm=cuda and together,
        precision=_precision(settings.precision, machine.device),
        max_epochs=settings.epochs,
        accumulate_grad_batches=settings.accumulate,
        gradient_clip_val=settings.clip_norm,
        callbacks=callbacks,
        plugins=[AtomicCheckpointIO(), *cluster_environment(machine.processes)],
        logger=loggers,
        log_every_n_steps=1,  # when loggers are asked to save; StepLog has its own interval
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
    )


def _precision(precision: Precision, device: torch.device) -> Literal["bf16-mixed", "32-true"]:
    """Return Lightning's name for the precision; `auto` is bf16 where it is computed natively."""
    fast = torch.cuda.is_bf16_supported() if device.type == "cuda" else _cpu_has_amx()
    return "bf16-mixed" if precision == "bf16" or (precision == "auto" and fast) else "32-true"


def _cpu_has_amx() -> bool:
    return bool(torch.cpu._is_amx_tile_supported())


def _identity(run: Run) -> dict[str, Any]:
    stores = {id(example.store): example.store for example in [*run.train, *run.val]}
    return {
        "config": run.config.model_dump(),
        "classes": run.classes,
        "train": [(example.row.clip, example.label) for example in run.train],
        "val": [(example.row.clip, example.label) for example in run.val],
        "settings": run.settings.model_dump(),
        "seed": run.seed,
        "origin": run.origin,
        "normalisation": [run.normalisation.mean, run.normalisation.std],
        "stores": [store.checksums() for store in stores.values()],
        # Other mix settings may give the same pixels, but the model file contains the settings.
        "mix": run.train[0].store.settings.model_dump(mode="json"),
    }


def _timing(epoch_seconds: list[float], machine: Machine) -> dict[str, Any]:
    cuda = machine.device.type == "cuda"
    name = torch.cuda.get_device_name(machine.device) if cuda else "CPU"
    if machine.processes > 1:
        name = f"{machine.processes} x {name}"
    return {
        "device": name,
        "epochs": len(epoch_seconds),
        "seconds_an_epoch": round(statistics.median(epoch_seconds), 3),
        "seconds": round(sum(epoch_seconds), 1),
    }
