"""What users may rely on when they ask whether outputs are still what their stages wrote."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from framemix.errors import ExperimentsError
from framemix.project.outputs import examine_outputs
from tests.pipeline import ENVIRONMENT

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:dvc")  # of pygtrie
SCRATCH = Path(".scratch")
# Finished work is linked out of a scratch folder, as in the real stages.
MAIN = """stages:
  clips:
    cmd: >-
      mkdir -p .scratch store && for n in one two; do
      test -f .scratch/$n || echo clip $n > .scratch/$n; ln .scratch/$n "store/$n clip"; done
    outs: [store]
  table:
    cmd: echo rows > table.csv
    outs: [table.csv]
"""
STUDY = """stages:
  report:
    wdir: ..
    cmd: cat store/* > report.md
    deps: [store]
    outs: [report.md]
"""
CLIP = Path("store/one clip")


def dvc(*arguments: str) -> None:
    """Run DVC in this process; imported here, as every test process reads this file."""
    from dvc.cli import main

    assert main(list(arguments)) == 0


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two pipelines that ran once, its cache linked as the project's."""
    folder = tmp_path_factory.mktemp("outputs") / "project"
    (folder / "study").mkdir(parents=True)
    (folder / "dvc.yaml").write_text(MAIN)
    (folder / "study/dvc.yaml").write_text(STUDY)
    (folder / ".dvcignore").write_text(".scratch\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("DVC_NO_ANALYTICS", "1")
        for command in (
            "init --no-scm --quiet",
            "config core.analytics false",
            "config cache.type hardlink,symlink",
            "repro --quiet dvc.yaml",
            "repro --quiet study/dvc.yaml",
        ):
            dvc(*command.split())
    return folder


@pytest.fixture
def project(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work in a copy of the folder, with the same links."""
    subprocess.run(["cp", "-a", finished, tmp_path], check=True)
    monkeypatch.chdir(tmp_path / "project")


def flip_a_bit(path: Path) -> None:
    """Change a file as a failing disk does: neither its size nor its date."""
    status = path.stat()
    content = bytearray(path.read_bytes())
    content[0] ^= 1
    path.chmod(0o644)
    with path.open("r+b") as file:
        file.write(content)
    path.chmod(status.st_mode)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def wrong() -> dict[str, str]:
    """What is said to be wrong, and the commands that mend it."""
    lines = [finding.line for finding in examine_outputs(SCRATCH) if not finding.well]
    found = [re.fullmatch("(.*); mend it with: (.*)", line) for line in lines[1:]]
    return {one[1]: one[2] for one in found if one}


def run(command: str) -> None:
    subprocess.run(command, shell=True, env=ENVIRONMENT, check=True, capture_output=True)


def test_outputs_as_they_were_written_are_well(project: None) -> None:
    (finding,) = examine_outputs(SCRATCH)
    assert finding.well
    assert finding.line.startswith("outputs: 4 files ")


def test_a_flipped_bit_is_found_and_mended_where_dvc_sees_and_mends_nothing(project: None) -> None:
    whole = {path: path.read_bytes() for path in (CLIP, Path("report.md"))}
    for path in whole:
        flip_a_bit(path)
        dvc("checkout", "--quiet", "--force", str(path))
        assert path.read_bytes() != whole[path]
    found = wrong()
    # In this order: of a damaged clip the same damaged report would come.
    assert list(found) == [
        "store/one clip: not what its stage wrote",
        "report.md: not what its stage wrote",
    ]
    for commands in found.values():
        run(commands)
    assert wrong() == {}
    assert {path: path.read_bytes() for path in whole} == whole


def test_what_is_missing_comes_from_the_cache_where_that_is_whole(project: None) -> None:
    CLIP.unlink()
    Path("table.csv").unlink()
    unlinked = [path for path in Path(".dvc/cache/files").rglob("*") if path.stat().st_nlink == 1]
    (cached,) = (path for path in unlinked if path.is_file() and path.suffix != ".dir")
    flip_a_bit(cached)
    found = wrong()
    assert found["store/one clip: missing"] == "dvc checkout 'store/one clip'"
    assert "dvc repro table" in found["table.csv: missing"]
    for commands in found.values():
        run(commands)
    assert wrong() == {}


def test_a_damaged_copy_is_mended_from_the_cache(project: None) -> None:
    content = CLIP.read_bytes()
    CLIP.unlink()
    CLIP.write_bytes(b"x")
    (command,) = wrong().values()
    assert command.endswith("dvc checkout 'store/one clip'")
    run(command)
    assert CLIP.read_bytes() == content


def test_a_file_that_no_stage_wrote_is_named(project: None) -> None:
    Path("store/mine").touch()
    assert wrong() == {"store/mine: no output of clips": "rm store/mine"}


def test_without_the_cache_whole_folders_are_known_and_others_are_made_again(
    project: None,
) -> None:
    shutil.rmtree(".dvc/cache")
    assert wrong() == {}
    CLIP.unlink()
    ((said, commands),) = wrong().items()
    assert said.startswith("store: not as its stage wrote it")
    run(commands)
    assert wrong() == {}


def test_a_lock_file_that_cannot_be_read_is_one_line(project: None) -> None:
    Path("dvc.lock").write_text("")
    with pytest.raises(ExperimentsError, match=r"^DVC: .*dvc\.lock.*; allowed: "):
        list(examine_outputs(SCRATCH))
