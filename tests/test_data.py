"""What users may rely on when clips are read in batches: the stored bytes, in that order."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from framemix.errors import StoreError
from framemix.training.data import Batch, BatchLoader, ClipDataset, ordered_loader
from tests.tiny_store import ACTIONS, VARIANTS, clips, examples_of, make_store


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> ClipDataset:
    store = make_store(tmp_path_factory.mktemp("data") / "store")
    return ClipDataset(examples_of(store, "train"))


def test_a_batch_equals_its_clips_read_one_by_one(dataset: ClipDataset) -> None:
    places = [7, 0, 3, 3]
    batch, labels = dataset.__getitems__(places)
    assert batch.dtype == torch.uint8
    assert labels.dtype == torch.int64
    for row, place in enumerate(places):
        one, label = dataset.__getitems__([place])
        assert torch.equal(batch[row], one[0])
        assert labels[row] == label[0]


def test_a_clip_is_what_was_written_to_the_store(dataset: ClipDataset) -> None:
    for place, example in enumerate(dataset.examples):
        batch, labels = dataset.__getitems__([place])
        written = clips(ACTIONS.index(example.row.class_name), 6)[example.row.row]
        assert np.array_equal(batch[0].numpy(), written)
        assert ACTIONS[labels[0]] == example.row.class_name


def test_the_views_of_a_clip_follow_one_another(tmp_path: Path) -> None:
    store = make_store(tmp_path / "store", **VARIANTS)
    examples = examples_of(store, "train")
    views = ClipDataset(examples, views=2)
    assert len(views) == 2 * len(examples)
    batch, labels = views.__getitems__(list(range(len(views))))
    assert torch.equal(labels, views.labels)
    for place, (clip, label) in enumerate(zip(batch, labels, strict=True)):
        example, variant = examples[place // 2], place % 2
        assert label == example.label
        written = clips(example.label, 6 * 3)[example.row.row + variant]
        assert np.array_equal(clip.numpy(), written)


def test_batches_that_are_read_ahead_are_the_same(dataset: ClipDataset) -> None:
    places = [[3, 1, 4], [1, 5], [11, 2, 6, 5]]
    alone, ahead = (list(BatchLoader(dataset, places, workers)) for workers in (0, 2))
    assert len(alone) == len(ahead) == 3
    for (a, a_labels), (b, b_labels) in zip(alone, ahead, strict=True):
        assert torch.equal(a, b)
        assert torch.equal(a_labels, b_labels)


class Counted:
    """Counts the batches that were read; the one at `broken` cannot be."""

    def __init__(self, broken: int = -1) -> None:
        self.read: list[int] = []
        self.broken = broken

    def __getitems__(self, places: list[int]) -> Batch:
        self.read += places
        if self.broken in places:
            raise StoreError("has changed")
        return torch.tensor(places), torch.tensor(places)


def test_a_loader_reads_a_few_batches_ahead_and_none_that_nobody_wants() -> None:
    dataset = Counted()
    batches = iter(BatchLoader(dataset, [[place] for place in range(100)], 2))
    assert next(batches)[0].tolist() == [0]
    assert 1 < len(dataset.read) <= 5
    batches.close()  # type: ignore[attr-defined]
    assert sorted(dataset.read) == list(range(len(dataset.read)))
    assert len(dataset.read) <= 5


@pytest.mark.parametrize("workers", [0, 2])
def test_what_cannot_be_read_is_reported_in_its_turn(workers: int) -> None:
    batches = iter(BatchLoader(Counted(broken=1), [[0], [1], [2]], workers))
    assert next(batches)[0].tolist() == [0]
    with pytest.raises(StoreError, match="has changed"):
        next(batches)


@pytest.mark.parametrize("workers", [0, 2])
def test_ordered_loader_keeps_the_order_of_the_examples(dataset: ClipDataset, workers: int) -> None:
    labels = torch.cat([labels for _, labels in ordered_loader(dataset, 5, workers)])
    assert labels.tolist() == [example.label for example in dataset.examples]


def test_a_dataset_can_be_sent_to_another_process_after_reading(
    dataset: ClipDataset, tmp_path: Path
) -> None:
    before, _ = dataset.__getitems__([0])
    torch.save(dataset, tmp_path / "dataset.pt")
    copy = torch.load(tmp_path / "dataset.pt", weights_only=False)
    assert torch.equal(copy.__getitems__([0])[0], before)


@pytest.mark.parametrize("start", ["fork", "spawn"])
def test_a_dataset_that_was_read_can_be_read_by_processes_started_either_way(
    dataset: ClipDataset, start: str
) -> None:
    before = dataset.__getitems__([3, 0])
    loader = DataLoader(
        dataset,
        batch_sampler=[[3, 0], [0]],
        num_workers=1,
        multiprocessing_context=start,
        collate_fn=tuple,
    )
    (clips, labels), _ = loader
    assert clips.dtype == torch.uint8
    assert torch.equal(clips, before[0])
    assert torch.equal(labels, before[1])
    assert torch.equal(dataset.__getitems__([3, 0])[0], before[0])
