"""The Lightning module that trains any of the networks on mixed clips."""

import math
import signal
import time
from typing import Any

import lightning.pytorch as pl
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR

from framemix.models.input import IMAGENET_MEAN, IMAGENET_STD, normalise, to_rgb
from framemix.training.augment import move, recolour
from framemix.training.data import Batch, BatchOrder
from framemix.training.settings import TrainingSettings

# Shapes: B clips, S segments, H height, W width.


class Classifier(pl.LightningModule):
    """Trains `network` (B, 3, S, H, W) -> (B, classes) on clips as a store holds them.

    Every random number of a step depends on seed, epoch and batch alone, and what an epoch has
    summed up is in the checkpoint: a resumed run goes on bit for bit as the unbroken one.
    """

    def __init__(
        self, network: nn.Module, settings: TrainingSettings, order: BatchOrder, seed: int
    ) -> None:
        super().__init__()
        self.network, self.settings, self.order, self.seed = network, settings, order, seed
        self.history: list[dict[str, float]] = []
        self.epoch_seconds: list[float] = []
        self._batches_done = 0
        self._started = self._seconds_before = 0.0
        self._sums = {"train": [0.0, 0.0, 0.0], "val": [0.0, 0.0, 0.0]}

    def configure_optimizers(self) -> Any:
        """AdamW or SGD over what is not frozen, the learning rate set anew for each step."""
        settings = self.settings
        trained = [(name, p) for name, p in self.network.named_parameters() if p.requires_grad]
        # Weights decay; biases, norms, positions and class tokens do not.
        weights = [p for name, p in trained if p.ndim > 1 and name.endswith("weight")]
        others = [p for name, p in trained if p.ndim <= 1 or not name.endswith("weight")]
        groups = [
            {"params": weights, "weight_decay": settings.weight_decay},
            {"params": others, "weight_decay": 0.0},
        ]
        optimizer: torch.optim.Optimizer = (
            torch.optim.AdamW(groups, lr=settings.learning_rate)
            if settings.optimizer == "adamw"
            else torch.optim.SGD(groups, lr=settings.learning_rate, momentum=0.9)
        )
        scheduler = LambdaLR(optimizer, self._rate_factor)
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": scheduler, "interval": "step"},
        }

    def _rate_factor(self, step: int) -> float:
        """Linear warm-up, then a half cosine down to 0 or a constant rate."""
        warmup = self.settings.warmup_epochs * len(self.order)
        if step < warmup:
            return (step + 1) / (warmup + 1)
        if self.settings.schedule == "constant":
            return 1.0
        left = self.settings.epochs * len(self.order) - warmup
        return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(left, 1)))

    def on_train_start(self) -> None:
        """Frozen parts run as they will in use: without dropout, with fixed statistics."""
        # Here, not at the epoch's start: Lightning leaves that out where it goes on in mid-epoch.
        self._started = time.perf_counter() - self._seconds_before
        for part in self.network.children():
            part.train(any(parameter.requires_grad for parameter in part.parameters()))

    def on_train_epoch_start(self) -> None:
        """Choose the epoch's order of clips."""
        self._started = time.perf_counter()
        self.order.epoch, self.order.first_batch = self.current_epoch, 0

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        """Seed what the step draws: augmentation and dropout."""
        entropy = [self.seed, self.current_epoch, batch_idx]
        torch.manual_seed(int(np.random.SeedSequence(entropy).generate_state(1)[0]))

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Return the mean loss of a batch."""
        clips, labels = batch
        augment = self.settings.augment
        video = recolour(_normalised(move(to_rgb(clips), augment)), augment)
        loss = F.cross_entropy(
            logits := self.network(video), labels, label_smoothing=self.settings.label_smoothing
        )
        self._add("train", loss, logits, labels)
        # Here, not in on_train_batch_end: callbacks come before it, and they save.
        self._batches_done = batch_idx + 1
        return loss

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Add a batch to the epoch's validation loss and top-1; end the process after SIGTERM."""
        if self.trainer.received_sigterm:
            # Only from within the step does Lightning come back to this validation.
            raise SystemExit(128 + signal.SIGTERM)
        clips, labels = batch
        logits = self.network(_normalised(clips))
        self._add("val", F.cross_entropy(logits, labels), logits, labels)

    def on_train_epoch_end(self) -> None:
        """Close the epoch's row of the history."""
        row: dict[str, float] = {"epoch": self.current_epoch}
        for subset, (loss, correct, clips) in self._sums.items():
            row[f"{subset}_loss"] = round(loss / clips, 6)
            row[f"{subset}_top1"] = round(correct / clips, 6)
        row["learning_rate"] = self.settings.learning_rate * self._rate_factor(self.global_step - 1)
        self.history.append(row)
        self.epoch_seconds.append(time.perf_counter() - self._started)
        self.print(
            f"epoch {self.current_epoch + 1}/{self.settings.epochs}: "
            f"train loss {row['train_loss']:.3f}, val loss {row['val_loss']:.3f}, "
            f"val top-1 {row['val_top1']:.1%}, {self.epoch_seconds[-1]:.1f} s"
        )
        self._sums = {"train": [0.0, 0.0, 0.0], "val": [0.0, 0.0, 0.0]}
        self._batches_done = 0

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Store what the epoch has summed up so far."""
        checkpoint["progress"] = {
            "history": self.history,
            "epoch_seconds": self.epoch_seconds,
            "seconds": time.perf_counter() - self._started,
            "batches_done": self._batches_done,
            "train_sums": self._sums["train"],
        }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Go on where the checkpoint was written."""
        progress = checkpoint["progress"]
        self.history, self.epoch_seconds = progress["history"], progress["epoch_seconds"]
        self._seconds_before = progress["seconds"]
        self._batches_done = progress["batches_done"]
        self.order.epoch, self.order.first_batch = len(self.history), self._batches_done
        self._sums["train"] = progress["train_sums"]
        # An interrupted validation starts anew: its sums are not in the checkpoint.
        loops = checkpoint["loops"]["fit_loop"]
        validation = loops["epoch_loop.val_loop.batch_progress"]["current"]
        validation.update(dict.fromkeys(validation, 0))

    def _add(self, subset: str, loss: Tensor, logits: Tensor, labels: Tensor) -> None:
        clips = len(labels)
        correct = (logits.argmax(1) == labels).sum()
        step = (loss.item() * clips, correct.item(), clips)
        self._sums[subset] = [a + b for a, b in zip(self._sums[subset], step, strict=True)]


def _normalised(clips: Tensor) -> Tensor:
    return normalise(clips, IMAGENET_MEAN, IMAGENET_STD)
