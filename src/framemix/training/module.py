"""The Lightning module that trains any of the networks on mixed clips."""

import math
import statistics
import time
from collections.abc import Sequence
from typing import Any

import lightning.pytorch as pl
import numpy as np
import torch
import torch.nn.functional as F
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR

from framemix.errors import TrainingError
from framemix.jobs.progress import clock
from framemix.jobs.terminal import print_text
from framemix.models.clips import logits_of
from framemix.models.input import IMAGENET, Normalisation, to_rgb
from framemix.training.augment import jitter_colour, mixup_cutmix, shift_and_flip
from framemix.training.batches import Orders
from framemix.training.data import Batch
from framemix.training.interrupt import Interrupt
from framemix.training.optimizer import build_optimizer
from framemix.training.settings import TrainingSettings

# Shapes: B clips, S segments, H height, W width.

RECENT = 5  # epochs, whose times predict the time left


class TrainingModule(pl.LightningModule):
    """Trains `network` (B, 3, S, H, W) -> (B, classes) on clips as a store holds them.

    Floating-point clips are the outputs of frozen layers, and `network` is then the rest.

    Every random number of a step depends on seed, epoch, batch and process only, and the sums of
    the current epoch are in the checkpoint, so that a resumed run gives the same bits as an
    uninterrupted one. Between two steps, `interrupt` may end it. Raises TrainingError at the first
    loss that is not finite, before the epoch is saved.
    """

    def __init__(
        self,
        network: nn.Module,
        settings: TrainingSettings,
        orders: Orders,
        seed: int,
        interrupt: Interrupt,
        normalisation: Normalisation = IMAGENET,
    ) -> None:
        super().__init__()
        self.network, self.settings, self.orders, self.seed = network, settings, orders, seed
        self.interrupt, self.normalisation = interrupt, normalisation
        self.history: list[dict[str, float]] = []
        self.epoch_seconds: list[float] = []
        self._batches_done = 0
        self._started = self._seconds_before = 0.0
        self._sums = _no_sums()

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Return the optimizer, with a learning rate that changes with each step."""
        optimizer = build_optimizer(self.network, self.settings)
        scheduler = LambdaLR(optimizer, self._rate_factor)
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": scheduler, "interval": "step"},
        }

    def _rate_factor(self, step: int) -> float:
        """Return the rate's factor: linear warm-up, then a half cosine down to 0, or 1."""
        warmup = self.settings.warmup_epochs * self.orders.train.steps
        if step < warmup:
            return (step + 1) / (warmup + 1)
        if self.settings.schedule == "constant":
            return 1.0
        left = self.settings.epochs * self.orders.train.steps - warmup
        return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(left, 1)))

    def on_train_start(self) -> None:
        """Set frozen parts to evaluation: without dropout, with fixed statistics."""
        # Not at the epoch's start, which Lightning skips when it resumes in the middle of an epoch.
        self._started = time.perf_counter() - self._seconds_before
        for part in self.network.modules():
            trained = [parameter.requires_grad for parameter in part.parameters()]
            # Modules without parameters, such as the dropout before the last layer, are not frozen.
            if trained and not any(trained):
                part.eval()

    def on_train_epoch_start(self) -> None:
        """Choose the epoch's order of clips."""
        self._started = time.perf_counter()
        self.orders.train.epoch, self.orders.train.first_batch = self.current_epoch, 0

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        """Seed the random numbers of the step: augmentation and dropout."""
        entropy = [self.seed, self.current_epoch, batch_idx, self.global_rank]
        torch.manual_seed(int(np.random.SeedSequence(entropy).generate_state(1)[0]))

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Return this batch's part of the step's mean loss."""
        clips, labels = batch
        augment = self.settings.augment
        video = self._augmented(clips)
        others, share = labels, 1.0
        if augment.mixup or augment.cutmix:
            video, partners, share = mixup_cutmix(video, augment)
            others = labels[partners]
        logits = logits_of(self.network, video, self.normalisation)
        loss = share * self._loss(logits, labels) + (1 - share) * self._loss(logits, others)
        counted, whole = self.orders.train.sizes(batch_idx)
        self._add("train", loss, logits, labels if share >= 0.5 else others, counted)
        # Not in on_train_batch_end, before which callbacks run that save the sums.
        self._batches_done = batch_idx + 1
        # Lightning averages over the parts of a step, which may differ in size.
        return loss * (counted * self.orders.train.parts / whole)

    def _augmented(self, clips: Tensor) -> Tensor:
        """Return augmented clips: uint8, or normalised where their colours are changed."""
        if clips.is_floating_point():  # outputs of frozen layers, which have no augmentation
            return clips
        augment = self.settings.augment
        moved = shift_and_flip(to_rgb(clips), augment)
        if augment.brightness or augment.contrast or augment.mixup or augment.cutmix:
            return jitter_colour(self.normalisation(moved), augment, self.normalisation)
        return moved

    def _loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        return F.cross_entropy(logits, labels, label_smoothing=self.settings.label_smoothing)

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Add a batch to the epoch's validation loss and top-1; end the process after a signal."""
        if self.interrupt.came(self.trainer.strategy):
            # Lightning returns to this validation only when it is stopped within a step.
            raise self.interrupt.exit()
        clips, labels = batch
        logits = logits_of(self.network, clips, self.normalisation)
        counted, _ = self.orders.val.sizes(batch_idx)
        self._add("val", F.cross_entropy(logits, labels), logits, labels, counted)

    def on_train_epoch_end(self) -> None:
        """Close the epoch's row of the history."""
        row: dict[str, float] = {"epoch": self.current_epoch}
        for subset in self._sums:
            loss, correct, clips = self._over_processes(subset)
            row[f"{subset}_loss"] = round(loss / clips, 6)
            row[f"{subset}_top1"] = round(correct / clips, 6)
        row["learning_rate"] = self.settings.learning_rate * self._rate_factor(self.global_step - 1)
        self.history.append(row)
        self.epoch_seconds.append(time.perf_counter() - self._started)
        # For early stopping; all processes have the same value, which a mean might round.
        self.log("val_top1", row["val_top1"], sync_dist=True, reduce_fx="max", logger=False)
        for logger in self.loggers:
            logger.log_metrics(row, step=self.global_step)
        if self.trainer.is_global_zero:
            left = time_left(self.epoch_seconds, self.settings.epochs)
            print_text(
                f"epoch {self.current_epoch + 1}/{self.settings.epochs}: "
                f"loss {row['train_loss']:.3f} (val {row['val_loss']:.3f}), "
                f"val top-1 {row['val_top1']:.1%}, "
                f"{self.epoch_seconds[-1]:.1f} s{left}"
            )
        self._sums = _no_sums()
        self._batches_done = 0

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Store the sums of the epoch so far."""
        checkpoint["progress"] = {
            "history": self.history,
            "epoch_seconds": self.epoch_seconds,
            "seconds": time.perf_counter() - self._started,
            "batches_done": self._batches_done,
            "train_sums": self._over_processes("train"),
        }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Restore the sums of the epoch."""
        progress = checkpoint["progress"]
        self.history, self.epoch_seconds = progress["history"], progress["epoch_seconds"]
        self._seconds_before = progress["seconds"]
        self._batches_done = progress["batches_done"]
        self.orders.train.epoch, self.orders.train.first_batch = (
            len(self.history),
            self._batches_done,
        )
        if self.trainer.is_global_zero:  # sums over all processes
            self._sums["train"] = progress["train_sums"]
        # An interrupted validation starts again: its sums are not in the checkpoint.
        loops = checkpoint["loops"]["fit_loop"]
        validation = loops["epoch_loop.val_loop.batch_progress"]["current"]
        validation.update(dict.fromkeys(validation, 0))

    def _add(self, subset: str, loss: Tensor, logits: Tensor, labels: Tensor, counted: int) -> None:
        correct = (logits.argmax(1) == labels)[:counted].sum()
        value = loss.item()
        if not math.isfinite(value):
            raise TrainingError(
                f"epoch {self.current_epoch + 1}: {subset} loss = {value}, the training diverged; "
                f"allowed: a smaller learning_rate (it is {self.settings.learning_rate:g}) or a "
                f"clip_norm that holds the gradient (it is {self.settings.clip_norm or 'null'})"
            )
        step = (value * counted, correct.item(), counted)
        self._sums[subset] = [a + b for a, b in zip(self._sums[subset], step, strict=True)]

    def _over_processes(self, subset: str) -> list[float]:
        """Return a subset's sums of loss, hits and clips over all processes."""
        sums = torch.tensor(self._sums[subset], dtype=torch.float64, device=self.device)
        total: list[float] = self.trainer.strategy.reduce(sums, reduce_op="sum").tolist()
        return total


def time_left(epoch_seconds: Sequence[float], epochs: int) -> str:
    """Return the end of an epoch's line: the time left, and after the first epoch the whole run's.

    It follows the last epochs, because the machine may get other work, or lose it.
    """
    left = epochs - len(epoch_seconds)
    if left <= 0:
        return ""
    one = statistics.median(epoch_seconds[-RECENT:])
    whole = f" of {clock(epochs * one)}" if len(epoch_seconds) == 1 else ""
    return f", {clock(left * one)} left{whole}"


def _no_sums() -> dict[str, list[float]]:
    """Return the sums at an epoch's start: zero loss, hits and clips of each subset."""
    return {"train": [0.0, 0.0, 0.0], "val": [0.0, 0.0, 0.0]}
