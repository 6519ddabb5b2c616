"""Runs a training to its end, through any interruption, and keeps what it leaves behind."""

import csv
import logging
import os
import statistics
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.fabric.plugins.environments.cluster_environment import ClusterEnvironment
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.fabric.plugins.environments.slurm import SLURMEnvironment
from lightning.fabric.plugins.environments.torchelastic import TorchElasticEnvironment
from lightning.pytorch.callbacks import Checkpoint, EarlyStopping, WeightAveraging
from lightning.pytorch.plugins.io import TorchCheckpointIO
from lightning.pytorch.strategies import DDPStrategy, Strategy
from torch import nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from framemix.codetree import code_fingerprint
from framemix.errors import DatasetError, ParamsError
from framemix.models import TrainedModel, save_model
from framemix.models.config import ModelConfig
from framemix.models.input import IMAGENET_MEAN, IMAGENET_STD
from framemix.scratch import Unit
from framemix.tables import write_json
from framemix.training.batches import ClipBatches, Orders, Resident
from framemix.training.classifier import Classifier
from framemix.training.data import Batch, ClipDataset, Example
from framemix.training.frozen import split_frozen
from framemix.training.interrupt import Interrupt, ended_by_signals
from framemix.training.processes import process_rank
from framemix.training.settings import TrainingSettings

# Lightning speaks of hardware and of other products, and torch of Lightning's use of it.
for library in ("lightning.pytorch", "lightning.fabric"):
    logging.getLogger(library).setLevel(logging.WARNING)
warnings.filterwarnings("ignore", message=".*LeafSpec.*", module="lightning")
# On a GPU, attention may add up in an order of chance: equal bits are promised on CPUs alone.
warnings.filterwarnings("ignore", message=".*defaults to a non-deterministic algorithm")
# It is: see BatchOrder.
warnings.filterwarnings("ignore", message=".*your dataloader is not resumable", module="lightning")

OUTPUTS = ("model.safetensors", "history.csv", "timing.json")
LAST = "last.ckpt"


@dataclass(frozen=True)
class Machine:
    """What a run computes on: it changes how fast, not what.

    On `num_nodes` machines, `devices` of each: a process for every one of them.
    """

    device: torch.device
    devices: int
    num_nodes: int
    workers: int
    resident: Resident
    scratch: Path

    @property
    def processes(self) -> int:
        """How many processes train together."""
        return self.devices * self.num_nodes


@dataclass(frozen=True)
class Run:
    """A training run: a network with its first weights, and the clips it learns from.

    `origin` tells where the first weights come from: with the rest it names the run, so that an
    interrupted one goes on only where everything is the same.
    """

    network: nn.Module
    config: ModelConfig
    classes: list[str]
    train: list[Example]
    val: list[Example]
    settings: TrainingSettings
    seed: int
    origin: Mapping[str, Any]


def train(run: Run, machine: Machine) -> Path:
    """Train, or go on training; return the folder with model, history and timing (OUTPUTS).

    The model is the best by val top-1, the earlier of equals. SIGTERM and Ctrl-C save and end the
    run with exit code 143 or 130; the next call goes on from there bit for bit (on the CPU).

    Of the processes that train together, the first alone writes; to the others the folder is of
    no use.
    """
    for name, examples in (("train", run.train), ("val", run.val)):
        if not examples:
            raise DatasetError(f"the split leaves no {name} clip; allowed: at least one, see split")
    unit = Unit(
        folder=machine.scratch,
        make=partial(_fit, run, machine),
        settings=_identity(run),
        files=[],
        code=code_fingerprint(__file__),
        resume=True,
    )
    if rank := process_rank():
        if machine.processes == 1:
            raise ParamsError(
                f"runtime.devices = 1 and runtime.num_nodes = 1: but this is process {rank} of a "
                f"torchrun or srun; allowed: as many devices and nodes as it starts processes on"
            )
        return unit.assist()
    done = unit.finish()
    (done / LAST).unlink(missing_ok=True)
    return done


