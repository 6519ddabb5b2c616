"""Paper A's ViViT, which benchmarks measure."""

from framemix.models.config import ViViTConfig

# Paper A's ViViT, for 150 frames of 320x240 and UCF101's 99 classes.
PAPER_VIVIT = ViViTConfig(
    attention="factorised_encoder",
    tokeniser="tubelet",
    image_size=(240, 320),
    image_patch_size=40,
    frames=150,
    frame_patch_size=10,
    num_classes=99,
    dim=1024,
    spatial_depth=6,
    temporal_depth=6,
    heads=8,
    dim_head=64,
    mlp_dim=2048,
    dropout=0.0,
)
