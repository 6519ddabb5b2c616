"""Labelled clips of mixed stores as batches."""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor
from torch.utils.data import Dataset, Sampler

from framemix.datasets.clips import Clip, Subset, clip_name
from framemix.errors import StoreError
from framemix.store import IndexRow, MixedStore

# Shapes: B clips of a batch.

Batch = tuple[Tensor, Tensor]
READY = 2  # batches that wait, besides those that are being read


@dataclass(frozen=True)
class Example:
    """A clip of a store, and the label that the network learns for it."""

    store: MixedStore
    row: IndexRow
    label: int


def examples_of(store: MixedStore, clips: Iterable[str]) -> list[Example]:
    """Return clips of a store with the store's labels. Raises StoreError for a missing clip."""
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


def split_examples(store: MixedStore, split: Sequence[Clip], subset: Subset) -> list[Example]:
    """Return the clips of one side of the split, with the labels of the store."""
    return examples_of(store, [clip_name(clip) for clip in split if clip.subset == subset])


class ClipDataset(Dataset[Batch]):
    """Reads whole batches: uint8 (B, *clip_shape of the store) and labels int64 (B,).

    It holds the first `views` variants of each example, one after another: the place of the first
    is the example's number times `views`. `pinned` clips are copied to a GPU while it computes.
    """

    def __init__(
        self, examples: Sequence[Example], views: int = 1, *, pinned: bool = False
    ) -> None:
        self.examples, self.views, self.pinned = list(examples), views, pinned

    def __len__(self) -> int:
        return len(self.examples) * self.views

    @property
    def labels(self) -> Tensor:
        """The labels of all places, int64 (len(self),)."""
        return labels_of(self.examples).repeat_interleave(self.views)

    def __getitems__(self, places: list[int]) -> Batch:
        """Return the clips at `places` as one batch."""
        chosen = [self.examples[place // self.views] for place in places]
        shape = (len(places), *self.examples[0].store.clip_shape)
        clips = torch.empty(shape, dtype=torch.uint8, pin_memory=self.pinned)
        for clip, example, place in zip(clips.numpy(), chosen, places, strict=True):
            example.store.read_into(clip, example.row, place % self.views)
        return clips, labels_of(chosen)


def labels_of(examples: Sequence[Example]) -> Tensor:
    """Return the labels in order, int64 (len(examples),)."""
    return torch.tensor([example.label for example in examples], dtype=torch.int64)


class BatchDataset(Protocol):
    """Clips at numbered places, several of which can be read as one batch."""

    def __getitems__(self, places: list[int]) -> Batch:
        """Return the clips at `places` as one batch."""


class BatchLoader:
    """Batches of clips in the order of `batches`; `workers` threads read ahead, 0 do not.

    torch's DataLoader has processes, whose clips are copied twice on their way to the process that
    trains. Threads are enough, because reading a clip releases Python's lock.
    """

    def __init__(
        self, dataset: BatchDataset, batches: Sampler[list[int]] | list[list[int]], workers: int
    ) -> None:
        self.dataset, self.batches, self.workers = dataset, batches, workers

    def __len__(self) -> int:
        return len(self.batches)  # type: ignore[arg-type]  # a Sampler need not have one; ours do

    def __iter__(self) -> Iterator[Batch]:
        read = self.dataset.__getitems__
        return self._ahead() if self.workers else map(read, self.batches)

    def _ahead(self) -> Iterator[Batch]:
        threads = ThreadPoolExecutor(self.workers)
        waiting: deque[Future[Batch]] = deque()
        try:
            for places in self.batches:
                waiting.append(threads.submit(self.dataset.__getitems__, places))
                if len(waiting) > self.workers + READY:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            threads.shutdown(cancel_futures=True)


def ordered_loader(dataset: ClipDataset, batch_size: int, workers: int) -> BatchLoader:
    """Return batches in the order of the dataset."""
    places = range(len(dataset))
    batches = [list(places[i : i + batch_size]) for i in range(0, len(places), batch_size)]
    return BatchLoader(dataset, batches, workers)
