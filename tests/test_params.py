"""What users may rely on in params.yaml: errors in one line that helps, profiles that keep it."""

import copy
import json
import math
import re
import shutil
from collections.abc import Iterator
from functools import reduce
from operator import getitem
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import pytest
import yaml
from pydantic import BaseModel
from typer.testing import CliRunner

from framemix.cli import app
from framemix.errors import ParamsError
from framemix.project.params import Params, load_params, parse_params
from framemix.project.profiles import apply_profile
from framemix.validation import shown

ROOT = Path(__file__).resolve().parents[1]
COMMITTED = yaml.safe_load((ROOT / "params.yaml").read_text())
MISSING = object()
# What the errors below name, whatever the committed values become.
BASE = copy.deepcopy(COMMITTED)
BASE["filter"] |= {"min_frames": 150}
BASE["resize"] |= {"frames": 150, "states": [0, 10]}
BASE["split"] |= {"folds": 5, "fold": 0}
BASE["mix"] |= {"segments": 8, "frames_per_segment": "all", "window": "all", "size": [60, 80]}
BASE["pretrain"]["vivit"]["model"] |= {"image_patch_size": 10, "frame_patch_size": 2}
BASE["mix"] |= {"variants": 1}
BASE["evaluate"] |= {"views": 1}
BASE["finetune"] |= {"task": "drowsy_class"}


VIVIT = {"architecture": "vivit", **BASE["pretrain"]["vivit"]["model"]}


def changed(path: str, value: Any) -> dict[str, Any]:
    """The params with one key (`section.key`) set, added or removed."""
    content = copy.deepcopy(BASE)
    *sections, key = path.split(".")
    place = content
    for section in sections:
        place = place[section]
    if value is MISSING:
        del place[key]
    else:
        place[key] = value
    return content


def error_of(content: Any) -> str:
    with pytest.raises(ParamsError) as caught:
        parse_params(content, Path("params.yaml"))
    message = str(caught.value)
    assert message.startswith("params.yaml: ")
    assert "\n" not in message
    assert "pydantic" not in message
    return message.removeprefix("params.yaml: ")


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return Path(shutil.copy(ROOT / "params.yaml", tmp_path / "params.yaml"))


def profile_of(tmp_path: Path, text: str) -> Path:
    (tmp_path / "profile.yaml").write_text(text)
    return tmp_path / "profile.yaml"


# The committed file


def test_the_committed_params_are_valid():
    params = load_params(ROOT / "params.yaml")
    assert list(params.mix.size) == COMMITTED["mix"]["size"]
    assert (
        params.pretrain.nonlocal_.model.depth == COMMITTED["pretrain"]["nonlocal"]["model"]["depth"]
    )


def test_the_default_mode_is_not_the_one_that_the_readme_asks_for():
    assert load_params(ROOT / "params.yaml").finetune.mode != "temporal_fc"


@pytest.mark.parametrize(
    "profile", sorted((ROOT / "profiles").glob("*.yaml")), ids=lambda p: p.name
)
def test_every_profile_fits_the_committed_params_and_changes_something(target, profile):
    assert apply_profile(profile, target)
    load_params(target)
    assert apply_profile(profile, target) == []


@pytest.mark.parametrize("name", ["paper", "mixed8", "mixed16", "mixed30"])
def test_a_profile_says_how_much_disk_the_mixed_ucf101_takes(target, name):
    videos = 7688  # of at least 150 frames
    for profile in ("paper", name):
        apply_profile(ROOT / f"profiles/{profile}.yaml", target)
    mix = load_params(target).mix
    size = videos * mix.segments * math.prod(mix.frame_shape)
    header = (ROOT / f"profiles/{name}.yaml").read_text()
    assert f"{size / 1e9:.0f} GB for " in header


def test_every_key_is_explained_where_it_first_stands():
    """In a comment behind it or above it; the recipes after the first have the same keys."""
    explained, unexplained, above = set(), [], ""
    for line in (ROOT / "params.yaml").read_text().splitlines():
        if key := re.match(r" *(\w+):( .*)?$", line):
            if "#" in above or "#" in line:
                explained.add(key[1])
            elif key[2] and key[1] not in explained:
                unexplained.append(line)
        above = line if line.lstrip().startswith("#") else ""
    assert unexplained == []
    assert {"seeds", "learning_rate", "decode_timeout"} <= explained


