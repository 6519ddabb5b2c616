"""What users may rely on in paper B's study: what theory says of time's arrow, and the figures."""

import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from einops import reduce
from matplotlib.figure import Figure
from matplotlib.image import imread
from numpy.typing import NDArray
from torch import nn

from framemix.datasets.clips import Clip, class_labels
from framemix.datasets.reversals import partners
from framemix.errors import DatasetError, ParamsError
from framemix.frame_mixup.cells import mix_settings as cell_mix
from framemix.frame_mixup.cells import parse_cell, training_runs
from framemix.frame_mixup.classes import evaluated_clips, require_pairs, with_reversals
from framemix.frame_mixup.direction import evaluate_direction
from framemix.frame_mixup.figures import Curve, Panel, _draw
from framemix.frame_mixup.predictions import VideoPrediction
from framemix.frame_mixup.report import CellPredictions, checks, panels, table_b, write_study
from framemix.metrics.means import Mean, difference_of, mean_of
from framemix.mixing import Window, mix_frames
from framemix.mixing.files import mix_video
from framemix.models import TrainedModel, build_model, normalise
from framemix.models.config import FrameNetConfig
from framemix.models.input import IMAGENET_MEAN, IMAGENET_STD
from framemix.project.params import load_params, parse_params
from framemix.store import MixedStore
from framemix.store.build import build_store
from framemix.store.sources import sources_of
from framemix.tables import read_table, write_table
from framemix.video.reading import stream_frames
from framemix.video.writing import video_writer
from tests.listing import execution
from tests.pipeline import ROOT
from tests.tiny_store import mix_settings

SEGMENTS, SIZE = 8, 24
PARTNERS = {"Left": "Right", "Right": "Left"}
CLASSES = ["Left", "Right", "Still"]


def network(architecture: str = "tsn", seed: int = 0) -> nn.Module:
    """Fresh weights in eval mode, their batch norms with the statistics of a batch."""
    torch.manual_seed(seed)
    config = {"architecture": architecture, "depth": 10, "width": 8, "dropout": 0.5}
    net = build_model({**config, "num_classes": len(CLASSES)})
    net.train()
    with torch.no_grad():
        net(torch.randn(16, 3, SEGMENTS, SIZE, SIZE))
    return net.eval()


def logits(net: nn.Module, video: np.ndarray, **how: Any) -> torch.Tensor:
    mixed = torch.from_numpy(mix_frames(video, segments=SEGMENTS, **how))[None]
    with torch.no_grad():
        scores: torch.Tensor = net(normalise(mixed, IMAGENET_MEAN, IMAGENET_STD))[0]
    return scores


def noise(frames: int, seed: int = 0) -> np.ndarray:
    shape = (frames, SIZE, SIZE, 3)
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


# What theory says


@pytest.mark.parametrize("frames", [56, 104])
@pytest.mark.parametrize(
    "how",
    [
        {"method": "average", "frames_per_segment": "all"},
        {"method": "average", "frames_per_segment": 5},
        {"method": "average", "frames_per_segment": 3},
        {"method": "none", "frames_per_segment": "all"},
    ],
)
def test_tsn_predicts_alike_for_a_video_and_its_reversal(how: dict[str, Any], frames: int) -> None:
    """So of any pair of reversed classes it picks one for both: 50 %, however long it trains."""
    for seed in range(3):
        net, video = network(seed=seed), noise(frames, seed)
        forward, backward = logits(net, video, **how), logits(net, video[::-1], **how)
        torch.testing.assert_close(forward, backward, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("architecture", "method", "frames"),
    [
        ("tsn", "linear", 56),
        ("tsn", "harmonic", 56),
        ("tsn", "rank_pool", 56),
        ("tsn", "average", 57),  # eight segments do not divide it: no mirror image
        ("tsm", "average", 56),  # it sees the order of the segments
    ],
)
def test_order_in_the_weights_or_in_the_network_distinguishes_a_video_from_its_reversal(
    architecture: str, method: Any, frames: int
) -> None:
    net, video, how = network(architecture), noise(frames), {"frames_per_segment": "all"}
    forward = logits(net, video, method=method, **how)
    backward = logits(net, video[::-1], method=method, **how)
    assert (forward - backward).abs().max() > 1e-4


# Pairs of classes


