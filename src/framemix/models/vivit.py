"""ViViT, with its two tokenisers and its four encoders.

Arnab et al., "ViViT: A Video Vision Transformer" (ICCV 2021), section 3.3. The factorised encoder
(model 2) has the layers and parameters of vit-pytorch, so that weights trained with that fit.
"""

# B clips, C = 3 colours, T frames, H x W pixels
# T' = T / frame patch, N = (H / patch) * (W / patch) tokens, D = dim
# L tokens of any one transformer, h heads of d = dim_head

import re
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any, ClassVar, cast, get_args

import torch
import torch.nn.functional as F
from einops import rearrange, reduce
from torch import Tensor, nn

from framemix.errors import ModelError
from framemix.models.checks import check_choice, check_fit
from framemix.models.config import AttentionScheme, Tokeniser, vivit_misfit
from framemix.models.input import IMAGENET, Normalisation
from framemix.models.tubelets import TubeletEmbedding


class ViViT(nn.Module):
    """Video (B, C, T, H, W) -> class logits (B, classes).

    Clips may also be uint8, as a store holds them. They are then normalised while they are cut into
    patches, which saves passes over them, and their gradient.

    `attention` names the encoder of section 3.3: spatio_temporal (model 1), factorised_encoder
    (model 2), factorised_self_attention (model 3) or factorised_dot_product (model 4). Models 1 and
    4 have `spatial_depth + temporal_depth` blocks; model 3 has both attentions in every block, so
    its two depths must be equal. Raises ModelError when the patches do not tile the clip, or depths
    or heads do not fit the encoder.
    """

    def __init__(
        self,
        *,
        image_size: tuple[int, int],
        image_patch_size: int,
        frames: int,
        frame_patch_size: int,
        num_classes: int,
        dim: int,
        spatial_depth: int,
        temporal_depth: int,
        heads: int,
        mlp_dim: int,
        dim_head: int = 64,
        dropout: float = 0.0,
        attention: AttentionScheme = "factorised_encoder",
        tokeniser: Tokeniser = "tubelet",
    ) -> None:
        super().__init__()
        check_choice("attention", attention, get_args(AttentionScheme))
        check_choice("tokeniser", tokeniser, get_args(Tokeniser))
        check_fit(
            vivit_misfit(
                image_size=image_size,
                image_patch_size=image_patch_size,
                frames=frames,
                frame_patch_size=frame_patch_size,
                attention=attention,
                spatial_depth=spatial_depth,
                temporal_depth=temporal_depth,
                heads=heads,
            )
        )
        self.embedding = TubeletEmbedding(
            image_size=image_size,
            image_patch_size=image_patch_size,
            frames=frames,
            frame_patch_size=frame_patch_size,
            dim=dim,
            tokeniser=tokeniser,
        )
        sizes = {"dim": dim, "heads": heads, "dim_head": dim_head, "mlp_dim": mlp_dim}
        self.attention = attention
        if attention == "factorised_encoder":
            self.spatial = Transformer(depth=spatial_depth, dropout=dropout, **sizes)
            self.temporal = Transformer(depth=temporal_depth, dropout=dropout, **sizes)
        else:
            depths = (spatial_depth, temporal_depth)
            self.encoder = _encoder(attention, depths, dropout=dropout, **sizes)
        self.head = nn.Sequential(nn.LayerNorm(dim), nn.Linear(dim, num_classes))

    def forward(self, video: Tensor, normalisation: Normalisation = IMAGENET) -> Tensor:
        """Logits (B, classes) of clips: normalised (B, C, T, H, W), or uint8 as stored."""
        x = video
        for _, step in self.steps(normalisation):
            x = step(x)
        return x

    def steps(
        self, normalisation: Normalisation = IMAGENET
    ) -> list[tuple[tuple[str, ...], Callable[[Tensor], Tensor]]]:
        """The steps of a forward pass in order, each with the parts that have its weights."""
        embed = partial(self.embed, normalisation=normalisation)
        if self.attention != "factorised_encoder":
            return [(("embedding",), embed), (("encoder",), self.encoder), (("head",), self.head)]
        return [
            (("embedding",), embed),
            (("spatial",), self.encode_space),
            (("temporal",), self.encode_time),
            (("head",), self.head),
        ]

    def embed(self, video: Tensor, normalisation: Normalisation = IMAGENET) -> Tensor:
        """Tokens with positions (B, T', N, D) of clips: normalised (B, C, T, H, W), or uint8."""
        tokens: Tensor = self.embedding(video, normalisation)
        return tokens

    def encode_space(self, tokens: Tensor) -> Tensor:
        """One vector per frame patch (B, T', D), from its tokens (B, T', N, D); model 2 only."""
        each = rearrange(tokens, "b t n d -> (b t) n d")  # (B*T', N, D)
        frames: Tensor = self.spatial(each)  # (B*T', D)
        # By T' and not by len(): an exported network takes any number of clips.
        return rearrange(frames, "(b t) d -> b t d", t=tokens.shape[1])  # (B, T', D)

    def encode_time(self, frames: Tensor) -> Tensor:
        """One vector per clip (B, D), from its frame patches (B, T', D); model 2 only."""
        clip: Tensor = self.temporal(frames)
        return clip