def models_in(annotation: Any) -> list[type[BaseModel]]:
    """The types of settings that an annotation names."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in get_args(annotation) for model in models_in(part)]


def is_section(annotation: Any) -> bool:
    """Whether nothing but settings of their own can stand there."""
    parts = get_args(annotation)
    return all(map(is_section, parts)) if parts else annotation in models_in(annotation)


def settings_types(model: type[BaseModel]) -> Iterator[type[BaseModel]]:
    """A type of settings and all that are in it."""
    yield model
    for field in model.model_fields.values():
        for inner in models_in(field.annotation):
            yield from settings_types(inner)


@pytest.mark.parametrize("model", dict.fromkeys(settings_types(Params)), ids=lambda m: m.__name__)
def test_every_setting_says_in_a_line_what_it_is(model):
    """A section says it in its type's docstring."""
    assert model.__doc__
    values = {
        name: field.description
        for name, field in model.model_fields.items()
        if not is_section(field.annotation)
    }
    silent = [name for name, said in values.items() if not said or len(said) > 80 or "\n" in said]
    assert silent == []


def choices_of(annotation: Any) -> set[str]:
    """The words that a value may be, as YAML has them, however deep they are named."""
    if get_origin(annotation) is Literal:
        return {str(value) for value in get_args(annotation)}
    words = [choices_of(part) for part in get_args(annotation)]
    for model in models_in(annotation) if not get_args(annotation) else []:
        words += [choices_of(field.annotation) for field in model.model_fields.values()]
    return set().union(
        *words, *({"true", "false"} for part in get_args(annotation) if part is bool)
    )


