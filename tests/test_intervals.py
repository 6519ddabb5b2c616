"""What an interval promises: known figures, and no more certainty than there is."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchmetrics.functional.classification import (
    binary_auroc,
    binary_calibration_error,
    binary_sensitivity_at_specificity,
)

from framemix.metrics.intervals import Estimate, estimate, wilson
from framemix.metrics.measures import (
    Measure,
    Statistic,
    auroc,
    calibration_error,
    class_mean_measure,
    mean_class_accuracy,
    sensitivity_at,
    share,
    share_measure,
)
from tests.tiny_metrics import accuracies


def figure(statistic: Statistic, weights: list[float]) -> float:
    return float(statistic(np.array([weights], dtype=float))[0])


def by_bootstrap(statistic: Statistic, clusters: list[str]) -> Estimate | None:
    """The estimate of a figure of which nothing but its value for any weights is known."""
    return estimate(Measure("figure", statistic, len(clusters)), clusters)


# Newcombe 1998 (81 of 263, 15 of 148, 0 of 20, 1 of 29), Statistics in Medicine 17, table I.
@pytest.mark.parametrize(
    ("hits", "total", "low", "high"),
    [
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_gives_the_published_intervals(
    hits: int, total: int, low: float, high: float
) -> None:
    assert wilson(hits, total) == pytest.approx((low, high), abs=5e-5)


@given(st.integers(1, 500).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
@settings(deadline=None)
def test_wilson_holds_the_share_and_mirrors(counts: tuple[int, int]) -> None:
    hits, total = counts
    low, high = wilson(hits, total)
    assert 0 <= low <= hits / total <= high <= 1
    assert low < high
    mirrored = wilson(total - hits, total)
    assert (1 - mirrored[1], 1 - mirrored[0]) == pytest.approx((low, high))


@st.composite
def scored(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """Scores with ties, and which of them are positive: at least one on each side."""
    count = draw(st.integers(2, 30))
    scores = draw(st.lists(st.integers(0, 20), min_size=count, max_size=count))
    positive = draw(st.lists(st.booleans(), min_size=count, max_size=count))
    return np.array(scores) / 20, np.array([True, False, *positive[2:]])


@given(scored())
@settings(deadline=None)
def test_auroc_is_that_of_torchmetrics(case: tuple[np.ndarray, np.ndarray]) -> None:
    scores, positive = case
    expected = binary_auroc(torch.from_numpy(scores), torch.from_numpy(positive).long())
    found = figure(auroc(scores, positive), [1] * len(scores))
    assert found == pytest.approx(expected.item(), abs=1e-6)


@given(scored())
@settings(deadline=None)
def test_sensitivity_is_that_of_torchmetrics(case: tuple[np.ndarray, np.ndarray]) -> None:
    scores, positive = case
    expected, _ = binary_sensitivity_at_specificity(
        torch.from_numpy(scores), torch.from_numpy(positive).long(), min_specificity=0.95
    )
    found = figure(sensitivity_at(0.95, scores, positive), [1] * len(scores))
    assert found == pytest.approx(expected.item(), abs=1e-6)


@given(st.integers(0, 2**32 - 1), st.integers(1, 60))
@settings(deadline=None)
def test_calibration_error_is_that_of_torchmetrics(seed: int, clips: int) -> None:
    generator = np.random.default_rng(seed)
    scores, positive = generator.random(clips), generator.random(clips) < 0.5
    expected = binary_calibration_error(
        torch.from_numpy(scores), torch.from_numpy(positive).long(), n_bins=10
    )
    found = figure(calibration_error(scores, positive, 10), [1] * clips)
    assert found == pytest.approx(expected.item(), abs=1e-6)


def test_a_calibrated_score_has_no_error_and_a_sure_liar_all_of_it() -> None:
    positive = np.array([True, False, False, False] * 5)
    assert figure(calibration_error(np.full(20, 0.25), positive, 10), [1] * 20) == 0
    assert figure(calibration_error(1.0 - positive, positive, 10), [1] * 20) == 1


@given(st.integers(0, 2**32 - 1))
@settings(deadline=None)
def test_mean_class_accuracy_is_that_of_the_models_metrics(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    probabilities = torch.rand(12, 4, generator=generator).softmax(1)
    labels = torch.randint(0, 4, (12,), generator=generator)
    hits = (probabilities.argmax(1) == labels).numpy()
    found = figure(mean_class_accuracy(hits, labels.numpy()), [1] * 12)
    expected = accuracies(probabilities, labels)["mean_class_accuracy"]
    assert found == pytest.approx(expected, abs=1e-6)


@given(scored(), st.data())
@settings(deadline=None)
def test_a_weight_counts_as_so_many_copies_of_the_clip(
    case: tuple[np.ndarray, np.ndarray], data: st.DataObject
) -> None:
    scores, positive = case
    size = len(scores)
    weights = data.draw(st.lists(st.integers(0, 3), min_size=size, max_size=size))
    chosen = np.repeat(np.arange(size), weights)
    if len(set(positive[chosen].tolist())) < 2:
        return
    for make in (
        auroc,
        lambda s, p: sensitivity_at(0.95, s, p),
        lambda s, p: calibration_error(s, p, 10),
        lambda s, p: share(p),
    ):
        copies = figure(make(scores[chosen], positive[chosen]), [1] * len(chosen))
        assert figure(make(scores, positive), weights) == pytest.approx(copies)
    classes = (scores * 3).astype(np.int64)
    if set(classes) == set(classes[chosen]):
        copies = figure(mean_class_accuracy(positive[chosen], classes[chosen]), [1] * len(chosen))
        found = figure(mean_class_accuracy(positive, classes), weights)
        assert found == pytest.approx(copies)


def test_a_class_that_a_resample_lacks_does_not_move_the_mean_of_the_classes() -> None:
    hits, labels = np.array([True, False, True, False]), np.array([0, 0, 1, 2])
    assert figure(mean_class_accuracy(hits, labels), [1, 1, 1, 1]) == pytest.approx(1.5 / 3)
    assert figure(mean_class_accuracy(hits, labels), [1, 1, 2, 0]) == pytest.approx(1.5 / 3)
    assert figure(mean_class_accuracy(hits, labels), [0, 0, 0, 4]) == pytest.approx(1.5 / 3)


def test_the_mean_of_the_classes_is_as_sure_as_top1_where_classes_are_equally_large() -> None:
    # All taken for the first class: resamples of clips say nothing about the mean.
    labels, clusters = np.repeat(np.arange(4), 4), [str(i) for i in range(16)]
    found = estimate(class_mean_measure("mean_class_accuracy", labels == 0, labels), clusters)
    assert found is not None
    assert (found.value, found.interval) == (0.25, "Wilson of clips")
    assert (found.low, found.high) == pytest.approx(wilson(4, 16), abs=1e-6)


def test_small_classes_make_the_mean_of_the_classes_less_sure() -> None:
    labels = np.array([0] * 38 + [1] * 2)
    hits, clusters = labels == 0, [str(i) for i in range(40)]
    found = estimate(class_mean_measure("mean_class_accuracy", hits, labels), clusters)
    assert found is not None
    clips = 4 / (1 / 38 + 1 / 2)
    assert (found.low, found.high) == pytest.approx(wilson(clips / 2, clips), abs=1e-6)


def test_what_a_resample_does_not_define_is_nan_and_no_error() -> None:
    scores, positive = np.array([0.1, 0.9]), np.array([False, True])
    for statistic in (auroc(scores, positive), sensitivity_at(0.95, scores, positive)):
        assert np.isnan(statistic(np.array([[1.0, 0.0], [0.0, 1.0]]))).all()


@given(st.integers(0, 2**32 - 1), st.integers(40, 200), st.floats(0.15, 0.85))
@settings(max_examples=10, deadline=None)
def test_bootstrap_of_clusters_of_one_clip_agrees_with_wilson(
    seed: int, clips: int, chance: float
) -> None:
    hits = np.random.default_rng(seed).random(clips) < chance
    found = by_bootstrap(share(hits), [str(i) for i in range(clips)])
    assert found is not None
    low, high = wilson(hits.sum(), clips)
    assert (found.low, found.high) == pytest.approx((low, high), abs=0.06)


def test_alike_clips_of_a_cluster_count_no_more_than_one_of_them() -> None:
    generator = np.random.default_rng(0)
    right = generator.random(60) < 0.6
    once = estimate(share_measure("top1", right), [str(i) for i in range(60)])
    tenfold = estimate(
        share_measure("top1", np.repeat(right, 10)), [str(i // 10) for i in range(600)]
    )
    assert once is not None
    assert tenfold is not None
    assert tenfold.value == once.value
    assert (tenfold.low, tenfold.high) == pytest.approx((once.low, once.high), abs=0.03)
    assert (tenfold.clips, tenfold.clusters) == (600, 60)
    assert tenfold.interval == "bootstrap of clusters"


def test_clusters_that_are_all_alike_do_not_narrow_the_interval() -> None:
    hits, clusters = np.arange(80) % 2 > 0, [str(i // 2) for i in range(80)]
    found = by_bootstrap(share(hits), clusters)
    assert found is not None
    assert found.interval == "bootstrap of clips"
    assert (found.low, found.high) == pytest.approx(wilson(40, 80), abs=0.02)


@given(
    st.lists(st.tuples(st.booleans(), st.integers(0, 5)), min_size=1, max_size=40),
)
@settings(max_examples=30, deadline=None)
def test_an_interval_holds_its_metric_and_is_as_wide_as_wilsons(
    clips: list[tuple[bool, int]],
) -> None:
    hits = np.array([hit for hit, _ in clips])
    found = estimate(share_measure("top1", hits), [str(cluster) for _, cluster in clips])
    assert found is not None
    assert found.low is not None
    assert found.high is not None
    low, high = wilson(hits.sum(), len(hits))
    assert found.high - found.low >= high - low - 2e-6
    assert found.low - 1e-6 <= found.value <= found.high + 1e-6


@pytest.mark.parametrize("right", [True, False])
def test_all_right_and_all_wrong_are_as_sure_as_there_are_clusters(right: bool) -> None:
    found = estimate(share_measure("top1", np.full(30, right)), ["a", "b", "c"] * 10)
    assert found is not None
    assert (found.low, found.high) == pytest.approx(wilson(3 * right, 3), abs=1e-6)
    assert found.interval == "Wilson of clusters"


def test_a_resample_has_as_many_clusters_as_there_are() -> None:
    found = by_bootstrap(share(np.arange(10) < 5), [str(i) for i in range(10)])
    assert found is not None
    # The quantiles of a binomial distribution, of ten draws at 0.5.
    assert (found.low, found.high) == (0.2, 0.8)


def test_where_resamples_do_not_differ_there_is_no_interval() -> None:
    scores, positive = np.array([0.1, 0.2, 0.8, 0.9]), np.array([False, False, True, True])
    found = by_bootstrap(auroc(scores, positive), list("aabb"))
    assert found is not None
    assert (found.value, found.low, found.high, found.interval) == (1.0, None, None, "")


def test_without_clips_there_is_no_estimate() -> None:
    nothing = np.zeros(0, dtype=bool)
    assert estimate(share_measure("top1", nothing), []) is None
    assert by_bootstrap(share(nothing), []) is None


def test_the_same_clips_give_the_same_interval() -> None:
    hits, clusters = np.arange(20) % 3 > 0, [str(i % 7) for i in range(20)]
    assert estimate(share_measure("top1", hits), clusters) == estimate(
        share_measure("top1", hits), clusters
    )


def test_an_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    """Forty clusters of five clips whose chances differ: 95 % intervals of 200 such draws."""
    generator = np.random.default_rng(1)
    clusters = [str(i // 5) for i in range(200)]
    covered = 0
    for _ in range(200):
        chance = generator.beta(3, 2, 40).repeat(5)
        found = estimate(share_measure("top1", generator.random(200) < chance), clusters)
        assert found is not None
        assert found.low is not None
        assert found.high is not None
        covered += found.low <= 0.6 <= found.high
    assert 180 <= covered <= 200
