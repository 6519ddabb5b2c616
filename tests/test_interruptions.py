"""What users may rely on when power, disk or patience ends: no harm, and work resumes."""

import random
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from framemix.datasets.clips import Clip, class_labels
from framemix.datasets.cutting import ResizeSettings, cut_clips
from framemix.datasets.layouts.layout import find_videos
from framemix.datasets.layouts.rldd import RLDD
from framemix.errors import DatasetError
from framemix.store import MixedStore
from framemix.store.build import build_store
from framemix.store.sources import sources_of
from tests.bad_videos import encode
from tests.listing import execution
from tests.pipeline import EndedEarlyError, Project
from tests.tiny_store import mix_settings

NOISE = "nullsrc=size=320x240:rate=25,geq=random(1)*255:128:128"

# A full disk


def grow(disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,size=50m", disk], check=True)


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Clip]]:
    root, rows = tmp_path_factory.mktemp("videos"), []
    for name in "ABCD":
        video = f"{name}/v_{name}_g01_c01.avi"
        encode(root / video)
        rows.append(Clip(video=video, class_name=name, group="g01", frames=24, kept=True))
    return root, rows


def finished(scratch: Path) -> dict[str, tuple[int, int]]:
    """Return inode and time of what is in the finished units of a scratch folder."""
    files = [path for path in scratch.rglob("*") if path.is_file() and path.suffix != ".lock"]
    return {
        str(path.relative_to(scratch)): (path.stat().st_ino, path.stat().st_mtime_ns)
        for path in files
        if not any(part.endswith(".partial") for part in path.relative_to(scratch).parts)
    }


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("full", ["scratch", "store"])
def test_mixing_on_a_full_disk_reports_it_and_resumes_once_there_is_room(
    videos, small_disk, tmp_path, full
):
    folders = {"scratch": tmp_path / "scratch", "store": tmp_path / "store"}
    folders[full] = small_disk / full
    settings = mix_settings(size=[60, 80])  # 58 kB a shard

    def mix(scratch: Path, store: Path) -> None:
        build_store(
            sources_of(videos[1], videos[0], class_labels(videos[1])),
            store,
            settings,
            execution(scratch, workers=1),  # of two, neither might have had enough room
        )

    with pytest.raises(DatasetError, match="no space left on this disk; make room") as caught:
        mix(**folders)
    assert str(small_disk) in str(caught.value)
    assert "\n" not in str(caught.value)
    kept = finished(folders["scratch"])
    assert kept
    assert not (folders["store"] / "index.csv").exists()
    assert len(list(folders["store"].rglob("*"))) == (0 if full == "scratch" else 1)

    grow(small_disk)
    shutil.rmtree(folders["store"], ignore_errors=True)  # as DVC does
    mix(**folders)
    assert kept.items() <= finished(folders["scratch"]).items()
    mix(tmp_path / "other", tmp_path / "unbroken")
    assert contents(folders["store"]) == contents(tmp_path / "unbroken")
    store = MixedStore(folders["store"])
    assert len(store.read(store.index)) == 4


def test_resizing_on_a_full_disk_blames_no_video(videos, small_disk, tmp_path):
    # The first one's clip is small enough for the disk.
    for subject, pictures in enumerate(("testsrc=size=320x240:rate=25", NOISE, NOISE), 1):
        encode(tmp_path / f"rldd/Fold1_part1/{subject:02}/10.avi", pictures)
    settings = ResizeSettings(states=[10], orientation="any", frames=24, fps=25, clips=None)

    def resize() -> list[bool]:
        clips = cut_clips(
            find_videos([RLDD], tmp_path / "rldd", "data.rldd"),
            tmp_path / "rldd",
            tmp_path / "clips",
            settings,
            execution(small_disk / "s", workers=1),
        )
        return [clip.kept for clip in clips]

    with pytest.raises(DatasetError, match="no space left on this disk; make room"):
        resize()
    assert not (tmp_path / "clips").exists()
    kept = finished(small_disk / "s")
    assert kept
    grow(small_disk)
    assert resize() == [True] * 3
    assert kept.items() <= finished(small_disk / "s").items()


# SIGKILL

STAGES = "filter resize mix@ucf101 mix@rldd"
MOMENTS = 20


def killed(rendered: Project, folder: Path, after: float, *, group: bool) -> Project:
    """Return a copy in which `dvc repro` was killed `after` seconds. Raises EndedEarlyError."""
    shutil.rmtree(folder, ignore_errors=True)
    project, begun = rendered.copy(folder), time.monotonic()
    project.kill_repro(lambda: time.monotonic() - begun >= after, group=group, stages=STAGES)
    return project


@pytest.mark.slow
def test_killed_at_twenty_moments_the_data_stages_resume_to_the_same_bytes(tmp_path):
    rendered = Project.fresh(tmp_path / "rendered")
    rendered.run("dvc repro sample")
    unbroken = rendered.copy(tmp_path / "unbroken")
    start = time.monotonic()
    unbroken.run(f"dvc repro {STAGES}")
    seconds, generator = time.monotonic() - start, random.Random(0)
    reused, shares = 0, [(n + generator.random()) / MOMENTS for n in range(MOMENTS)]
    while shares:  # one moment in each twentieth of the run
        moment, group = shares[0] * seconds, len(shares) % 2 == 0
        try:
            project = killed(rendered, tmp_path / "project", moment, group=group)
        except EndedEarlyError:  # the machine has less else to do than before
            seconds *= 0.9
            continue
        del shares[0]
        kept = finished(project.folder / ".scratch")
        reused += len(kept)
        project.run(f"dvc repro {STAGES}")
        assert project.outputs() == unbroken.outputs(), moment
        assert kept.items() <= finished(project.folder / ".scratch").items(), moment
    assert reused > MOMENTS
