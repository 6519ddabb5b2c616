"""What users may rely on in benchmarks: a table of ratios, measured in turns."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from framemix.benchmarks.data import Cost, Ratio, bench_data, table, take_turns
from framemix.cli import app
from framemix.datasets.sample.actions import ActionVideo
from framemix.errors import VideoError


def test_tasks_take_turns_and_the_first_round_does_not_count():
    order: list[str] = []
    costs = take_turns({"a": lambda: order.append("a"), "b": lambda: order.append("b")}, 3)
    assert order == ["a", "b"] * 4
    assert {name: len(turns) for name, turns in costs.items()} == {"a": 3, "b": 3}
    assert all(isinstance(cost, Cost) and cost.wall >= 0 for cost in costs["a"])


def test_mixing_planes_takes_less_than_mixing_rgb(tmp_path):
    video = tmp_path / "a.avi"
    ActionVideo(seed=0, action="SlideLeft", group=1, clip=1, shortest=150).write(video)
    mixing, planes, reading = bench_data([video], turns=3)
    assert planes.cpu < 1
    assert mixing.cpu > planes.cpu
    assert reading.cpu > 0


def test_the_command_prints_a_table_and_renders_videos_where_none_are_named(monkeypatch):
    monkeypatch.setattr(bench_data, "__defaults__", (1,))
    done = CliRunner().invoke(app, ["bench", "data"])
    assert done.exit_code == 0, done.output
    lines = done.output.strip().splitlines()
    assert len(lines) == 5
    assert len({len(line) for line in lines}) == 1
    assert "mixing as yuv420p / mixing as rgb24" in lines[3]


def test_a_ratio_is_what_is_divided_by_what_it_is_compared_with():
    (*_, row) = table([Ratio("one", "other", 1.234, 0.5)]).splitlines()
    assert row == "| one / other | 1.23 | 0.50 |"


def test_a_file_that_is_no_video_is_named(tmp_path: Path):
    (tmp_path / "a.avi").write_text("no video")
    with pytest.raises(VideoError, match=str(tmp_path / "a.avi")):
        bench_data([tmp_path / "a.avi"], turns=1)


def test_a_video_of_too_few_frames_is_named(tmp_path: Path):
    ActionVideo(seed=0, action="SlideLeft", group=1, clip=1, shortest=5).write(tmp_path / "a.avi")
    with pytest.raises(VideoError, match="frames; allowed: at least 8"):
        bench_data([tmp_path / "a.avi"], turns=1)
