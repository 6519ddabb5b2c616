"""Runs a training to its end, through any interruption, and keeps what it leaves behind."""

import csv
import logging
import signal
import statistics
import sys
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import Checkpoint
from lightning.pytorch.plugins.io import TorchCheckpointIO
from torch import nn

from framemix.codetree import code_fingerprint
from framemix.errors import DatasetError
from framemix.models import TrainedModel, save_model
from framemix.models.config import ModelConfig
from framemix.models.input import IMAGENET_MEAN, IMAGENET_STD
from framemix.scratch import Unit, link
from framemix.tables import write_json
from framemix.training.classifier import Classifier
from framemix.training.data import BatchOrder, ClipDataset, Example, ordered_loader, training_loader
from framemix.training.settings import TrainingSettings

# Lightning speaks of hardware and of other products, and torch of Lightning's use of it.
logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
warnings.filterwarnings("ignore", message=".*LeafSpec.*", module="lightning")
# It is: see BatchOrder.
warnings.filterwarnings("ignore", message=".*your dataloader is not resumable", module="lightning")

OUTPUTS = ("model.safetensors", "history.csv", "timing.json")
LAST = "last.ckpt"


@dataclass(frozen=True)
class Machine:
    """What a run computes on: it changes how fast, not what."""

    device: torch.device
    workers: int
    scratch: Path


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


def train(run: Run, target: Path, machine: Machine) -> None:
    """Train, or go on training, and write model, history and timing into `target`.

    The model is the best by val top-1, the earlier of equals. SIGTERM saves and ends the run
    with exit code 143; the next call goes on from there bit for bit (on the CPU).
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
    done = unit.finish()
    (done / LAST).unlink(missing_ok=True)
    for name in OUTPUTS:
        link(done / name, target / name)


def _fit(run: Run, machine: Machine, folder: Path) -> None:
    torch.use_deterministic_algorithms(True, warn_only=True)
    device = machine.device
    workers = machine.workers if device.type == "cuda" else 0
    order = BatchOrder(len(run.train), run.settings.batch_size, run.seed)
    classifier = Classifier(run.network, run.settings, order, run.seed)
    save_best = partial(save_model, folder / "model.safetensors", _trained(run))
    trainer = _trainer(run.settings, device, _Keep(folder / LAST, save_best))
    # Lightning shall handle SIGTERM alone, so that _Keep can act between two steps.
    handler = signal.signal(signal.SIGTERM, signal.SIG_DFL)
    try:
        trainer.fit(
            classifier,
            training_loader(ClipDataset(run.train), order, workers),
            ordered_loader(ClipDataset(run.val), run.settings.batch_size, workers),
            ckpt_path=folder / LAST if (folder / LAST).exists() else None,
        )
    finally:
        signal.signal(signal.SIGTERM, handler)
    _write_history(folder / "history.csv", classifier.history)
    write_json(folder / "timing.json", _timing(classifier.epoch_seconds, device))


def _trainer(settings: TrainingSettings, device: torch.device, keep: "_Keep") -> pl.Trainer:
    return pl.Trainer(
        accelerator="gpu" if device.type == "cuda" else "cpu",
        devices=[device.index or 0] if device.type == "cuda" else 1,
        precision=_precision(settings.precision, device),
        max_epochs=settings.epochs,
        gradient_clip_val=settings.clip_norm,
        callbacks=[keep],
        plugins=[_AtomicFile()],
        logger=False,
        enable_progress_bar=sys.stderr.isatty(),
        enable_model_summary=False,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
    )


class _Keep(Checkpoint):
    """Keeps the best model, and after each epoch or SIGTERM the state to go on from.

    Not Lightning's ModelCheckpoint: that saves the state only after epochs that were the best
    so far, and forgets which was the best when the folder moves.
    """

    def __init__(self, last: Path, save_best: Callable[[], None]) -> None:
        self.last, self.save_best = last, save_best

    def on_train_batch_end(self, trainer: pl.Trainer, *args: Any) -> None:
        # Behind the epoch's last batch Lightning would go on without the validation.
        if (
            trainer.received_sigterm
            and not trainer.fit_loop.epoch_loop.batch_progress.is_last_batch
        ):
            trainer.save_checkpoint(self.last)
            raise SystemExit(128 + signal.SIGTERM)

    def on_train_epoch_end(self, trainer: pl.Trainer, classifier: pl.LightningModule) -> None:
        assert isinstance(classifier, Classifier)
        best = max(classifier.history, key=lambda row: row["val_top1"])  # the earlier of equals
        if best is classifier.history[-1]:
            self.save_best()
        trainer.save_checkpoint(self.last)
        if trainer.received_sigterm:
            raise SystemExit(128 + signal.SIGTERM)

    def on_exception(
        self, trainer: pl.Trainer, classifier: pl.LightningModule, exception: BaseException
    ) -> None:
        if trainer.validating and isinstance(exception, SystemExit):
            trainer.save_checkpoint(self.last)


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
    }


def _trained(run: Run) -> TrainedModel:
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


def _timing(epoch_seconds: list[float], device: torch.device) -> dict[str, Any]:
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"
    return {
        "device": name,
        "epochs": len(epoch_seconds),
        "seconds_an_epoch": round(statistics.median(epoch_seconds), 3),
        "seconds": round(sum(epoch_seconds), 1),
    }
