"""What users may rely on in files that are written: the old one or the whole new one, no rest."""

import os
import re
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import framemix
from framemix.errors import DatasetError
from framemix.evaluation.figures import reliability_plot
from framemix.frame_mixup.figures import direction_plot
from framemix.inference.prediction import ClipPrediction
from framemix.inference.timeline import draw_timeline
from framemix.jobs.atomic import disk_errors, replacing, write_text
from framemix.jobs.scratch import link
from framemix.pictures.lettering import save_picture
from framemix.project.profiles import apply_profile
from framemix.store import IndexRow, write_shard
from framemix.tables import write_csv, write_json, write_table
from framemix.training.callbacks import AtomicCheckpointIO
from framemix.video.writing import cut_clip, video_writer
from tests.tiny_model import write_model
from tests.tiny_store import mix_settings

PACKAGE = Path(framemix.__file__).parent
NOISE = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)
ROW = IndexRow(clip="a", class_name="A", label=0, shard="a.h5", row=0, frames=9)


def write_frames(path: Path, codec: str, **how: Any) -> None:
    with video_writer(path, width=64, height=48, fps=10, codec=codec, **how) as write:
        for turn in range(30):
            write(np.roll(NOISE, turn))


def write_profile(path: Path) -> None:
    """A profile over params.yaml at `path`, whose old content is kept aside."""
    profile = path.parents[1] / "profile.yaml"
    profile.write_text("seeds: [7]\n")
    apply_profile(profile, path)


def cut(path: Path) -> None:
    source = path.parents[1] / "source.mp4"
    write_frames(source, "h264")
    cut_clip(source, path, stream=0, start=0, frames=20, fps=10, width=64, height=48)


def copy(path: Path) -> None:
    source = path.parents[1] / "source"
    source.write_bytes(bytes(5000))
    link(source, path)


# The writers of the package, each with the name of a file that it writes.
WRITERS: dict[str, Callable[[Path], object]] = {
    "a.txt": lambda path: write_text(path, "text" * 2000),
    "a.csv": lambda path: write_table(path, IndexRow, [ROW] * 100),
    "b.csv": lambda path: write_csv(path, ["x"], [{"x": n} for n in range(2000)]),
    "a.json": lambda path: write_json(path, {"x": "text" * 2000}),
    "copy": copy,
    "params.yaml": write_profile,
    "model.safetensors": write_model,
    "last.ckpt": lambda path: AtomicCheckpointIO().save_checkpoint({"w": torch.ones(9000)}, path),
    "a.avi": lambda path: write_frames(path, "xvid"),
    "a.mp4": lambda path: write_frames(path, "h264"),
    "turned.mp4": lambda path: write_frames(path, "h264", rotation=90),
    "cut.mp4": cut,
    "a.png": lambda path: save_picture(
        draw_timeline([ClipPrediction(0, 1, np.ones(1))], ["a"]), path
    ),
    "b.png": lambda path: reliability_plot([], path),
    "c.png": lambda path: direction_plot([], path),
}


def fill(disk: Path) -> None:
    """Leave no room, in a file `rest`."""
    with suppress(OSError), (disk / "rest").open("wb", buffering=0) as rest:
        while rest.write(bytes(4096)):
            pass


@pytest.mark.parametrize("name", WRITERS)
def test_a_full_disk_is_one_line_and_leaves_the_old_file_alone(small_disk: Path, name: str) -> None:
    target = small_disk / name
    old = (PACKAGE.parents[1] / "params.yaml").read_bytes() if name == "params.yaml" else b"old"
    target.write_bytes(old)
    fill(small_disk)
    with pytest.raises(DatasetError) as caught:
        WRITERS[name](target)
    assert str(caught.value).startswith(f"{small_disk}: no space left on this disk; make room")
    assert "\n" not in str(caught.value)
    assert target.read_bytes() == old
    assert sorted(path.name for path in small_disk.iterdir()) == sorted([name, "rest"])


@pytest.mark.parametrize("room", [0, 8])
def test_a_shard_that_does_not_fit_is_an_error_that_the_stage_makes_one_line_of(
    small_disk: Path, room: int
) -> None:
    fill(small_disk)
    rest = small_disk / "rest"
    os.truncate(rest, rest.stat().st_size - 4096 * room)
    clips = [np.zeros((4, 60, 80, 3), np.uint8)] * 2
    with pytest.raises(DatasetError, match="no space left"), disk_errors(small_disk):
        write_shard(small_disk / "a.h5", clips, 2, mix_settings(size=(60, 80)))


def test_what_is_replaced_is_the_old_file_until_the_block_has_ended_well(tmp_path: Path) -> None:
    target = tmp_path / "a"
    target.write_text("old")
    with suppress(KeyError), replacing(target) as partial:
        partial.write_text("half")
        raise KeyError
    assert (target.read_text(), list(tmp_path.iterdir())) == ("old", [target])
    with replacing(target) as partial:
        partial.write_text("new")
        assert target.read_text() == "old"
    assert (target.read_text(), list(tmp_path.iterdir())) == ("new", [target])


def test_what_a_killed_process_left_is_not_written_into(tmp_path: Path) -> None:
    """It may be a link to a finished file in the scratch folder."""
    (tmp_path / "finished").write_text("finished")
    with replacing(tmp_path / "a") as partial:
        partial.write_text("x")
    partial.hardlink_to(tmp_path / "finished")
    write_text(tmp_path / "a", "new")
    assert (tmp_path / "finished").read_text() == "finished"
    assert (tmp_path / "a").read_text() == "new"


# What writes to a file: the name of the variable that holds its path.
WRITES = re.compile(r"""(\w+)\.(?:open\("[wxa]|write_(?:text|bytes)\()|\bsavefig\((\w+)""")
ELSEWHERE = {
    ("jobs/scratch.py", "file"),  # a lock, which is empty
    ("datasets/sample/actions.py", "path"),  # a video that shall be cut off
    ("inference/guard.py", "new"),  # a lock
    ("project/trial_data.py", "file"),  # bytes by which the disk is timed
}


def test_every_file_is_written_beside_its_place_first() -> None:
    found = {
        (file.relative_to(PACKAGE).as_posix(), match[1] or match[2])
        for file in PACKAGE.rglob("*.py")
        for match in WRITES.finditer(file.read_text(encoding="utf-8"))
    }
    assert {place for place in found if place[1] != "partial"} == ELSEWHERE
    owner = [f for f in PACKAGE.rglob("*.py") if re.search(r"\.partial\"", f.read_text())]
    names = sorted(file.name for file in owner)
    assert names == ["atomic.py", "scratch.py"]  # scratch.py: of folders
