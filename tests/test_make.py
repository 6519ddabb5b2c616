"""A fresh clone on a fresh machine: the README's two commands do all set-up, on a terminal."""

from pathlib import Path

import pytest

from tests.pipeline import Project

pytestmark = pytest.mark.slow
HOUR = 3600.0


@pytest.mark.parametrize(
    ("target", "ends_with"), [("repro", "reports/index.html"), ("test", " passed")]
)
def test_a_fresh_clone_needs_one_command(target: str, ends_with: str, tmp_path: Path) -> None:
    project = Project.fresh(tmp_path / "clone", profile=None)
    shown = project.show(f"make {target}", longest=HOUR)
    assert shown.code == 0, shown.text
    assert ends_with in shown.text
    assert "Traceback" not in shown.text
    assert shown.cursor_is_visible
