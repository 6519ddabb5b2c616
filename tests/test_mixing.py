"""What users may rely on in frame mix-up: the paper's weights, exact arithmetic, the windows."""

from collections import Counter
from collections.abc import Iterator
from fractions import Fraction
from math import floor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from pydantic import ValidationError

from framemix.errors import MixingError
from framemix.mixing import (
    MixSettings,
    Window,
    mix_frames,
    mix_ranges,
    mix_stream,
    mix_windows,
    segment_weights,
)
from framemix.mixing.frames import drawn_windows

MEANS = ("none", "average", "linear", "harmonic", "last")
METHODS = (*MEANS, "rank_pool")
BLENDS = ("average", "linear", "harmonic")
methods = st.sampled_from(METHODS)
kept_frames = st.one_of(st.just("all"), st.integers(1, 9))


@st.composite
def videos(draw: st.DrawFn, frames: st.SearchStrategy[int] | None = None) -> np.ndarray:
    count = draw(frames if frames is not None else st.integers(1, 40))
    shape = (count, draw(st.integers(1, 3)), draw(st.integers(1, 3)), 3)
    return draw(npst.arrays(np.uint8, shape))


@st.composite
def videos_and_segments(draw: st.DrawFn) -> tuple[np.ndarray, int]:
    video = draw(videos())
    return video, draw(st.integers(1, len(video)))


def settings_with(**changes: object) -> MixSettings:
    values = {
        "method": "linear",
        "segments": 8,
        "frames_per_segment": "all",
        "window": "all",
        "variants": 1,
        "size": [60, 80],
        "fit": "squeeze",
        "pixel_format": "rgb24",
    }
    return MixSettings.model_validate(values | changes)


def rounded_half_up(value: Fraction) -> int:
    return floor(value + Fraction(1, 2))


def exact_mean(pixels: list[int], method: str) -> int:
    """The weighted mean in exact fractions, for one pixel of a segment's frames."""
    a = len(pixels)
    parts = {
        "average": [Fraction(1)] * a,
        "linear": [Fraction(j) for j in range(1, a + 1)],
        # Weights of 32 bits: beyond 16 frames they are rounded, the mean of them is exact.
        "harmonic": [
            Fraction(rounded_half_up(Fraction(720720, a + 1 - j))) for j in range(1, a + 1)
        ],
    }[method]
    total = sum((p * v for p, v in zip(parts, pixels, strict=True)), Fraction(0))
    return rounded_half_up(total / sum(parts))


def rank_weights(a: int) -> list[Fraction]:
    """Bilen et al. 2016, equation 2, in exact fractions."""
    harmonic = [sum((Fraction(1, i) for i in range(1, t + 1)), Fraction(0)) for t in range(a + 1)]
    return [2 * (a - t + 1) - (a + 1) * (harmonic[a] - harmonic[t - 1]) for t in range(1, a + 1)]


@pytest.mark.parametrize("method", MEANS)
@pytest.mark.parametrize("frames", [1, 2, 5, 48, 6000])
def test_weights_of_a_segment_sum_to_one(method, frames):
    weights = segment_weights(frames, method)
    assert weights.shape == (frames,)
    assert weights.dtype == np.float64
    assert weights.sum() == pytest.approx(1, abs=1e-12)
    assert (weights >= 0).all()
    assert weights[-1] == weights.max()


@pytest.mark.parametrize("frames", [1, 2, 7, 51, 400])
def test_harmonic_weights_fall_with_the_frames_to_the_end(frames):
    age = np.arange(frames, 0, -1)
    exact = (1 / age) / (1 / age).sum()
    assert np.allclose(segment_weights(frames, "harmonic"), exact, rtol=3e-4)


def test_harmonic_weights_keep_the_order_of_near_frames_visible_however_long_the_segment():
    for method, visible in (("harmonic", 1.5), ("linear", 1.1)):
        weights = segment_weights(51, method)
        ratio = weights[-3] / weights[-6]  # 2 and 5 frames before the end
        assert (ratio > visible) == (method == "harmonic")


