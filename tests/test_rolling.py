"""A window that slides is mixed exactly as if each window were mixed again."""

from typing import Any, get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from framemix.errors import MixingError
from framemix.mixing import Method, mix_frames
from framemix.mixing.rolling import RollingMix, RunningSums


def windows_of(video: np.ndarray, rolling: RollingMix) -> list[np.ndarray]:
    return [clip for frame in video if (clip := rolling.push(frame)) is not None]


@st.composite
def cases(draw: st.DrawFn) -> dict[str, Any]:
    frames = draw(st.integers(1, 40))
    return {
        "frames": frames,
        "step": draw(st.integers(1, 50)),
        "segments": draw(st.integers(1, frames)),
        "method": draw(st.sampled_from(get_args(Method))),
        "frames_per_segment": draw(st.one_of(st.just("all"), st.integers(1, 9))),
    }


@settings(deadline=None, max_examples=200)
@given(case=cases(), length=st.integers(0, 130), seed=st.integers(0, 9))
def test_every_window_equals_mixing_its_frames_again(
    case: dict[str, Any], length: int, seed: int
) -> None:
    video = np.random.default_rng(seed).integers(0, 256, (length, 2, 3, 1), np.uint8)
    rolled = windows_of(video, RollingMix(**case))
    frames, step = case.pop("frames"), case.pop("step")
    starts = range(0, length - frames + 1, step)
    assert len(rolled) == len(starts)
    for start, clip in zip(starts, rolled, strict=True):
        assert np.array_equal(clip, mix_frames(video[start : start + frames], **case))


def test_sums_that_wrapped_around_change_nothing() -> None:
    how: dict[str, Any] = {"segments": 3, "method": "linear", "frames_per_segment": "all"}
    video = np.random.default_rng(0).integers(100, 256, (12_000, 1, 2, 1), np.uint8)
    rolling = RollingMix(frames=30, step=1_000, **how)
    clips = windows_of(video, rolling)
    assert (np.arange(12_000, dtype=float) @ video[:, 0, 0, 0]) > 2**32  # the sum itself
    assert isinstance(rolling.mixer, RunningSums)
    assert rolling.mixer.dtype == np.uint32
    assert len(clips) == 12
    for number, clip in enumerate(clips):
        assert np.array_equal(clip, mix_frames(video[1_000 * number :][:30], **how))


def test_a_segment_longer_than_32_bits_hold_is_exact() -> None:
    how: dict[str, Any] = {"segments": 1, "method": "linear", "frames_per_segment": "all"}
    video = np.full((6000, 1, 1, 1), 255, np.uint8)
    (clip,) = windows_of(video, RollingMix(frames=6000, step=6000, **how))
    assert clip.item() == 255


@pytest.mark.parametrize("method", ["linear", "harmonic"])
def test_memory_does_not_grow_with_the_stream(method: Method) -> None:
    rolling = RollingMix(frames=20, step=4, segments=3, method=method, frames_per_segment="all")
    kept = []
    for _ in range(400):
        rolling.push(np.zeros((2, 2, 3), np.uint8))
        mixer = rolling.mixer
        kept.append(len(mixer.kept if isinstance(mixer, RunningSums) else mixer.recent))
    assert max(kept[100:]) == max(kept[:100])


def test_more_segments_than_frames_are_an_error() -> None:
    with pytest.raises(MixingError, match="segments = 9"):
        RollingMix(frames=8, step=1, segments=9, method="none", frames_per_segment="all")
