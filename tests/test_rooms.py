"""What developers may rely on in src/framemix: rooms import downwards and state their purpose."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from graphlib import TopologicalSorter
from importlib import import_module
from pathlib import Path

import pytest
import yaml

import framemix
from framemix.jobs.fingerprint import EXEMPT

PACKAGE = Path(framemix.__file__).parent
ROOT = Path(__file__).resolve().parents[1]
# From bottom to top: each imports only those before it.
ORDER = [
    "errors",
    "text",
    "validation",
    "jobs",
    "pictures",
    "tables",
    "devices",
    "video",
    "mixing",
    "datasets",
    "store",
    "models",
    "metrics",
    "training",
    "starting",
    "pretraining",
    "finetuning",
    "explain",
    "evaluation",
    "frame_mixup",
    "your_videos",
    "inference",
    "calibration",
    "project",
    "benchmarks",
    "cli",
]
ROOMS = sorted(path.parent.name for path in PACKAGE.glob("*/__init__.py"))
LOOSE = sorted(path.stem for path in PACKAGE.glob("*.py") if path.name != "__init__.py")


def name_of(file: Path) -> str:
    """Return a file's module below framemix; a package's is that of its `__init__.py`."""
    parts = file.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


def modules() -> dict[str, Path]:
    """Return all modules by name, but for framemix itself."""
    files = PACKAGE.rglob("*.py")
    return {name: file for file in files if (name := name_of(file))}


def imports_of(file: Path) -> Iterator[str]:
    """Yield each module of framemix that a file names in an import, wherever it stands."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            named = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{file}: an import relative to the file"
            whole = [f"{node.module}.{alias.name}" for alias in node.names]
            named = [name if is_module(name) else str(node.module) for name in whole]
        else:
            continue
        yield from (name.removeprefix("framemix.") for name in named if is_module(name))


@cache
def is_module(name: str) -> bool:
    room, _, module = name.partition(".")
    path = PACKAGE / module.replace(".", "/")
    return (
        room == "framemix" and module != "" and (path.is_dir() or path.with_suffix(".py").is_file())
    )


def test_every_room_has_its_place_in_the_order():
    assert {*ROOMS, *LOOSE} == set(ORDER)


def test_a_room_imports_only_the_rooms_below_it():
    upward = [
        f"{name} imports {imported}"
        for name, file in modules().items()
        for imported in imports_of(file)
        if ORDER.index(imported.split(".")[0]) > ORDER.index(name.split(".")[0])
    ]
    assert sorted(upward) == []


def test_no_modules_import_each_other_in_a_circle():
    graph = {name: set(imports_of(file)) for name, file in modules().items()}
    TopologicalSorter(graph).prepare()  # raises CycleError, which names the circle
    assert "store.reading" in graph["store"]
    assert "mixing.frames" in graph["mixing.files"]


def test_few_files_are_in_no_room():
    assert len(LOOSE) <= 5, LOOSE


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_says_what_belongs_there_and_what_does_not(room):
    docstring = ast.get_docstring(ast.parse((PACKAGE / room / "__init__.py").read_text()))
    summary, _, rest = (docstring or "").partition("\n\n")
    assert summary.endswith(".")
    assert re.search(r"\bbelong", rest)
    assert re.search(r"\b(not|never|no)\b", rest)


def test_nothing_in_jobs_decides_an_output():
    """So no stage reruns when it changes."""
    files = {file for file in (PACKAGE / "jobs").glob("*.py") if file.name != "__init__.py"}
    assert files - EXEMPT == set()


def test_rooms_that_work_without_params_yaml_name_no_key_of_it():
    """A model file, or a caller in Python, has no params.yaml: they name their own arguments."""
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    sections = {name: "|".join(keys) for name, keys in params.items() if isinstance(keys, dict)}
    key = re.compile("|".join(rf"(?<![\w./]){name}\.({keys})\b" for name, keys in sections.items()))
    named = [
        f"{file.relative_to(PACKAGE)}: {node.value!r}"
        for room in ("video", "mixing", "store", "models", "metrics", "explain", "inference")
        for file in sorted((PACKAGE / room).glob("*.py"))
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and key.search(node.value)
    ]
    assert named == []
    assert key.search("mix.size = [60, 85]")


@pytest.mark.parametrize(
    ("module", "names"),
    [
        ("mixing", ["segment_weights", "mix_frames", "mix_stream", "MixSettings"]),
        ("models", ["build_model", "load_model"]),
        ("models.vivit", ["ViViT", "load_vit_pytorch_state_dict"]),
        ("models.nonlocal_net", ["NonLocalBlock", "NonLocalNet"]),
        ("store", ["MixedStore", "write_shard"]),
    ],
)
def test_what_others_import_stays_where_it_is(module, names):
    home = import_module(f"framemix.{module}")
    assert [name for name in names if not hasattr(home, name)] == []
