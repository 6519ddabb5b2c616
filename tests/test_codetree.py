"""What users may rely on in dvc.yaml: a stage reruns when its code changes, and only then."""

import ast
import inspect
import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml
from pydantic import BaseModel

from framemix.jobs.fingerprint import EXEMPT, PACKAGE, code_fingerprint, source_files
from framemix.project.params import Params, RuntimeSettings, load_params

ROOT = Path(__file__).resolve().parents[1]


def stages() -> dict[str, dict]:
    definitions = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
    for file in sorted((ROOT / "pipelines").glob("*.yaml")):
        beside = yaml.safe_load(file.read_text())["stages"]
        definitions |= {f"{file.stem}.{name}": stage for name, stage in beside.items()}
    return {name: stage.get("do", stage) for name, stage in definitions.items()}


STAGES = stages()
STUDY_DATA_STAGES = [f"frame_mixup.{name}" for name in ("sample", "videos", "mix")]
YOUR_DATA_STAGES = [f"your_videos.{name}" for name in ("videos", "split", "mix")]
DATA_STAGES = ("sample", "filter", "split", "resize", "mix", *STUDY_DATA_STAGES, *YOUR_DATA_STAGES)


def script_of(stage: dict) -> Path:
    """The file that the stage's command runs: `python -m stages.<name> ...`."""
    words = shlex.split(stage["cmd"])
    return ROOT / f"{words[words.index('-m') + 1].replace('.', '/')}.py"


@cache
def closure(script: Path) -> frozenset[Path]:
    return frozenset(source_files(script))


def code_deps(stage: dict) -> list[Path]:
    code = [dep for dep in stage["deps"] if dep.startswith(("src/", "stages/"))]
    return [ROOT / dep for dep in code if not dep.endswith("/templates")]


def covers(dep: Path, file: Path) -> bool:
    return dep in (file, *file.parents)


@pytest.mark.parametrize("name", STAGES)
def test_all_code_that_decides_a_stages_outputs_is_among_its_deps(name):
    script, deps = script_of(STAGES[name]), code_deps(STAGES[name])
    files = {script, *closure(script)}
    missing = [str(f.relative_to(ROOT)) for f in files if not any(covers(d, f) for d in deps)]
    assert sorted(missing) == []


@pytest.mark.parametrize("name", STAGES)
def test_the_templates_of_pages_are_among_the_deps_of_the_stages_that_fill_them(name):
    script = script_of(STAGES[name])
    files = {script, *closure(script)}
    fills_pages = any(file.name == "page.py" for file in files)
    rooms = {folder for file in files if (folder := file.parent / "templates").is_dir()}
    deps = [ROOT / dep for dep in STAGES[name]["deps"]]
    missing = [room for room in rooms if not any(covers(dep, room) for dep in deps)]
    assert not (fills_pages and missing)


@cache
def attributes(file: Path) -> frozenset[str]:
    nodes = ast.walk(ast.parse(file.read_text()))
    return frozenset(node.attr for node in nodes if isinstance(node, ast.Attribute))


def models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
        for field in annotation.model_fields.values():
            yield from models_in(field.annotation)
    for part in get_args(annotation):
        yield from models_in(part)


def computed_by_settings() -> set[tuple[str, Path]]:
    """Return the public methods and properties of all settings, each with its file."""
    # The machine's settings, which decide no output: no stage lists it.
    models = set(models_in(Params)) - {RuntimeSettings}
    return {
        (name, Path(inspect.getfile(home)))
        for model in models
        for home in model.__mro__
        if home.__module__.startswith("framemix.")
        for name, member in vars(home).items()
        if not name.startswith("_") and (inspect.isroutine(member) or isinstance(member, property))
    }


@pytest.mark.parametrize("name", STAGES)
def test_what_a_stage_has_its_settings_compute_is_code_among_its_deps(name):
    """Settings reach a stage through params.py, which is exempt: no import tells of their code."""
    script = script_of(STAGES[name])
    files = {script, *closure(script)}
    used = frozenset().union(*map(attributes, files))
    missing = {
        f"{what} of {file.relative_to(PACKAGE)}"
        for what, file in computed_by_settings()
        if what in used and file not in files
    }
    assert sorted(missing) == []


def test_settings_have_the_values_that_params_yaml_has():
    """So the code that reads and checks them decides no output."""
    file = ROOT / "params.yaml"
    settings = load_params(file).model_dump(mode="json", by_alias=True, exclude_unset=True)
    assert settings == yaml.safe_load(file.read_text())


def leaves(content: Any, *above: str) -> Iterator[str]:
    """The keys of params.yaml that hold values, as `section.key`."""
    if isinstance(content, dict):
        for key, value in content.items():
            yield from leaves(value, *above, key)
    else:
        yield ".".join(above)


def test_a_change_to_any_setting_but_the_machines_reruns_a_stage():
    """Some sections are listed key by key: a new key must be added there."""
    definitions = json.dumps(STAGES).replace("${item.model}", "nonlocal")
    listed = {name for stage in json.loads(definitions).values() for name in stage["params"]}
    listed |= {"pretrain.vivit", *re.findall(r"\$\{([\w.]+)\}", definitions)}
    idle = {
        key
        for key in leaves(yaml.safe_load((ROOT / "params.yaml").read_text()))
        if not any(f"{key}.".startswith(f"{name}.") for name in listed)
    }
    assert {key for key in idle if not key.startswith("runtime.")} == set()
    assert "runtime.workers" in idle


