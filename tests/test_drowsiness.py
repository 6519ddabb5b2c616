"""What the metrics of drowsiness count: paper A's, and others that a lazy model does not pass."""

from collections.abc import Sequence

import numpy as np
import pytest
import torch

from framemix.metrics.drowsiness import (
    DriverPrediction,
    by_subject,
    drowsiness_estimates,
    reliability,
)
from framemix.metrics.intervals import Estimate, wilson
from tests.tiny_metrics import of_drivers

NAMES = {
    "drowsy_accuracy",
    "drowsy_vs_alert_accuracy",
    "drowsy_vs_alert_auroc",
    "sensitivity_at_95_specificity",
    "calibration_error",
}


def drivers(
    *clips: tuple[str, str, float], called: Sequence[str] | None = None
) -> list[DriverPrediction]:
    """Clips as (subject, state, p(drowsy)); called drowsy from 0.5 on unless said otherwise."""
    return [
        DriverPrediction(
            clip=f"{subject}_{place}",
            subject=subject,
            state=state,
            predicted=called[place] if called else "drowsy" if p >= 0.5 else "alert",
            p_drowsy=p,
        )
        for place, (subject, state, p) in enumerate(clips)
    ]


FOUR = drivers(("1", "drowsy", 0.9), ("1", "alert", 0.7), ("2", "drowsy", 0.6), ("2", "alert", 0.1))


def metrics(found: Sequence[Estimate]) -> dict[str, float]:
    return {estimate.metric: estimate.value for estimate in found}


def test_metrics_agree_with_a_count_by_hand() -> None:
    found = metrics(drowsiness_estimates(FOUR))
    assert found.keys() == NAMES
    assert found["drowsy_accuracy"] == 1
    assert found["drowsy_vs_alert_accuracy"] == 0.75  # the alert clip at 0.7 is called drowsy
    assert found["drowsy_vs_alert_auroc"] == 0.75  # of four pairs, 0.6 < 0.7 is out of order
    assert found["sensitivity_at_95_specificity"] == 0.5  # the threshold must lie above 0.7
    assert found["calibration_error"] == pytest.approx((0.1 + 0.7 + 0.4 + 0.1) / 4)


def test_one_false_alarm_in_twenty_clips_is_allowed_and_two_are_not() -> None:
    alert = [("1", "alert", place / 100) for place in range(20)]  # the highest are 0.18 and 0.19
    drowsy = [("2", "drowsy", 0.185), ("2", "drowsy", 0.175)]
    found = metrics(drowsiness_estimates(drivers(*alert, *drowsy)))
    assert found["sensitivity_at_95_specificity"] == 0.5


def test_the_calibration_error_claims_no_interval() -> None:
    (found,) = (e for e in drowsiness_estimates(FOUR) if e.metric == "calibration_error")
    assert (found.low, found.high, found.interval) == (None, None, "")


@pytest.mark.parametrize("seed", range(6))
def test_metrics_that_a_models_own_stage_finds_too_are_the_same(seed: int) -> None:
    generator = np.random.default_rng(seed)
    states = [["drowsy", "alert", "low_vigilant"][i % 3] for i in range(600)]
    p = torch.from_numpy(generator.random(600)).float()  # as a network answers
    own = of_drivers(torch.stack([1 - p, p], 1), states, 1)
    said = drivers(
        *((str(i % 5), s, v) for i, (s, v) in enumerate(zip(states, p.tolist(), strict=True)))
    )
    found = metrics(drowsiness_estimates(said))
    for name in ("drowsy_accuracy", "drowsy_vs_alert_auroc"):
        assert found[name] == own[name]  # in metrics.json and in estimates.csv, to the last digit


def test_any_other_class_means_not_drowsy() -> None:
    """In paper A's task an alert face is any of UCF101's classes."""
    said = drivers(("1", "drowsy", 0.4), ("1", "alert", 0.1), called=["drowsy", "ApplyLipstick"])
    assert metrics(drowsiness_estimates(said))["drowsy_vs_alert_accuracy"] == 1


def test_a_model_that_calls_every_face_drowsy_is_found_out() -> None:
    said = drivers(*((str(i), state, 0.9) for i in range(8) for state in ("drowsy", "alert")))
    found = metrics(drowsiness_estimates(said))
    assert found["drowsy_accuracy"] == 1
    assert found["drowsy_vs_alert_accuracy"] == 0.5
    assert found["drowsy_vs_alert_auroc"] == 0.5
    assert found["sensitivity_at_95_specificity"] == 0


def test_low_vigilant_clips_are_left_out() -> None:
    more = [*FOUR, *drivers(("1", "low_vigilant", 0.99), ("9", "low_vigilant", 0.01))]
    assert drowsiness_estimates(more) == drowsiness_estimates(FOUR)
    assert by_subject(more) == by_subject(FOUR)
    assert reliability(more) == reliability(FOUR)


@pytest.mark.parametrize(
    ("clips", "names"),
    [
        ([("1", "alert", 0.2)], set()),
        ([("1", "drowsy", 0.2)], {"drowsy_accuracy"}),
        ([], set()),
    ],
)
def test_what_one_state_cannot_show_is_left_out(
    clips: list[tuple[str, str, float]], names: set[str]
) -> None:
    assert metrics(drowsiness_estimates(drivers(*clips))).keys() == names


def test_intervals_are_over_subjects() -> None:
    accuracy = {e.metric: e for e in drowsiness_estimates(FOUR)}["drowsy_vs_alert_accuracy"]
    assert (accuracy.clips, accuracy.clusters) == (4, 2)


def test_every_subject_has_a_row_that_adds_up() -> None:
    first, second = by_subject(FOUR)
    assert (first.subject, first.drowsy_found, first.alert_left_alone) == ("1", 1, 0)
    assert (second.drowsy_clips, second.alert_clips, second.accuracy) == (1, 1, 1.0)
    assert (first.low, first.high) == pytest.approx(wilson(1, 2), abs=1e-6)
    assert (first.p_drowsy_when_drowsy, first.p_drowsy_when_alert) == (0.9, 0.7)
    (alone,) = by_subject(drivers(("3", "alert", 0.2)))
    assert alone.p_drowsy_when_drowsy is None


def test_reliability_has_a_bin_where_there_are_clips_and_counts_each_once() -> None:
    said = drivers(
        ("1", "alert", 0.02), ("1", "alert", 0.04), ("2", "drowsy", 0.95), ("2", "drowsy", 1.0)
    )
    low, high = reliability(said)
    assert (low.clips, low.mean_p, low.share_drowsy) == (2, pytest.approx(0.03), 0)
    assert (high.clips, high.mean_p, high.share_drowsy) == (2, pytest.approx(0.975), 1)
    assert (high.low, high.high) == wilson(2, 2)
