"""What users may rely on for stretches of videos: each is a clip of its own, frame by frame."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from framemix.datasets import intake
from framemix.datasets.clips import Clip, DriverClip, class_labels, clip_file, clip_name
from framemix.datasets.layouts.registry import LABELLED
from framemix.frame_mixup.classes import with_reversals
from framemix.mixing import mix_frames
from framemix.mixing.files import mix_video
from framemix.store import MixedStore
from framemix.store.build import build_store
from framemix.store.sources import sources_of
from framemix.training.data import split_examples
from framemix.video.reading import examine, stream_frames
from tests.listing import execution, listed
from tests.odd_videos import H264, write
from tests.tiny_store import mix_settings

FRAMES, FPS = 120, 25
STRETCHES = {  # of long.mp4: label, start, end, frames
    "long.mp4@0-0.4": ("walk", "0", "0.4", 10),
    "long.mp4@0.4-1.2": ("run", "0.4", "1.2", 20),
    "long.mp4@1-2": ("walk", "1", "2", 25),
    "long.mp4@3.2-4.8": ("run", "3.2", "", 40),
    "long.mp4@4-5.5": ("walk", "4", "5.5", 20),
}
REJECTED = {  # label, start, end, and why
    "long.mp4@2-2.2": ("2", "2.2", "5 frames, fewer than 8"),
    "long.mp4@2-1": ("2", "1", "ends at 1 s, not after its start at 2 s"),
    "long.mp4@3-6": ("3", "6", "ends at 6 s, but the video ends at 4.800 s"),
    "long.mp4@9-10": ("9", "10", "starts at 9 s, but the video ends at 4.800 s"),
}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The list of a dataset whose long video has stretches of two classes, beside a whole one."""
    root = tmp_path_factory.mktemp("stretches")
    write(root / "long.mp4", *H264, "-g", "20", "-bf", "2", frames=FRAMES)
    write(root / "whole.mp4", *H264, frames=15)
    cells = [*((label, s, e) for label, s, e, _ in STRETCHES.values())]
    cells += [("walk", s, e) for s, e, _ in REJECTED.values()]
    lines = [f"long.mp4,{label},{start},{end}" for label, start, end in cells]
    (root / "labels.csv").write_text("\n".join(["path,label,start,end", *lines, "whole.mp4,run,,"]))
    return root


@pytest.fixture(scope="module")
def rows(root: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Clip]:
    where = tmp_path_factory.mktemp("list")
    return listed(root / "labels.csv", where, *LABELLED, min_frames=8)


def test_each_stretch_is_a_row_of_its_own_frames_or_a_reason(rows: list[Clip]) -> None:
    named = {clip_name(row): row for row in rows}
    assert {name: named[name].reason for name in REJECTED} == {
        name: reason for name, (_, _, reason) in REJECTED.items()
    }
    assert {name: (row.class_name, row.frames) for name, row in named.items() if row.kept} == {
        **{name: (label, frames) for name, (label, _, _, frames) in STRETCHES.items()},
        "whole.mp4": ("run", 15),
    }
    assert named["long.mp4@3.2-4.8"].seconds == pytest.approx(1.6)
    assert named["long.mp4@4-5.5"].seconds == pytest.approx(0.8)
    assert [clip_name(row) for row in rows if row.kept] == [*STRETCHES, "whole.mp4"]


def test_stretches_of_a_video_are_a_group_where_the_list_has_none(rows: list[Clip]) -> None:
    assert {(row.video, row.group) for row in rows} == {
        ("long.mp4", "long.mp4"),
        ("whole.mp4", "whole.mp4"),
    }


@pytest.mark.parametrize("pixel_format", ["rgb24", "yuv420p"])
def test_the_store_has_each_stretch_as_slicing_the_whole_video_gives_it(
    root: Path, rows: list[Clip], pixel_format: str, tmp_path: Path
) -> None:
    mix = mix_settings(method="linear", segments=4, size=[24, 32], pixel_format=pixel_format)
    sources = sources_of(rows, root / "labels.csv", class_labels(rows))
    build_store(sources, tmp_path / "store", mix, execution(tmp_path / "mix"))
    store = MixedStore(tmp_path / "store")
    assert {row.clip: row.frames for row in store.index} == {
        clip_name(row): row.frames for row in rows if row.kept
    }
    every = mix_settings(method="none", segments=FRAMES, size=[24, 32], pixel_format=pixel_format)
    frames = np.stack(list(mix_video(root / "long.mp4", FRAMES, every, reader="pyav")))
    times = np.array(examine(root / "long.mp4").times)
    for row in store.index:
        if row.clip not in STRETCHES:
            continue
        _, start, end, _ = STRETCHES[row.clip]
        inside = (times >= float(start)) & (times < float(end or FRAMES / FPS))
        channels = frames[inside] if frames.ndim == 4 else frames[inside][..., None]
        mixed = mix_frames(channels, segments=4, method="linear", frames_per_segment="all")
        assert np.array_equal(store.read([row])[0], mixed.reshape(4, *mix.frame_shape))
    split = [row.model_copy(update={"subset": "val"}) for row in rows if row.kept]
    assert len(split_examples(store, split, "val")) == len(STRETCHES) + 1


