"""What `framemix bench networks` compares: networks on the same clips; mixes, inits for ViViT."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any, get_args

from framemix.mixing import MixSettings, Window
from framemix.models.config import AttentionScheme, FrameNetSettings, Init
from framemix.pretraining.settings import PretrainModel, PretrainSettings

ENCODERS: tuple[AttentionScheme, ...] = get_args(AttentionScheme)
SEGMENTS = (8, 16, 30)
PLAIN_FRAMES = 150  # paper A's
# Frames in ViViT's frame patches: 30 segments and 150 plain frames are then 15 patches alike.
MIXED_PATCH, PLAIN_PATCH = 2, 10


@dataclass(frozen=True)
class Candidate:
    """A network with its recipe, and how the clips that it sees are mixed."""

    recipe: PretrainModel
    mix: MixSettings


def network_candidates(pretrain: PretrainSettings, mix: MixSettings) -> dict[str, Candidate]:
    """Return every network and encoder, all on clips that are mixed alike.

    TSN, TSM and I3D have the Non-local network's recipe, depth and width.
    """
    recipes: dict[str, PretrainModel] = {
        **_vivits(pretrain),
        "Non-local": pretrain.nonlocal_,
        **{name.upper(): _frame_net(pretrain, name) for name in ("tsn", "tsm", "i3d")},
    }
    return {name: Candidate(recipe, mix) for name, recipe in recipes.items()}


def mix_candidates(pretrain: PretrainSettings, mix: MixSettings) -> dict[str, Candidate]:
    """Return ViViT on the whole video in a few segments, and on plain frames from its start."""
    whole = {"frames_per_segment": "all", "window": "all", "variants": 1}
    mixed, plain = (_vivit(pretrain, frame_patch_size=size) for size in (MIXED_PATCH, PLAIN_PATCH))
    candidates = {
        f"linear, {segments} segments": Candidate(
            mixed, mix.model_copy(update={**whole, "method": "linear", "segments": segments})
        )
        for segments in SEGMENTS
    }
    start = Window(frames=PLAIN_FRAMES, at="start")
    frames = {**whole, "method": "none", "segments": PLAIN_FRAMES, "window": start}
    candidates[f"{PLAIN_FRAMES} plain frames"] = Candidate(plain, mix.model_copy(update=frames))
    return candidates


def init_candidates(pretrain: PretrainSettings, mix: MixSettings) -> dict[str, Candidate]:
    """Return each ViViT with each way to draw its first weights, all on the same clips."""
    made = {init: _vivits(pretrain, init=init) for init in get_args(Init)}
    names = next(iter(made.values()))
    return {
        f"{name}, {init}": Candidate(made[init][name], mix) for name, init in product(names, made)
    }


def _vivits(pretrain: PretrainSettings, **changes: Any) -> dict[str, PretrainModel]:
    """Return ViViT with each encoder, and with uniform frames instead of tubelets."""
    return {
        **{
            f"ViViT, {scheme.replace('_', ' ')}": _vivit(pretrain, attention=scheme, **changes)
            for scheme in ENCODERS
        },
        "ViViT, factorised encoder, uniform frames": _vivit(
            pretrain, tokeniser="uniform_frames", **changes
        ),
    }


def _vivit(pretrain: PretrainSettings, **changes: Any) -> PretrainModel:
    """Return ViViT's recipe: with tubelets and the factorised encoder but for what changes."""
    usual = {"attention": "factorised_encoder", "tokeniser": "tubelet"}
    model = pretrain.vivit.model.model_copy(update=usual | changes)
    return pretrain.vivit.model_copy(update={"model": model})


def _frame_net(pretrain: PretrainSettings, architecture: str) -> PretrainModel:
    shared = pretrain.nonlocal_.model.model_dump(include=set(FrameNetSettings.model_fields))
    model = FrameNetSettings.model_validate(shared | {"architecture": architecture})
    return PretrainModel.model_validate({**dict(pretrain.nonlocal_), "model": model})


def frames_needed(mix: MixSettings) -> int:
    """Return how many frames a video must have to be mixed so."""
    return mix.segments if mix.window == "all" else max(mix.segments, mix.window.frames)


# The command's tables by name: what each compares.
TABLES: Mapping[str, Callable[[PretrainSettings, MixSettings], dict[str, Candidate]]] = {
    "networks": network_candidates,
    "mixes": mix_candidates,
    "inits": init_candidates,
}
