"""The progress of a training on a terminal: epoch, step, loss and time left, in one bar."""

from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any

import lightning.pytorch as pl

from framemix.jobs.progress import Bar, shown_bar
from framemix.training.data import Batch
from framemix.training.module import TrainingModule


class TrainingBar(pl.Callback):
    """A bar over all steps of a run, below one line per epoch.

    Lightning's bars start again with every epoch, so that they do not show the time left, and
    count epochs from 0.
    """

    def __init__(self) -> None:
        self._context = ExitStack()
        self._bar: Bar | None = None
        self._step = ""

    def on_train_start(self, trainer: pl.Trainer, classifier: pl.LightningModule) -> None:
        """Show the bar, at the step where an interrupted run resumes."""
        assert isinstance(classifier, TrainingModule)
        if trainer.is_global_zero:
            steps = classifier.settings.epochs * classifier.orders.train.steps
            bar = shown_bar("training", steps, start=trainer.global_step, counts=False)
            self._bar = self._context.enter_context(bar)

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        classifier: pl.LightningModule,
        outputs: Any,
        batch: Batch,
        batch_idx: int,
    ) -> None:
        """Show the step and its loss."""
        assert isinstance(classifier, TrainingModule)
        assert isinstance(outputs, Mapping)
        order = classifier.orders.train
        if self._bar is not None:
            step = batch_idx // order.accumulate + 1
            loss = f"loss {outputs['loss']:.3f}"
            self._step = f"{_epoch(classifier)}, step {step}/{order.steps}, {loss}"
            self._bar.update(trainer.global_step, self._step)

    def on_validation_start(self, trainer: pl.Trainer, classifier: pl.LightningModule) -> None:
        """Show that the val clips are being predicted."""
        assert isinstance(classifier, TrainingModule)
        if self._bar is not None:
            done = self._step or _epoch(classifier)  # a resumed run may begin with a validation
            self._bar.update(trainer.global_step, f"{done}, validating")

    def on_train_end(self, trainer: pl.Trainer, classifier: pl.LightningModule) -> None:
        """Remove the bar; the lines of the epochs stay."""
        self._context.close()

    def on_exception(
        self, trainer: pl.Trainer, classifier: pl.LightningModule, exception: BaseException
    ) -> None:
        """Remove the bar."""
        self._context.close()


def _epoch(classifier: TrainingModule) -> str:
    return f"epoch {classifier.current_epoch + 1}/{classifier.settings.epochs}"
