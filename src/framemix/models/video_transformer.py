"""The video networks of Hugging Face's transformers, cut where fine-tuning cuts ours.

The library is loaded when such a network is built, and not before: that takes seconds.
"""

# B clips, C = 3 colours, T frames, H x W pixels, L tokens of D values

from collections.abc import Callable, Mapping
from importlib import import_module
from math import prod
from types import ModuleType
from typing import Any, cast

import torch
import torch.nn.functional as F
from einops import rearrange, reduce
from torch import Tensor, nn

from framemix.errors import ModelError, one_line, some_of
from framemix.models.checks import check_fit
from framemix.models.config import FamilyName, TransformersConfig
from framemix.models.extras import load_extra
from framemix.models.families import FAMILIES, Family
from framemix.models.input import Normalisation

# The base of VideoMAE's angles (Vaswani et al., 2017, section 3.5).
LONGEST_WAVE = 10_000.0


class VideoTransformer(nn.Module):
    """Normalised clips (B, 3, T, H, W) -> class logits (B, classes).

    `trunk` makes tokens of a clip, `head` logits of the tokens, or of the one vector that stands
    for them. In a state dict their weights have the names that published checkpoints have, which
    outlive those of the library's versions. `sizes` are the values of the library's configuration.

    Raises ModelError where the library is not installed, or the sizes do not describe a network.
    """

    def __init__(
        self,
        *,
        family: FamilyName,
        sizes: Mapping[str, Any],
        image_size: tuple[int, int],
        frames: int,
        num_classes: int,
    ) -> None:
        super().__init__()
        self.family = FAMILIES[family]
        config = library_config(self.family, sizes)
        check_fit(self.family.misfit(config, frames, image_size))
        self.grid = self.family.grid(config, frames, image_size)
        network = _network(self.family, config, frames, image_size, num_classes)
        self.trunk = _in_order(network.get_submodule(self.family.trunk), self.family.order)
        parts = {name: getattr(network, name) for name in (*self.family.head, "classifier")}
        self.head = LastLayers({name: part for name, part in parts.items() if part is not None})
        self.pooling = self.family.pooling
        if not getattr(config, "use_mean_pooling", True):
            self.pooling = "first"
        _name_as_published(self.trunk, _published_names(network, self.family))

    def forward(self, video: Tensor) -> Tensor:
        """Logits (B, classes) of normalised clips (B, 3, T, H, W)."""
        logits: Tensor = self.head(self.features(video))
        return logits

    def steps(
        self, normalisation: Normalisation
    ) -> list[tuple[tuple[str, ...], Callable[[Tensor], Tensor]]]:
        """What is done to stored clips in turn, each with the parts whose weights it takes."""
        return [
            (("trunk",), lambda clips: self.features(normalisation(clips))),
            (("head",), self.head),
        ]

    def features(self, video: Tensor) -> Tensor:
        """What the last layers see of clips (B, 3, T, H, W): a vector each, or tokens (B, L, D)."""
        clips = rearrange(video, "b c t h w -> b t c h w")
        tokens: Tensor = self.trunk(**{self.family.pixels: clips}).last_hidden_state
        if self.pooling == "mean":
            return reduce(tokens, "b l d -> b d", "mean")
        return tokens[:, 0] if self.pooling == "first" else tokens


class LastLayers(nn.Module):
    """What is behind the trunk, in turn: a vector (B, D), or tokens (B, L, D) -> (B, classes)."""

    def __init__(self, parts: Mapping[str, nn.Module]) -> None:
        super().__init__()
        for name, part in parts.items():
            self.add_module(name, part)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (B, classes)."""
        for part in self.children():
            y = part(x)
            x = y[0] if isinstance(y, tuple) else y  # VideoPrism's attention gives weights too
        return x.flatten(1)  # of VideoPrism's (B, 1, classes)


def library(what: str) -> ModuleType:
    """Return Hugging Face's transformers, made silent, for `what` needs it. Raises ModelError."""
    module = cast(ModuleType, load_extra("transformers", extra="transformers", what=what))
    module.logging.set_verbosity_error()
    return module


def library_config(family: Family, sizes: Mapping[str, Any]) -> Any:
    """Return the library's configuration of a network. Raises ModelError for what is none."""
    kind = _type(family).config_class
    if unknown := sizes.keys() - own_keys(family):
        raise ModelError(f"sizes: unknown to {kind.__name__}: {some_of(unknown)}")
    try:
        return kind(**sizes)
    except Exception as error:  # what its checks raise has no base of its own in all versions
        raise ModelError(f"{kind.__name__}: {one_line(error)}") from None


def own_keys(family: Family) -> set[str]:
    """Return the keys that a family's configuration has, without those of all networks.

    Of them, those of the clips' sizes are left out: the network is built for any.
    """
    kind = _type(family).config_class
    shared = next(base for base in kind.__mro__ if base.__name__ == "PreTrainedConfig")
    fields = kind.__dataclass_fields__.keys() - shared.__dataclass_fields__.keys()
    return set(fields) - {family.frames, family.size}