@pytest.mark.parametrize(
    "pair", [("Left", "Right"), ("Right", "Left"), ("Open", "Close"), ("Pushing", "Pulling")]
)
def test_pairs_of_classes_that_are_there_or_are_another_datasets_are_fine(
    pair: tuple[str, str],
) -> None:
    require_pairs([pair], CLASSES, "frame_mixup.data.short")


@pytest.mark.parametrize("pair", [("Left", "Rigth"), ("Rigth", "Left")])
def test_a_pair_with_one_class_misspelt_is_refused(pair: tuple[str, str]) -> None:
    with pytest.raises(DatasetError) as caught:
        require_pairs([("Left", "Right"), pair], CLASSES, "frame_mixup.data.short")
    assert str(caught.value) == (
        f"frame_mixup.reversed_classes = [{', '.join(pair)}]: Rigth is no class of "
        "frame_mixup.data.short; allowed: Right, Left, Still"
    )


def test_of_many_classes_those_are_named_that_a_misspelt_one_may_mean() -> None:
    classes = [f"Moving something {n}" for n in range(30)] + ["Closing something"]
    pair = ("Moving something 0", "Closing somethin")
    with pytest.raises(DatasetError, match=r"allowed: Closing something, .* and 21 more$"):
        require_pairs([pair], classes, "frame_mixup.data.short")


# Asking


def write_videos(root: Path, length: int) -> list[Clip]:
    rows = []
    for name, subset in product(CLASSES, ("train", "val", "test")):
        path = root / subset / name / "0.avi"
        path.parent.mkdir(parents=True)
        with video_writer(path, width=32, height=32, fps=25, codec="ffv1") as write:
            for frame in np.random.default_rng(len(rows)).integers(
                0, 256, (length, 32, 32, 3), np.uint8
            ):
                write(frame)
        video = path.relative_to(root).as_posix()
        rows.append(Clip(video=video, class_name=name, subset=subset, frames=length, kept=True))
    return rows


def store_of(root: Path, rows: list[Clip], folder: Path, **mix: Any) -> MixedStore:
    build_store(
        with_reversals(sources_of(rows, root, class_labels(rows)), PARTNERS),
        folder / "store",
        mix_settings(segments=SEGMENTS, size=[SIZE, SIZE], **mix),
        execution(folder / "scratch"),
    )
    return MixedStore(folder / "store")


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Clip]]:
    root = tmp_path_factory.mktemp("study") / "videos"
    return root, write_videos(root, 24)


@pytest.fixture(scope="module")
def averages(videos: tuple[Path, list[Clip]]) -> MixedStore:
    return store_of(*videos, videos[0].parent / "averages", method="average")


def trained(net: nn.Module) -> TrainedModel:
    config = FrameNetConfig(architecture="tsn", depth=10, width=8, dropout=0.5, num_classes=3)
    return TrainedModel(net, config, CLASSES, {}, IMAGENET_MEAN, IMAGENET_STD)


def predictions_of(net: nn.Module, store: MixedStore, rows: list[Clip]) -> list[VideoPrediction]:
    return evaluate_direction(
        trained(net), store, rows, PARTNERS, batch_size=4, device=torch.device("cpu")
    )


def test_evaluated_videos_with_a_reversed_class_are_mixed_backward_too(
    averages: MixedStore, videos: tuple[Path, list[Clip]], tmp_path: Path
) -> None:
    backward = {r.clip: r.class_name for r in averages.index if r.clip.endswith(" backward")}
    assert backward == {
        "test/Left/0.avi backward": "Right",
        "test/Right/0.avi backward": "Left",
    }
    path = videos[0] / "test/Left/0.avi"
    frames = np.stack(list(stream_frames(path, size=(SIZE, SIZE), fit="squeeze")))
    for method in ("linear", "average"):
        how = {"segments": SEGMENTS, "method": method, "frames_per_segment": "all"}
        settings = mix_settings(size=[SIZE, SIZE], **how)
        mixed = list(mix_video(path, 24, settings, backward=True, reader="pyav"))
        assert np.array_equal(mixed, mix_frames(frames[::-1], **how))
    row = next(row for row in averages.index if row.clip == "test/Left/0.avi backward")
    assert np.array_equal(averages.read([row])[0], mixed)


