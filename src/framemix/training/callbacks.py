"""Callbacks that keep models and the state to resume from, and stop the training early."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import Checkpoint, EarlyStopping, WeightAveraging
from lightning.pytorch.plugins.io import TorchCheckpointIO
from torch import Tensor
from torch.optim.swa_utils import get_ema_multi_avg_fn

from framemix.errors import TrainingError
from framemix.jobs.atomic import replacing
from framemix.jobs.scratch import link
from framemix.models.trained_on import Select
from framemix.tables import write_csv
from framemix.training.data import Batch
from framemix.training.interrupt import Interrupt
from framemix.training.module import TrainingModule

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

Tensors = tuple[Tensor, ...] | list[Tensor]
READ_BYTES = 2**20  # at a time, so that there is no second copy of a checkpoint in memory


@dataclass(frozen=True)
class Kept:
    """The files of a run: its state, the model of the kept epoch and that of the last one.

    `history` has one row per epoch. It is also linked to `live`, where people and DVC's plots can
    follow it.
    """

    state: Path
    model: Path
    last: Path
    history: Path
    live: Path | None


def chosen_row(history: Sequence[dict[str, float]], select: Select) -> dict[str, float]:
    """Return the row of the epoch that is kept: the best by val top-1; of equals, the earlier one.

    With `select` = last, it is the last one.
    """
    return history[-1] if select == "last" else max(history, key=lambda row: row["val_top1"])


def write_history(path: Path, history: Sequence[dict[str, float]], select: Select) -> None:
    """Write one row per epoch to `path`; `kept` marks the epoch that is kept, as of now."""
    kept = chosen_row(history, select)
    rows = [{**row, "kept": int(row is kept)} for row in history]
    write_csv(path, list(rows[0]), rows)


class ChosenAndLast(Checkpoint):
    """Keeps the chosen and the last model, and the state to resume from after each epoch or signal.

    Lightning's ModelCheckpoint saves the state only after epochs that were the best so far, and
    forgets which was the best when the folder is moved.
    """

    def __init__(self, files: Kept, save: Callable[[Path], None], interrupt: Interrupt) -> None:
        self.files, self.save, self.interrupt = files, save, interrupt
        self.average: AveragedWeights | None = None

    def on_train_start(self, trainer: pl.Trainer, classifier: pl.LightningModule) -> None:
        """Replace Lightning's signal handlers, and show the history of a run that resumes.

        Lightning has just set them; they stop at any batch, also between the parts of a step.
        """
        self.interrupt.listen()
        if trainer.is_global_zero and self.files.history.exists():
            self._show_history()

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        classifier: pl.LightningModule,
        outputs: Any,
        batch: Batch,
        batch_idx: int,
    ) -> None:
        """Stop between two steps after a signal."""
        assert isinstance(classifier, TrainingModule)
        order = classifier.orders.train
        # Stopped after the epoch's last batch, Lightning would resume without the validation.
        if order.ends_step(batch_idx) and batch_idx + 1 < len(order):
            self._stop_if_asked(trainer)

    def on_train_epoch_end(self, trainer: pl.Trainer, classifier: pl.LightningModule) -> None:
        """Save the state, and the model if it is the chosen one so far; then stop after a signal.

        The state is last: a run that resumes from its last epoch's state computes nothing more.
        """
        assert isinstance(classifier, TrainingModule)
        history, settings = classifier.history, classifier.settings
        if trainer.is_global_zero:
            with self.average.in_use(classifier) if self.average else nullcontext():
                if chosen_row(history, settings.select) is history[-1]:
                    self.save(self.files.model)
                if trainer.should_stop or len(history) == settings.epochs:
                    self.save(self.files.last)
            write_history(self.files.history, history, settings.select)
            self._show_history()
        trainer.save_checkpoint(self.files.state)
        if self.interrupt.came(trainer.strategy):
            raise self.interrupt.exit()

    def on_exception(
        self, trainer: pl.Trainer, classifier: pl.LightningModule, exception: BaseException
    ) -> None:
        """Save the state of a run that gets a signal during a validation."""
        if trainer.validating and isinstance(exception, SystemExit):
            trainer.save_checkpoint(self.files.state)

    def _show_history(self) -> None:
        if self.files.live:
            link(self.files.history, self.files.live)

    def _stop_if_asked(self, trainer: pl.Trainer) -> None:
        if self.interrupt.came(trainer.strategy):
            trainer.save_checkpoint(self.files.state)
            raise self.interrupt.exit()


class AveragedWeights(WeightAveraging):
    """An exponential moving average of the weights, which is validated and kept as the model."""

    def __init__(self, decay: float) -> None:
        def average(averages: Tensors, weights: Tensors, updates: Tensor) -> None:
            # In torch's form, the average of equal weights is exactly equal: frozen weights stay.
            update = get_ema_multi_avg_fn(ramped(decay, int(updates)))  # type: ignore[no-untyped-call]
            update(averages, weights, updates)

        super().__init__(multi_avg_fn=average)

    @contextmanager
    def in_use(self, classifier: pl.LightningModule) -> Iterator[None]:
        """Exchange the network's weights for the average."""
        self._swap_models(classifier)
        yield
        self._swap_models(classifier)

    def on_exception(
        self, trainer: pl.Trainer, classifier: pl.LightningModule, exception: BaseException
    ) -> None:
        """Restore the trained weights where a validation, which uses the average, is stopped."""
        if trainer.validating:
            self._swap_models(classifier)


