"""`framemix bench detector`: every driver is evaluated once, by what the others chose."""

import csv
from pathlib import Path

from typer.testing import CliRunner

from framemix.cli import app
from framemix.datasets.origin import origin_of
from tests.tiny_model import record, write_model


def test_a_row_for_each_kind_of_alarm_and_a_list_for_calibrate(tmp_path: Path) -> None:
    model, out = tmp_path / "model.safetensors", tmp_path / "drivers"
    write_model(model, classes=("alert", "drowsy"), trained_on=record(2.0))
    options = ["--out", str(out), "--drivers", "2", "--minutes", "0.5"]
    done = CliRunner().invoke(app, ["bench", "detector", str(model), *options])
    assert done.exit_code == 0, (done.output, done.exception)
    _, _, *rows = [line.strip("|").split("|") for line in done.stdout.splitlines()]
    assert [row[0].strip() for row in rows] == [
        "as trained, 0.7",
        "calibrated",
        "calibrated, with a baseline",
    ]
    for row in rows:
        hours = float(row[2])
        assert 0 <= hours <= 2 * 22.5 / 3600 + 0.005  # after the baseline
        assert 0 <= float(row[6]) <= 100
        assert row[7].strip().endswith(" of 2")
    listed = list(csv.DictReader((out / "clips.csv").read_text().splitlines()))
    assert [row["label"] for row in listed] == ["alert", "drowsy"] * 2
    assert {row["group"] for row in listed} == {"01", "02"}
    assert all((out / row["path"]).is_file() for row in listed)
    assert origin_of(out).drawn