@pytest.mark.parametrize("pixel_format", ["rgb24", "yuv420p"])
def test_a_window_is_the_same_stretch_of_the_video_backward(
    pixel_format: str, videos: tuple[Path, list[Clip]]
) -> None:
    settings = mix_settings(
        segments=SEGMENTS,
        size=[SIZE, SIZE],
        method="none",
        window={"frames": 8, "at": "start"},
        pixel_format=pixel_format,
    )
    path = videos[0] / "test/Left/0.avi"
    forward = list(mix_video(path, 24, settings, reader="pyav"))
    assert np.array_equal(
        list(mix_video(path, 24, settings, backward=True, reader="pyav")), forward[::-1]
    )


def test_networks_are_evaluated_by_test_videos_or_else_by_val_videos(
    averages: MixedStore, videos: tuple[Path, list[Clip]]
) -> None:
    predicted = predictions_of(network(), averages, videos[1])
    assert [a.video for a in predicted] == [f"test/{name}/0.avi" for name in CLASSES]
    without = [row for row in videos[1] if row.subset != "test"]
    assert [row.video for row in evaluated_clips(without)] == [
        f"val/{name}/0.avi" for name in CLASSES
    ]
    sources = with_reversals(sources_of(without, videos[0], class_labels(without)), PARTNERS)
    assert sum(source.backward for source in sources) == 2


class Fixed(nn.Module):
    """Scores all clips alike."""

    def __init__(self, *scores: float) -> None:
        super().__init__()
        self.scores = torch.tensor(scores)

    def forward(self, clips: torch.Tensor) -> torch.Tensor:
        return self.scores.repeat(len(clips), 1)


@pytest.mark.parametrize(
    ("scores", "left", "right"),
    [
        # The direction is a choice between two classes, though the third scores best.
        ((1.0, 0.0, 9.0), (1, 0), (0, 1)),
        ((0.0, 1.0, 9.0), (0, 1), (1, 0)),
        ((1.0, 1.0, 9.0), (1, 0), (0, 1)),  # of equal ones the first
    ],
)
def test_whoever_predicts_alike_forward_and_backward_is_right_about_half(
    scores: tuple[float, ...],
    left: tuple[int, int],
    right: tuple[int, int],
    averages: MixedStore,
    videos: tuple[Path, list[Clip]],
) -> None:
    predicted = predictions_of(Fixed(*scores), averages, videos[1])
    assert [(a.forward, a.backward) for a in predicted] == [left, right, (None, None)]
    assert [a.top1 for a in predicted] == [0, 0, 1]
    assert [a.top5 for a in predicted] == [
        None
    ] * 3  # of three classes, it would be 1 whatever is said


def test_tsn_on_averages_of_decoded_videos_is_right_about_exactly_half(
    averages: MixedStore, videos: tuple[Path, list[Clip]]
) -> None:
    for seed in range(5):
        predicted = predictions_of(network(seed=seed), averages, videos[1])[:2]
        assert all(a.forward + a.backward == 1 for a in predicted if a.forward is not None)


class Ends(nn.Module):
    """Says Left where a clip's first segment is brighter than its last, else Right."""

    def forward(self, clips: torch.Tensor) -> torch.Tensor:
        first, *_, last = reduce(clips, "b c t h w -> t b", "mean")
        return torch.stack([first - last, last - first, torch.zeros_like(first)], 1)


def test_who_predicts_the_other_way_about_a_reversal_is_right_or_wrong_about_both(
    averages: MixedStore, videos: tuple[Path, list[Clip]]
) -> None:
    left, right, _ = predictions_of(Ends(), averages, videos[1])
    assert left.forward == left.backward
    assert right.forward == right.backward


def test_a_reversed_pair_of_classes_goes_both_ways() -> None:
    assert partners([("Left", "Right"), ("Up", "Down")]) == {
        "Left": "Right",
        "Right": "Left",
        "Up": "Down",
        "Down": "Up",
    }


def test_predictions_survive_their_table(tmp_path: Path) -> None:
    rows = [
        VideoPrediction(video="a", frames=9, top1=1, top5=1, forward=0, backward=1),
        VideoPrediction(video="b", frames=9, top1=0, top5=None, forward=None, backward=None),
    ]
    write_table(tmp_path / "predictions.csv", VideoPrediction, rows)
    assert read_table(tmp_path / "predictions.csv", VideoPrediction) == rows


# Intervals


