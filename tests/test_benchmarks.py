"""What users may rely on in benchmarks: a table of speeds, measured in turns."""

import os
import re
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from framemix.benchmarks import data, train
from framemix.benchmarks.data import bench_data
from framemix.benchmarks.timing import Comparison, Speed, Task, compare, table, take_turns
from framemix.cli import app
from framemix.datasets.sample.actions import ActionVideo
from framemix.errors import ModelError, VideoError
from framemix.video.reading import examine
from tests import tiny_store as tiny


def test_tasks_take_turns_and_the_first_ones_do_not_count():
    order: list[str] = []
    tasks = {name: Task(lambda n=name: order.append(n)) for name in ("a", "b")}
    costs = take_turns(tasks, 3, 1)
    assert order == ["a", "b"] * 3
    assert {name: len(turns) for name, turns in costs.items()} == {"a": 2, "b": 2}
    assert len(take_turns(tasks, 5, 3)["a"]) == 2


def test_what_takes_half_the_time_is_twice_as_fast():
    tasks = {"quick": Task(lambda: time.sleep(0.05)), "slow": Task(lambda: time.sleep(0.5))}
    (speed,) = compare(tasks, [Comparison("quick", "slow", wall=1)], 3)
    assert 4 < speed.wall < 12
    tasks = {"quick": tasks["quick"], "slow": Task(lambda: time.sleep(0.5), units=10)}
    (speed,) = compare(tasks, [Comparison("quick", "slow", wall=1)], 3)
    assert 0.4 < speed.wall < 1.2


def test_time_of_ended_children_counts():
    busy = "import time\nwhile time.process_time() < 0.5: pass"
    task = Task(lambda: subprocess.run([sys.executable, "-c", busy], check=True))
    assert take_turns({"a": task}, 1, 0)["a"][0].cpu >= 0.5


def test_a_task_and_its_children_stay_on_its_cores_and_only_meanwhile():
    before, seen = os.sched_getaffinity(0), []
    show = "import os; print(len(os.sched_getaffinity(0)))"
    task = Task(lambda: seen.append(subprocess.check_output([sys.executable, "-c", show])))
    take_turns({"a": task}, 1, 0)
    assert int(seen[0]) == 1
    assert os.sched_getaffinity(0) == before


def test_the_table_shows_what_was_measured_beside_each_target():
    asked = Comparison("one", "other", cpu=0.8)
    *_, row = table([Speed(asked, wall=1.234, cpu=0.567)]).splitlines()
    assert [cell.strip() for cell in row.split("|")[1:4]] == ["one / other", "", "0.57 (0.8)"]


def test_mixing_planes_is_faster_than_mixing_rgb(tmp_path):
    video = tmp_path / "a.avi"
    ActionVideo(seed=0, action="SlideLeft", group=1, clip=1, shortest=150).write(video)
    examined = examine(video)
    tasks = {
        "rgb": Task(lambda: data._mix(video, examined, "rgb24")),
        "planes": Task(lambda: data._mix(video, examined, "yuv420p")),
    }
    (speed,) = compare(tasks, [Comparison("planes", "rgb", cpu=1)], 4)
    assert speed.cpu > 1


@pytest.mark.slow
def test_the_command_prints_a_table_and_renders_videos_where_none_are_named(monkeypatch):
    monkeypatch.setattr(bench_data, "__defaults__", (2, 1))
    monkeypatch.setattr(data, "MINUTES", 2)
    done = CliRunner().invoke(app, ["bench", "data"])
    assert done.exit_code == 0, done.output
    lines = done.output.strip().splitlines()
    assert len(lines) == 2 + len(data.MIXING + data.READING + data.CUTTING)
    assert all(line.count("|") == 4 for line in lines)  # three columns
    assert "mixing as yuv420p / mixing as rgb24" in lines[3]


def test_a_file_that_is_no_video_is_named(tmp_path: Path):
    (tmp_path / "a.avi").write_text("no video")
    with pytest.raises(VideoError, match=str(tmp_path / "a.avi")):
        bench_data([tmp_path / "a.avi"], turns=1)


