"""Labelled clips of mixed stores as batches."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from framemix.datasets.records import LabelledVideo, SplitVideo, Subset
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


def split_examples(
    store: MixedStore, split: Sequence[SplitVideo | LabelledVideo], subset: Subset
) -> list[Example]:
    """Return the clips of one side of the split, with the labels of the store."""
    return examples_of(store, [video.video for video in split if video.subset == subset])


class ClipDataset(Dataset[Batch]):
    """Reads whole batches: uint8 (B, *clip_shape of the store) and labels int64 (B,).

    The first `views` variants of each example, one after the other: an example's number times
    `views` is the place of its first.
    """

    def __init__(self, examples: Sequence[Example], views: int = 1) -> None:
        self.examples, self.views = list(examples), views

    def __len__(self) -> int:
        return len(self.examples) * self.views

    @property
    def nbytes(self) -> int:
        """The size of all clips."""
        return len(self) * math.prod(self.examples[0].store.clip_shape)

    @property
    def labels(self) -> Tensor:
        """The labels of all places, int64 (len(self),)."""
        return labels_of(self.examples).repeat_interleave(self.views)

    def __getitems__(self, places: list[int]) -> Batch:
        """Return the clips at `places` as one batch."""
        chosen = [self.examples[place // self.views] for place in places]
        clips = [
            example.store.read([example.row], place % self.views)
            for example, place in zip(chosen, places, strict=True)
        ]
        return torch.from_numpy(np.concatenate(clips)), labels_of(chosen)


def labels_of(examples: Sequence[Example]) -> Tensor:
    """Return the labels in order, int64 (len(examples),)."""
    return torch.tensor([example.label for example in examples], dtype=torch.int64)


def ordered_loader(dataset: ClipDataset, batch_size: int, workers: int) -> DataLoader[Batch]:
    """Return batches in the order of the dataset."""
    places = range(len(dataset))
    batches = [list(places[i : i + batch_size]) for i in range(0, len(places), batch_size)]
    return batch_loader(dataset, batches, workers)


def batch_loader(
    dataset: Dataset[Batch], batches: Sampler[list[int]] | list[list[int]], workers: int
) -> DataLoader[Batch]:
    """Return the clips at those places, batch after batch; for CUDA, in pinned memory."""
    return DataLoader(
        dataset,
        batch_sampler=batches,
        num_workers=workers,
        collate_fn=_as_is,
        # What is on the device already cannot be pinned.
        pin_memory=torch.cuda.is_available() and isinstance(dataset, ClipDataset),
        persistent_workers=workers > 0,
    )


def _as_is(batch: Any) -> Any:
    return batch