def _fit(run: Run, machine: Machine, folder: Path) -> None:
    torch.use_deterministic_algorithms(True, warn_only=True)
    # It would fill all new memory with NaN first: a pass over each large tensor.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    labels = [example.label for example in run.train]
    variants = run.train[0].store.settings.variants
    orders = Orders.of(labels, variants, len(run.val), run.settings, run.seed)
    frozen, trained = split_frozen(run.network, run.settings.augment)
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
    classifier = Classifier(trained, run.settings, orders, run.seed, interrupt)
    save_best = partial(save_model, folder / "model.safetensors", trained_model(run))
    trainer = _trainer(run.settings, machine, _Keep(folder / LAST, save_best, interrupt))
    _check_launched(trainer.strategy, machine)
    with interrupt:
        trainer.fit(classifier, data, ckpt_path=folder / LAST if (folder / LAST).exists() else None)
    if trainer.is_global_zero:
        _write_history(folder / "history.csv", classifier.history)
        write_json(folder / "timing.json", _timing(classifier.epoch_seconds, machine))


def _trainer(settings: TrainingSettings, machine: Machine, keep: "_Keep") -> pl.Trainer:
    callbacks: list[pl.Callback] = [keep]
    if settings.patience is not None:
        callbacks.append(_Stop(settings.patience))
    if settings.ema_decay is not None:
        keep.average = _Average(settings.ema_decay)
        callbacks.append(keep.average)
    cuda, together = machine.device.type == "cuda", machine.processes > 1
    return pl.Trainer(
        accelerator="gpu" if cuda else "cpu",
        devices=[machine.device.index or 0] if cuda and not together else machine.devices,
        num_nodes=machine.num_nodes,
        strategy=_Together() if together else "auto",
        sync_batchnorm=cuda and together,
        precision=_precision(settings.precision, machine.device),
        max_epochs=settings.epochs,
        accumulate_grad_batches=settings.accumulate,
        gradient_clip_val=settings.clip_norm,
        callbacks=callbacks,
        plugins=[_AtomicFile(), *_environment(machine)],
        logger=False,
        enable_progress_bar=sys.stderr.isatty(),
        enable_model_summary=False,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
    )


def _environment(machine: Machine) -> list[ClusterEnvironment]:
    """Return who starts the processes, where Lightning would not find it out rightly."""
    if TorchElasticEnvironment.detect() or not SLURMEnvironment.detect():
        return []
    if int(os.environ["SLURM_NTASKS"]) != machine.processes:  # not srun, but a job around `dvc`
        return [LightningEnvironment()]
    # Its own requeueing would save elsewhere than where the next run looks.
    return [SLURMEnvironment(auto_requeue=False)]


class _Together(DDPStrategy):
    """DDP in which a signal ends a process that waits for the others to start."""

    def setup_environment(self) -> None:
        # Processes that this one starts come soon, and it must be asked to end them.
        external = (
            self.cluster_environment and self.cluster_environment.creates_processes_externally
        )
        with ended_by_signals() if external else nullcontext():
            super().setup_environment()


def _check_launched(strategy: Strategy, machine: Machine) -> None:
    """Refuse to wait for other nodes where nothing says who starts their processes, and where."""
    if machine.num_nodes == 1 or "MASTER_ADDR" in os.environ:
        return
    assert isinstance(strategy, DDPStrategy)
    if isinstance(strategy.cluster_environment, LightningEnvironment):
        raise ParamsError(
            f"runtime.num_nodes = {machine.num_nodes}: but neither torchrun nor an srun of "
            f"{machine.processes} tasks started this; allowed: start the stage as docs/gpus.md says"
        )