def test_a_video_of_too_few_frames_is_named(tmp_path: Path):
    ActionVideo(seed=0, action="SlideLeft", group=1, clip=1, shortest=5).write(tmp_path / "a.avi")
    with pytest.raises(VideoError, match="frames; allowed: at least 8"):
        bench_data([tmp_path / "a.avi"], turns=1)


# Our network under vit-pytorch's names: the real one is no dependency.
STAND_IN = """
from framemix.models import vivit

class ViT(vivit.ViViT):
    def state_dict(self):
        return {vivit._vit_pytorch_name(k): v for k, v in super().state_dict().items()}
"""
CPU = torch.device("cpu")
TINY = train.Sizes(
    network=tiny.vivit_config(dropout=0.0),
    clips=2,
    product=64,
    turns=2,
    batch=4,
    steps=2,
    epoch=6,
    stored=4,
)


@pytest.fixture
def peer(tmp_path: Path) -> Path:
    path = tmp_path / "vivit.py"
    path.write_text(STAND_IN)
    return path


def numbers(report: str) -> dict[str, list[float]]:
    """The metrics of each row of a report's tables, by what the row is about."""
    rows = [line.split("|")[1:-1] for line in report.splitlines()]
    cells = {row[0].strip(): re.findall(r"[0-9.]+", " ".join(row[1:])) for row in rows if row}
    return {name: [float(cell) for cell in found] for name, found in cells.items() if found}


@pytest.mark.parametrize(
    ("capability", "kinds"), [("AVX2", ["fp32"]), ("AVX512", ["fp32", "bf16"])]
)
def test_training_is_measured_beside_vit_pytorch_and_a_matrix_product_in_what_the_cpu_computes_in(
    peer: Path, monkeypatch: pytest.MonkeyPatch, capability: str, kinds: list[str]
):
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    report = train.bench_train(peer, CPU, TINY)
    assert ("bf16" in report) == ("bf16" in kinds)
    found = numbers(report)
    passes = ["forward", "forward and backward"]
    for name in [f"{what}, {kind}" for what in passes for kind in kinds]:
        for maker in ("framemix", "vit-pytorch"):
            assert len(found[f"{maker}, {name}"]) == 3  # clips/s, TFLOP/s, share of the peak
            assert found[f"{maker}, {name}"][0] > 0
        wall, target, cpu, _ = found[f"framemix, {name} / vit-pytorch, {name}"]
        assert min(wall, cpu) > 0
        assert target > 1
    assert found["matrix product, fp32"][-1] == 100
    assert found["training fc / training all"][0] > 1


def test_both_networks_give_the_same_logits_for_the_same_bytes(peer: Path):
    ours, theirs = train.networks(peer, CPU, TINY.network).values()
    clips = train._clips(2, TINY.network, CPU)
    torch.testing.assert_close(ours.logits(clips), theirs.logits(clips), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("pixel_format", train.PIXEL_FORMATS)
def test_an_epoch_from_disk_is_timed(pixel_format: train.PixelFormat):
    line = train.epoch(CPU, TINY, pixel_format)
    assert re.fullmatch(rf"an epoch of 6 clips from {pixel_format}, .*: [0-9.]+ s \(120\)", line)


def test_a_missing_peer_is_named(tmp_path: Path):
    with pytest.raises(ModelError, match=f"--vit-pytorch {tmp_path / 'vivit.py'}: no Python file"):
        train.bench_train(tmp_path / "vivit.py", CPU, TINY)


@pytest.mark.slow
def test_the_command_measures_training_at_full_size(peer: Path, monkeypatch):
    quick = replace(train.paper_sizes(CPU), turns=1, steps=1, batch=2)
    monkeypatch.setattr(train, "paper_sizes", lambda device: quick)
    monkeypatch.setattr(train, "WARMUPS", 0)
    done = CliRunner().invoke(app, ["bench", "train", "--vit-pytorch", str(peer)])
    assert done.exit_code == 0, done.output
    assert numbers(done.output)["training fc / training all"][0] > 20
