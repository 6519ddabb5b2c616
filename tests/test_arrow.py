"""What users may rely on in the study's sample: nothing but time tells its classes apart."""

from pathlib import Path

import numpy as np
import pytest

from framemix.datasets.sample.arrow import (
    CLASSES,
    SIDE,
    ArrowClip,
    ArrowSettings,
    render_arrow,
)
from framemix.jobs.cluster import Cluster
from framemix.video.reading import opened, stream_frames
from framemix.video.writing import video_writer
from tests.listing import count_frames, shared_workers

SETTINGS = ArrowSettings(seed=0, train=3, val=1, test=2, frames=24)
PAIRS = [("MoveRight", "MoveLeft"), ("MoveDown", "MoveUp"), ("Grow", "Shrink"), ("Open", "Close")]


def clip(class_name: str, number: int, frames: int = 24) -> np.ndarray:
    settings = SETTINGS.model_copy(update={"frames": frames})
    drawn = ArrowClip(settings, "train", class_name, number)
    return np.stack([frame.copy() for frame in drawn.frames()])


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("arrow") / "short"
    render_arrow(root, SETTINGS, Cluster(1))
    return root


def decoded(path: Path) -> np.ndarray:
    return np.stack(list(stream_frames(path, size=(SIDE, SIDE), fit="squeeze")))


def test_every_class_has_as_many_clips_in_each_subset(rendered: Path) -> None:
    assert {name for pair in PAIRS for name in pair} == set(CLASSES)
    for name in CLASSES:
        found = [len(list((rendered / s / name).glob("*.avi"))) for s in ("train", "val", "test")]
        assert found == [3, 1, 2]


def test_every_other_clip_has_a_length_that_eight_segments_do_not_divide(rendered: Path) -> None:
    for name in CLASSES:
        lengths = [count_frames(file) for file in sorted((rendered / "train" / name).iterdir())]
        assert lengths == [24, 25, 24]
    odd = {len(clip("Grow", number)) for number in range(1, 31, 2)}
    assert odd == {25, 26, 27, 28, 29, 30, 31}


def test_the_same_settings_render_the_same_bytes(rendered: Path, tmp_path: Path) -> None:
    render_arrow(tmp_path / "again", SETTINGS, shared_workers())
    files = sorted(path.relative_to(rendered) for path in rendered.rglob("*.avi"))
    for file in files:
        assert (tmp_path / "again" / file).read_bytes() == (rendered / file).read_bytes()
    contents = {(rendered / file).read_bytes() for file in files}
    assert len(contents) == len(files)


def test_each_frame_is_coded_on_its_own(rendered: Path) -> None:
    with opened(rendered / "test/Open/0000.avi") as (container, stream):
        assert stream.codec_context.name == "ffv1"
        assert all(frame.key_frame for frame in container.decode(stream))


def test_a_decoded_frame_does_not_depend_on_when_it_is_shown(rendered: Path) -> None:
    """Lossless: the same picture decodes to the same pixels at any place of any video."""
    drawn = clip("Shrink", 0)
    for name, frames in (("forward", drawn), ("backward", drawn[::-1])):
        path = rendered.parent / f"{name}.avi"
        with video_writer(path, width=SIDE, height=SIDE, fps=25, codec="ffv1") as write:
            for frame in frames:
                write(frame)
    forward, backward = (decoded(rendered.parent / f"{n}.avi") for n in ("forward", "backward"))
    assert np.array_equal(forward, backward[::-1])
    assert abs(forward.astype(int) - drawn).mean() < 3  # of the way to yuv420p and back


@pytest.mark.parametrize("pair", PAIRS)
def test_stills_have_the_same_statistics_in_both_directions(pair: tuple[str, str]) -> None:
    """The mean picture, and how bright frames are at each time, tell nothing of the direction."""
    names, clips = pair, 60
    videos = {n: np.stack([clip(n, 2 * k, 16).mean(3) for k in range(clips)]) for n in names}
    forward, backward = (videos[name] for name in names)  # (clips, T, H, W)
    for statistic in (
        lambda v: v.mean((1, 2, 3)),
        lambda v: v[:, 0].mean((1, 2)),
        lambda v: v[:, -1].mean((1, 2)),
        lambda v: v.std((1, 2, 3)),
        lambda v: np.abs(np.diff(v, axis=1)).mean((1, 2, 3)),
    ):
        one, other = statistic(forward), statistic(backward)
        error = np.hypot(one.std(), other.std()) / clips**0.5
        assert abs(one.mean() - other.mean()) < 4 * error


@pytest.mark.parametrize("pair", PAIRS)
def test_a_class_is_its_partner_played_backward(pair: tuple[str, str]) -> None:
    """What moves: the next frame's centre, size or gap goes the other way."""

    def travel(video: np.ndarray) -> float:
        """The median step: where the motion begins again is one of many."""
        bright = video.mean(3) > 120  # (T, H, W)
        y, x = np.mgrid[0:SIDE, 0:SIDE]
        measure = {
            "MoveRight": lambda b: x[b].mean(),
            "MoveDown": lambda b: y[b].mean(),
            "Grow": lambda b: np.hypot(x[b] - x[b].mean(), y[b] - y[b].mean()).mean(),
            "Open": lambda b: abs(x[b] - x[b].mean()).mean(),
        }[pair[0]]
        track = np.array([measure(b) for b in bright if b.sum() > 15])
        return float(np.median(np.diff(track)))

    forward, backward = ([travel(clip(name, k)) for k in range(12)] for name in pair)
    assert np.median(forward) > 0.2
    assert np.median(backward) < -0.2
    assert travel(clip(pair[0], 0)[::-1]) == pytest.approx(-travel(clip(pair[0], 0)))
