"""Labelled clips of mixed stores as batches for training, in an order that can be resumed."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from framemix.datasets.records import SplitVideo, Subset
from framemix.errors import StoreError
from framemix.store import IndexRow, MixedStore

# Shapes: B clips of a batch.

Batch = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class Example:
    """A clip of a store and the label that the network shall learn for it."""

    store: MixedStore
    row: IndexRow
    label: int


def examples_of(store: MixedStore, clips: Iterable[str]) -> list[Example]:
    """Return those clips of a store, labelled as there. Raises StoreError for one it lacks."""
    rows = {row.clip: row for row in store.index}
    try:
        return [Example(store, rows[clip], rows[clip].label) for clip in clips]
    except KeyError as error:
        raise StoreError(
            f"{store.folder}: has no clip {error.args[0]!r}, which the split names; "
            f"allowed: a store and a split made from the same table"
        ) from None


def class_names(store: MixedStore) -> list[str]:
    """Return the classes of a store in the order of their labels."""
    names = {row.label: row.class_name for row in store.index}
    return [names[label] for label in sorted(names)]


def split_examples(store: MixedStore, split: Sequence[SplitVideo], subset: Subset) -> list[Example]:
    """Return the clips of one side of the split, with the labels of the store."""
    return examples_of(store, [video.video for video in split if video.subset == subset])


class ClipDataset(Dataset[Batch]):
    """Reads whole batches: uint8 (B, *clip_shape of the store) and labels int64 (B,)."""

    def __init__(self, examples: Sequence[Example]) -> None:
        self.examples = list(examples)

    def __len__(self) -> int:
        return len(self.examples)

    def __getitems__(self, places: list[int]) -> Batch:
        """Return the clips at `places` as one batch."""
        chosen = [self.examples[place] for place in places]
        clips = np.concatenate([example.store.read([example.row]) for example in chosen])
        return torch.from_numpy(clips), labels_of(chosen)


class BatchOrder(Sampler[list[int]]):
    """A new random order in each epoch that depends on seed and epoch alone.

    Set `epoch` before each one: Lightning does so only for samplers of single clips.
    `first_batch` skips what an interrupted epoch has behind it, once.
    """

    def __init__(self, clips: int, batch_size: int, seed: int) -> None:
        self.clips, self.batch_size, self.seed = clips, batch_size, seed
        self.epoch = self.first_batch = 0

    def __len__(self) -> int:
        return -(-self.clips // self.batch_size)

    def __iter__(self) -> Iterator[list[int]]:
        order = np.random.default_rng([self.seed, self.epoch]).permutation(self.clips).tolist()
        first, self.first_batch = self.first_batch, 0
        for batch in range(first, len(self)):
            yield order[batch * self.batch_size : (batch + 1) * self.batch_size]


def labels_of(examples: Sequence[Example]) -> Tensor:
    """Return the labels in order, int64 (len(examples),)."""
    return torch.tensor([example.label for example in examples], dtype=torch.int64)


def training_loader(dataset: ClipDataset, order: BatchOrder, workers: int) -> DataLoader[Batch]:
    """Return batches in the order of `order`."""
    return _loader(dataset, order, workers)


def ordered_loader(dataset: ClipDataset, batch_size: int, workers: int) -> DataLoader[Batch]:
    """Return batches in the order of the dataset."""
    places = range(len(dataset))
    batches = [list(places[i : i + batch_size]) for i in range(0, len(places), batch_size)]
    return _loader(dataset, batches, workers)


def _loader(
    dataset: ClipDataset, batches: Sampler[list[int]] | list[list[int]], workers: int
) -> DataLoader[Batch]:
    return DataLoader(
        dataset,
        batch_sampler=batches,
        num_workers=workers,
        collate_fn=_as_is,
        pin_memory=torch.cuda.is_available(),
        persistent_workers=workers > 0,
    )


def _as_is(batch: Any) -> Any:
    return batch
