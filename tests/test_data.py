from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from framemix.training.data import BatchOrder, ClipDataset, ordered_loader, training_loader
from tests.tiny_store import ACTIONS, clips, examples_of, make_store


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> ClipDataset:
    store = make_store(tmp_path_factory.mktemp("data") / "store")
    return ClipDataset(examples_of(store, "train"))


def order(epoch: int = 0, *, seed: int = 0, first_batch: int = 0, clips: int = 23) -> BatchOrder:
    batches = BatchOrder(clips, 4, seed)
    batches.epoch, batches.first_batch = epoch, first_batch
    return batches


def test_order_depends_on_seed_and_epoch_alone() -> None:
    first = list(order(3, seed=5))
    np.random.seed(1)
    torch.manual_seed(1)
    assert list(order(3, seed=5)) == first
    assert list(order(4, seed=5)) != first
    assert list(order(3, seed=6)) != first


def test_order_of_an_epoch_does_not_depend_on_earlier_epochs() -> None:
    batches = order()
    for epoch in (0, 1, 2):
        batches.epoch = epoch
        seen = list(batches)
    assert seen == list(order(2))


@pytest.mark.parametrize("count", [1, 4, 23, 24])
def test_each_epoch_takes_every_clip_once(count: int) -> None:
    batches = list(order(7, clips=count))
    assert sorted(place for batch in batches for place in batch) == list(range(count))
    assert [len(batch) for batch in batches[:-1]] == [4] * (len(batches) - 1)
    assert len(batches) == len(order(clips=count))


def test_first_batch_skips_exactly_the_batches_behind_it_once() -> None:
    whole, resumed = list(order(2)), order(2, first_batch=4)
    assert list(resumed) == whole[4:]
    assert list(resumed) == whole


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


def test_worker_processes_give_the_same_batches(dataset: ClipDataset) -> None:
    for epoch in (0, 1):
        alone = list(training_loader(dataset, order(epoch, clips=len(dataset)), 0))
        shared = list(training_loader(dataset, order(epoch, clips=len(dataset)), 2))
        assert len(alone) == len(shared) == 3
        for (a, a_labels), (b, b_labels) in zip(alone, shared, strict=True):
            assert torch.equal(a, b)
            assert torch.equal(a_labels, b_labels)


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
        num_workers=2,
        multiprocessing_context=start,
        collate_fn=tuple,
    )
    (clips, labels), _ = loader
    assert clips.dtype == torch.uint8
    assert torch.equal(clips, before[0])
    assert torch.equal(labels, before[1])
    assert torch.equal(dataset.__getitems__([3, 0])[0], before[0])
