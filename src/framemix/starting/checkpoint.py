"""Reads a folder as Hugging Face publishes networks: configuration, weights, preparation.

Only JSON and safetensors are read, and no code of a checkpoint runs.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import torch
from pydantic import BaseModel, Field, FiniteFloat, ValidationError
from safetensors import SafetensorError, safe_open
from torch import Tensor

from framemix.errors import ModelError, some_of
from framemix.models.config import TransformersConfig
from framemix.models.families import FAMILIES, Family
from framemix.models.input import Colour, Normalisation
from framemix.models.registry import build_model, parse_config
from framemix.models.video_transformer import library_config, own_keys
from framemix.validation import describe_error

CONFIG, WEIGHTS, PICKLED = "config.json", "model.safetensors", "pytorch_model.bin"
INDEX = f"{WEIGHTS}.index.json"
PREPARATIONS = ("preprocessor_config.json", "video_preprocessor_config.json")

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Mean = FiniteFloat | tuple[FiniteFloat, FiniteFloat, FiniteFloat]
Deviation = Positive | tuple[Positive, Positive, Positive]


@dataclass(frozen=True)
class Checkpoint:
    """A published network: its configuration, weights by the network's own names, preparation.

    Last layers that the checkpoint does not have are missing from the weights, and so is the last
    one, which knows other classes.
    """

    config: TransformersConfig
    weights: dict[str, Tensor]
    normalisation: Normalisation


class Preparation(BaseModel):
    """A preprocessor's settings for pixels; None: the family's usual value."""

    do_rescale: bool | None = None
    rescale_factor: Positive | None = None
    offset: bool | None = None
    do_normalize: bool | None = None
    image_mean: Mean | None = None
    image_std: Deviation | None = None


def read_checkpoint(folder: Path) -> Checkpoint:
    """Read a folder with config.json, model.safetensors and preprocessor_config.json.

    Raises ModelError, naming the folder, where one is missing or is not of a network that is known.
    """
    try:
        described = _json(folder / CONFIG)
        config = _config(described)
        normalisation = _normalisation(folder, FAMILIES[config.family])
        return Checkpoint(config, _weights(folder, config), normalisation)
    except ModelError as error:
        raise ModelError(f"{folder}: {error}") from None


def _config(described: Mapping[str, Any]) -> TransformersConfig:
    kinds = {family.model_type: name for name, family in FAMILIES.items()}
    kind = described.get("model_type")
    if kind not in kinds:
        raise ModelError(f"{CONFIG}: model_type = {kind!r}: allowed: {', '.join(kinds)}")
    family = FAMILIES[kinds[kind]]
    # What is not of the family's own is left out, such as the code that a checkpoint brings along.
    known = own_keys(family) | {"qkv_bias"}  # VideoMAE's files call it so
    library = library_config(family, {k: v for k, v in described.items() if k in known})
    size = described.get(family.size, getattr(library, family.size))
    config = parse_config(
        {
            "architecture": "transformers",
            "family": kinds[kind],
            "sizes": {key: getattr(library, key) for key in own_keys(family)},
            "frames": described.get(family.frames, getattr(library, family.frames)),
            "image_size": [size, size] if isinstance(size, int) else size,
            "num_classes": 1,
        }
    )
    assert isinstance(config, TransformersConfig)
    return config


def _weights(folder: Path, config: TransformersConfig) -> dict[str, Tensor]:
    """Return the trunk's weights, and those of last layers that are there. Raises ModelError."""
    family = FAMILIES[config.family]
    with torch.device("meta"):
        expected = build_model(config).state_dict()
    published = _tensors(folder)
    found: dict[str, Tensor] = {}
    for name in expected:
        part, _, rest = name.partition(".")
        if rest.startswith("classifier."):
            continue
        names = (f"{family.trunk}.{rest}", _bare(f"{family.trunk}.{rest}"))
        for key in names if part == "trunk" else (rest,):
            if key in published:
                found[name] = published[key].float()
    waves = {"trunk.embeddings.position_embeddings"} if family.waves else set()
    if missing := {name for name in expected if name.startswith("trunk.")} - found.keys() - waves:
        raise ModelError(f"{WEIGHTS}: lacks {some_of(missing)}")
    if other := [name for name, weight in found.items() if weight.shape != expected[name].shape]:
        raise ModelError(f"{WEIGHTS}: of another shape than in {CONFIG}: {some_of(other)}")
    if broken := [name for name, weight in found.items() if not weight.sum().isfinite()]:
        raise ModelError(f"{WEIGHTS}: not finite: {some_of(broken)}")
    return found