@pytest.mark.parametrize("frames", [1, 2, 3, 7, 51, 200])
def test_rank_pooling_has_the_papers_weights_and_they_sum_to_zero(frames):
    weights = segment_weights(frames, "rank_pool")
    assert np.allclose(weights, [float(w) for w in rank_weights(frames)], atol=frames / 2**16)
    assert weights.sum() == 0


@pytest.mark.parametrize("kept", ["all", 3, 5])
def test_method_last_takes_the_latest_frame_of_each_window(kept):
    how = {"segments": 8, "frames_per_segment": kept}
    windows = mix_windows(59, method="average", **how)
    video = np.random.default_rng(0).integers(0, 256, (59, 2, 2, 3), np.uint8)
    latest = [window[-1] for window in windows]
    assert [list(w) for w in mix_windows(59, method="last", **how)] == [[n] for n in latest]
    assert np.array_equal(mix_frames(video, method="last", **how), video[latest])
    if kept == "all":
        assert latest == [(i + 1) * 59 // 8 - 1 for i in range(8)]


@given(videos(st.integers(2, 40)))
@settings(max_examples=60, deadline=None)
def test_rank_pooling_spreads_what_changes_around_the_middle(video):
    (mixed,) = mix_frames(video, segments=1, method="rank_pool", frames_per_segment="all")
    signed = np.tensordot([float(w) for w in rank_weights(len(video))], video.astype(float), 1)
    still = (video == video[0]).all(0)
    assert (mixed[still] == 128).all()
    if not still.all() and abs(signed).max() > 1:
        expected = 128 + 107 * signed / abs(signed).max()
        assert abs(mixed - expected).max() <= 0.51
        assert abs(mixed.astype(int) - 128).max() == 107


def test_rank_pooling_of_a_single_frame_shows_no_change():
    video = np.random.default_rng(0).integers(0, 256, (8, 2, 2, 3), np.uint8)
    assert (
        mix_frames(video, segments=8, method="rank_pool", frames_per_segment="all") == 128
    ).all()


def test_rank_pooling_does_not_overflow_in_long_segments():
    video = np.zeros((6000, 1, 2, 3), np.uint8)
    video[3000:, :, 0] = 255
    (mixed,) = mix_frames(video, segments=1, method="rank_pool", frames_per_segment="all")
    assert mixed[0, 0].tolist() == [235] * 3
    assert mixed[0, 1].tolist() == [128] * 3


def test_rank_pooling_keeps_colour_planes_that_do_not_change_neutral():
    planes = np.full((14, 12, 8), 128, np.uint8)  # uint8 (3H/2, W): Y above, U and V below
    planes[:, :8] = np.random.default_rng(0).integers(16, 236, (14, 8, 8))
    mixed = mix_frames(planes, segments=2, method="rank_pool", frames_per_segment="all")
    assert (mixed[:, 8:] == 128).all()
    assert mixed.min() >= 16
    assert mixed.max() <= 235


@pytest.mark.parametrize(("frames", "step"), [(5, 0.0667), (48, 0.00085)])
def test_linear_weights_rise_by_the_steps_that_the_paper_quotes(frames, step):
    steps = np.diff(segment_weights(frames, "linear"))
    assert np.allclose(steps, steps[0], atol=1e-15)
    assert float(f"{steps[0]:.2g}" if step < 0.001 else f"{steps[0]:.3g}") == step
    assert segment_weights(frames, "linear")[0] == pytest.approx(steps[0])


@pytest.mark.parametrize("method", MEANS)
def test_a_single_frame_has_weight_one(method):
    assert segment_weights(1, method).tolist() == [1.0]


@pytest.mark.parametrize("method", BLENDS)
@given(videos())
@settings(max_examples=60, deadline=None)
def test_a_mixed_pixel_is_the_exact_weighted_mean_rounded_half_up(method, video):
    (mixed,) = mix_frames(video, segments=1, method=method, frames_per_segment="all")
    for place in np.ndindex(video.shape[1:]):
        assert mixed[place] == exact_mean(video[(slice(None), *place)].tolist(), method)


@pytest.mark.parametrize(
    ("pixels", "method", "expected"),
    [
        ([0, 1], "average", 1),
        ([1, 2], "average", 2),
        ([0, 0, 1], "linear", 1),
        ([1, 0, 0], "linear", 0),
    ],
)
def test_a_half_is_rounded_up(pixels, method, expected):
    video = np.array(pixels, np.uint8).reshape(-1, 1, 1, 1)
    mixed = mix_frames(video, segments=1, method=method, frames_per_segment="all")
    assert mixed.item() == expected


@pytest.mark.parametrize("method", BLENDS)
@pytest.mark.parametrize("frames", [256, 257, 258, 361, 362, 6000, 9000])
@pytest.mark.parametrize("value", [254, 255])
def test_long_segments_do_not_overflow(method, frames, value):
    video = np.full((frames, 1, 2, 3), value, np.uint8)
    video[-1] = 255
    mixed = mix_frames(video, segments=1, method=method, frames_per_segment="all")
    assert (mixed == exact_mean(video[:, 0, 0, 0].tolist(), method)).all()


@pytest.mark.parametrize("method", BLENDS)
@pytest.mark.parametrize("frames", [21, 22, 23, 44, 45, 66, 67, 256, 257, 258, 514, 515])
def test_segments_of_any_length_are_exact(method, frames):
    video = np.random.default_rng(frames).integers(0, 256, (2 * frames, 1, 2, 3), np.uint8)
    mixed = mix_frames(video, segments=2, method=method, frames_per_segment="all")
    for segment, *place in np.ndindex(mixed.shape):
        pixels = video[segment * frames : (segment + 1) * frames, *place].tolist()
        assert mixed[segment, *place] == exact_mean(pixels, method)


@given(videos_and_segments(), methods, kept_frames)
@settings(max_examples=60, deadline=None)
def test_a_stream_mixes_to_the_same_frames_as_the_whole_video(drawn, method, kept):
    video, segments = drawn
    whole = mix_frames(video, segments=segments, method=method, frames_per_segment=kept)
    stream = mix_stream(
        iter(video), total=len(video), segments=segments, method=method, frames_per_segment=kept
    )
    assert np.array_equal(whole, np.stack(list(stream)))
    assert whole.dtype == np.uint8
    assert whole.shape == (segments, *video.shape[1:])


@given(videos_and_segments(), kept_frames, st.sampled_from(BLENDS))
@settings(max_examples=60, deadline=None)
def test_each_mixed_frame_is_the_mean_of_its_own_window(drawn, kept, method):
    video, segments = drawn
    mixed = mix_frames(video, segments=segments, method=method, frames_per_segment=kept)
    windows = mix_windows(len(video), segments=segments, method=method, frames_per_segment=kept)
    for frame, window in zip(mixed, windows, strict=True):
        assert frame[0, 0, 0] == exact_mean(
            video[window.start : window.stop, 0, 0, 0].tolist(), method
        )


@given(st.integers(1, 400), st.data())
def test_segments_cut_the_video_into_stretches_without_gap_or_overlap(total, data):
    segments = data.draw(st.integers(1, total))
    windows = mix_windows(total, segments=segments, method="average", frames_per_segment="all")
    assert [frame for window in windows for frame in window] == list(range(total))
    sizes = {len(window) for window in windows}
    assert max(sizes) - min(sizes) <= 1


@given(st.integers(1, 300), st.data(), st.integers(1, 20))
def test_a_window_of_n_frames_lies_in_the_middle_of_its_segment(total, data, wanted):
    segments = data.draw(st.integers(1, total))
    windows = mix_windows(total, segments=segments, method="average", frames_per_segment=wanted)
    whole = mix_windows(total, segments=segments, method="average", frames_per_segment="all")
    for i, (window, segment) in enumerate(zip(windows, whole, strict=True)):
        assert len(window) == min(wanted, len(segment))
        before, after = window.start - segment.start, segment.stop - window.stop
        assert after - before in ((0, 1) if 2 * i < segments else (0, -1))


@given(st.integers(1, 300), st.data(), st.text())
def test_a_drawn_frame_lies_in_its_segment_and_its_key_draws_it_again(total, data, key):
    segments = data.draw(st.integers(1, total))
    drawn = drawn_windows(total, segments=segments, key=key)
    whole = mix_windows(total, segments=segments, method="average", frames_per_segment="all")
    assert all(len(one) == 1 and one[0] in of for one, of in zip(drawn, whole, strict=True))
    assert drawn == drawn_windows(total, segments=segments, key=key)


def test_draws_are_the_same_on_every_machine_and_reach_every_frame():
    draws = [drawn_windows(40, segments=8, key=f"clip {number}") for number in range(200)]
    assert [one[0] for one in draws[0]] == [3, 9, 14, 16, 24, 29, 31, 36]
    for segment in zip(*draws, strict=True):
        counts = Counter(one[0] for one in segment)
        assert len(counts) == 5
        assert min(counts.values()) >= 10


def test_method_random_is_method_none_where_nothing_is_drawn():
    for kept in ("all", 3):
        how = {"segments": 8, "frames_per_segment": kept}
        assert mix_windows(45, method="random", **how) == mix_windows(45, method="none", **how)


def test_method_none_takes_the_middle_frame_whatever_frames_per_segment_says():
    one = mix_windows(40, segments=8, method="average", frames_per_segment=1)
    for kept in ("all", 3, 5):
        assert mix_windows(40, segments=8, method="none", frames_per_segment=kept) == one
    assert [window.start for window in one] == [2, 7, 12, 17, 22, 27, 32, 37]


def test_with_a_segment_a_frame_method_none_returns_the_video_itself():
    video = np.random.default_rng(0).integers(0, 256, (15, 2, 3, 3), np.uint8)
    mixed = mix_frames(video, segments=15, method="none", frames_per_segment="all")
    assert np.array_equal(mixed, video)


@pytest.mark.parametrize("kept", ["all", 3, 5])
@pytest.mark.parametrize("method", [method for method in METHODS if method != "last"])
@given(half=st.integers(1, 8), length=st.integers(1, 30))
def test_a_reversed_video_has_mirrored_windows_where_an_even_number_of_segments_divides_it(
    method, kept, half, length
):
    segments, total = 2 * half, 2 * half * length
    windows = mix_windows(total, segments=segments, method=method, frames_per_segment=kept)
    mirrored = [range(total - w.stop, total - w.start) for w in reversed(windows)]
    assert mirrored == windows


@given(segments=st.integers(1, 8), length=st.integers(1, 6), seed=st.integers(0, 999))
@settings(deadline=None)
def test_average_of_all_frames_of_a_reversed_video_is_the_exact_mirror(segments, length, seed):
    video = np.random.default_rng(seed).integers(0, 256, (segments * length, 2, 2, 3), np.uint8)
    forward, backward = (
        mix_frames(v, segments=segments, method="average", frames_per_segment="all")
        for v in (video, video[::-1])
    )
    assert np.array_equal(backward, forward[::-1])


@pytest.mark.parametrize("method", ["linear", "harmonic"])
def test_rising_weights_distinguish_a_video_from_its_reverse(method):
    video = np.linspace(0, 255, 40).astype(np.uint8).reshape(40, 1, 1, 1).repeat(3, axis=3)
    forward, backward = (
        mix_frames(v, segments=4, method=method, frames_per_segment="all")
        for v in (video, video[::-1])
    )
    assert not np.array_equal(backward, forward[::-1])
    assert (forward[:, 0, 0, 0] > backward[::-1, 0, 0, 0]).all()


@given(st.integers(1, 60), st.data(), methods, kept_frames)
@settings(deadline=None)
def test_no_frame_behind_the_last_needed_is_taken(total, data, method, kept):
    segments = data.draw(st.integers(1, total))
    taken = []

    def frames() -> Iterator[np.ndarray]:
        for number in range(total):
            taken.append(number)
            yield np.zeros((1, 1, 3), np.uint8)

    how = {"segments": segments, "method": method, "frames_per_segment": kept}
    list(mix_stream(frames(), total=total, **how))
    assert len(taken) == mix_windows(total, **how)[-1].stop


def test_a_mixed_frame_comes_as_soon_as_its_segment_is_read():
    taken = []
    video = (taken.append(i) or np.zeros((1, 1, 3), np.uint8) for i in range(30))
    stream = mix_stream(video, total=30, segments=3, method="average", frames_per_segment="all")
    next(stream)
    assert len(taken) == 10


def test_the_frames_given_are_left_as_they_are():
    video = np.random.default_rng(1).integers(0, 256, (12, 2, 2, 3), np.uint8)
    before = video.copy()
    for method in METHODS:
        mixed = mix_frames(video, segments=12, method=method, frames_per_segment="all")
        mixed[:] = 0
    assert np.array_equal(video, before)


def test_more_segments_than_frames_are_refused():
    video = np.zeros((7, 1, 1, 3), np.uint8)
    with pytest.raises(MixingError, match=r"^segments = 8: more than the 7 frames"):
        mix_frames(video, segments=8, method="average", frames_per_segment="all")


@pytest.mark.parametrize("present", [0, 1, 9, 10, 19])
def test_a_stream_that_ends_before_its_promised_frames_is_refused(present):
    video = np.zeros((present, 1, 1, 3), np.uint8)
    stream = mix_stream(video, total=20, segments=2, method="linear", frames_per_segment="all")
    with pytest.raises(MixingError, match=r"end before frame \d+ of 20"):
        list(stream)


@pytest.mark.parametrize(
    ("window", "span"),
    [
        ("all", (0, 301)),
        ({"frames": 150, "at": "start"}, (0, 150)),
        ({"frames": 150, "at": "centre"}, (75, 150)),
        ({"frames": 301, "at": "centre"}, (0, 301)),
    ],
)
def test_the_window_is_where_the_settings_put_it(window, span):
    assert settings_with(window=window).span(301) == span


def test_a_window_longer_than_the_video_is_refused_with_both_numbers():
    with pytest.raises(MixingError, match=r"^window\.frames = 150: .* 149 frames"):
        settings_with(window=Window(frames=150, at="start")).span(149)


def test_ranges_that_overlap_mix_as_each_alone_in_one_pass():
    taken = []
    video = np.random.default_rng(0).integers(0, 256, (60, 2, 2, 3), np.uint8)
    stream = (taken.append(number) or frame for number, frame in enumerate(video))
    ranges = [range(20, 50), range(3, 4), range(0, 31), range(20, 50), range(49, 51)]
    for method in METHODS:
        taken.clear()
        mixed = list(mix_ranges(stream, ranges, total=60, method=method))
        assert [ranges[place].stop for place, _ in mixed] == [4, 31, 50, 50, 51]
        for place, frame in mixed:
            alone = video[ranges[place].start : ranges[place].stop]
            expected = mix_frames(alone, segments=1, method=method, frames_per_segment="all")
            if method not in ("none", "last"):  # of which mix_frames takes one frame
                assert np.array_equal(frame, expected[0])
        assert taken == list(range(51))
        stream = (taken.append(number) or frame for number, frame in enumerate(video))


def test_ranges_that_end_behind_the_frames_are_refused():
    video = np.zeros((20, 1, 1, 3), np.uint8)
    ranges = [range(25), range(3, 22), range(10)]
    with pytest.raises(MixingError, match=r"end before frame 22 of 25"):
        list(mix_ranges(video, ranges, total=25, method="average"))


# Variants


placed = st.sampled_from(["start", "centre"])


def starts(frames: int, length: int, variants: int, at: str) -> list[int]:
    return settings_with(window={"frames": length, "at": at}, variants=variants).starts(frames)


@given(st.integers(8, 99), st.integers(0, 300), st.integers(1, 20), placed)
def test_the_first_variant_is_the_window_and_all_lie_within_the_video(length, spare, count, at):
    found = starts(length + spare, length, count, at)
    assert len(found) == count
    assert found[0] == starts(length + spare, length, 1, at)[0] == (spare // 2) * (at == "centre")
    assert all(0 <= start <= spare for start in found)


@given(st.integers(8, 99), st.integers(0, 300), st.integers(2, 20), placed)
def test_variants_lie_evenly_over_the_whole_video(length, spare, count, at):
    found = sorted(starts(length + spare, length, count, at))
    gaps = np.diff(found)
    assert found[-1] == spare
    if at == "start" or count % 2:
        assert found[0] == 0
        assert gaps.max() - gaps.min() <= 1
    else:  # no window is in the centre: one of the two beside it is moved there
        step = spare / (count - 1)
        assert gaps.max() <= 1.5 * step + 1
        assert gaps.min() >= step / 2 - 1


@given(st.integers(8, 99), st.integers(0, 40), st.integers(1, 50), placed)
def test_variants_coincide_only_where_a_video_has_fewer_places(length, spare, count, at):
    found = starts(length + spare, length, count, at)
    assert len(set(found)) == min(count, spare + 1)


@given(st.integers(8, 99), st.integers(0, 300), st.integers(3, 12), placed, st.data())
def test_the_first_few_variants_are_as_far_apart_as_any_next_one_can_be(
    length, spare, count, at, data
):
    found = starts(length + spare, length, count, at)
    few = data.draw(st.integers(1, count - 1))
    away = [min(abs(start - one) for one in found[:few]) for start in found[few:]]
    assert away[0] == max(away)


@pytest.mark.parametrize(
    ("at", "expected"),
    [("start", [0, 100, 50, 25, 75]), ("centre", [50, 0, 100, 25, 75])],
)
def test_five_variants_of_250_frames_start_at(at, expected):
    assert starts(250, 150, 5, at) == expected


@pytest.mark.parametrize(
    "change",
    [
        {"variants": 0},
        {"variants": 2},  # of the whole video there is but one, unless frames are drawn
        {"segments": 0},
        {"segments": 10**18},
        {"segments": 10**5, "size": (8000, 8000)},
        {"frames_per_segment": 10**18},
        {"window": {"frames": 10**18, "at": "start"}},
        {"variants": 10**18, "window": {"frames": 150, "at": "start"}},
        {"size": (10**9, 60)},
        {"method": "mean"},
        {"frames_per_segment": 0},
        {"frames_per_segment": "some"},
        {"window": {"frames": 150}},
        {"size": [60]},
        {"size": [1, 80]},
        {"fit": "stretch"},
        {"pixel_format": "gray"},
        {"pixel_format": "yuv420p", "size": [61, 80]},
        {"pixel_format": "yuv420p", "size": [60, 81]},
        {"speed": 2},
    ],
)
def test_mix_settings_refuse_what_cannot_be_mixed(change):
    with pytest.raises(ValidationError):
        settings_with(**change)


def test_of_a_whole_video_method_random_has_many_variants():
    assert settings_with(method="random", variants=5).starts(150) == [0] * 5


@pytest.mark.parametrize(("pixel_format", "shape"), [("rgb24", (60, 80, 3)), ("yuv420p", (90, 80))])
def test_the_pixel_format_decides_a_frames_shape(pixel_format, shape):
    assert settings_with(pixel_format=pixel_format).frame_shape == shape
