"""The clips of each step of a training: an order that can be resumed, shared between devices."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

import lightning.pytorch as pl
import numpy as np
import psutil
import torch
from torch import Tensor, nn
from torch.utils.data import Sampler

from framemix.training.data import Batch, BatchLoader, ClipDataset, ordered_loader
from framemix.training.settings import Sampling, TrainingSettings

Resident = Literal["auto"] | bool
# The rest of the free memory is for weights and activations.
RESIDENT_SHARE = 0.5
READ_CLIPS = 32  # read at a time, on the way into the device's memory


class BatchOrder(Sampler[list[int]]):
    """The places of the clips that this process takes in an epoch, batch after batch.

    `places(epoch)` is the order of all `clips` clips. The `batch_size` clips of a step are cut into
    `accumulate` parts that are taken one after another, and each part into one batch for each of
    `ranks` processes, so that the clips of a step do not depend on the number of processes. Set
    `epoch` before each epoch. `first_batch` skips the batches that an interrupted epoch has done,
    once.
    """

    def __init__(
        self,
        clips: int,
        batch_size: int,
        places: Callable[[int], Sequence[int]],
        accumulate: int = 1,
    ) -> None:
        self.clips, self.batch_size, self.places = clips, batch_size, places
        self.accumulate = accumulate
        self.rank, self.ranks = 0, 1
        self.epoch = self.first_batch = 0

    @property
    def steps(self) -> int:
        """The number of steps of an epoch."""
        return -(-self.clips // self.batch_size)

    def __len__(self) -> int:
        return self.steps * self.accumulate

    def __iter__(self) -> Iterator[list[int]]:
        places = self.places(self.epoch)
        first, self.first_batch = self.first_batch, 0
        for batch in range(first, len(self)):
            start = batch // self.accumulate * self.batch_size
            whole = list(places[start : start + self.batch_size])
            # Processes wait for each other, so one without a clip takes another's with weight 0.
            yield whole[self._mine(batch, len(whole))] or whole[:1]

    @property
    def parts(self) -> int:
        """The number of parts of a step, on all processes together."""
        return self.accumulate * self.ranks

    def sizes(self, batch: int) -> tuple[int, int]:
        """The number of clips that count in a batch, and in its whole step, on all processes."""
        start = batch // self.accumulate * self.batch_size
        whole = min(self.batch_size, self.clips - start)
        return len(range(*self._mine(batch, whole).indices(whole))), whole

    def ends_step(self, batch: int) -> bool:
        """Whether the weights change after this batch."""
        return (batch + 1) % self.accumulate == 0

    def _mine(self, batch: int, whole: int) -> slice:
        part = batch % self.accumulate * self.ranks + self.rank
        return slice(part, whole, self.parts)


@dataclass(frozen=True)
class Orders:
    """The orders of the training clips and of the validation clips."""

    train: BatchOrder
    val: BatchOrder

    @classmethod
    def of(
        cls, labels: Sequence[int], variants: int, val: int, settings: TrainingSettings, seed: int
    ) -> "Orders":
        """Return the orders of training clips with these labels and of `val` validation clips."""
        drawn = partial(drawn_places, labels, variants, settings.sampling, seed)
        size = settings.batch_size
        return cls(
            train=BatchOrder(len(labels), size, drawn, settings.accumulate),
            val=BatchOrder(val, size, partial(_in_turn, val)),
        )


def drawn_places(
    labels: Sequence[int], variants: int, sampling: Sampling, seed: int, epoch: int
) -> list[int]:
    """Return an epoch's order of clips, which depends on the arguments only.

    `uniform` takes every clip once; `balanced` draws as many with replacement, with all classes
    equally likely. One variant of each clip is drawn: the places are those of a `ClipDataset` with
    all variants.
    """
    generator = np.random.default_rng([seed, epoch])
    if sampling == "uniform":
        clips = generator.permutation(len(labels))
    else:
        _, classes, counts = np.unique(labels, return_inverse=True, return_counts=True)
        odds = 1 / (len(counts) * counts[classes])
        clips = generator.choice(len(labels), len(labels), p=odds)
    places: list[int] = (clips * variants + generator.integers(variants, size=len(clips))).tolist()
    return places


def _in_turn(clips: int, epoch: int) -> range:
    return range(clips)


class ResidentClips:
    """Clips (N, ...) and labels int64 (N,) in the memory of the device that trains."""

    def __init__(self, clips: Tensor, labels: Tensor) -> None:
        self.clips, self.labels = clips, labels

    def __len__(self) -> int:
        return len(self.clips)

    def __getitems__(self, places: list[int]) -> Batch:
        """Return the clips at `places` as one batch."""
        chosen = torch.tensor(places, device=self.clips.device)
        return self.clips[chosen], self.labels[chosen]


class ClipBatches(pl.LightningDataModule):
    """The training and validation clips of a run as batches for each of its processes.

    Clips that fit are read once, into the device's memory; `resident` may force or forbid this.
    Clips go through the `frozen` layers first: once, if the layers' outputs fit into the memory,
    else each time.
    """

    def __init__(
        self,
        train: ClipDataset,
        val: ClipDataset,
        orders: Orders,
        *,
        workers: int,
        resident: Resident,
        frozen: nn.Module | None,
    ) -> None:
        super().__init__()
        self.sides: dict[str, ClipDataset | ResidentClips] = {"train": train, "val": val}
        self.orders, self.workers, self.resident = orders, workers, resident
        self.frozen = frozen

    def setup(self, stage: str) -> None:
        """Set this process's share of each batch, and read the clips that will be resident."""
        assert self.trainer is not None
        for order in (self.orders.train, self.orders.val):
            order.rank, order.ranks = self.trainer.global_rank, self.trainer.world_size
        device, processes = self.trainer.strategy.root_device, self.trainer.world_size
        if self.frozen is not None:
            self.frozen.to(device)
        stored = self.sides["train"].__getitems__([0])[0].to(device)
        made, clips = self._made(stored), sum(map(len, self.sides.values()))
        if self.frozen and is_resident("auto", clips * made.nbytes, device, processes):
            self._keep(self._made)
        elif is_resident(self.resident, clips * stored.nbytes, device, processes):
            self._keep(nn.Identity())

    def on_after_batch_transfer(self, batch: Batch, dataloader_idx: int) -> Batch:
        """Pass stored clips through the frozen layers."""
        clips, labels = batch
        return clips if clips.is_floating_point() else self._made(clips), labels

    def _made(self, clips: Tensor) -> Tensor:
        """Return the frozen layers' outputs for stored clips; without such layers, the clips."""
        assert self.trainer is not None
        if self.frozen is None:
            return clips
        with torch.no_grad(), self.trainer.precision_plugin.forward_context():
            made: Tensor = self.frozen(clips)
            return made

    def _keep(self, through: Callable[[Tensor], Tensor]) -> None:
        """Read all clips, and keep the outputs of `through` on the device."""
        for name, side in self.sides.items():
            assert isinstance(side, ClipDataset)
            self.sides[name] = self._read(side, through)
        self.workers = 0

    def _read(self, clips: ClipDataset, through: Callable[[Tensor], Tensor]) -> ResidentClips:
        assert self.trainer is not None
        device = self.trainer.strategy.root_device
        read: Tensor | None = None
        start = 0
        for stored, _ in ordered_loader(clips, READ_CLIPS, self.workers):
            made = through(stored.to(device, non_blocking=True))
            if read is None:  # allocated at once: joining the pieces would need twice the memory
                read = made.new_empty(len(clips), *made.shape[1:])
            read[start : start + len(made)] = made
            start += len(made)
        assert read is not None
        return ResidentClips(read, clips.labels.to(device))

    def train_dataloader(self) -> BatchLoader:
        """Return the batches of the order's current epoch."""
        return self._loader("train", self.orders.train)

    def val_dataloader(self) -> BatchLoader:
        """Return all validation clips in their order."""
        return self._loader("val", self.orders.val)

    def _loader(self, side: str, order: BatchOrder) -> BatchLoader:
        return BatchLoader(self.sides[side], order, self.workers)


def is_resident(resident: Resident, size: int, device: torch.device, processes: int) -> bool:
    """Return whether `size` bytes must be, or with auto may be, in the device's memory."""
    if resident != "auto":
        return resident
    if device.type == "cuda":
        free = torch.cuda.mem_get_info(device)[0]
    else:
        free = psutil.virtual_memory().available // processes
    return size <= free * RESIDENT_SHARE