def test_an_interval_over_videos_is_about_the_usual_one_where_they_are_independent() -> None:
    hits = (np.arange(400)[None] % 4 > 0).astype(float)  # 75 % of 400
    mean = mean_of(hits)
    error = 1.96 * (0.75 * 0.25 / 400) ** 0.5
    assert mean.value == 0.75
    assert mean.low == pytest.approx(0.75 - error, abs=0.004)
    assert mean.high == pytest.approx(0.75 + error, abs=0.004)
    wider = mean_of(hits, 0.99)
    assert wider.low < mean.low < mean.high < wider.high


def test_seeds_that_differ_widen_the_interval_and_copies_of_one_do_not_narrow_it() -> None:
    rng = np.random.default_rng(0)
    one = (rng.random((1, 300)) < 0.7).astype(float)
    alone, copied = mean_of(one), mean_of(one.repeat(3, axis=0))
    assert copied.high - copied.low == pytest.approx(alone.high - alone.low, abs=0.01)
    seeds = (rng.random((3, 300)) < np.array([[0.5], [0.7], [0.9]])).astype(float)
    assert mean_of(seeds).high - mean_of(seeds).low > 0.5


def test_an_interval_over_few_seeds_is_students() -> None:
    mean = mean_of(np.repeat([[0.6], [0.7], [0.8]], 100, axis=1))
    half = 4.303 * 0.1 / 3**0.5  # t of two degrees of freedom, deviation 0.1
    assert (mean.low, mean.high) == pytest.approx((0.7 - half, 0.7 + half), abs=0.015)


@pytest.mark.parametrize("spread", [0.0, pytest.param(0.3, marks=pytest.mark.slow), 1.0])
def test_intervals_of_three_seeds_hold_the_mean_of_all_seeds_and_clips(spread: float) -> None:
    rng = np.random.default_rng(0)

    def chance(seeds: int, clips: int) -> NDArray[np.float64]:
        logits = 1 + rng.normal(0, spread, (seeds, 1)) + rng.normal(0, 1, (1, clips))
        shares: NDArray[np.float64] = 1 / (1 + np.exp(-logits))
        return shares

    true = chance(1000, 1000).mean()
    means = [mean_of(1.0 * (rng.random((3, 60)) < chance(3, 60))) for _ in range(200)]
    # 95 % would fail one time in ten thousand.
    assert sum(mean.low <= true <= mean.high for mean in means) >= 178


@pytest.mark.parametrize(("share", "low", "high"), [(1.0, 0.9638, 1), (0.0, 0, 0.0362)])
def test_predictions_that_are_all_right_or_all_wrong_leave_what_as_many_trials_leave(
    share: float, low: float, high: float
) -> None:
    mean = mean_of(np.full((3, 100), share))
    assert (mean.low, mean.value, mean.high) == pytest.approx((low, share, high), abs=1e-4)


def test_intervals_end_where_shares_do() -> None:
    seeds = np.repeat([[1.0], [0.6], [0.9]], 100, axis=1)
    assert mean_of(seeds).high == 1
    assert difference_of(seeds, 1 - seeds).high == 1


def test_differences_are_of_the_same_videos() -> None:
    hard = (np.random.default_rng(0).random((1, 200)) < 0.5).astype(float)
    better = hard.copy()
    better[0, np.flatnonzero(hard[0] == 0)[:10]] = 1
    found = difference_of(better, hard)
    assert found.value == 0.05
    assert 0.015 < found.low < found.high < 0.09  # twice as wide were the videos others
    nothing = difference_of(hard, hard)
    assert (nothing.low, nothing.value, nothing.high) == (0, 0, 0)


def test_a_difference_is_as_unsure_as_the_seeds_differ() -> None:
    rng = np.random.default_rng(0)
    base = (rng.random((3, 300)) < 0.5).astype(float)
    alike, apart = (
        (rng.random((3, 300)) < np.array(chances)[:, None]).astype(float)
        for chances in ([0.7, 0.7, 0.7], [0.5, 0.7, 0.9])
    )
    widths = [(d := difference_of(values, base)).high - d.low for values in (alike, apart)]
    assert widths[1] > 0.2 > widths[0]


# The report


