"""What users may rely on in what a model says that it was trained on."""

from typing import Any

import pytest

from framemix.datasets.clips import Clip
from framemix.datasets.origin import Origin
from framemix.training.record import Part, trained_on
from tests.tiny_store import mix_settings

OURS = Origin(name="ours", drawn=False)


def clip(number: int, subset: str, **changes: Any) -> Clip:
    known = {"class_name": "A", "group": f"g{number}", "frames": 100, "seconds": 4.0}
    return Clip(video=f"{number}", subset=subset, **known | changes)


def test_the_length_of_a_clip_is_the_median_of_what_is_mixed_of_train_clips() -> None:
    clips = [clip(number, "train", seconds=number + 3.0) for number in range(3)]
    parts = [Part(OURS, [*clips, clip(9, "val", seconds=90.0)], "dataset")]
    assert trained_on(parts, mix_settings()).clip_seconds == 4.0
    half = mix_settings(window={"frames": 50, "at": "start"})
    assert trained_on(parts, half).clip_seconds == 2.0


@pytest.mark.parametrize(("scope", "share"), [("class", 0.0), ("dataset", 0.5)])
def test_the_leak_share_is_of_groups_of_a_class_or_of_the_dataset(scope: Any, share: float) -> None:
    clips = [clip(1, "train"), clip(1, "val", class_name="B"), clip(2, "val")]
    assert trained_on([Part(OURS, clips, scope)], mix_settings()).leak_share == share


def test_equal_numbers_of_two_datasets_are_of_two_people() -> None:
    parts = [Part(OURS, [clip(1, side)], "dataset") for side in ("train", "val")]
    assert trained_on(parts, mix_settings()).leak_share == 0.0


def test_what_is_not_known_is_left_open() -> None:
    clips = [clip(1, side, group="", seconds=0.0, frames=0) for side in ("train", "val")]
    said = trained_on([Part(OURS, clips, "dataset")], mix_settings())
    assert (said.leak_share, said.clip_seconds) == (None, None)
    assert (said.train_clips, said.val_clips) == (1, 1)
