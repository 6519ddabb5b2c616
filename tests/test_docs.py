"""Every command that the documents show is run here, in their order."""

import re
from pathlib import Path

import pytest
import yaml

from framemix.params import parse_params
from tests.pipeline import ROOT, Project

DOCUMENTS = ["README.md", "CONTRIBUTING.md", "docs/clusters.md"]


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


@pytest.mark.parametrize("document", DOCUMENTS)
def test_snippets_of_python_and_params_are_valid(document: str) -> None:
    """They need clusters that are not here: their syntax, and the keys of params.yaml."""
    text = (ROOT / document).read_text(encoding="utf-8")
    for snippet in re.findall(r"```python\n(.*?)```", text, re.DOTALL):
        compile(snippet, document, "exec")
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    for snippet in re.findall(r"```yaml\n(.*?)```", text, re.DOTALL):
        for section, values in yaml.safe_load(snippet).items():
            params[section] |= values
        parse_params(params, Path(document))


def test_linked_files_exist() -> None:
    for document in DOCUMENTS:
        for target in re.findall(r"\]\(([^)#:]+)\)", (ROOT / document).read_text()):
            assert (ROOT / target).exists(), f"{document} links to {target}"


def test_the_readmes_python_runs() -> None:
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert blocks
    for block in blocks:
        exec(block, {})


@pytest.mark.slow
@pytest.mark.parametrize("document", DOCUMENTS)
def test_commands_of_the_documents_run(document: str, tmp_path: Path) -> None:
    project = Project.fresh(tmp_path / "project")
    project.run("dvc repro")
    for command in commands(document):
        # make builds an environment of its own, which the tests run in already; its targets are
        # checked above, and `make test` is what runs this.
        if not command.startswith(("make ", "source ")):
            project.run(command)
        if command == "dvc queue start":
            project.await_queue()