class Transformer(nn.Module):
    """Pre-norm encoder that sums up tokens in its own cls token: (B, L, D) -> (B, D).

    It owns the token, so that fine-tuning modes are lists of modules. It has no final norm: the
    head begins with one, and so does the temporal transformer, which gets the spatial summaries.
    """

    def __init__(
        self, *, dim: int, depth: int, heads: int, dim_head: int, mlp_dim: int, dropout: float
    ) -> None:
        super().__init__()
        self.cls_token = nn.Parameter(torch.randn(1, 1, dim))
        self.blocks = nn.ModuleList(
            Block(dim=dim, heads=heads, dim_head=dim_head, mlp_dim=mlp_dim, dropout=dropout)
            for _ in range(depth)
        )

    def forward(self, tokens: Tensor) -> Tensor:
        """The cls token (B, D) after it has attended to tokens (B, L, D)."""
        cls = self.cls_token.expand(tokens.shape[0], -1, -1)  # (B, 1, D)
        x = torch.cat([cls, tokens], dim=1)  # (B, 1 + L, D)
        *blocks, last = self.blocks
        for block in blocks:
            x = block(x)
        return cast(Block, last).first(x)


class JointEncoder(Transformer):
    """Model 1: every token attends to all of the clip's. (B, T', N, D) -> (B, D)."""

    def forward(self, tokens: Tensor) -> Tensor:
        """The cls token (B, D) after it has attended to tokens (B, T', N, D)."""
        return super().forward(rearrange(tokens, "b t n d -> b (t n) d"))


class GridEncoder(nn.Module):
    """Blocks over the grid of tokens, and then their mean: (B, T', N, D) -> (B, D).

    There is no cls token, which would belong to no frame patch and to no place.
    """

    def __init__(self, block: "type[Block]", depth: int, **sizes: Any) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(block(**sizes) for _ in range(depth))

    def forward(self, tokens: Tensor) -> Tensor:
        """One vector per clip (B, D), from its tokens (B, T', N, D)."""
        for block in self.blocks:
            tokens = block(tokens)
        return reduce(tokens, "b t n d -> b d", "mean")


