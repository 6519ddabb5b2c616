"""What users may rely on who only predict and watch: an ONNX file needs no torch and no DVC."""

import os
import re
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from tests.pipeline import Project
from tests.tiny_model import write_model, write_video

ROOT = Path(__file__).resolve().parents[1]
USE = """
import framemix
from framemix.cli import app
print(framemix.load("model.onnx").predict("clip.avi").likeliest)
print(framemix.mix("clip.avi", segments=2, method="linear").shape)
app(["predict", "model.onnx", "clip.avi", "--csv"], standalone_mode=False)
app(
    ["watch", "model.onnx", "clip.avi", "--window=2", "--as-fast-as-possible"],
    standalone_mode=False,
)
"""
ANSWERED = r"""(?s)\w+
\(2, 48, 64, 3\)
video,start_seconds.*
clip\.avi,0\.000,4\.500,1,.*
.* 4\.0 s  .*
3 windows, 0 skipped"""


def left_out() -> set[str]:
    """Return the names of packages that only the extra `pipeline` installs."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    listed = project["optional-dependencies"]["pipeline"]
    wanted = {re.split(r"[<>=;\[ ]", line)[0].lower() for line in listed}
    homes = packages_distributions()
    names = {name for name, all_of in homes.items() if wanted & {one.lower() for one in all_of}}
    assert {"torch", "dvc", "lightning", "yaml", "ruamel", "ffmpeg", "PIL"} <= names
    return {name for name in names if name.isidentifier()}


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model, a video, and a package without content for each that is left out."""
    pytest.importorskip("onnxruntime", reason="the extra `onnx` is not installed")
    from tests.test_export import write_foreign

    folder = tmp_path_factory.mktemp("bare")
    write_foreign(folder / "model.onnx")
    write_model(folder / "model.safetensors")
    write_video(folder / "clip.avi", frames=45)
    for name in left_out():
        (folder / "without" / name).mkdir(parents=True)
        halt = f"raise ModuleNotFoundError('No module named {name}', name={name!r})\n"
        (folder / "without" / name / "__init__.py").write_text(halt)
    return folder


def run(here: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """Run Python without the packages, also in the processes that it starts."""
    paths = [str(here / "without"), str(ROOT / "src")]
    return subprocess.run(
        [sys.executable, *command],
        cwd=here,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        capture_output=True,
        text=True,
    )


def test_an_onnx_file_predicts_and_watches_without_the_pipelines_packages(here: Path) -> None:
    done = run(here, "-c", USE)
    assert done.returncode == 0, done.stderr
    assert re.match(ANSWERED, done.stdout), done.stdout


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (["predict", "model.safetensors", "clip.avi"], r"model\.safetensors: needs packages"),
        (["explain", "model.safetensors", "clip.avi"], r"\w+: not installed"),
        (["predict", "model.onnx", "clip.avi", "--plot", "a.png"], r"\w+: not installed"),
        (["profile", "paper"], "ruamel: not installed"),
    ],
)
def test_what_needs_more_says_in_one_line_what_to_install(
    command: list[str], message: str, here: Path
) -> None:
    done = run(here, "-c", "from framemix.cli import main; main()", *command)
    assert done.returncode == 1
    *_, last = done.stderr.splitlines()
    assert re.match(f"error: {message}.*; run in the checkout: pip install '.\\[pipeline\\]'", last)
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_a_bare_environment_predicts_and_watches(here: Path, tmp_path: Path) -> None:
    """It has what `pip install '.[onnx]'` brings from the package index, and nothing else."""
    checkout = Project.fresh(tmp_path / "checkout", profile=None)
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], check=True)
    python = tmp_path / "venv/bin/python"
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    install = [python, "-m", "pip", "install", "--quiet", ".[onnx]"]
    subprocess.run(install, cwd=checkout.folder, env=env, check=True)
    assert subprocess.run([python, "-c", "import torch"], env=env, capture_output=True).returncode
    done = subprocess.run([python, "-c", USE], cwd=here, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert re.match(ANSWERED, done.stdout), done.stdout
    framemix = [python.with_name("framemix"), "predict", "model.safetensors", "clip.avi"]
    done = subprocess.run(framemix, cwd=here, env=env, capture_output=True, text=True)
    assert "pip install '.[pipeline]'" in done.stderr