def _type(family: Family) -> Any:
    return getattr(library(family.name), f"{family.types}ForVideoClassification")


def _network(
    family: Family, config: Any, frames: int, image_size: tuple[int, int], classes: int
) -> nn.Module:
    """Return the library's network for clips of those sizes. Raises ModelError."""
    grid = family.grid(config, frames, image_size)
    # Waves take the library a loop over each of their values: there, they are of a single patch.
    time, *sides = family.tubelet(config) if family.waves else (frames, *image_size)
    setattr(config, family.frames, time)
    setattr(config, family.size, sides[-1] if family.one_side else tuple(sides))
    config.num_labels = classes
    try:
        network: nn.Module = _type(family)(config)
    except (ValueError, TypeError, KeyError, RuntimeError, ZeroDivisionError) as error:
        raise ModelError(f"{family.name}: {one_line(error)}") from None
    trunk = network.get_submodule(family.trunk)
    if family.waves:
        _put_waves(trunk.embeddings, grid, image_size)
    for path, table in family.tables.items():
        owner, _, name = path.rpartition(".")
        _put_table(trunk.get_submodule(owner), name, table.rows(grid))
    return network


def _put_waves(embeddings: Any, grid: tuple[int, int, int], image_size: tuple[int, int]) -> None:
    """Make VideoMAE's embeddings those of clips of that size."""
    width = embeddings.position_embeddings.shape[2]
    embeddings.patch_embeddings.image_size = image_size
    # Among the weights, unlike the library's: a model's file then has all of it.
    del embeddings.position_embeddings
    embeddings.register_buffer("position_embeddings", waves(prod(grid), width))


def waves(places: int, width: int) -> Tensor:
    """Sines and cosines of a place, in turn, each pair slower: (1, places, width)."""
    pairs = torch.arange(width, dtype=torch.float64) // 2
    angles = torch.arange(places)[:, None] / LONGEST_WAVE ** (2 * pairs / width)
    even = torch.arange(width) % 2 == 0
    return torch.where(even, angles.sin(), angles.cos()).float()[None]


def _put_table(owner: nn.Module, name: str, rows: int) -> None:
    """Give a table of positions so many rows, where the library has it for a square frame."""
    table = getattr(owner, name)
    if table.shape[1] != rows:
        setattr(owner, name, nn.Parameter(table.new_zeros(1, rows, table.shape[2])))


def resampled(
    weights: Mapping[str, Tensor], old: TransformersConfig, new: TransformersConfig
) -> dict[str, Tensor]:
    """Return weights for clips of the sizes of `new`: tables of positions are interpolated.

    Raises ModelError for clips that patches do not tile.
    """
    family = FAMILIES[old.family]
    config = library_config(family, old.sizes)
    check_fit(family.misfit(config, new.frames, new.image_size))
    grids = [family.grid(config, each.frames, each.image_size) for each in (old, new)]
    found = dict(weights)
    if family.waves:  # of a model of ours: they are computed again
        found.pop("trunk.embeddings.position_embeddings", None)
    for path, table in family.tables.items():
        name = f"trunk.{path}"
        before, after = (table.grid(grid) for grid in grids)
        others, places = found[name][:, : table.others], found[name][:, table.others :]
        t, h, w = before
        maps = rearrange(places, "1 (t h w) d -> 1 d t h w", t=t, h=h, w=w)
        maps = F.interpolate(maps, size=after, mode="trilinear")
        found[name] = torch.cat([others, rearrange(maps, "1 d t h w -> 1 (t h w) d")], dim=1)
    return found


def _in_order(trunk: nn.Module, order: tuple[str, ...]) -> nn.Module:
    """Register the parts of a trunk in the order in which they compute."""
    for name in order:
        part = getattr(trunk, name)
        delattr(trunk, name)
        trunk.add_module(name, part)
    return trunk


def _published_names(network: nn.Module, family: Family) -> dict[str, str]:
    """Return what published checkpoints call the trunk's weights, where that is not as here."""
    revert = import_module("transformers.core_model_loading").revert_weight_conversion
    own = {name: torch.empty(0) for name in network.state_dict()}
    names = {id(marker): name for name, marker in own.items()}
    published = {names[id(marker)]: name for name, marker in revert(network, own).items()}
    prefix = f"{family.trunk}."
    return {
        name.removeprefix(prefix): other.removeprefix(prefix)
        for name, other in published.items()
        if name != other and name.startswith(prefix)
    }


def _name_as_published(trunk: nn.Module, published: Mapping[str, str]) -> None:
    """Have a trunk's state dict use those names, when it is made and when it is loaded."""

    def renaming(names: Mapping[str, str]) -> Callable[..., None]:
        def rename(_: nn.Module, weights: dict[str, Tensor], prefix: str, *__: Any) -> None:
            for name, other in names.items():
                if (found := weights.pop(f"{prefix}{name}", None)) is not None:
                    weights[f"{prefix}{other}"] = found

        return rename

    trunk.register_state_dict_post_hook(renaming(published))
    own = {other: name for name, other in published.items()}
    trunk.register_load_state_dict_pre_hook(renaming(own))