class Attention(nn.Module):
    """Multi-head self-attention: keeps (B, L, D)."""

    def __init__(self, *, dim: int, heads: int, dim_head: int, dropout: float) -> None:
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.qkv = nn.Linear(dim, 3 * heads * dim_head, bias=False)
        self.out = nn.Linear(heads * dim_head, dim)

    def forward(self, x: Tensor, queries: int | None = None) -> Tensor:
        """(B, L, D) -> (B, L, D), or the output of the first `queries` tokens (B, queries, D)."""
        # In chunks, whose gradients are joined in one copy.
        if queries is None:
            parts = self.qkv(x).chunk(3, dim=-1)
        else:
            to_q, to_kv = self.qkv.weight.tensor_split([self.out.in_features])
            parts = (F.linear(x[:, :queries], to_q), *F.linear(x, to_kv).chunk(2, dim=-1))
        qkv = [rearrange(part, "b l (h d) -> b h l d", h=self.heads) for part in parts]
        return self._project(rearrange(self._attend(qkv), "b h l d -> b l (h d)"))

    def _attend(self, qkv: Iterable[Tensor]) -> Tensor:
        """Queries (B, h, Q, d), keys and values (B, h, L, d) -> (B, h, Q, d)."""
        q, k, v = qkv
        dropout = self.dropout if self.training else 0.0
        return F.scaled_dot_product_attention(q, k, v, dropout_p=dropout)

    def _project(self, y: Tensor) -> Tensor:
        return F.dropout(self.out(y), self.dropout, self.training)


class FactorisedAttention(Attention):
    """Half of the heads attend within a frame patch, half along time: keeps (B, T', N, D).

    These are the dot products of model 4; the number of heads is even.
    """

    def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]
        """(B, T', N, D) -> (B, T', N, D)."""
        t, n = x.shape[1:3]
        halves = rearrange(
            self.qkv(x), "b t n (qkv two h d) -> two qkv b h t n d", qkv=3, two=2, h=self.heads // 2
        )
        space = self._attend(rearrange(halves[0], "qkv b h t n d -> qkv (b t) h n d"))
        time = self._attend(rearrange(halves[1], "qkv b h t n d -> qkv (b n) h t d"))
        space = rearrange(space, "(b t) h n d -> b t n (h d)", t=t)
        time = rearrange(time, "(b n) h t d -> b t n (h d)", n=n)
        return self._project(torch.cat([space, time], dim=-1))  # (B, T', N, D)