@pytest.mark.parametrize("name", STAGES)
def test_no_stage_depends_on_code_that_it_does_not_use(name):
    script, deps = script_of(STAGES[name]), code_deps(STAGES[name])
    files = {script, *closure(script)}
    idle = [str(d.relative_to(ROOT)) for d in deps if not any(covers(d, f) for f in files)]
    assert sorted(idle) == []


@pytest.mark.parametrize("name", STAGES)
def test_no_folder_among_the_deps_holds_code_that_the_stage_does_not_use(name):
    script = script_of(STAGES[name])
    used = {script, *closure(script)}
    folders = [dep for dep in code_deps(STAGES[name]) if dep.is_dir()]
    held = {file for folder in folders for file in folder.rglob("*.py") if file.read_text().strip()}
    idle = [f for f in held - used - EXEMPT if f.name != "__init__.py"]
    assert sorted(str(file.relative_to(ROOT)) for file in idle) == []


@pytest.mark.parametrize("name", STAGES)
def test_every_dep_on_code_exists_and_none_is_exempt(name):
    for dep in code_deps(STAGES[name]):
        assert dep.exists(), dep
        assert dep not in EXEMPT, dep


def test_stages_that_do_not_train_load_just_the_code_that_was_found_and_no_torch():
    """The import tree is read from the sources; Python's own list must agree with it."""
    code = (
        f"import sys, {', '.join(f'stages.{name}' for name in DATA_STAGES)}\n"
        "files = {n: getattr(m, '__file__', None) for n, m in sys.modules.items()}\n"
        "print(*(f for n, f in files.items() if n.startswith('framemix') and f), sep='\\n')\n"
        "assert 'torch' not in files"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": "src"},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    loaded = {Path(line) for line in done.stdout.splitlines()}
    found = source_files(*(script_of(STAGES[name]) for name in DATA_STAGES))
    # Checking params.yaml takes the settings of all stages.
    allowed = found | EXEMPT | source_files(PACKAGE / "project/params.py")
    assert {f for f in loaded - allowed if f.name != "__init__.py"} == set()
    assert found <= loaded


def test_only_files_that_exist_are_exempt():
    assert {file for file in EXEMPT if not file.is_file()} == set()


@pytest.mark.parametrize("name", [name for name in STAGES if not name.endswith("sample")])
def test_a_stage_reruns_when_tables_are_written_or_read_otherwise(name):
    assert PACKAGE / "tables.py" in code_deps(STAGES[name])


def test_no_data_stage_reruns_for_a_change_to_a_model_or_its_training():
    for name in DATA_STAGES:
        parts = {
            file.relative_to(PACKAGE).parts[0] for file in source_files(script_of(STAGES[name]))
        }
        assert not parts & {
            "models",
            "metrics",
            "training",
            "pretraining",
            "finetuning",
            "evaluation",
        }, name


def test_the_code_of_a_module_is_its_source_and_that_of_its_imports():
    mix = PACKAGE / "store/build.py"
    assert {
        PACKAGE / "mixing/frames.py",
        PACKAGE / "video/reading.py",
        PACKAGE / "store/reading.py",
    } <= source_files(mix)
    assert PACKAGE / "video/writing.py" not in source_files(mix)
    assert code_fingerprint(str(mix)) != code_fingerprint(str(PACKAGE / "mixing/frames.py"))
    assert code_fingerprint(str(mix)) == code_fingerprint(str(mix))


def test_the_code_of_a_module_changes_with_its_own_source(tmp_path):
    for name in ("a", "b"):
        (tmp_path / f"{name}.py").write_text(f"from framemix import mixing\nNAME = {name!r}\n")
    assert code_fingerprint(str(tmp_path / "a.py")) != code_fingerprint(str(tmp_path / "b.py"))


def test_the_code_of_a_module_has_the_same_name_in_every_process():
    """So that a run finds what the last one finished."""
    code = (
        "import sys; from framemix.jobs.fingerprint import code_fingerprint as f; "
        "print(f(sys.argv[1]))"
    )
    command = [sys.executable, "-c", code, str(PACKAGE / "store/build.py")]
    names = {
        subprocess.run(
            command,
            env={**os.environ, "PYTHONPATH": "src", "PYTHONHASHSEED": seed},
            cwd=ROOT,
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("1", "2", "3")
    }
    assert len(names) == 1


@pytest.mark.parametrize(
    "line",
    [
        "import framemix.mixing",
        "import os, framemix.mixing as m",
        "from framemix.mixing import mix_frames",
        "from framemix import mixing",
        "def later():\n    from framemix import mixing",
    ],
)
def test_every_way_to_import_a_module_is_seen(tmp_path, line):
    script = tmp_path / "script.py"
    script.write_text(line)
    assert PACKAGE / "mixing/frames.py" in source_files(script)


def test_exempt_modules_are_not_followed(tmp_path):
    script = tmp_path / "script.py"
    script.write_text("from framemix.project.params import load_params\nimport os\n")
    assert source_files(script) == set()
