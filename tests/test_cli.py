"""What users may rely on in every command, whatever it does."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests import warm

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_disk_that_is_full_is_one_line_where_output_is_kept_in_a_file():
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, *warm.COMMAND, "--help"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
        )
    assert done.returncode == 1
    assert done.stderr == "error: No space left on device\n"


def test_a_file_that_cannot_be_written_is_named_and_nothing_is_lost(tmp_path):
    before = (ROOT / "params.yaml").read_bytes()
    (tmp_path / "params.yaml").write_bytes(before)
    (tmp_path / ".params.yaml.partial").mkdir()  # in the way of what is written
    command = [*warm.COMMAND, "profile", str(ROOT / "profiles/paper.yaml")]
    done = warm.run(command, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (1, "error: .params.yaml.partial: Is a directory\n")
    assert (tmp_path / "params.yaml").read_bytes() == before


@pytest.mark.parametrize("command", [["profile", "paper"], ["doctor"]])
def test_outside_of_the_project_a_command_that_needs_it_says_where_to_run(tmp_path, command):
    done = warm.run([*warm.COMMAND, *command], cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith("error: p")
    assert done.stderr.endswith("; run this in the project's folder\n")


def end_of_a_command_that_raises(error: str) -> tuple[int, str]:
    command = f"import torch, framemix.cli as cli\ndef app(): raise torch.{error}\ncli.app = app"
    done = warm.run(["-c", f"{command}\ncli.main()"])
    return done.returncode, done.stderr


@pytest.mark.parametrize(
    ("error", "message"),
    [
        ("OutOfMemoryError", "CUDA out of memory. Tried 20 GiB."),
        ("AcceleratorError", "CUDA error: out of memory"),  # CUDA itself, where others left none
    ],
)
def test_a_gpu_whose_memory_is_too_small_is_one_line(error: str, message: str) -> None:
    ended = end_of_a_command_that_raises(f"{error}('{message}\\nSee')")
    assert ended == (1, f"error: {message} See; allowed: --device cpu\n")


def test_another_error_of_a_gpu_is_a_traceback() -> None:
    code, printed = end_of_a_command_that_raises("AcceleratorError('CUDA error: launch failure')")
    assert code == 1
    assert printed.startswith("Traceback")
    assert printed.endswith("AcceleratorError: CUDA error: launch failure\n")
