"""What users may rely on in every command, whatever it does."""

import subprocess
import sys
from pathlib import Path

import pytest

RUN = [sys.executable, "-c", "from framemix.cli import main; main()"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_disk_that_is_full_is_one_line_where_output_is_kept_in_a_file():
    with Path("/dev/full").open("w") as full:
        done = subprocess.run([*RUN, "--help"], stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 1
    assert done.stderr == "error: No space left on device\n"


@pytest.mark.parametrize("command", [["profile", "paper"], ["doctor"]])
def test_outside_of_the_project_a_command_that_needs_it_says_where_to_run(tmp_path, command):
    done = subprocess.run([*RUN, *command], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.startswith("error: p")
    assert done.stderr.endswith("; run this in the project's folder\n")