def commented_keys(text: str) -> Iterator[tuple[list[str], str]]:
    """Each key of params.yaml, with the sections it is in, and the comment above and behind it."""
    path: list[str] = []
    above = ""
    for line in text.splitlines():
        if found := re.match(r"( *)(\w+):(?: [^#]*)?(?:# (.*))?$", line):
            path = [*path[: len(found[1]) // 2], found[2]]
            yield list(path), f"{above} {found[3] or ''}".strip()
        above = f"{above} {line.strip(' #')}" if line.lstrip().startswith("#") else ""


def choices_at(path: list[str]) -> set[str]:
    """The words that the value at `path` may be; none where it may be any number, say."""
    models = [Params]
    for key in path:
        fields = [
            field
            for model in models
            for name, field in model.model_fields.items()
            if key == (field.alias or name)
        ]
        assert fields, path
        models = [model for field in fields for model in models_in(field.annotation)]
    values = [field.annotation for field in fields if not is_section(field.annotation)]
    return set().union(*map(choices_of, values))


def test_where_comments_list_choices_they_are_those_that_are_allowed():
    """All of them where a key first stands; each after a bar, where there are bars."""
    known, wrong = set(), []
    for path, comment in commented_keys((ROOT / "params.yaml").read_text()):
        choices = choices_at(path)
        listed = re.findall(r"\| *(\w+)", comment)
        if choices and (listed or path[-1] not in known):
            if choices - set(re.findall(r"\w+", comment)) or set(listed) - choices:
                wrong.append(f"{'.'.join(path)}: {sorted(choices)}, not {comment!r}")
            known.add(path[-1])
    assert wrong == []
    assert {"method", "depth", "resident", "states", "architecture"} <= known


# Errors


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("seeds", [], "seeds = []: allowed: 1 or more values"),
        ("seeds", [0, -1], "seeds.1 = -1: allowed: greater than or equal to 0"),
        ("seeds", [2**64], f"seeds.0 = {2**64}: allowed: less than {2**64}"),
        ("data.ucf101", "", "data.ucf101 = '': allowed: a folder's path"),
        ("runtime.scratch", "", "runtime.scratch = '': allowed: a folder's path"),
        ("resize.states", [0, 0], "resize.states = [0, 0]: allowed: each one once"),
        ("seeds", [1, 2, 1], "seeds = [1, 2, 1]: allowed: each one once"),
        (
            "mix.method",
            "mean",
            "mix.method = 'mean': allowed: 'none', 'random', 'average', 'linear', 'harmonic', "
            "'last' or 'rank_pool'",
        ),
        ("mix.segments", 0, "mix.segments = 0: allowed: greater than or equal to 1"),
        (
            "pretrain.vivit.model.dim",
            10**18,
            "pretrain.vivit.model.dim = 1000000000000000000: allowed: less than or equal to 16384",
        ),
        ("mix.segments", "eight", "mix.segments = 'eight': allowed: an integer"),
        ("mix.segments", True, "mix.segments = true: allowed: an integer"),
        ("mix.segments", "8", "mix.segments = '8': allowed: an integer"),
        ("resize.fps", True, "resize.fps = true: allowed: a number"),
        ("mix.size", 60, "mix.size = 60: allowed: a list"),
        ("mix.size", [60, 80, 3], "mix.size = [60, 80, 3]: allowed: at most 2 values"),
        ("mix.size", [60], "mix.size.1: missing; allowed: a longer list"),
        ("mix.size", {"height": 60}, 'mix.size = {"height": 60}: allowed: a list'),
        ("mix.size", [1, 80], "mix.size.0 = 1: allowed: greater than or equal to 2"),
        ("resize.states", [0, 3], "resize.states.1 = 3: allowed: 0, 5 or 10"),
        ("resize.states", [False, 10], "resize.states.0 = false: allowed: an integer"),
        ("resize.states", [0, 10.0], "resize.states.1 = 10.0: allowed: an integer"),
        ("resize.states", [], "resize.states = []: allowed: 1 or more values"),
        ("resize.clips", "many", "resize.clips = 'many': allowed: an integer"),
        ("finetune.learning_rate", "fast", "finetune.learning_rate = 'fast': allowed: a number"),
        ("finetune.augment.flip", 2, "finetune.augment.flip = 2: allowed: true or false"),
        ("data.ucf101", 3, "data.ucf101 = 3: allowed: text"),
        (
            "runtime.scheduler",
            "node7",
            "runtime.scheduler = 'node7': allowed: null or an address like tcp://host:8786",
        ),
        (
            "runtime.scheduler",
            "tcp://node7/dask:8786",
            "runtime.scheduler = 'tcp://node7/dask:8786': allowed: null or an address like "
            "tcp://host:8786",
        ),
        (
            "pretrain.nonlocal.model.depth",
            18,
            "pretrain.nonlocal.model.depth = 18: allowed: 10, 50 or 101",
        ),
        (
            "pretrain.nonlocal.model.nonlocal_blocks",
            True,
            "pretrain.nonlocal.model.nonlocal_blocks = true: allowed: an integer",
        ),
        (
            "frame_mixup.train.model.depth",
            10.0,
            "frame_mixup.train.model.depth = 10.0: allowed: an integer",
        ),
        ("seeds", [True], "seeds.0 = true: allowed: an integer"),
        ("mix.size", [60.0, 80], "mix.size.0 = 60.0: allowed: an integer"),
        (
            "frame_mixup.more_seeds",
            [False],
            "frame_mixup.more_seeds.0 = false: allowed: an integer",
        ),
        ("frame_mixup.train.model", None, "frame_mixup.train.model = null: allowed: a mapping"),
        (
            "frame_mixup.train.model.architecture",
            None,
            "frame_mixup.train.model.architecture = null: allowed: 'vivit', 'nonlocal', 'tsn', "
            "'tsm', 'i3d'",
        ),
        (
            "frame_mixup.mix.segments",
            0,
            "frame_mixup.mix.segments = 0: allowed: greater than or equal to 1",
        ),
        (
            "frame_mixup.mix.size",
            [48, 1],
            "frame_mixup.mix.size.1 = 1: allowed: greater than or equal to 2",
        ),
        (
            "runtime.decode_timeout",
            1e10,
            "runtime.decode_timeout = 10000000000.0: allowed: less than or equal to 86400",
        ),
        (
            "pretrain.nonlocal.model.weights",
            "",
            "pretrain.nonlocal.model.weights = '': allowed: null, a file or a URL",
        ),
        (
            "frame_mixup.train.model.weights",
            "https://host/resnet10.pth",
            "frame_mixup.train.model.weights = https://host/resnet10.pth: a URL without checksum; "
            "allowed: with frame_mixup.train.model.weights_sha256, or a name-<digest>.pth",
        ),
        ("runtime.resident", 1, "runtime.resident = 1: allowed: 'auto' or true or false"),
        (
            "mix",
            None,
            "mix = null: allowed: a mapping of method, segments, frames_per_segment, window, "
            "variants, size, fit, pixel_format",
        ),
    ],
)
def test_a_bad_value_is_named_with_its_key_and_what_is_allowed(path, value, message):
    assert error_of(changed(path, value)) == message


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (
            "mix.frames_per_segment",
            "some",
            "mix.frames_per_segment = 'some': allowed: 'all' or an integer",
        ),
        (
            "mix.frames_per_segment",
            0,
            "mix.frames_per_segment = 0: allowed: 'all' or greater than or equal to 1",
        ),
        ("mix.window", 150, "mix.window = 150: allowed: 'all' or a mapping of frames, at"),
        (
            "mix.window",
            {"frames": 150, "at": "end"},
            "mix.window.at = 'end': allowed: 'start' or 'centre'",
        ),
        (
            "mix.window",
            {"frame": 150, "at": "start"},
            "mix.window.frame: unknown key; allowed: frames, at",
        ),
    ],
)
def test_where_one_of_several_forms_is_allowed_the_error_names_each_or_the_nearest(
    path, value, message
):
    assert error_of(changed(path, value)) == message


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("mix.methods", "mix.methods: unknown key; allowed: method, segments, frames_per_segment"),
        ("mix.Method", "mix.Method: unknown key; allowed: method, segments"),
        ("pretrain.resnet", "pretrain.resnet: unknown key; allowed: vivit, nonlocal"),
        ("finetune.augment.flop", "finetune.augment.flop: unknown key; allowed: shift, flip, bri"),
        ("Seed", "Seed: unknown key; allowed: seeds, data, sample, filter, split, resize, mix, "),
    ],
)
def test_an_unknown_key_is_named_with_the_keys_that_are_known_there(path, message):
    assert error_of(changed(path, 1)).startswith(message)