def cell(
    name: str, right: float, *, videos: Any = "short", seeds: int = 1, frames: int = 56
) -> CellPredictions:
    """Answers of which the share `right` is right, about videos of both kinds of length."""

    def rows(seed: int) -> list[VideoPrediction]:
        hits = np.random.default_rng([seed, *name.encode()]).random((40, 3)) < right
        return [
            VideoPrediction(
                video=f"{i}",
                frames=frames + i % 2,
                top1=int(top1),
                top5=1,
                forward=int(forward),
                backward=int(1 - forward if name == "average-all" and i % 2 == 0 else backward),
            )
            for i, (top1, forward, backward) in enumerate(hits)
        ]

    return CellPredictions(
        videos, name, SEGMENTS, "all", {seed: rows(seed) for seed in range(seeds)}
    )


CELLS = [
    cell("none", 0.4, seeds=2),
    cell("average-all", 0.5, seeds=3),
    cell("linear-all", 0.9, seeds=3),
    cell("harmonic-all", 0.95),
    cell("linear-3", 0.8, videos="long", frames=408),
]


def test_the_table_puts_ours_beside_the_papers(tmp_path: Path) -> None:
    lines = {
        line.split("|")[1].strip(): line for line in table_b(CELLS).splitlines() if "|" in line
    }
    assert "linear-3" not in lines  # of the long videos: those are in the plot
    columns = [column.strip() for column in lines["linear-all"].strip("|").split("|")]
    ours = CELLS[2].values("top1")
    assert columns[1] == "3"
    assert columns[2].startswith(f"{100 * ours.mean():.1f} [")
    assert columns[3] == "100.0"  # top-5: always right
    assert columns[-2:] == ["19.45/47.02", "+2.16"]
    assert len(columns[6].split(", ")) == 3
    base = [column.strip() for column in lines["none"].strip("|").split("|")]
    assert base[4] == ""
    assert columns[4].startswith(f"{100 * (ours.mean() - CELLS[0].values('top1').mean()):+.1f} [")


def test_top5_of_at_most_five_classes_is_no_column() -> None:
    few = [
        replace(one, by_seed={0: [row.model_copy(update={"top5": None}) for row in one.rows]})
        for one in CELLS
    ]
    head, rule, *rows = [line for line in table_b(few).splitlines() if line.startswith("|")]
    assert "top-5, %" in table_b(CELLS)
    assert "top-5, %" not in head
    assert {line.count("|") for line in (head, rule, rows[0])} == {9}
    assert rows[0].startswith("| none | 1 | ")
    assert rows[0].endswith(" | 17.29/43.11 |  |")


def test_the_checks_say_what_holds() -> None:
    found = checks(CELLS)
    assert found["average_equal_segments"]["value"] == 0.5
    assert found["average_equal_segments"]["predictions"] == 20 * 3 * 2
    assert found["average_unequal_segments"]["holds"]
    assert found["linear"]["holds"]
    assert not checks([cell("linear-all", 0.5)])["linear"]["holds"]
    assert checks([cell("linear-all", 0.9, videos="long")]) == {}


def told(name: str, *predictions: tuple[int, int] | None, frames: int = 57) -> CellPredictions:
    """Answers (forward, backward) about as many videos; None where one has no direction."""
    rows = [
        VideoPrediction(
            video=f"{i}", frames=frames, top1=0, top5=0, forward=both[0], backward=both[1]
        )
        for i, pair in enumerate(predictions)
        for both in [pair or (None, None)]
    ]
    return CellPredictions("short", name, SEGMENTS, "all", {0: rows})


@pytest.mark.parametrize("right", [0, 1])
def test_averages_that_show_a_direction_do_not_contain_50_percent(
    right: int,
) -> None:
    found = checks([told("average-all", *[(right, right)] * 20)])
    assert not found["average_unequal_segments"]["holds"]
    assert checks([told("average-all", *[(0, 1)] * 20)])["average_unequal_segments"]["holds"]


def test_70_percent_of_few_videos_are_not_enough() -> None:
    few = [(1, 1)] * 7 + [(0, 0)] * 3
    assert not checks([told("linear-all", *few)])["linear"]["holds"]
    assert checks([told("linear-all", *few * 40)])["linear"]["holds"]


def test_videos_without_a_direction_count_neither_as_right_nor_as_wrong() -> None:
    some = told("linear-all", (1, 1), None, (1, 0), None)
    assert some.direction.tolist() == [[1, 0.5]]


