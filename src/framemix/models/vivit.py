"""ViViT with a factorised encoder: one transformer over space, one over time.

Arnab et al., "ViViT: A Video Vision Transformer" (ICCV 2021), section 3.3, model 2. With layers and
parameters as in vit-pytorch, so that weights trained with it fit.
"""

# B clips, C = 3 colours, T frames, H x W pixels
# T' = T / frame patch, N = (H / patch) * (W / patch) tokens, D = dim
# L tokens of any one transformer, h heads of d = dim_head

import re
from collections.abc import Mapping
from typing import get_args

import torch
import torch.nn.functional as F
from einops import rearrange, repeat
from torch import Tensor, nn

from framemix.errors import ModelError
from framemix.models.checks import check_choice
from framemix.models.config import AttentionScheme, FinetuneMode

COLOURS = 3


class ViViT(nn.Module):
    """Video (B, C, T, H, W) -> class logits (B, classes), ViViT model 2.

    `spatial` sees the tokens of one frame patch at a time, `temporal` one summary of each.
    Raises ModelError when the patches do not tile the clip.
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
    ) -> None:
        super().__init__()
        check_choice("attention", attention, get_args(AttentionScheme))
        self.embedding = TubeletEmbedding(
            image_size=image_size,
            image_patch_size=image_patch_size,
            frames=frames,
            frame_patch_size=frame_patch_size,
            dim=dim,
        )
        sizes = {"dim": dim, "heads": heads, "dim_head": dim_head, "mlp_dim": mlp_dim}
        self.spatial = Transformer(depth=spatial_depth, dropout=dropout, **sizes)
        self.temporal = Transformer(depth=temporal_depth, dropout=dropout, **sizes)
        self.head = nn.Sequential(nn.LayerNorm(dim), nn.Linear(dim, num_classes))

    def forward(self, video: Tensor) -> Tensor:
        """Logits (B, classes) of normalised clips (B, C, T, H, W)."""
        tokens = self.embed(video)
        frames = self.encode_space(tokens)
        logits: Tensor = self.head(self.encode_time(frames))
        return logits

    def embed(self, video: Tensor) -> Tensor:
        """Tokens with positions (B, T', N, D) of clips (B, C, T, H, W)."""
        tokens: Tensor = self.embedding(video)
        return tokens

    def encode_space(self, tokens: Tensor) -> Tensor:
        """One vector a frame patch (B, T', D), from its tokens (B, T', N, D)."""
        each = rearrange(tokens, "b t n d -> (b t) n d")  # (B*T', N, D)
        frames: Tensor = self.spatial(each)  # (B*T', D)
        return rearrange(frames, "(b t) d -> b t d", b=len(tokens))  # (B, T', D)

    def encode_time(self, frames: Tensor) -> Tensor:
        """One vector a clip (B, D), from its frame patches (B, T', D)."""
        clip: Tensor = self.temporal(frames)
        return clip

    def freeze_for(self, mode: FinetuneMode) -> None:
        """Make just the parts that `mode` fine-tunes trainable (the four modes of paper A)."""
        trainable: dict[FinetuneMode, list[nn.Module]] = {
            "all": [self],
            "spatial_temporal_fc": [self.spatial, self.temporal, self.head],
            "temporal_fc": [self.temporal, self.head],
            "fc": [self.head],
        }
        check_choice("mode", mode, trainable)
        self.requires_grad_(False)
        for part in trainable[mode]:
            part.requires_grad_(True)


class TubeletEmbedding(nn.Module):
    """Cuts clips into tubelets and projects each: (B, C, T, H, W) -> (B, T', N, D), section 3.2."""

    def __init__(
        self,
        *,
        image_size: tuple[int, int],
        image_patch_size: int,
        frames: int,
        frame_patch_size: int,
        dim: int,
    ) -> None:
        super().__init__()
        height, width = image_size
        if height % image_patch_size or width % image_patch_size:
            raise ModelError(
                f"image_size = {height} x {width}: "
                f"not divisible by image_patch_size = {image_patch_size}"
            )
        if frames % frame_patch_size:
            raise ModelError(
                f"frames = {frames}: not divisible by frame_patch_size = {frame_patch_size}"
            )
        self.input_shape = (COLOURS, frames, height, width)
        self.patch, self.frame_patch = image_patch_size, frame_patch_size
        pixels = image_patch_size**2 * frame_patch_size * COLOURS
        patches = (height // image_patch_size) * (width // image_patch_size)
        self.pixel_norm = nn.LayerNorm(pixels)
        self.projection = nn.Linear(pixels, dim)
        self.token_norm = nn.LayerNorm(dim)
        # Of unit variance, as the normalised patches are: ViT's 0.02 drowns in them, and training
        # from scratch then stays at chance for many epochs.
        self.positions = nn.Parameter(torch.randn(1, frames // frame_patch_size, patches, dim))

    def forward(self, video: Tensor) -> Tensor:
        """Tokens (B, T', N, D) with learned positions added."""
        if video.shape[1:] != self.input_shape:
            raise ModelError(
                f"clips of shape {tuple(video.shape[1:])} (C, T, H, W): "
                f"this ViViT takes {self.input_shape}"
            )
        tubelets = rearrange(
            video,
            "b c (t pf) (h p1) (w p2) -> b t (h w) (p1 p2 pf c)",
            pf=self.frame_patch,
            p1=self.patch,
            p2=self.patch,
        )  # (B, T', N, patch * patch * frame patch * C)
        tokens: Tensor = self.token_norm(self.projection(self.pixel_norm(tubelets)))
        return tokens + self.positions


class Transformer(nn.Module):
    """Pre-norm encoder that sums up tokens in its own cls token: (B, L, D) -> (B, D).

    It owns the token so that fine-tuning modes are lists of modules. There is no final norm: the
    head has one, and the spatial summaries meet the temporal transformer's first.
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
        cls = repeat(self.cls_token, "1 1 d -> b 1 d", b=len(tokens))  # (B, 1, D)
        x = torch.cat([cls, tokens], dim=1)  # (B, 1 + L, D)
        for block in self.blocks:
            x = block(x)
        return x[:, 0]


class Block(nn.Module):
    """Self-attention, then an MLP, each after a norm and beside a shortcut: keeps (B, L, D)."""

    def __init__(
        self, *, dim: int, heads: int, dim_head: int, mlp_dim: int, dropout: float
    ) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(dim)
        self.attention = Attention(dim=dim, heads=heads, dim_head=dim_head, dropout=dropout)
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


class Attention(nn.Module):
    """Multi-head self-attention: keeps (B, L, D)."""

    def __init__(self, *, dim: int, heads: int, dim_head: int, dropout: float) -> None:
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.qkv = nn.Linear(dim, 3 * heads * dim_head, bias=False)
        self.out = nn.Linear(heads * dim_head, dim)

    def forward(self, x: Tensor) -> Tensor:
        """(B, L, D) -> (B, L, D)."""
        q, k, v = rearrange(self.qkv(x), "b l (qkv h d) -> qkv b h l d", qkv=3, h=self.heads)
        dropout = self.dropout if self.training else 0.0
        y = F.scaled_dot_product_attention(q, k, v, dropout_p=dropout)  # (B, h, L, d)
        y = self.out(rearrange(y, "b h l d -> b l (h d)"))  # (B, L, D)
        return F.dropout(y, self.dropout, self.training)


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
    # vit-pytorch has no out projection where a single head is as wide as the model.
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