def test_a_misspelt_key_is_called_unknown_rather_than_missing():
    content = changed("mix.method", MISSING)
    content["mix"]["methode"] = "linear"
    assert error_of(content).startswith("mix.methode: unknown key; allowed: method, ")


@pytest.mark.parametrize(
    "path", ["seeds", "mix", "mix.fit", "pretrain.vivit.model.dim", "resize.clips"]
)
def test_every_key_must_be_there(path):
    assert error_of(changed(path, MISSING)).startswith(f"{path}: missing")


def leaves(content: Any, *above: str) -> Iterator[str]:
    """The keys that hold values, and the places in lists, as `section.key.0`."""
    pairs = enumerate(content) if isinstance(content, list) else content.items()
    for key, value in pairs:
        if isinstance(value, dict | list):
            yield from leaves(value, *above, str(key))
        else:
            yield ".".join((*above, str(key)))


@pytest.mark.parametrize("written", [".inf", "-.inf", ".nan"])
def test_what_is_no_finite_number_is_refused_by_every_key(written):
    value = float(written.replace(".", ""))
    content = copy.deepcopy(BASE)
    for path in leaves(BASE):
        *sections, key = (int(part) if part.isdigit() else part for part in path.split("."))
        place = reduce(getitem, sections, content)
        usual, place[key] = place[key], value
        assert error_of(content).startswith(f"{path} = {written}: allowed: ")
        place[key] = usual
    assert error_of(changed("finetune.clip_norm", value)).endswith("allowed: a finite number")


@pytest.mark.parametrize("written", [".nan", "1e400"])
def test_a_number_that_yaml_makes_infinite_is_refused(tmp_path, written):
    text = yaml.safe_dump(changed("resize.fps", "NUMBER")).replace("NUMBER", written)
    (tmp_path / "params.yaml").write_text(text)
    with pytest.raises(ParamsError, match=r"yaml: resize\.fps = \.(nan|inf): allowed: a finite"):
        load_params(tmp_path / "params.yaml")


