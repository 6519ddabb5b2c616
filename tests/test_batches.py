from collections import Counter
from itertools import chain

import numpy as np
import psutil
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from framemix.training.batches import BatchOrder, Orders, drawn_places, is_resident
from framemix.training.settings import Sampling
from tests.tiny_store import training_settings


def order(
    epoch: int = 0,
    *,
    seed: int = 0,
    first_batch: int = 0,
    clips: int = 23,
    sampling: Sampling = "uniform",
    variants: int = 1,
) -> BatchOrder:
    settings = training_settings(batch_size=4, sampling=sampling)
    batches = Orders.of([0] * clips, variants, 1, settings, seed).train
    batches.epoch, batches.first_batch = epoch, first_batch
    return batches


@pytest.mark.parametrize("sampling", ["uniform", "balanced"])
def test_order_depends_on_seed_and_epoch_alone(sampling: Sampling) -> None:
    first = list(order(3, seed=5, sampling=sampling))
    np.random.seed(1)
    torch.manual_seed(1)
    assert list(order(3, seed=5, sampling=sampling)) == first
    assert list(order(4, seed=5, sampling=sampling)) != first
    assert list(order(3, seed=6, sampling=sampling)) != first


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


@pytest.mark.parametrize("sampling", ["uniform", "balanced"])
def test_an_epoch_draws_a_variant_of_each_clip_and_leaves_their_order(sampling: Sampling) -> None:
    one, three = (
        [place for batch in order(5, sampling=sampling, variants=count) for place in batch]
        for count in (1, 3)
    )
    assert [place // 3 for place in three] == one
    assert len({place % 3 for place in three}) == 3
    assert three == [p for b in order(5, sampling=sampling, variants=3) for p in b]
    assert [p % 3 for p in three] != [
        p % 3 for b in order(6, sampling=sampling, variants=3) for p in b
    ]


def test_variants_are_drawn_as_often_as_one_another() -> None:
    drawn = chain(*(drawn_places([0] * 100, 4, "uniform", 0, epoch) for epoch in range(100)))
    counts = Counter(place % 4 for place in drawn)
    assert all(count == pytest.approx(2500, rel=0.1) for count in counts.values())


def test_with_one_variant_the_order_is_the_generators_permutation() -> None:
    expected = np.random.default_rng([3, 7]).permutation(20).tolist()
    assert drawn_places([0] * 20, 1, "uniform", 3, 7) == expected


def test_balanced_draws_take_each_class_as_often_whatever_its_number_of_clips() -> None:
    labels = [0] * 2 + [1] * 161 + [2] * 37
    drawn = chain(*(drawn_places(labels, 1, "balanced", 0, epoch) for epoch in range(50)))
    counts = Counter(labels[place] for place in drawn)
    assert sum(counts.values()) == 50 * len(labels)
    assert all(count == pytest.approx(10_000 / 3, rel=0.1) for count in counts.values())


@given(
    clips=st.integers(1, 30),
    batch_size=st.integers(1, 12),
    accumulate=st.integers(1, 4),
    ranks=st.integers(1, 4),
)
def test_parts_and_processes_share_the_clips_of_each_step_among_them(
    clips: int, batch_size: int, accumulate: int, ranks: int
) -> None:
    def share(rank: int, accumulate: int, ranks: int) -> BatchOrder:
        batches = BatchOrder(clips, batch_size, lambda epoch: range(clips), accumulate)
        batches.rank, batches.ranks = rank, ranks
        return batches

    shares = [share(rank, accumulate, ranks) for rank in range(ranks)]
    whole = list(share(0, 1, 1))
    parts = [list(batches) for batches in shares]
    assert {len(part) for part in parts} == {len(whole) * accumulate}
    for step, clips_of_step in enumerate(whole):
        taken, weight = [], 0.0
        for number in range(step * accumulate, (step + 1) * accumulate):
            assert shares[0].ends_step(number) == (number == (step + 1) * accumulate - 1)
            for part, batches in zip(parts, shares, strict=True):
                counted, of = batches.sizes(number)
                assert of == len(clips_of_step)
                assert len(part[number]) == max(counted, 1)
                taken += part[number][:counted]
                weight += counted * batches.parts / of
        assert sorted(taken) == sorted(clips_of_step)
        # Lightning divides by the parts of a step: what remains is the mean over its clips.
        assert weight / batches.parts == pytest.approx(1)


def test_auto_keeps_clips_in_memory_only_where_half_of_what_is_free_holds_them() -> None:
    cpu, free = torch.device("cpu"), psutil.virtual_memory().available
    assert is_resident("auto", free // 3, cpu, processes=1)
    assert not is_resident("auto", free // 3, cpu, processes=2)
    assert not is_resident("auto", 2 * free // 3, cpu, processes=1)
    assert is_resident(True, 2 * free, cpu, processes=1)
    assert not is_resident(False, 1, cpu, processes=1)
