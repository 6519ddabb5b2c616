"""Attention rollout through ViViT (Abnar & Zuidema, "Quantifying Attention Flow", ACL 2020)."""

# B clips, T' frame patches, N tokens of one (h rows of w), L tokens of a transformer, d = dim_head

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from einops import rearrange, reduce
from torch import Tensor, nn

from framemix.errors import ModelError
from framemix.models.vivit import Attention, ViViT


def attention_weights(layer: Attention, x: Tensor) -> Tensor:
    """The weights (B, heads, L, L) with which `layer` attends in x (B, L, D).

    The fused kernel that it computes with does not tell them.
    """
    q, k, _ = rearrange(layer.qkv(x), "b l (qkv h d) -> qkv b h l d", qkv=3, h=layer.heads)
    scores: Tensor = q @ k.transpose(-2, -1) / q.shape[-1] ** 0.5
    return scores.softmax(dim=-1)


def rollout(attentions: Sequence[Tensor]) -> Tensor:
    """How much each output token draws on each input token (B, L, L), rows sum to 1.

    Of the layers' attentions (B, heads, L, L), first layer first: the mean of the heads, half of
    it passed by by the shortcut, multiplied from layer to layer (section 4).
    """
    flows = [reduce(attention, "b h q k -> b q k", "mean") for attention in attentions]
    joint = torch.eye(flows[0].shape[-1]).to(flows[0]).expand_as(flows[0])
    for flow in flows:
        joint = (0.5 * flow + 0.5 * torch.eye(flow.shape[-1]).to(flow)) @ joint
    return joint


@torch.inference_mode()
def vivit_relevance(network: ViViT, video: Tensor) -> Tensor:
    """How much the answer for a normalised clip (1, C, T, H, W) draws on each token (T', h, w).

    Sums to 1. Of the factorised encoder it is what the temporal cls token draws on a frame patch,
    times what that patch's spatial cls token draws on each of its tokens. Raises ModelError for
    an encoder without cls tokens.
    """
    height, width = (side // network.embedding.patch for side in video.shape[3:])
    if network.attention == "factorised_encoder":
        with _inputs_of(network.spatial) as spatial, _inputs_of(network.temporal) as temporal:
            network(video)
        of_frames = _from_cls(temporal)[0]  # (T',)
        of_tokens = _from_cls(spatial)  # (T', N), because the frame patches are its batch
        relevance = of_frames[:, None] * of_tokens
    elif network.attention == "spatio_temporal":
        with _inputs_of(network.encoder) as joint:
            network(video)
        relevance = _from_cls(joint)[0]  # (T' * N,)
    else:
        raise ModelError(
            f"explain: attention = {network.attention}; "
            f"allowed: factorised_encoder, spatio_temporal, which have cls tokens"
        )
    return rearrange(relevance.flatten(), "(t h w) -> t h w", h=height, w=width)


def _from_cls(inputs: Sequence[tuple[Attention, Tensor]]) -> Tensor:
    """What the cls token draws on each of the others (B, L - 1), of what it draws on them all."""
    flow = rollout([attention_weights(layer, x) for layer, x in inputs])
    others = flow[:, 0, 1:]
    return others / others.sum(dim=1, keepdim=True)


@contextmanager
def _inputs_of(transformer: nn.Module) -> Iterator[list[tuple[Attention, Tensor]]]:
    """Collect each attention layer and what it sees, while the network runs."""
    seen: list[tuple[Attention, Tensor]] = []
    hooks = [
        layer.register_forward_pre_hook(lambda module, args: seen.append((module, args[0])))
        for layer in transformer.modules()
        if isinstance(layer, Attention)
    ]
    try:
        yield seen
    finally:
        for hook in hooks:
            hook.remove()