@pytest.mark.parametrize("content", [None, [], "mix"])
def test_a_file_that_is_no_mapping_is_refused(content):
    assert error_of(content).startswith(
        f"content = {shown(content)}: allowed: a mapping of seeds, data"
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"mix.segments": 151}, "mix.segments = 151: allowed: at most filter.min_frames = 150"),
        ({"resize.frames": 7}, "mix.segments = 8: allowed: at most resize.frames = 7"),
        (
            {"mix.window": {"frames": 151, "at": "start"}},
            "mix.window.frames = 151: allowed: at most filter.min_frames = 150",
        ),
        (
            {"mix.window": {"frames": 7, "at": "start"}},
            "mix.segments = 8: allowed: at most mix.window.frames = 7",
        ),
        (
            {"mix.segments": 7},
            "mix.segments = 7: allowed: a multiple of pretrain.vivit.model.frame_patch_size = 2",
        ),
        (
            {"mix.size": [60, 85]},
            "mix.size = [60, 85]: allowed: multiples of pretrain.vivit.model.image_patch_size = 10",
        ),
        (
            {"mix.size": [60, 85], "mix.pixel_format": "yuv420p"},
            "mix.size = [60, 85]: allowed: even numbers, or mix.pixel_format = rgb24 "
            "(yuv420p has one colour for 2x2 pixels)",
        ),
        (
            {"mix.variants": 2},
            "mix.variants = 2: allowed with mix.window = all: 1; "
            "more take a mix.window of frames and at, or mix.method = random",
        ),
        ({"evaluate.views": 2}, "evaluate.views = 2: allowed: at most mix.variants = 1"),
        (
            {
                "evaluate.views": 4,
                "mix.variants": 3,
                "mix.window": {"frames": 100, "at": "start"},
            },
            "evaluate.views = 4: allowed: at most mix.variants = 3",
        ),
        (
            {"pretrain.vivit.accumulate": 17, "pretrain.vivit.batch_size": 16},
            "pretrain.vivit.accumulate = 17: allowed: at most pretrain.vivit.batch_size = 16",
        ),
        (
            {"finetune.warmup_epochs": 30.5, "finetune.epochs": 30},
            "finetune.warmup_epochs = 30.5: allowed: at most finetune.epochs = 30",
        ),
        (
            {
                "pretrain.vivit.model.attention": "factorised_dot_product",
                "pretrain.vivit.model.heads": 3,
            },
            "pretrain.vivit.model.heads = 3: allowed with "
            "pretrain.vivit.model.attention = factorised_dot_product: even numbers",
        ),
        (
            {
                "pretrain.vivit.model.attention": "factorised_self_attention",
                "pretrain.vivit.model.spatial_depth": 2,
                "pretrain.vivit.model.temporal_depth": 3,
            },
            "pretrain.vivit.model.temporal_depth = 3: allowed with pretrain.vivit.model.attention "
            "= factorised_self_attention: pretrain.vivit.model.spatial_depth = 2",
        ),
        (
            {"finetune.head": "extend", "finetune.task": "alert_drowsy"},
            "finetune.head = extend: needs finetune.task = drowsy_class, which has the pretrained "
            "classes, not alert_drowsy",
        ),
        (
            {
                "pretrain.nonlocal.model.scaled": True,
                "pretrain.nonlocal.model.pairwise": "gaussian",
            },
            "pretrain.nonlocal.model.scaled = true: allowed with "
            "pretrain.nonlocal.model.pairwise = gaussian: false",
        ),
        (
            {"pretrain.nonlocal.model.nonlocal_blocks": 5, "pretrain.nonlocal.model.depth": 10},
            "pretrain.nonlocal.model.nonlocal_blocks = 5: allowed with "
            "pretrain.nonlocal.model.depth = 10: 1",
        ),
        (
            {"pretrain.nonlocal.warmup_epochs": 31, "pretrain.nonlocal.epochs": 30},
            "pretrain.nonlocal.warmup_epochs = 31: allowed: at most pretrain.nonlocal.epochs = 30",
        ),
        (
            {"frame_mixup.train.accumulate": 17, "frame_mixup.train.batch_size": 16},
            "frame_mixup.train.accumulate = 17: allowed: at most frame_mixup.train.batch_size = 16",
        ),
        (
            {
                "finetune.augment.cutmix": 1.0,
                "finetune.accumulate": 4,
                "finetune.batch_size": 15,
                "runtime.devices": 2,
            },
            "finetune.augment.cutmix = 1: pairs clips within each of a step's 8 parts "
            "(accumulate x devices x nodes); allowed with finetune.batch_size = 15: 0, or at most "
            "7 parts",
        ),
        ({"split.fold": 5}, "split.fold = 5: allowed: 0 to split.folds - 1 = 4"),
        (
            {"runtime.device": "cuda:1", "runtime.devices": 2},
            "runtime.device = cuda:1: is one device; allowed with runtime.devices = 2: "
            "auto, cpu, cuda",
        ),
        (
            {"finetune.task": "three_state"},
            "finetune.task = three_state: needs resize.states with [0, 5, 10], not [0, 10]",
        ),
        (
            {"finetune.task": "alert_drowsy", "resize.states": [10]},
            "finetune.task = alert_drowsy: needs resize.states with [0, 10], not [10]",
        ),
        (
            {
                "finetune.mode": "temporal_fc",
                "pretrain.vivit.model.attention": "factorised_dot_product",
            },
            "finetune.mode = temporal_fc: allowed with "
            "pretrain.vivit.model.attention = factorised_dot_product: all, fc, last_N",
        ),
        (
            {
                "finetune.mode": "all",
                "finetune.temporal": "reinit",
                "pretrain.vivit.model.attention": "spatio_temporal",
            },
            "finetune.temporal = reinit: allowed with "
            "pretrain.vivit.model.attention = spatio_temporal: keep",
        ),
    ],
)
def test_values_that_do_not_fit_together_are_named_with_both_keys(changes, message):
    content = copy.deepcopy(BASE)
    for path, value in changes.items():
        *sections, key = path.split(".")
        reduce(getitem, sections, content)[key] = value
    assert error_of(content) == message


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"mix.window": {"frames": 60, "at": "start"}, "videos.min_frames": 56},
            "mix.window.frames = 60: allowed: at most frame_mixup.videos.min_frames = 56",
        ),
        (
            {"mix.window": {"frames": 6, "at": "start"}, "mix.segments": 8},
            "mix.segments = 8: allowed: at most frame_mixup.mix.window.frames = 6",
        ),
        (
            {"mix.size": [47, 48], "mix.pixel_format": "yuv420p"},
            "mix.size = [47, 48]: allowed: even numbers, or frame_mixup.mix.pixel_format = rgb24 "
            "(yuv420p has one colour for 2x2 pixels)",
        ),
        (
            {"cells": ["none", "average-10000000"]},
            "cells.1 = 'average-10000000': allowed: "
            "<none|random|average|linear|harmonic|last|rank_pool>[-<all or a number>]",
        ),
        (
            {"mix.size": [48, 48], "train.model": VIVIT | {"image_patch_size": 10}},
            "mix.size = [48, 48]: allowed: multiples of "
            "frame_mixup.train.model.image_patch_size = 10",
        ),
        (
            {"mix.segments": 8, "train.model": VIVIT | {"frame_patch_size": 3}},
            "mix.segments = 8: allowed: a multiple of frame_mixup.train.model.frame_patch_size = 3",
        ),
        (
            {"seeds": [0, 2], "more_seeds": [1, 2]},
            "more_seeds = 2: allowed: seeds not in frame_mixup.seeds",
        ),
        (
            {"reversed_classes": [["Open", "Close"], ["Close", "Shut"]]},
            "reversed_classes: Close stands in several pairs; allowed: every class once",
        ),
    ],
)
def test_what_the_study_cannot_mix_or_train_is_refused_before_it_mixes(changes, message):
    content = copy.deepcopy(BASE)
    for path, value in changes.items():
        *sections, key = path.split(".")
        reduce(getitem, sections, content["frame_mixup"])[key] = value
    assert error_of(content) == f"frame_mixup.{message}"


