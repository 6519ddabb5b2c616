"""Every command that the documents show is run here, in their order."""

import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from framemix.project.params import parse_params
from tests.browser import chromium
from tests.pipeline import ROOT, Project

DOCUMENTS = [
    "README.md",
    "CONTRIBUTING.md",
    *sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "docs").glob("*.md")),
]
# What the documents show beside plain commands: a file to write, or changes to apply.
BLOCK = re.compile(
    r"```(?P<kind>sh|console|diff|python (?P<file>\S+))\n(?P<text>.*?)```", re.DOTALL
)
# What differs from run to run: numbers, and which classes are likeliest.
VARIES = re.compile(r"\d+(\.\d+)?|\b[A-Z][a-zA-Z]+\b(?= +\d)")
# make builds an environment of its own, which the tests run in already.
REPRO = "dvc repro --force --single-item evaluate"
# There is no camera here: a file stands in.
CAMERA = re.compile(r"(?<=safetensors )(/dev/video0|0\b)")
STAND_IN = "data/rldd/clips/01_10_0.mp4 --window 0.3 --as-fast-as-possible"


def commands(document: str) -> list[str]:
    """Return the lines of the document's shell blocks."""
    text = (ROOT / document).read_text(encoding="utf-8")
    blocks = re.findall(r"```sh\n(.*?)```", text, re.DOTALL)
    return [line for block in blocks for line in block.splitlines()]


@pytest.mark.parametrize("document", ["README.md", "CONTRIBUTING.md"])
def test_make_targets_of_the_documents_exist(document: str, tmp_path: Path) -> None:
    shown = [command for command in commands(document) if command.startswith("make ")]
    assert shown
    for command in shown:
        Project(ROOT).run(f"{command} --dry-run")


def merged(base: Any, changes: Any) -> Any:
    """Return `base` with the values of `changes`, section by section."""
    if not (isinstance(base, dict) and isinstance(changes, dict)):
        return changes
    return base | {key: merged(base.get(key), value) for key, value in changes.items()}


@pytest.mark.parametrize("document", DOCUMENTS)
def test_snippets_of_python_and_params_are_valid(document: str) -> None:
    """They need clusters that are not here: their syntax, and the keys of params.yaml."""
    text = (ROOT / document).read_text(encoding="utf-8")
    for snippet in re.findall(r"```python\n(.*?)```", text, re.DOTALL):
        compile(snippet, document, "exec")
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    for snippet in re.findall(r"```yaml\n(.*?)```", text, re.DOTALL):
        params = merged(params, yaml.safe_load(snippet))
    parse_params(params, Path(document))


def test_linked_files_exist() -> None:
    for document in DOCUMENTS:
        for target in re.findall(r"\]\(([^)#:]+)\)", (ROOT / document).read_text()):
            linked = (ROOT / document).parent / target
            assert linked.exists(), f"{document} links to {target}"


def test_the_networks_that_the_documents_build_from_python_are_built() -> None:
    text = (ROOT / "docs/training.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert blocks
    for block in blocks:
        exec(block, {})


def apply_changes(folder: Path, diff: str) -> None:
    """Change files as a diff without line numbers says: each hunk's old lines occur once."""
    for change in re.split(r"^--- a/.*\n", diff, flags=re.MULTILINE)[1:]:
        name, *hunks = re.split(r"^@@\n", change, flags=re.MULTILINE)
        path = folder / name.strip().removeprefix("+++ b/")
        text = path.read_text()
        for hunk in hunks:
            lines = hunk.splitlines(keepends=True)
            old = "".join(line[1:] for line in lines if line[0] in " -")
            assert text.count(old) == 1, f"{path}: {old}"
            text = text.replace(old, "".join(line[1:] for line in lines if line[0] in " +"))
        path.write_text(text)


def assert_prints(project: Project, shown: str) -> None:
    """Run the commands after `$`, and find the lines below them, in their order, in the output.

    Where a line is `...`, the output has others.
    """
    for part in re.split(r"^\$ ", shown, flags=re.M)[1:]:
        command, _, lines = part.partition("\n")
        printed = likened(project.run(REPRO if command == "make repro" else command))
        expected = [line for line in likened(lines) if line != "..."]
        rest = iter(printed)
        assert all(line in rest for line in expected), f"{command}: {printed}"
        assert "..." in lines or printed == expected, f"{command}: {printed}"


def likened(text: str) -> list[str]:
    """Return the lines of an output, without what varies and without spaces that align columns."""
    return [" ".join(VARIES.sub("-", line).split()) for line in text.strip().splitlines()]


def run_shown(project: Project, command: str) -> None:
    """Run a command of a document, or what stands in for it here."""
    if command.startswith(("make ", "source ")):
        return  # targets are checked above, and `make test` is what runs this
    if command.startswith("framemix demo"):
        project.run_until(f"{command} --port 0", "serving")
    elif "tests.browser" in command and chromium() is None:
        return
    else:
        project.run(CAMERA.sub(STAND_IN, command))
    if command == "dvc queue start":
        project.await_queue()


@pytest.mark.parametrize("document", DOCUMENTS)
def test_changes_that_the_documents_show_fit_the_files(document: str, tmp_path: Path) -> None:
    for block in BLOCK.finditer((ROOT / document).read_text(encoding="utf-8")):
        if block["kind"] == "diff":
            for name in re.findall(r"^--- a/(.*)$", block["text"], re.M):
                (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(ROOT / name, tmp_path / name)
            apply_changes(tmp_path, block["text"])


@pytest.mark.slow
@pytest.mark.parametrize(
    "document", [name for name in DOCUMENTS if BLOCK.search((ROOT / name).read_text())]
)
def test_what_the_documents_show_works(document: str, tmp_path: Path) -> None:
    project = Project.fresh(tmp_path / "project")
    project.set(resize__frames=16)  # as many as the segments of the profile videomae
    project.run("git commit -qam 'Longer clips' && dvc repro")
    for block in BLOCK.finditer((ROOT / document).read_text(encoding="utf-8")):
        if block["file"]:
            (project.folder / block["file"]).write_text(block["text"])
        elif block["kind"] == "diff":
            apply_changes(project.folder, block["text"])
        elif block["kind"] == "console":
            assert_prints(project, block["text"])
        else:
            for command in block["text"].splitlines():
                run_shown(project, command)