def test_the_plots_whiskers_end_where_the_interval_does() -> None:
    axes = Figure().subplots()
    _draw(axes, Curve("linear", [(7, Mean(0.7, 0.6, 0.75))]))
    (whisker,) = axes.containers[0].lines[2][0].get_segments()
    assert whisker[:, 1].tolist() == pytest.approx([60, 75])


def test_the_study_leaves_the_same_table_plot_and_metrics(tmp_path: Path) -> None:
    for folder in ("once", "again"):
        figures = write_study(CELLS, tmp_path / folder)
    assert figures["short"]["linear-all"]["seeds"] == [0, 1, 2]
    assert figures["long"].keys() == {"linear-3"}
    for name in ("table_b.md", "direction.png", "frame_mixup.json"):
        once, again = ((tmp_path / folder / name).read_bytes() for folder in ("once", "again"))
        assert once == again


def test_short_and_long_videos_have_a_panel_each_even_if_they_are_equally_long(
    tmp_path: Path,
) -> None:
    short = [cell("linear-all", 0.9)]
    write_study(short, tmp_path / "one")
    write_study([*short, cell("linear-5", 0.8, videos="long")], tmp_path / "two")
    one, two = (imread(tmp_path / name / "direction.png").shape[1] for name in ("one", "two"))
    assert two == 2 * one


def plotted(*names: str, frames: Sequence[int], window: Any = "all") -> Panel:
    """The panel of cells that were predicted about videos of so many frames."""
    rows = [
        VideoPrediction(video=f"{i}", frames=count, top1=1, top5=1, forward=1, backward=1)
        for i, count in enumerate(frames)
    ]
    (panel,) = panels(
        [CellPredictions("short", name, SEGMENTS, window, {0: rows}) for name in names]
    )
    return panel


def test_the_plot_says_how_long_the_videos_are_and_places_all_at_the_mean_of_its_segments() -> None:
    panel = plotted("linear-3", "linear-all", "average-all", frames=(33, 38, 43, 58))
    assert panel.title == "short videos: 33 to 58 frames"
    mean = (33 + 38 + 43 + 58) / 4 / SEGMENTS
    assert panel.ticks == {3: "3", mean: "\nall: 4 to 8"}
    places = {curve.method: [place for place, _ in curve.points] for curve in panel.curves}
    assert places == {"average": [mean], "linear": [3, mean]}


def test_videos_that_are_equally_long_have_one_number_of_frames_in_the_plot() -> None:
    panel = plotted("linear-3", "linear-all", frames=(56, 56))
    assert (panel.title, panel.ticks) == ("short videos: 56 frames", {3: "3", 7: "\nall: 7"})


def test_the_plot_counts_the_frames_of_the_window_alone() -> None:
    window = Window(frames=16, at="centre")
    names = ("linear-5", "linear-3", "linear-all", "linear-1")
    panel = plotted(*names, frames=(33, 58), window=window)
    assert panel.title == "short videos: 16 frames at the centre"
    # More frames than a segment has are all of them: two and more cells at one place.
    assert panel.ticks == {2: "3, 5\nall: 2", 1: "1"}
    assert [place for place, _ in panel.curves[0].points] == [1, 2, 2, 2]


def test_whether_segments_are_equally_long_is_asked_of_the_window() -> None:
    rows = [VideoPrediction(video="a", frames=33, top1=1, top5=1, forward=1, backward=0)]
    for window, key in (
        (Window(frames=16, at="start"), "equal"),
        (Window(frames=12, at="start"), "unequal"),
        ("all", "unequal"),
    ):
        found = checks([CellPredictions("short", "average-all", SEGMENTS, window, {0: rows})])
        assert list(found) == [f"average_{key}_segments"]


def test_videos_without_a_direction_shift_no_other_in_the_checks_and_the_plot() -> None:
    rows = [
        VideoPrediction(
            video=str(frames), frames=frames, top1=1, top5=1, forward=forward, backward=backward
        )
        for frames, forward, backward in ((64, None, None), (57, 1, 1), (56, 1, 0))
    ]
    some = CellPredictions("short", "average-all", SEGMENTS, "all", {0: rows})
    found = checks([some])
    assert found["average_equal_segments"]["value"] == 0.5
    assert found["average_unequal_segments"]["value"] == 1
    (panel,) = panels([some])
    assert panel.title == "short videos: 56 to 57 frames"
    assert [place for place, _ in panel.curves[0].points] == [(56 + 57) / 2 / SEGMENTS]


