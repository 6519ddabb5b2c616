"""Attention rollout through ViViT (Abnar & Zuidema, "Quantifying Attention Flow", ACL 2020)."""

# B clips, T' frame patches, N tokens of one (h rows of w), L tokens of a transformer, d = dim_head

from collections.abc import Sequence

import torch
from einops import rearrange, reduce
from torch import Tensor

from framemix.explain.activations import capture_activations
from framemix.models.vivit import Attention, FactorisedAttention, ViViT


def attention_weights(layer: Attention, x: Tensor) -> Tensor:
    """The weights (B, heads, L, L) with which `layer` attends in x (B, L, D).

    The fused kernel that the layer computes with does not return them.
    """
    q, k, _ = rearrange(layer.qkv(x), "b l (qkv h d) -> qkv b h l d", qkv=3, h=layer.heads)
    return _weights(q, k)


def factorised_weights(layer: FactorisedAttention, x: Tensor) -> tuple[Tensor, Tensor]:
    """The weights with which `layer` attends in a clip's x (1, T', N, D).

    Half the heads attend within frame patches (T', heads/2, N, N), half along time
    (N, heads/2, T', T').
    """
    q, k, _ = rearrange(
        layer.qkv(x), "1 t n (qkv two h d) -> qkv two h t n d", qkv=3, two=2, h=layer.heads // 2
    )
    space = _weights(*(rearrange(half[0], "h t n d -> t h n d") for half in (q, k)))
    time = _weights(*(rearrange(half[1], "h t n d -> n h t d") for half in (q, k)))
    return space, time


def rollout(attentions: Sequence[Tensor]) -> Tensor:
    """How much each output token depends on each input token (B, L, L), rows sum to 1.

    From the layers' attentions (B, heads, L, L), first layer first: the mean of the heads, averaged
    with the shortcut, is multiplied from layer to layer (section 4).
    """
    flows = [reduce(attention, "b h q k -> b q k", "mean") for attention in attentions]
    joint = torch.eye(flows[0].shape[-1]).to(flows[0]).expand_as(flows[0])
    for flow in flows:
        joint = (0.5 * flow + 0.5 * torch.eye(flow.shape[-1]).to(flow)) @ joint
    return joint


@torch.inference_mode()
def vivit_relevance(network: ViViT, video: Tensor) -> Tensor:
    """How much the prediction for a clip (1, C, T, H, W) depends on each token (T', h, w).

    The clip is normalised; the result sums to 1. For the factorised encoder it is the weight of a
    frame patch for the temporal cls token, times the weight of each token for that patch's spatial
    cls token. Encoders without a cls token predict from the mean of all tokens; their weights are
    means too.
    """
    height, width = (side // network.embedding.patch for side in video.shape[3:])
    if network.attention == "factorised_encoder":
        with (
            capture_activations(network.spatial, Attention) as spatial,
            capture_activations(network.temporal, Attention) as temporal,
        ):
            network(video)
        of_frames = _from_cls(temporal)[0]  # (T',)
        of_tokens = _from_cls(spatial)  # (T', N), because the frame patches are its batch
        relevance = of_frames[:, None] * of_tokens
    else:
        with capture_activations(network.encoder, Attention) as inputs:
            network(video)
        joint = network.attention == "spatio_temporal"
        relevance = _from_cls(inputs)[0] if joint else _from_mean(inputs)  # (T' * N,)
    return rearrange(relevance.flatten(), "(t h w) -> t h w", h=height, w=width)


def _weights(q: Tensor, k: Tensor) -> Tensor:
    """Queries and keys (..., L, d) -> weights (..., L, L)."""
    scores: Tensor = q @ k.transpose(-2, -1) / q.shape[-1] ** 0.5
    return scores.softmax(dim=-1)


def _from_cls(inputs: Sequence[tuple[Attention, Tensor]]) -> Tensor:
    """The weights of the other tokens for the cls token (B, L - 1), which sum to 1."""
    flow = rollout([attention_weights(layer, x) for layer, x in inputs])
    others = flow[:, 0, 1:]
    return others / others.sum(dim=1, keepdim=True)


def _from_mean(inputs: Sequence[tuple[Attention, Tensor]]) -> Tensor:
    """The weight of each token for the mean of all tokens (T' * N,), in models 3 and 4."""
    attentions = []
    for number, (layer, x) in enumerate(inputs):
        if isinstance(layer, FactorisedAttention):
            space, time = factorised_weights(layer, x)
            attentions.append(torch.cat([_within_frames(space), _along_time(time)], dim=1))
        else:  # blocks of model 3 attend within frame patches first, then along time
            spread = _along_time if number % 2 else _within_frames
            attentions.append(spread(attention_weights(layer, x)))
    return rollout(attentions)[0].mean(dim=0)


def _within_frames(space: Tensor) -> Tensor:
    """Weights within frame patches (T', heads, N, N) as among all tokens (1, heads, L, L)."""
    same = torch.eye(len(space)).to(space)
    joint = torch.einsum("thqk,ts->htqsk", space, same)
    return rearrange(joint, "h t q s k -> 1 h (t q) (s k)")


def _along_time(time: Tensor) -> Tensor:
    """Weights along time (N, heads, T', T') as among all tokens (1, heads, L, L)."""
    same = torch.eye(len(time)).to(time)
    joint = torch.einsum("nhqk,nm->hqnkm", time, same)
    return rearrange(joint, "h q n k m -> 1 h (q n) (k m)")
