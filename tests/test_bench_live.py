"""`framemix bench live`: one row per model, and what its metrics mean."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from framemix.benchmarks.live import LiveCost
from framemix.cli import app
from tests.tiny_model import write_model


def test_a_row_a_model(tmp_path: Path) -> None:
    write_model(tmp_path / "model.safetensors")
    done = CliRunner().invoke(app, ["bench", "live", str(tmp_path / "model.safetensors")])
    assert done.exit_code == 0, done.output
    head, _, row = done.output.strip().splitlines()
    name, *metrics = [cell.strip() for cell in row.strip("|").split("|")]
    assert name == str(tmp_path / "model.safetensors")
    assert len(metrics) == head.count("|") - 2
    assert all(float(figure) >= 0 for figure in metrics)


def test_windows_a_second_count_their_new_frames() -> None:
    cost = LiveCost(frame=0.01, window=0.1, network=0.61)
    assert cost.windows_a_second == pytest.approx(1.0)
    assert cost.latency == pytest.approx(0.71)


@pytest.mark.slow
def test_without_a_model_it_is_the_papers_vivit() -> None:
    done = CliRunner().invoke(app, ["bench", "live"])
    assert done.exit_code == 0, done.output
    assert "paper A's ViViT" in done.output
