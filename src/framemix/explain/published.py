"""Attention rollout through the networks of Hugging Face's library (see `attention`).

From the prediction back to the tokens of the clip, one row at a time: among the thousands of tokens
of these networks, a matrix for each pair of layers would take gigabytes.
"""

# T' frame patches of N tokens (h rows of w) each, L tokens in all

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from einops import rearrange, reduce
from torch import Tensor, nn

from framemix.errors import ModelError
from framemix.models.families import FAMILIES
from framemix.models.video_transformer import VideoTransformer

# Layers that give their weights (B, heads, queries, keys) beside their output.
GIVING = {
    "VideoMAESelfAttention",
    "VivitAttention",
    "VJEPA2RopeAttention",
    "VJEPA2PoolerSelfAttention",
    "VJEPA2PoolerCrossAttention",
    "VideoPrismAttention",
    "VideoPrismMultiheadAttentionPoolingHead",
}
# TimeSformer's gives none, but to the dropout inside of it.
DROPPING = "TimesformerSelfAttention"


@torch.inference_mode()
def transformer_relevance(network: VideoTransformer, video: Tensor) -> Tensor:
    """How much the prediction for a normalised clip (1, C, T, H, W) draws on each token (T', h, w).

    Sums to 1. Where last layers attend to tokens, it begins with what they draw on each. Raises
    ModelError where a layer's weights cannot be had.
    """
    with _attentions(network) as seen:
        network(video)
    time, height, width = network.grid
    trunk, head = (
        [(path, weights) for path, weights in seen if path.startswith(part)]
        for part in ("trunk.", "head.")
    )
    if not trunk:
        raise ModelError(f"explain: this version of {network.family.name} returns no attention")
    if network.family is FAMILIES["videoprism"]:
        relevance = _through_two_stacks(trunk, head[0][1], time)
    elif network.family is FAMILIES["timesformer"]:
        relevance = _through_divided(network, [weights for _, weights in trunk], time)
    else:
        relevance = _through_joint(network, [weights for _, weights in (*trunk, *head)])
    relevance = rearrange(relevance.flatten(), "(t h w) -> t h w", t=time, h=height, w=width)
    return relevance / relevance.sum()


@contextmanager
def _attentions(network: nn.Module) -> Iterator[list[tuple[str, Tensor]]]:
    """Collect the path and the weights (B, queries, keys), of all heads, of each layer in turn."""
    seen: list[tuple[str, Tensor]] = []
    hooks = []

    def see(path: str, weights: Tensor) -> None:
        seen.append((path, reduce(weights, "b h q k -> b q k", "mean")))

    for path, layer in network.named_modules():
        if type(layer).__name__ in GIVING:
            hook = layer.register_forward_hook(lambda _, __, out, path=path: see(path, out[1]))
            hooks.append(hook)
        elif type(layer).__name__ == DROPPING:
            dropout: Any = layer.attn_drop
            hook = dropout.register_forward_pre_hook(lambda _, given, path=path: see(path, *given))
            hooks.append(hook)
    layers = [layer for layer in network.modules() if hasattr(layer, "config")]
    configs: dict[int, Any] = {id(layer.config): layer.config for layer in layers}
    before = {key: config._attn_implementation for key, config in configs.items()}
    try:
        for config in configs.values():
            config._attn_implementation = "eager"  # a fused kernel does not return its weights
        yield seen
    finally:
        for key, config in configs.items():
            config._attn_implementation = before[key]
        for hook in hooks:
            hook.remove()


def _through_joint(network: VideoTransformer, layers: Sequence[Tensor]) -> Tensor:
    """What the prediction draws on each token (L,), where each attends to all."""
    *blocks, last = layers
    length = blocks[0].shape[-1]
    if network.pooling == "all":  # one query attends to the tokens
        row = last[0, 0]
    else:
        blocks = [*blocks, last]
        row = torch.zeros(length)
        row[:1] = 1
        if network.pooling == "mean":
            row[:] = 1 / length
    for flow in reversed(blocks):
        row = (row + row @ flow[0]) / 2
    return row[1:] if network.pooling == "first" else row


def _through_two_stacks(trunk: Sequence[tuple[str, Tensor]], query: Tensor, time: int) -> Tensor:
    """What a query draws on each token (T', N), through blocks over time and then within frames."""
    rows = rearrange(query[0, 0], "(t n) -> t n", t=time)
    for path, flow in reversed(trunk):
        along = "tn,nts->sn" if "temporal" in path else "tn,tnm->tm"
        rows = (rows + torch.einsum(along, rows, flow)) / 2
    return rows


def _through_divided(network: VideoTransformer, layers: Sequence[Tensor], time: int) -> Tensor:
    """What the class token draws on each token (T', N), of blocks along time, then within frames.

    Within each frame the class token looks for itself, and is their mean afterwards.
    """
    config: Any = network.trunk.config
    kind = config.attention_type
    if kind != "divided_space_time":
        raise ModelError(f"explain: attention_type = {kind}; allowed: divided_space_time")
    tokens = layers[0].shape[0]
    rows, own = torch.zeros(time, tokens), torch.ones(())
    for along, within in zip(layers[-2::-2], layers[-1::-2], strict=True):
        rows = torch.cat([(own / time).expand(time, 1), rows], dim=1)  # (T', 1 + N)
        rows = (rows + torch.einsum("ti,tij->tj", rows, within)) / 2
        own, rows = rows[:, 0].sum(), rows[:, 1:]
        rows = (rows + torch.einsum("tn,nts->sn", rows, along)) / 2
    return rows