def ramped(decay: float, updates: int) -> float:
    """Return the decay after `updates` updates; it rises to `decay`.

    With a constant decay, the random first weights would stay long: 70 % after 360 steps at 0.999.
    """
    return min(decay, (1 + updates) / (10 + updates))


class StopEarly(EarlyStopping):
    """Stops after a number of epochs in a row that were not better than the best."""

    def __init__(self, patience: int) -> None:
        super().__init__("val_top1", mode="max", patience=patience, check_on_train_epoch_end=True)

    def on_train_start(self, trainer: pl.Trainer, classifier: pl.LightningModule) -> None:
        """Stop at once if the run had ended: it would otherwise train one more epoch."""
        trainer.should_stop = self.wait_count >= self.patience


class _Stream:
    """A file that torch writes to; keeps the OSError, which torch hides, and hashes the content."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file = file
        self.error: OSError | None = None
        self.digest = hashlib.sha256()

    def write(self, data: "ReadableBuffer") -> int:
        """Append `data`. Raises OSError."""
        self.digest.update(data)
        try:
            return self.file.write(data)
        except OSError as error:
            self.error = error
            raise

    def flush(self) -> None:
        """Write the buffered data to the system."""
        self.file.flush()


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes beside the file that it replaces; Lightning would write to /tmp and copy from there.

    The SHA-256 of the content is appended, where torch does not read it.
    """

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None
    ) -> None:
        """Write `checkpoint` to `path`, which is always the old file or the complete new one.

        Raises DatasetError when the disk is full.
        """
        with replacing(Path(path)) as partial, partial.open("wb") as file:
            stream = _Stream(file)
            try:
                torch.save(checkpoint, stream)  # type: ignore[arg-type]
            except RuntimeError:
                if stream.error is None:
                    raise
                raise stream.error from None
            file.write(stream.digest.digest())

    def load_checkpoint(self, path: str | Path, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Read a checkpoint. Raises TrainingError for one that is damaged."""
        if not _is_whole(Path(path)):
            raise TrainingError(
                f"{path}: a damaged checkpoint (its checksum differs); "
                f"delete it, and the training starts from the beginning"
            )
        checkpoint: dict[str, Any] = super().load_checkpoint(path, *args, **kwargs)
        return checkpoint


def _is_whole(path: Path) -> bool:
    """Return whether a file ends with the SHA-256 of the content before it."""
    digest = hashlib.sha256()
    left = path.stat().st_size - digest.digest_size
    with path.open("rb") as file:
        while left > 0 and (read := file.read(min(left, READ_BYTES))):
            digest.update(read)
            left -= len(read)
        return file.read() == digest.digest()