def test_a_video_is_decoded_once_however_many_stretches_it_has(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded: list[str] = []

    def seen(work: Any, path: Path, limits: Any) -> Any:
        decoded.append(path.name)
        return work(path)

    def here(function: Any, tasks: Sequence[Any], **_: Any) -> list[Any]:
        return [function(task) for task in tasks]

    monkeypatch.setattr(intake, "isolated", seen)
    monkeypatch.setattr("framemix.jobs.execution.map_tasks", here)
    listed(root / "labels.csv", tmp_path, *LABELLED, min_frames=8)
    assert sorted(decoded) == ["long.mp4", "whole.mp4"]


def test_long_videos_are_cut_into_stretches_of_one_length(tmp_path: Path) -> None:
    for name, frames in {"a": 60, "b": 54, "c": 20, "d": 5}.items():
        (tmp_path / "videos/Up").mkdir(parents=True, exist_ok=True)
        write(tmp_path / f"videos/Up/{name}.mp4", *H264, frames=frames)
    where = tmp_path / "videos"
    rows = listed(where, tmp_path / "s", *LABELLED, min_frames=8, clip_seconds=1.0)
    assert {clip_name(row): (row.frames, row.reason) for row in rows} == {
        "Up/a.mp4@0-1": (25, ""),
        "Up/a.mp4@1-2": (25, ""),
        "Up/a.mp4@2-2.4": (10, ""),
        "Up/b.mp4@0-1": (25, ""),
        "Up/b.mp4@1-2": (25, ""),
        "Up/c.mp4@0-0.8": (20, ""),
        "Up/d.mp4@0-0.2": (5, "5 frames, fewer than 8"),
    }
    assert {row.group for row in rows} == {f"Up/{name}.mp4" for name in "abcd"}


def test_only_videos_without_stretches_of_their_own_are_cut(root: Path, tmp_path: Path) -> None:
    where = root / "labels.csv"
    rows = listed(where, tmp_path, *LABELLED, min_frames=8, clip_seconds=0.4)
    names = [clip_name(row) for row in rows if row.kept]
    assert names == [*STRETCHES, "whole.mp4@0-0.4"]


def test_clips_of_drivers_keep_their_names_and_files_and_stretches_have_others() -> None:
    what: dict[str, Any] = {"video": "Fold1_part1/01/0.mov", "class_name": "alert", "group": "01"}
    what |= {"start": 5.0, "end": 10.0, "fps": 30.0}
    driver, stretch = DriverClip(**what), Clip(**what)
    assert (clip_name(driver), driver.stretch) == ("01_0_150", None)
    assert clip_file(driver, Path("clips")) == Path("clips/01_0_150.mp4")
    assert (clip_name(stretch), stretch.stretch) == ("Fold1_part1/01/0.mov@5-10", (5.0, 10.0))
    assert clip_file(stretch, Path("raw")) == Path("raw/Fold1_part1/01/0.mov")


def test_stretches_that_are_evaluated_are_played_backward_too(root: Path, rows: list[Clip]) -> None:
    kept = [row for row in rows if row.kept]
    sides = [row.model_copy(update={"subset": "val" if not row.start else ""}) for row in kept]
    sources = with_reversals(
        sources_of(sides, root, class_labels(kept)), {"walk": "run", "run": "walk"}
    )
    backward = {source.name for source in sources if source.backward}
    assert backward == {"long.mp4@0-0.4 backward", "whole.mp4 backward"}


def test_a_late_stretch_of_a_long_video_is_not_decoded_from_the_start(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It begins at the key frame before."""
    from framemix.video import decoding

    numbers: list[int] = []
    real = decoding.decoded

    def counted(*args: Any) -> Any:
        for frame in real(*args):
            numbers.append(round((frame.time or 0.0) * FPS))
            yield frame

    monkeypatch.setattr(decoding, "decoded", counted)
    how: dict[str, Any] = {"size": (24, 32), "fit": "squeeze"}
    assert len(list(stream_frames(root / "long.mp4", **how, stretch=(4.0, 4.4)))) == 10
    assert [number for number in numbers if decoding.REORDERED < number < 60] == []