class Block(nn.Module):
    """Self-attention, then an MLP, each after a norm and beside a shortcut: keeps (B, L, D)."""

    attention_kind: ClassVar[type[Attention]] = Attention

    def __init__(
        self, *, dim: int, heads: int, dim_head: int, mlp_dim: int, dropout: float
    ) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(dim)
        self.attention = self.attention_kind(
            dim=dim, heads=heads, dim_head=dim_head, dropout=dropout
        )
        self.mlp_norm = nn.LayerNorm(dim)
        self.mlp = nn.Sequential(
            nn.Linear(dim, mlp_dim),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(mlp_dim, dim),
            nn.Dropout(dropout),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, L, D) -> (B, L, D)."""
        x = x + self.attention(self.attention_norm(x))
        y: Tensor = x + self.mlp(self.mlp_norm(x))
        return y

    def first(self, x: Tensor) -> Tensor:
        """The first token (B, D) of the output of `forward` for (B, L, D)."""
        cls = x[:, :1] + self.attention(self.attention_norm(x), 1)  # (B, 1, D)
        y: Tensor = cls + self.mlp(self.mlp_norm(cls))
        return y[:, 0]


class DotProductBlock(Block):
    """A block of model 4, whose attention is factorised: keeps (B, T', N, D)."""

    attention_kind = FactorisedAttention


class SpaceTimeBlock(Block):
    """A block of model 3, with an attention over time between that over space and the MLP.

    Keeps (B, T', N, D), equations 4 to 6.
    """

    def __init__(
        self, *, dim: int, heads: int, dim_head: int, mlp_dim: int, dropout: float
    ) -> None:
        super().__init__(dim=dim, heads=heads, dim_head=dim_head, mlp_dim=mlp_dim, dropout=dropout)
        self.temporal_norm = nn.LayerNorm(dim)
        self.temporal_attention = Attention(
            dim=dim, heads=heads, dim_head=dim_head, dropout=dropout
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, T', N, D) -> (B, T', N, D)."""
        t, n = x.shape[1:3]
        x = rearrange(x, "b t n d -> (b t) n d")
        x = x + self.attention(self.attention_norm(x))  # (B*T', N, D)
        x = rearrange(x, "(b t) n d -> (b n) t d", t=t)
        x = x + self.temporal_attention(self.temporal_norm(x))  # (B*N, T', D)
        x = rearrange(x, "(b n) t d -> b t n d", n=n)
        y: Tensor = x + self.mlp(self.mlp_norm(x))
        return y


def _encoder(attention: AttentionScheme, depths: tuple[int, int], **sizes: Any) -> nn.Module:
    """Return models 1, 3 and 4: (B, T', N, D) -> (B, D)."""
    spatial, temporal = depths
    if attention == "spatio_temporal":
        return JointEncoder(depth=spatial + temporal, **sizes)
    if attention == "factorised_dot_product":
        return GridEncoder(DotProductBlock, spatial + temporal, **sizes)
    return GridEncoder(SpaceTimeBlock, spatial, **sizes)


def draw_xavier(network: ViViT) -> None:
    """Draw each linear layer uniformly with variance 2 / (inputs + outputs), and its bias as 0.

    Glorot and Bengio, "Understanding the difficulty of training deep feedforward neural networks"
    (2010), equation 16, as in the blocks of ViViT's public code (google-research/scenic). Queries,
    keys and values count as one layer, as they do in torch's own attention.
    """
    for module in network.modules():
        if isinstance(module, nn.Linear):
            nn.init.xavier_uniform_(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)


def load_vit_pytorch_state_dict(model: ViViT, state_dict: Mapping[str, Tensor]) -> None:
    """Load weights of vit-pytorch's `vivit.ViT`, versions 1.0.2 - 1.2.9, cls pooling.

    Raises ModelError, naming the keys as in `state_dict`, when keys or shapes do not fit; the
    model is then unchanged.
    """
    own = model.state_dict()
    theirs = {_vit_pytorch_name(name): name for name in own}
    given = {**_left_out(model), **state_dict}
    _refuse("missing", sorted(theirs.keys() - given.keys()))
    _refuse("unknown", sorted(given.keys() - theirs.keys()))
    _refuse(
        "of another shape",
        [
            f"{key} {tuple(given[key].shape)} instead of {tuple(own[name].shape)}"
            for key, name in theirs.items()
            if given[key].shape != own[name].shape
        ],
    )
    model.load_state_dict({name: given[key] for key, name in theirs.items()})


# Our names -> vit-pytorch's, applied in turn.
VIT_PYTORCH_NAMES = (
    (r"^embedding\.positions", "pos_embedding"),
    (r"^embedding\.pixel_norm", "to_patch_embedding.1"),
    (r"^embedding\.projection", "to_patch_embedding.2"),
    (r"^embedding\.token_norm", "to_patch_embedding.3"),
    (r"^(spatial|temporal)\.cls_token", r"\1_cls_token"),
    (r"^(spatial|temporal)\.blocks", r"\1_transformer.layers"),
    (r"\.attention_norm", ".0.norm"),
    (r"\.attention\.qkv", ".0.fn.to_qkv"),
    (r"\.attention\.out", ".0.fn.to_out.0"),
    (r"\.mlp_norm", ".1.norm"),
    (r"\.mlp\.", ".1.fn.net."),
    (r"^head", "mlp_head"),
)


def _vit_pytorch_name(name: str) -> str:
    for pattern, replacement in VIT_PYTORCH_NAMES:
        name = re.sub(pattern, replacement, name)
    return name


def _left_out(model: ViViT) -> dict[str, Tensor]:
    # vit-pytorch has no out projection if a single head is as wide as the model.
    identities: dict[str, Tensor] = {}
    for name, module in model.named_modules():
        if isinstance(module, Attention) and module.heads == 1:
            inner, dim = module.out.in_features, module.out.out_features
            if inner == dim:
                out = _vit_pytorch_name(f"{name}.out")
                identities |= {f"{out}.weight": torch.eye(dim), f"{out}.bias": torch.zeros(dim)}
    return identities


def _refuse(what: str, keys: list[str]) -> None:
    if keys:
        raise ModelError(f"vit-pytorch weights: {what}: {', '.join(keys)}")