class _Keep(Checkpoint):
    """Keeps the best model, and after each epoch or a signal the state to go on from.

    Not Lightning's ModelCheckpoint: that saves the state only after epochs that were the best
    so far, and forgets which was the best when the folder moves.
    """

    def __init__(self, last: Path, save_best: Callable[[], None], interrupt: Interrupt) -> None:
        self.last, self.save_best, self.interrupt = last, save_best, interrupt
        self.average: _Average | None = None

    def on_train_start(self, trainer: pl.Trainer, classifier: pl.LightningModule) -> None:
        # Not before: Lightning has just set its own handler, which leaves at any batch, also
        # between the parts of a step.
        self.interrupt.listen()

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        classifier: pl.LightningModule,
        outputs: Any,
        batch: Batch,
        batch_idx: int,
    ) -> None:
        assert isinstance(classifier, Classifier)
        order = classifier.orders.train
        # Behind the epoch's last batch Lightning would go on without the validation.
        if order.ends_step(batch_idx) and batch_idx + 1 < len(order):
            self._leave_if_told(trainer)

    def on_train_epoch_end(self, trainer: pl.Trainer, classifier: pl.LightningModule) -> None:
        assert isinstance(classifier, Classifier)
        best = max(classifier.history, key=lambda row: row["val_top1"])  # the earlier of equals
        if best is classifier.history[-1] and trainer.is_global_zero:
            with self.average.in_use(classifier) if self.average else nullcontext():
                self.save_best()
        trainer.save_checkpoint(self.last)
        if self.interrupt.came(trainer.strategy):
            raise self.interrupt.exit()

    def on_exception(
        self, trainer: pl.Trainer, classifier: pl.LightningModule, exception: BaseException
    ) -> None:
        if trainer.validating and isinstance(exception, SystemExit):
            trainer.save_checkpoint(self.last)

    def _leave_if_told(self, trainer: pl.Trainer) -> None:
        if self.interrupt.came(trainer.strategy):
            trainer.save_checkpoint(self.last)
            raise self.interrupt.exit()


class _Average(WeightAveraging):
    """An exponential moving average of the weights: what is validated and kept as the model."""

    def __init__(self, decay: float) -> None:
        # Of this form an average of equal weights is equal to them: frozen ones stay as they are.
        super().__init__(multi_avg_fn=get_ema_multi_avg_fn(decay))  # type: ignore[no-untyped-call]

    @contextmanager
    def in_use(self, classifier: pl.LightningModule) -> Iterator[None]:
        """Put the average into the network for a while."""
        self._swap_models(classifier)
        yield
        self._swap_models(classifier)

    def on_exception(
        self, trainer: pl.Trainer, classifier: pl.LightningModule, exception: BaseException
    ) -> None:
        if trainer.validating:  # with the average in the network; what is saved shall have neither
            self._swap_models(classifier)


class _Stop(EarlyStopping):
    """Stops after so many epochs in a row that were not better than the best."""

    def __init__(self, patience: int) -> None:
        super().__init__("val_top1", mode="max", patience=patience, check_on_train_epoch_end=True)

    def on_train_start(self, trainer: pl.Trainer, classifier: pl.LightningModule) -> None:
        # A run that was ended after its last epoch would add another one.
        trainer.should_stop = self.wait_count >= self.patience


class _AtomicFile(TorchCheckpointIO):
    """Writes beside the file that it replaces: Lightning writes to /tmp and may copy from there."""

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None
    ) -> None:
        partial_file = Path(f"{path}.partial")
        torch.save(checkpoint, partial_file)
        partial_file.replace(path)


def _precision(precision: str, device: torch.device) -> Any:
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
        "stores": [store.checksums() for store in stores.values()],
        # The model says how its clips were mixed, and other settings may give the same pixels.
        "mix": run.train[0].store.settings.model_dump(mode="json"),
    }


def trained_model(run: Run) -> TrainedModel:
    """Return the run's network, as it is now, with what prediction needs beside it."""
    return TrainedModel(
        network=run.network,
        config=run.config,
        classes=run.classes,
        mix=run.train[0].store.settings.model_dump(mode="json"),
        mean=IMAGENET_MEAN,
        std=IMAGENET_STD,
    )


def _write_history(path: Path, history: list[dict[str, float]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(history[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(history)


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
