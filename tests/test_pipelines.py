"""What users may rely on of pipelines beside the main one: DVC sees those that they ask for."""

import subprocess
from pathlib import Path

import pytest
from typer.testing import CliRunner

from framemix.cli import app


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "pipelines").mkdir()
    for name in ("one", "two"):
        (tmp_path / f"pipelines/{name}.yaml").write_text("stages: {}\n")
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def asked_for(name: str) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["pipeline", name])
    return done.exit_code, done.output or str(done.exception)


def test_a_pipeline_that_is_asked_for_is_linked_and_known_to_git(checkout: Path) -> None:
    code, said = asked_for("one")
    assert code == 0
    assert "dvc repro one/dvc.yaml" in said
    (checkout / "pipelines/one.yaml").write_text("stages: {newer: }\n")
    assert "newer" in (checkout / "one/dvc.yaml").read_text()
    known = subprocess.run(["git", "ls-files"], cwd=checkout, capture_output=True, text=True)
    assert known.stdout.split() == ["one/dvc.yaml"]
    assert not (checkout / "two").exists()


def test_asking_again_changes_nothing(checkout: Path) -> None:
    assert asked_for("one") == asked_for("one")


def test_an_unknown_pipeline_is_one_line_with_the_known_ones(checkout: Path) -> None:
    code, said = asked_for("tow")
    assert code == 1
    assert said == "pipeline tow: allowed: one, two"


def test_a_file_of_the_users_is_not_replaced(checkout: Path) -> None:
    (checkout / "one").mkdir()
    (checkout / "one/dvc.yaml").write_text("mine")
    code, said = asked_for("one")
    assert code == 1
    assert "one/dvc.yaml" in said
    assert (checkout / "one/dvc.yaml").read_text() == "mine"