@pytest.mark.parametrize(
    "changes",
    [
        {"mix": {"segments": 150, "method": "none"}},
        {"mix": {"segments": 150, "window": {"frames": 150, "at": "centre"}}},
        {
            "mix": {"window": {"frames": 100, "at": "centre"}, "variants": 3},
            "evaluate": {"views": 3},
        },
        {"finetune": {"task": "three_state"}, "resize": {"states": [0, 5, 10]}},
        {"finetune": {"task": "drowsy_class"}, "resize": {"states": [10]}},
        {
            "finetune": {
                "augment": BASE["finetune"]["augment"] | {"cutmix": 1.0},
                "accumulate": 4,
                "batch_size": 16,
            },
            "runtime": {"devices": 2},
        },
        {"runtime": {"device": "cuda:1", "scratch": "/big"}},
        {"runtime": {"device": "cuda", "devices": 4, "num_nodes": 2, "resident": False}},
    ],
)
def test_values_that_do_fit_together_are_accepted(changes):
    content = copy.deepcopy(BASE)
    for section, values in changes.items():
        content[section].update(values)
    params = parse_params(content, Path("params.yaml"))
    for section, values in changes.items():
        dumped = json.loads(params.model_dump_json(by_alias=True))[section]
        assert {key: dumped[key] for key in values} == values


def test_a_number_as_dvc_writes_it_is_read_as_a_number(tmp_path):
    text = yaml.safe_dump(changed("finetune.learning_rate", "RATE")).replace("RATE", "1e-05")
    assert yaml.safe_load(text)["finetune"]["learning_rate"] == "1e-05"  # what YAML 1.1 makes of it
    (tmp_path / "params.yaml").write_text(text)
    assert load_params(tmp_path / "params.yaml").finetune.learning_rate == 0.00001