def test_drawing_leaves_matplotlibs_settings_as_they_are(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; import matplotlib as mpl\n"
        "before = mpl.rcParams.copy()\n"
        "from framemix.frame_mixup.figures import direction_plot\n"
        "direction_plot([], Path(sys.argv[1]))\n"
        "assert mpl.rcParams.copy() == before"
    )
    done = subprocess.run([sys.executable, "-c", code, tmp_path / "plot.png"], capture_output=True)
    assert done.returncode == 0, done.stderr.decode()


def test_videos_without_a_reversed_class_have_no_direction(tmp_path: Path) -> None:
    rows = [VideoPrediction(video="a", frames=9, top1=1, top5=1, forward=None, backward=None)]
    cells = [
        CellPredictions("short", name, SEGMENTS, "all", {0: rows})
        for name in ("none", "linear-all")
    ]
    figures = write_study(cells, tmp_path)
    assert "direction" not in figures["short"]["none"]
    assert figures["checks"] == {}


def test_seeds_that_predicted_different_videos_are_refused() -> None:
    def rows(video: str) -> list[VideoPrediction]:
        return [VideoPrediction(video=video, frames=9, top1=1, top5=1, forward=None, backward=None)]

    with pytest.raises(DatasetError, match="different videos"):
        CellPredictions("short", "none", SEGMENTS, "all", {0: rows("a"), 1: rows("b")})


# Settings


@pytest.mark.parametrize(
    ("name", "cell"),
    [
        ("none", ("none", "all")),
        ("linear-all", ("linear", "all")),
        ("rank_pool-12", ("rank_pool", 12)),
    ],
)
def test_a_cells_name_says_how_it_is_mixed(name: str, cell: tuple[str, Any]) -> None:
    assert parse_cell(name) == cell


def test_the_cell_random_has_the_studys_variants_and_the_others_one() -> None:
    study = load_params(ROOT / "params.yaml").frame_mixup
    variants = {cell: cell_mix(cell, study.mix).variants for cell in study.cells}
    assert variants.pop("random") == study.mix.variants > 1
    assert set(variants.values()) == {1}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"cells": ["linear-0"]}, r"frame_mixup\.cells\.0 = 'linear-0': allowed: <none"),
        ({"cells": ["lin"]}, "'lin': allowed: <none"),
        ({"cells": ["none"], "repeated_cells": ["last"]}, "allowed: names in frame_mixup.cells"),
        ({"videos": {"min_frames": 7, "folds": 5}}, "at most frame_mixup.videos.min_frames = 7"),
        ({"seeds": []}, "seeds"),
        ({"cells": ["none", "none"]}, r"frame_mixup\.cells = \[none, none\]: .* each one once"),
        ({"repeated_cells": ["none", "none"]}, r"\.repeated_cells = .* each one once"),
        ({"long_cells": ["last", "last"]}, r"\.long_cells = .* each one once"),
        ({"seeds": [0, 0]}, r"frame_mixup\.seeds = \[0, 0\]: .* each one once"),
        ({"more_seeds": [1, 1]}, r"frame_mixup\.more_seeds = .* each one once"),
        (
            {"reversed_classes": [("Open", "Close"), ("Grow", "Grow")]},
            r"frame_mixup\.reversed_classes = \[Grow, Grow\]: allowed: pairs of two classes",
        ),
    ],
)
def test_settings_that_do_not_fit_are_refused(change: dict[str, Any], words: str) -> None:
    content = yaml.safe_load((ROOT / "params.yaml").read_text())
    content["frame_mixup"] |= change
    with pytest.raises(ParamsError, match=words):
        parse_params(content, Path("params.yaml"))


def test_every_cell_is_trained_once_and_the_repeated_ones_more_often() -> None:
    study = load_params(ROOT / "params.yaml").frame_mixup
    runs = training_runs(
        **study.model_dump(include={"cells", "seeds", "repeated_cells", "more_seeds", "long_cells"})
    )
    assert len(runs) == len(set(runs))
    assert [seed for _, cell, seed in runs if cell == "harmonic-all"] == [0, 1, 2, 0]
    assert [seed for _, cell, seed in runs if cell == "last"] == [0]
