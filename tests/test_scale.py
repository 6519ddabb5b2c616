"""What users may rely on at UCF101's size: 13,320 real files. Long: `make test-slow`."""

import shutil
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Thread

import psutil
import pytest

from framemix.datasets.clips import Clip, Subset
from framemix.datasets.splits import SplitSettings, read_official_split, split_videos
from framemix.store import MixedStore
from framemix.tables import read_table
from tests.pipeline import Project, stages_run
from tests.ucf101_at_scale import listed_videos, make_videos

pytestmark = pytest.mark.slow

STAGES = ("filter", "split", "mix@ucf101")


@dataclass(frozen=True)
class Cost:
    """What commands and their children take: seconds, CPU-seconds, the most MB held at once."""

    wall: float
    cpu: float
    megabytes: float


def cost_of(work: Callable[[], object]) -> Cost:
    """Run `work`, which starts processes and waits for them, and watch these.

    Not by the system's sums of ended children: a fork server's are nobody's that waits for them.
    """
    ended, held, used = Event(), [0.0], dict[psutil.Process, float]()

    def watch() -> None:
        while not ended.wait(0.1):
            there = psutil.Process().children(recursive=True)
            held.append(sum(map(_megabytes, there)))
            used.update((process, cpu) for process in there if (cpu := _cpu(process)))

    watcher, start = Thread(target=watch), time.monotonic()
    watcher.start()
    try:
        work()
    finally:
        ended.set()
        watcher.join()
    return Cost(time.monotonic() - start, sum(used.values()), max(held))


def _megabytes(process: psutil.Process) -> float:
    """What it has in memory; of what it shares, its part."""
    try:
        return float(process.memory_full_info().pss) / 2**20
    except psutil.Error:
        return 0.0


def _cpu(process: psutil.Process) -> float:
    try:
        times = process.cpu_times()
    except psutil.Error:
        return 0.0
    return float(times.user + times.system)


def project_on(folder: Path, videos: Path, lists: Path) -> Project:
    project = Project.fresh(folder)
    project.set(
        data__ucf101=str(videos),
        data__ucf101_lists=str(lists),
        filter__min_frames=150,
        split__folds=5,
        split__group_scope="class",
        mix__segments=8,
        mix__size=[16, 16],
    )
    return project


def run_stages(project: Project) -> dict[str, Cost]:
    return {stage: cost_of(lambda s=stage: project.run(f"dvc repro -s {s}")) for stage in STAGES}


@pytest.fixture(scope="module")
def counts(shared: Path) -> dict[str, int]:
    return listed_videos(shared / "data")


@pytest.fixture(scope="module")
def lists(shared: Path) -> Path:
    return shared / "data/ucfTrainTestlist"


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory, counts: dict[str, int]) -> Path:
    root = tmp_path_factory.mktemp("scale") / "UCF-101"
    make_videos(root, counts)
    return root


@pytest.fixture(scope="module")
def made(
    tmp_path_factory: pytest.TempPathFactory, corpus: Path, lists: Path
) -> tuple[Project, dict[str, Cost]]:
    project = project_on(tmp_path_factory.mktemp("scale") / "project", corpus, lists)
    return project, run_stages(project)


@pytest.fixture(scope="module")
def project(made: tuple[Project, dict[str, Cost]]) -> Project:
    return made[0]


@pytest.fixture(scope="module")
def videos(project: Project) -> list[Clip]:
    return read_table(project.folder / "data/ucf101/videos.csv", Clip)


def split_by(videos: list[Clip], strategy: str, lists: Path) -> tuple[list[Clip], dict]:
    settings = SplitSettings.model_validate(
        {
            "strategy": strategy,
            "group_scope": "class",
            "folds": 5,
            "fold": 0,
            "seed": 0,
            "rldd": "subject",
        }
    )
    return split_videos(videos, settings, lists)


def names(figure: str) -> set[str]:
    return set(figure.split(", ")) - {""}


def test_7688_videos_of_99_classes_are_kept_and_every_count_is_right(videos, counts):
    assert {video.video: video.frames for video in videos} == counts
    kept = [video for video in videos if video.kept]
    assert len(kept) == 7688
    classes = {video.class_name for video in videos}
    assert classes - {video.class_name for video in kept} == {"JumpingJack", "CliffDiving"}
    assert len(classes) == 101


def test_the_random_split_is_four_to_one_in_every_class(videos, lists):
    rows, _ = split_by(videos, "random", lists)
    sizes = Counter(row.class_name for row in rows)
    val = Counter(row.class_name for row in rows if row.subset == "val")
    assert abs(val.total() - len(rows) / 5) < 5
    assert all(abs(val[name] - size / 5) <= 1 for name, size in sizes.items())


def test_the_group_split_leaks_nothing_and_has_val_clips_wherever_there_are_two_groups(
    videos, lists
):
    rows, metrics = split_by(videos, "group", lists)
    groups = {(row.class_name, row.group) for row in rows}
    alone = {name for name, count in Counter(name for name, _ in groups).items() if count == 1}
    assert metrics["leak_share"] == 0
    assert names(metrics["classes_without_train"]) == set()
    assert names(metrics["classes_without_val"]) == alone == {"BasketballDunk"}
    assert abs(metrics["val_clips"] - len(rows) / 5) < 0.02 * len(rows)


@pytest.mark.parametrize(
    ("number", "untrained", "unseen"), [(1, "Mixing", 3), (2, "HulaHoop", 7), (3, "", 6)]
)
def test_official_splits_agree_with_the_lists(videos, lists, number, untrained, unseen):
    rows, metrics = split_by(videos, f"official{number}", lists)
    official: dict[str, Subset] = read_official_split(lists, number)
    assert len(rows) == 7688
    assert all(row.subset == official[row.video.lower()] for row in rows)
    assert names(metrics["classes_without_train"]) == names(untrained)
    assert len(names(metrics["classes_without_val"])) == unseen


def test_every_kept_video_is_mixed(project, videos):
    store = MixedStore(project.folder / "data/mixed/ucf101")
    assert {row.clip for row in store.index} == {video.video for video in videos if video.kept}
    assert store.read(store.index[::500]).shape == (16, 8, 16, 16, 3)


def test_memory_does_not_grow_and_time_grows_with_the_number_of_videos(
    made, corpus, lists, tmp_path
):
    _, whole = made
    part = tmp_path / "UCF-101"
    for folder in sorted(corpus.iterdir())[::10]:
        shutil.copytree(folder, part / folder.name)
    tenth = run_stages(project_on(tmp_path / "project", part, lists))
    print(whole, tenth)
    for stage in ("filter", "mix@ucf101"):
        assert whole[stage].megabytes < tenth[stage].megabytes + 150
        assert whole[stage].cpu < 11 * tenth[stage].cpu


def test_a_run_with_nothing_to_do_takes_less_than_five_seconds(project):
    # CPU-seconds: its one process waits for nothing, and the machine may have other work.
    cost = cost_of(lambda: project.run("dvc repro split mix@ucf101"))
    print(cost)
    assert 0 < cost.cpu < 5


def test_a_video_that_changes_makes_one_shard_again(project, corpus, videos):
    def shards() -> set[str]:
        return {path.parent.name for path in project.folder.glob(".scratch/mix@ucf101/*/shard.h5")}

    before = shards()
    changed = corpus / next(video.video for video in videos if video.kept)
    with changed.open("ab") as file:
        file.write(bytes(16))
    ran = stages_run(project.run("dvc repro mix@ucf101"))
    assert ran == ["filter", "mix@ucf101"]
    assert len(shards()) == len(before)
    assert len(shards() - before) == 1