def test_a_missing_file_says_where_to_run(tmp_path):
    with pytest.raises(ParamsError, match=r"params\.yaml: no such file; run this in the project"):
        load_params(tmp_path / "params.yaml")


def test_a_date_that_does_not_exist_is_one_line(tmp_path):
    (tmp_path / "params.yaml").write_text("data: 2024-13-45\n")
    with pytest.raises(ParamsError, match=r"params\.yaml: not YAML: month must be in 1\.\.12"):
        load_params(tmp_path / "params.yaml")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("mix: {2024-01-01: 3}", r"mix\.2024-01-01: unknown key; allowed: method, "),
        ("mix:\n  ? [1, 2]\n  : 3", r"mix\.1,2: unknown key; allowed: method, "),
        ("mix: {window: &a [*a]}", "a value holds itself"),
        (f"mix: {'[' * 1000}", "not YAML: "),  # too many for Python's stack
    ],
)
def test_what_yaml_has_and_params_have_not_is_one_line(tmp_path, target, text, message):
    whole = (ROOT / "params.yaml").read_text().partition("\nmix:")[0]
    (tmp_path / "odd.yaml").write_text(f"{whole}\n{text}\n")
    for read in (load_params, lambda odd: apply_profile(odd, target)):
        with pytest.raises(ParamsError, match=f"odd.yaml: {message}") as caught:
            read(tmp_path / "odd.yaml")
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["mix: [1", "mix:\n\tmethod: none", "a: b: c"])
def test_broken_yaml_is_one_line(tmp_path, text):
    (tmp_path / "params.yaml").write_text(text)
    with pytest.raises(ParamsError, match=r"params\.yaml: not YAML: .*line \d") as caught:
        load_params(tmp_path / "params.yaml")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("mix: {}\nsplit:\n  fold: 0\n  folds: 5\n  fold: 1\n", "5: fold"),
        ("mix:\n  window: {frames: 12, at: start, frames: 3}\n", "2: frames"),
        ("seeds: [0]\nseeds: [1]\n", "2: seeds"),
    ],
)
def test_a_key_that_stands_twice_is_reported_with_its_line(tmp_path, target, text, where):
    message = rf"/params\.yaml:{where}: stands twice; allowed: every key once$"
    (tmp_path / "params.yaml").write_text(text)
    with pytest.raises(ParamsError, match=message):
        load_params(tmp_path / "params.yaml")
    with pytest.raises(ParamsError, match=message):
        apply_profile(ROOT / "profiles/paper.yaml", tmp_path / "params.yaml")
    shutil.copy(ROOT / "params.yaml", target)
    with pytest.raises(ParamsError, match=message.replace("params", "profile")):
        apply_profile(profile_of(tmp_path, text), target)


# Profiles

PROFILE = """\
mix:
  method: none
  segments: 12
  window: {frames: 150, at: start}
  size: [120, 160]
pretrain:
  vivit:
    epochs: 77
"""


def test_a_profile_changes_its_values_and_no_others(tmp_path, target):
    apply_profile(profile_of(tmp_path, PROFILE), target)
    expected = copy.deepcopy(COMMITTED)
    expected["mix"] |= {
        "method": "none",
        "segments": 12,
        "window": {"frames": 150, "at": "start"},
        "size": [120, 160],
    }
    expected["pretrain"]["vivit"]["epochs"] = 77
    assert yaml.safe_load(target.read_text()) == expected


def test_a_profile_keeps_every_comment_and_the_order_and_lines_that_it_does_not_change(
    tmp_path, target
):
    before = target.read_text().splitlines()
    apply_profile(profile_of(tmp_path, PROFILE), target)
    after = target.read_text().splitlines()
    assert [_comment(line) for line in after] == [_comment(line) for line in before]
    changed_lines = [b.split()[0] for a, b in zip(before, after, strict=True) if a != b]
    assert changed_lines == ["method:", "segments:", "window:", "size:", "epochs:"]


def _comment(line: str) -> str:
    return line.partition("#")[2]


