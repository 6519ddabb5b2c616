"""What the metrics in metrics.json count, each against a count by hand."""

import pytest
import torch
from torch import Tensor, nn

from framemix.metrics.accuracy import confusion, parameter_counts
from framemix.metrics.direction import measure_direction
from tests.tiny_metrics import accuracies, of_drivers

# Six clips of seven classes. True class ranked: 1st, 2nd, 5th, 6th, 1st, 1st.
SEVEN = torch.tensor(
    [
        [0.40, 0.20, 0.15, 0.10, 0.08, 0.05, 0.02],
        [0.40, 0.20, 0.15, 0.10, 0.08, 0.05, 0.02],
        [0.40, 0.20, 0.15, 0.10, 0.08, 0.05, 0.02],
        [0.40, 0.20, 0.15, 0.10, 0.08, 0.05, 0.02],
        [0.02, 0.40, 0.20, 0.15, 0.10, 0.08, 0.05],
        [0.40, 0.20, 0.15, 0.10, 0.08, 0.05, 0.02],
    ]
)
LABELS = torch.tensor([0, 1, 4, 5, 1, 0])


def test_accuracies_agree_with_a_count_by_hand() -> None:
    metrics = accuracies(SEVEN, LABELS)
    assert metrics["top1"] == pytest.approx(3 / 6)
    assert metrics["top5"] == pytest.approx(5 / 6, abs=1e-6)
    # Class 0: 2 of 2, class 1: 1 of 2, classes 4 and 5: 0 of 1; 2, 3 and 6 have no clip.
    assert metrics["mean_class_accuracy"] == pytest.approx((1 + 0.5 + 0 + 0) / 4)


def test_of_equal_probabilities_all_metrics_take_the_same_class() -> None:
    even = torch.full((4, 20), 0.05)
    (taken,) = {int(row.argmax()) for row in confusion(even, torch.arange(4))[:4]}
    for label, hit in ((taken, 1.0), (taken + 1, 0.0)):
        labels = torch.full((4,), label % 20)
        metrics = accuracies(even, labels)
        assert (metrics["top1"], metrics["mean_class_accuracy"]) == (hit, hit)


def test_a_single_class_has_metrics_too() -> None:
    metrics = accuracies(torch.ones(3, 1), torch.zeros(3, dtype=torch.int64))
    assert metrics == {"top1": 1.0, "top5": 1.0, "mean_class_accuracy": 1.0}
    assert confusion(torch.ones(3, 1), torch.zeros(3, dtype=torch.int64)).tolist() == [[3]]


def test_with_fewer_than_five_classes_top5_takes_them_all() -> None:
    metrics = accuracies(torch.tensor([[0.7, 0.2, 0.1]] * 4), torch.tensor([0, 1, 2, 2]))
    assert metrics == {
        "top1": 0.25,
        "top5": 1.0,
        "mean_class_accuracy": pytest.approx(1 / 3, abs=1e-6),
    }


def test_metrics_are_plain_numbers_for_json() -> None:
    assert all(type(value) is float for value in accuracies(SEVEN, LABELS).values())


def test_confusion_counts_true_classes_down_and_predictions_across() -> None:
    counts = confusion(SEVEN, LABELS)
    assert counts.shape == (7, 7)
    assert counts.sum() == len(LABELS)
    assert counts.sum(1).tolist() == torch.bincount(LABELS, minlength=7).tolist()
    assert counts[1].tolist() == [1, 1, 0, 0, 0, 0, 0]
    assert counts.trace() / counts.sum() == accuracies(SEVEN, LABELS)["top1"]


def drivers(*p_drowsy: float) -> Tensor:
    """Probabilities of two classes, the second drowsy."""
    return torch.tensor([[1 - p, p] for p in p_drowsy])


def test_drowsy_accuracy_is_the_share_of_drowsy_clips_that_are_found() -> None:
    states = ["drowsy", "drowsy", "drowsy", "alert"]
    metrics = of_drivers(drivers(0.9, 0.8, 0.3, 0.95), states, 1)
    assert metrics["drowsy_accuracy"] == pytest.approx(2 / 3, abs=1e-6)


def test_auroc_is_the_share_of_pairs_in_the_right_order() -> None:
    # Pairs (drowsy, alert): 0.9 > 0.2, 0.9 > 0.6, 0.5 > 0.2, 0.5 < 0.6, 0.2 = 0.2, 0.2 < 0.6.
    states = ["drowsy", "alert", "drowsy", "alert", "drowsy"]
    metrics = of_drivers(drivers(0.9, 0.2, 0.5, 0.6, 0.2), states, 1)
    assert metrics["drowsy_vs_alert_auroc"] == pytest.approx((3 + 0.5) / 6, abs=1e-6)


def test_low_vigilant_clips_count_neither_as_drowsy_nor_as_alert() -> None:
    few = of_drivers(drivers(0.9, 0.2), ["drowsy", "alert"], 1)
    states = ["drowsy", "low_vigilant", "alert", "low_vigilant"]
    assert of_drivers(drivers(0.9, 0.99, 0.2, 0.01), states, 1) == few


@pytest.mark.parametrize(
    ("states", "accuracy"), [(["alert", "alert"], None), (["drowsy", "drowsy"], 0.5), ([], None)]
)
def test_what_cannot_be_computed_is_none(states: list[str], accuracy: float | None) -> None:
    probabilities = drivers(0.9, 0.2)[: len(states)]
    assert of_drivers(probabilities, states, 1) == {
        "drowsy_accuracy": accuracy,
        "drowsy_vs_alert_auroc": None,
    }


def test_only_parameters_that_are_trained_count_as_trainable() -> None:
    network = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))
    network[0].requires_grad_(False)
    assert parameter_counts(network) == {"parameters": 34, "trainable_parameters": 18}


# Clips of Left, Left, Right, Up and Still: two pairs, of which one has both classes.
PAIRS = {"Left": "Right", "Right": "Left", "Up": "Down", "Down": "Up"}
DIRECTIONS = torch.tensor(
    [
        [0.6, 0.3, 0.1, 0.0],  # the pair and the direction
        [0.3, 0.6, 0.1, 0.0],  # the pair alone
        [0.1, 0.2, 0.7, 0.0],  # the direction alone
        [0.7, 0.2, 0.1, 0.0],  # without a partner among the classes
        [0.1, 0.1, 0.1, 0.7],
    ]
)


def test_pair_and_direction_are_counted_apart_where_both_classes_are_known() -> None:
    labels = torch.tensor([0, 0, 1, 2, 3])
    evaluated = measure_direction(
        DIRECTIONS, labels, ["Left", "Right", "Up", "Still"], PAIRS, ["a", "b", "c", "d", "e"]
    )
    assert evaluated.metrics == {
        "pair_top1": pytest.approx(2 / 3, abs=1e-6),
        "direction": pytest.approx(2 / 3, abs=1e-6),
    }
    assert list(evaluated.clusters) == ["a", "b", "c"]


def test_without_reversed_classes_there_is_no_direction() -> None:
    evaluated = measure_direction(
        DIRECTIONS, torch.tensor([0, 0, 1, 2, 3]), list("abcd"), PAIRS, "abcde"
    )
    assert evaluated.metrics == {"pair_top1": None, "direction": None}