def _bare(name: str) -> str:
    """Return what a checkpoint without last layers calls a weight."""
    return name.partition(".")[2]


def _tensors(folder: Path) -> dict[str, Tensor]:
    """Return all tensors of one file, or of those that an index lists. Raises ModelError."""
    files = [WEIGHTS]
    if not (folder / WEIGHTS).is_file() and (folder / INDEX).is_file():
        listed = _json(folder / INDEX).get("weight_map")
        files = sorted(set(listed.values())) if isinstance(listed, dict) else []
        if not files or any(Path(name).name != name for name in files):
            raise ModelError(f"{INDEX}: allowed: names of files in the folder")
    tensors: dict[str, Tensor] = {}
    for name in files:
        tensors |= _read(folder / name)
    return tensors


def _read(file: Path) -> dict[str, Tensor]:
    try:
        with safe_open(file, framework="pt") as content:
            return {name: content.get_tensor(name) for name in content.keys()}  # noqa: SIM118
    except FileNotFoundError:
        if (file.parent / PICKLED).is_file():
            raise ModelError(
                f"has {PICKLED} alone, which can run code; allowed: {WEIGHTS} (a checkpoint's page "
                f"may offer it as a pull request: hf download NAME --revision refs/pr/N)"
            ) from None
        raise ModelError(f"no {file.name}; allowed: a folder with it") from None
    except (SafetensorError, OSError) as error:
        raise ModelError(f"{file.name}: not a readable safetensors file ({error})") from None


def _normalisation(folder: Path, family: Family) -> Normalisation:
    """Return what a preprocessor does to pixels, once they have the network's size."""
    files = [name for name in PREPARATIONS if (folder / name).is_file()]
    if not files:
        raise ModelError(f"no {PREPARATIONS[0]}; allowed: a folder with it")
    try:
        settings = Preparation.model_validate(_json(folder / files[0]))
    except ValidationError as error:
        raise ModelError(f"{files[0]}: {describe_error(error, Preparation)}") from None
    factor, less = 1.0, 0.0
    if settings.do_rescale is not False:
        factor = settings.rescale_factor or family.rescale
        less = float(family.offset if settings.offset is None else settings.offset)
    mean: Colour = (0.0, 0.0, 0.0)
    deviation: Colour = (1.0, 1.0, 1.0)
    if family.normalises if settings.do_normalize is None else settings.do_normalize:
        if settings.image_mean is None or settings.image_std is None:
            raise ModelError(f"{files[0]}: no image_mean or image_std; allowed: with both")
        mean, deviation = _colour(settings.image_mean), _colour(settings.image_std)
    scale = 255 * factor  # pixels are 255 times RGB in [0, 1]
    r, g, b = ((less + value) / scale for value in mean)
    dr, dg, db = (value / scale for value in deviation)
    return Normalisation((r, g, b), (dr, dg, db))


def _colour(value: float | Colour) -> Colour:
    return value if isinstance(value, tuple) else (value, value, value)


def _json(file: Path) -> dict[str, Any]:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ModelError(f"no {file.name}; allowed: a folder with it") from None
    except (OSError, ValueError, RecursionError) as error:
        raise ModelError(f"{file.name}: not readable JSON ({error})") from None
    if not isinstance(content, dict):
        raise ModelError(f"{file.name}: not a mapping of keys to values")
    return content