def test_applying_a_profile_reports_each_change(tmp_path, target):
    mix, vivit = COMMITTED["mix"], COMMITTED["pretrain"]["vivit"]
    assert apply_profile(profile_of(tmp_path, PROFILE), target) == [
        f'mix.method: "{mix["method"]}" -> "none"',
        f"mix.segments: {mix['segments']} -> 12",
        f'mix.window: "{mix["window"]}" -> {{"frames": 150, "at": "start"}}',
        f"mix.size: {mix['size']} -> [120, 160]",
        f"pretrain.vivit.epochs: {vivit['epochs']} -> 77",
    ]
    assert apply_profile(tmp_path / "profile.yaml", target) == []


def test_values_set_by_hand_stay_where_the_profile_says_nothing(tmp_path, target):
    target.write_text(
        target.read_text().replace("seeds: [0] # of weights", "seeds: [7] # of weights")
    )
    apply_profile(profile_of(tmp_path, PROFILE), target)
    assert load_params(target).seeds == (7,)


def test_a_profile_keeps_the_quotes_of_what_was_set_by_hand(tmp_path, target):
    text = re.sub(r"  rldd: data\S+", "  rldd: '/disk/UTA-RLDD'", target.read_text())
    target.write_text(text)
    apply_profile(profile_of(tmp_path, PROFILE), target)
    assert "  rldd: '/disk/UTA-RLDD'" in target.read_text()


def test_a_profile_can_add_a_key_that_older_params_lack(tmp_path, target):
    target.write_text(re.sub(r"\n  scheduler: null.*", "", target.read_text()))
    changes = apply_profile(profile_of(tmp_path, "runtime: {scheduler: null}"), target)
    assert changes == ["runtime.scheduler: null -> null"]
    assert load_params(target).runtime.scheduler is None


def test_a_profile_goes_by_its_name_or_by_its_path(tmp_path, target, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "profiles").mkdir()
    (tmp_path / "profiles/mine.yaml").write_text("seeds: [5]")
    (tmp_path / "mine").write_text("seeds: [6]")
    for name, seed in (("mine", 5), (str(tmp_path / "mine"), 6)):
        done = CliRunner().invoke(app, ["profile", name])
        assert done.exit_code == 0, done.output
        assert load_params(target).seeds == (seed,)
    assert CliRunner().invoke(app, ["profile", str(tmp_path / "mine")]).stdout == (
        "params.yaml already has these values\n"
    )
    with pytest.raises(ParamsError, match=r"^profile yours: no such .* allowed: mine, or a YAML"):
        raise CliRunner().invoke(app, ["profile", "yours"]).exception


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("mix: {methods: none}", r"mix\.methods: unknown key; allowed: method, "),
        ("speed: 2", r"speed: unknown key; allowed: seeds, "),
        ("mix: {method: mean}", r"mix\.method = 'mean': allowed: 'none', "),
        ("mix: null", r"mix = null: allowed: a mapping of "),
        ("mix: {segments: 7}", r"mix\.segments = 7: allowed: a multiple of "),
        ("mix: [1", r"not YAML: .*line 1"),
        ("- 1", r"not a mapping of keys to values"),
        ("", r"not a mapping of keys to values"),
    ],
)
def test_a_profile_in_error_is_named_and_leaves_the_params_untouched(
    tmp_path, target, text, message
):
    before = target.read_bytes()
    with pytest.raises(ParamsError, match=rf"profile\.yaml: {message}") as caught:
        apply_profile(profile_of(tmp_path, text), target)
    assert "\n" not in str(caught.value)
    assert target.read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["params.yaml", "profile.yaml"]


def test_a_profile_or_params_that_are_not_there_are_named(tmp_path, target):
    with pytest.raises(ParamsError, match=r"none\.yaml: no such file"):
        apply_profile(tmp_path / "none.yaml", target)
    with pytest.raises(ParamsError, match=r"nowhere\.yaml: no such file"):
        apply_profile(profile_of(tmp_path, PROFILE), tmp_path / "nowhere.yaml")


def test_a_profile_fits_params_that_an_experiment_has_rewritten(tmp_path, target):
    # `dvc exp run -S` writes lists in lines, their comment behind the key.
    flow = "  size: [60, 80] # height, width; paper A: [240, 320]\n"
    text = target.read_text()
    assert flow in text
    target.write_text(text.replace(flow, "  size:   # height, width\n  - 60\n  - 80\n"))
    profile = tmp_path / "profile.yaml"
    profile.write_text("mix: {size: [30, 40], window: {frames: 16, at: start}}\n")
    apply_profile(profile, target)
    assert load_params(target).mix.size == (30, 40)
