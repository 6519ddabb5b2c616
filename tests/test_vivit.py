"""What ViViT promises: the paper's parameters, vit-pytorch's numbers, what an encoder can tell."""

import numpy as np
import pytest
import torch
from torch import nn

from framemix.errors import ModelError
from framemix.models import IMAGENET_MEAN, IMAGENET_STD, normalise, tubelets
from framemix.models.config import AttentionScheme, FinetuneMode
from framemix.models.input import IMAGENET
from framemix.models.tubelets import Affine
from framemix.models.vivit import (
    Attention,
    FactorisedAttention,
    SpaceTimeBlock,
    ViViT,
    draw_xavier,
    load_vit_pytorch_state_dict,
)
from framemix.training.parts import freeze_for

ENCODERS: tuple[AttentionScheme, ...] = (
    "spatio_temporal",
    "factorised_encoder",
    "factorised_self_attention",
    "factorised_dot_product",
)
BLOCK = {"dim": 16, "heads": 4, "dim_head": 4, "dropout": 0.0}
# 3 frame patches with 5 places each, flattened: which tokens share a frame patch, which a place.
SAME_FRAME = torch.eye(3).repeat_interleave(5, 0).repeat_interleave(5, 1).bool()
SAME_PLACE = torch.eye(5).repeat(3, 3).bool()

SMALL = {
    "image_size": (16, 24),
    "image_patch_size": 8,
    "frames": 6,
    "frame_patch_size": 2,
    "num_classes": 5,
    "dim": 16,
    "spatial_depth": 2,
    "temporal_depth": 1,
    "heads": 2,
    "dim_head": 8,
    "mlp_dim": 32,
}
PAPER = {
    "image_size": (240, 320),
    "image_patch_size": 40,
    "frames": 150,
    "frame_patch_size": 10,
    "num_classes": 99,
    "dim": 1024,
    "spatial_depth": 6,
    "temporal_depth": 6,
    "heads": 8,
    "mlp_dim": 2048,
}
MODES = {
    "all": 125_690_724,
    "spatial_temporal_fc": 75_702_372,
    "temporal_fc": 37_903_460,
    "fc": 104_548,
}


def count(model, *, trainable=False):
    return sum(p.numel() for p in model.parameters() if p.requires_grad or not trainable)


def golden(shared):
    """The reference model's constructor arguments, weights, a video and its logits."""
    with np.load(shared / "golden" / "vivit_small.npz") as file:
        config = {key.split("/")[1]: file[key].tolist() for key in file if "config/" in key}
        state = {key[6:]: torch.from_numpy(file[key]) for key in file if key.startswith("state/")}
        return config, state, torch.from_numpy(file["video"]), file["logits"]


def test_has_the_papers_parameter_count():
    with torch.device("meta"):
        assert count(ViViT(**PAPER)) == 125_689_699


@pytest.mark.parametrize("mode", MODES)
def test_trains_the_papers_number_of_parameters_in_each_mode(mode: FinetuneMode):
    with torch.device("meta"):
        model = ViViT(**PAPER | {"num_classes": 100})
    freeze_for(model, "fc")
    freeze_for(model, mode)
    assert count(model, trainable=True) == MODES[mode]


@pytest.mark.parametrize("mode", MODES)
def test_gradient_reaches_exactly_what_a_mode_trains(mode: FinetuneMode):
    model = ViViT(**SMALL)
    freeze_for(model, mode)
    model(torch.randn(2, 3, 6, 16, 24)).square().sum().backward()
    for name, parameter in model.named_parameters():
        assert (parameter.grad is not None) == parameter.requires_grad, name
        assert parameter.grad is None or parameter.grad.abs().sum() > 0, name


def test_equals_vit_pytorch_on_its_weights(shared):
    config, state, video, logits = golden(shared)
    model = ViViT(**config).double()
    load_vit_pytorch_state_dict(model, state)
    np.testing.assert_allclose(model(video).detach(), logits, rtol=1e-9)


def test_loading_names_the_keys_that_do_not_fit(shared):
    config, state, _, _ = golden(shared)
    model = ViViT(**config)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    cases = {
        "missing: pos_embedding": {k: v for k, v in state.items() if k != "pos_embedding"},
        "unknown: extra": state | {"extra": torch.zeros(1)},
        r"mlp_head\.1\.bias \(7,\) instead of \(5,\)": state | {"mlp_head.1.bias": torch.zeros(7)},
    }
    for message, wrong in cases.items():
        with pytest.raises(ModelError, match=message):
            load_vit_pytorch_state_dict(model, wrong)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_loads_a_single_head_that_vit_pytorch_does_not_project(shared):
    config, state, video, _ = golden(shared)
    model = ViViT(**config | {"heads": 1, "dim_head": config["dim"]}).double()
    without = {key: value for key, value in state.items() if "to_out" not in key}
    load_vit_pytorch_state_dict(model, without)
    out = model.spatial.blocks[0].attention.out
    x = torch.randn(2, config["dim"], dtype=torch.float64)
    assert torch.equal(out(x), x)
    assert model(video).isfinite().all()


def test_the_named_steps_make_up_the_forward_pass():
    model = ViViT(**SMALL).eval()
    video = torch.randn(2, 3, 6, 16, 24)
    tokens = model.embed(video)
    frames = model.encode_space(tokens)
    clip = model.encode_time(frames)
    assert (tokens.shape, frames.shape, clip.shape) == ((2, 3, 6, 16), (2, 3, 16), (2, 16))
    assert torch.equal(model.head(clip), model(video))


def gradients(model, video):
    """Logits, and the gradient of a loss by parameter."""
    model.zero_grad()
    logits = model(video)
    torch.nn.functional.cross_entropy(logits, torch.tensor([1, 4])).backward()
    return logits.detach(), {name: p.grad.clone() for name, p in model.named_parameters()}


@pytest.mark.parametrize("tokeniser", ["tubelet", "uniform_frames"])
@pytest.mark.parametrize("piece", [1, 1000, 10**9])
def test_bytes_give_what_their_normalised_values_give_gradients_included(
    tokeniser, piece, monkeypatch
):
    monkeypatch.setitem(tubelets.PIECE, "cpu", piece)
    model = ViViT(**SMALL, tokeniser=tokeniser).double()
    for parameter in model.embedding.pixel_norm.parameters():  # neither 1 nor 0
        torch.nn.init.normal_(parameter)
    model.embedding.pixel_norm.weight.data[3] = 0.0
    clips = torch.randint(0, 256, (2, 6, 16, 24, 3), dtype=torch.uint8)
    normalised = normalise(clips, IMAGENET_MEAN, IMAGENET_STD, torch.float64)
    (logits, ours), (expected, theirs) = (gradients(model, x) for x in (clips, normalised))
    torch.testing.assert_close(logits, expected)
    for name in theirs:
        torch.testing.assert_close(ours[name], theirs[name], msg=name)


def test_tubelets_in_the_order_of_a_gpus_kernel_give_the_same_tokens_and_gradients(monkeypatch):
    model = ViViT(**SMALL).double()
    for parameter in model.embedding.pixel_norm.parameters():
        torch.nn.init.normal_(parameter)
    clips = torch.randint(0, 256, (2, 6, 16, 24, 3), dtype=torch.uint8)
    expected, theirs = gradients(model, clips)
    embedding, normed = model.embedding, model.embedding._normed

    def by_kernel(pixels: torch.Tensor, affine: Affine, dtype: torch.dtype) -> torch.Tensor:
        return embedding._by_row(normed(pixels, affine, None, None, dtype)).flatten(3)

    monkeypatch.setattr(embedding, "_has_kernel", lambda *_: True)
    monkeypatch.setattr(embedding, "_normed_by_kernel", by_kernel)
    logits, ours = gradients(model, clips)
    torch.testing.assert_close(logits, expected)
    for name in theirs:
        torch.testing.assert_close(ours[name], theirs[name], msg=name)
    assert not torch.equal(
        by_kernel(clips, IMAGENET.affine, torch.float64),
        normed(clips, IMAGENET.affine, None, None, torch.float64),
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_gpus_kernel_is_used_only_where_it_runs_and_is_right(dtype, monkeypatch, recwarn):
    embedding = ViViT(**SMALL).embedding
    clips = torch.randint(0, 256, (2, 6, 16, 24, 3), dtype=torch.uint8)

    def right(pixels: torch.Tensor, affine: Affine, dtype: torch.dtype) -> torch.Tensor:
        exact = embedding._normed(pixels, affine, None, None, torch.float32)
        return embedding._by_row(exact).flatten(3).to(dtype)

    def in_another_order(pixels: torch.Tensor, affine: Affine, dtype: torch.dtype) -> torch.Tensor:
        return embedding._normed(pixels, affine, None, None, dtype)

    def fails(pixels: torch.Tensor, affine: Affine, dtype: torch.dtype) -> torch.Tensor:
        raise RuntimeError("Failed to find C compiler.\nPlease specify one.")

    def the_first_step_again(
        pixels: torch.Tensor, affine: Affine, dtype: torch.dtype
    ) -> torch.Tensor:
        made = right(pixels, affine, dtype)
        return made[:, :1].expand_as(made)

    def tried(kernel) -> bool:
        monkeypatch.setattr(embedding, "_normed_by_kernel", kernel)
        return embedding._try_kernel(clips, IMAGENET.affine, dtype)

    assert tried(right)
    assert not recwarn
    for kernel in (in_another_order, the_first_step_again):
        with pytest.warns(UserWarning, match="slower: its values are wrong"):
            assert not tried(kernel)
    with pytest.warns(UserWarning, match=r"Failed to find C compiler\. Please specify one\."):
        assert not tried(fails)


def test_without_gradients_bytes_give_the_same_as_with_them():
    model = ViViT(**SMALL).double()
    for parameter in model.embedding.pixel_norm.parameters():
        torch.nn.init.normal_(parameter)
    clips = torch.randint(0, 256, (2, 6, 16, 24, 3), dtype=torch.uint8)
    with torch.no_grad():
        alone = model(clips)
    torch.testing.assert_close(alone, model(clips).detach())


def test_bytes_under_autocast_give_what_their_normalised_values_give_to_its_rounding():
    model = ViViT(**SMALL)
    clips = torch.randint(0, 256, (2, 6, 16, 24, 3), dtype=torch.uint8)
    _, exact = gradients(model, clips)
    with torch.autocast("cpu", torch.bfloat16):
        logits, ours = gradients(model, clips)
        expected, theirs = gradients(model, normalise(clips, IMAGENET_MEAN, IMAGENET_STD))
    torch.testing.assert_close(logits, expected, rtol=0.05, atol=0.05)
    for name, value in exact.items():
        if name.startswith("embedding"):
            error = (theirs[name] - value).norm()
            assert (ours[name] - value).norm() < 1.5 * error, name


def test_brightness_and_contrast_of_a_whole_clip_do_not_matter():
    model, video = ViViT(**SMALL).eval(), torch.randn(2, 3, 6, 16, 24)
    torch.testing.assert_close(model(1.5 * video + 0.4), model(video))


def test_stored_planes_give_what_their_normalised_values_give():
    model = ViViT(**SMALL)
    planes = torch.randint(16, 236, (2, 6, 24, 24), dtype=torch.uint8)
    expected = model(normalise(planes, IMAGENET_MEAN, IMAGENET_STD))
    torch.testing.assert_close(model(planes), expected)


def test_a_clip_that_is_normalised_before_has_a_gradient():
    video = torch.randn(1, 3, 6, 16, 24, requires_grad=True)
    ViViT(**SMALL)(video).sum().backward()
    assert video.grad.abs().sum() > 0


def test_the_last_block_computes_what_of_all_tokens_would_be_the_first():
    model = ViViT(**SMALL)
    tokens = torch.randn(2, 7, 16)
    block = model.spatial.blocks[0]
    torch.testing.assert_close(block.first(tokens), block(tokens)[:, 0])


def test_dropout_is_at_work_in_training_only():
    model = ViViT(**SMALL, dropout=0.5)
    video = torch.randn(1, 3, 6, 16, 24)
    assert not torch.equal(model(video), model(video))
    model.eval()
    assert torch.equal(model(video), model(video))


@pytest.mark.parametrize(
    ("attention", "part", "shape"),
    [
        ("factorised_encoder", "spatial", (4, 7, 16)),
        ("factorised_encoder", "temporal", (4, 7, 16)),
        *((encoder, "encoder", (4, 3, 7, 16)) for encoder in ENCODERS if "encoder" not in encoder),
    ],
)
def test_dropout_is_at_work_in_every_part(attention, part, shape):
    model = ViViT(**SMALL | {"spatial_depth": 1}, attention=attention, dropout=0.5)
    encoder, tokens = getattr(model, part), torch.randn(shape)
    assert not torch.equal(encoder(tokens), encoder(tokens))


def test_dropout_leaves_out_what_is_attended_to_too():
    attention = Attention(dim=64, heads=1, dim_head=64, dropout=0.5)
    nn.init.zeros_(attention.out.bias)
    # With a single token, all of the attention is kept or none, and then half of the values.
    left_out = (attention(torch.randn(400, 1, 64)) == 0).all(-1).float().mean()
    assert 0.4 < left_out < 0.6


def test_fresh_positions_are_as_large_as_the_tokens_that_they_are_added_to():
    torch.manual_seed(0)
    embedding = ViViT(**SMALL).embedding
    tokens = embedding(torch.randn(2, 3, 6, 16, 24)) - embedding.positions
    assert embedding.positions.std().item() == pytest.approx(tokens.std().item(), rel=0.2)


def test_equal_seeds_give_equal_weights():
    def weights(seed):
        torch.manual_seed(seed)
        return torch.nn.utils.parameters_to_vector(ViViT(**SMALL).parameters())

    assert torch.equal(weights(1), weights(1))
    assert not torch.equal(weights(1), weights(2))


def test_xavier_draws_linear_layers_with_glorots_variance_and_leaves_the_rest():
    torch.manual_seed(0)
    model = ViViT(**SMALL | {"dim": 64, "mlp_dim": 256})
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    draw_xavier(model)
    linear = {n: m for n, m in model.named_modules() if isinstance(m, nn.Linear)}
    for module in linear.values():
        variance = 2 / sum(module.weight.shape)
        assert module.weight.var().item() == pytest.approx(variance, rel=0.2)
        assert module.bias is None or not module.bias.any()
    for name, weight in model.state_dict().items():
        drawn = name.rpartition(".")[0] in linear
        assert torch.equal(weight, before[name]) != drawn


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"frames": 15}, "frames = 15: allowed: a multiple of frame_patch_size = 2"),
        (
            {"image_size": (16, 20)},
            r"image_size = \[16, 20\]: allowed: multiples of image_patch_size = 8",
        ),
        ({"attention": "joint"}, "attention = 'joint': allowed: 'spatio_temporal', .*"),
        ({"tokeniser": "patch"}, "tokeniser = 'patch': allowed: 'tubelet', 'uniform_frames'"),
        (
            {"attention": "factorised_self_attention"},
            "temporal_depth = 1: allowed with attention = factorised_self_attention: "
            "spatial_depth = 2",
        ),
        (
            {"attention": "factorised_dot_product", "heads": 3},
            "heads = 3: allowed with attention = factorised_dot_product: even numbers",
        ),
    ],
)
def test_refuses_what_it_cannot_build(change, message):
    with pytest.raises(ModelError, match=f"^{message}$"):
        ViViT(**SMALL | change)


def test_refuses_clips_of_another_size_and_unknown_modes():
    model = ViViT(**SMALL)
    with pytest.raises(ModelError, match=r"\(3, 4, 16, 24\).*takes \(3, 6, 16, 24\)"):
        model(torch.zeros(1, 3, 4, 16, 24))
    with pytest.raises(ModelError, match="mode = head: allowed with this ViViT: all, "):
        freeze_for(model, "head")


def encoder(attention: AttentionScheme, **changes) -> ViViT:
    sizes = SMALL | {"spatial_depth": 2, "temporal_depth": 2} | changes
    return ViViT(**sizes, attention=attention)


def encode(model: ViViT, tokens: torch.Tensor) -> torch.Tensor:
    """What the head sees of tokens (B, T', N, D)."""
    _embed, *encoders, _head = (step for _, step in model.steps())
    for step in encoders:
        tokens = step(tokens)
    return tokens


def torch_attention(ours, attend: list[torch.Tensor]):
    """PyTorch's own attention with our weights; `attend` says who sees whom, one a head."""
    theirs = nn.MultiheadAttention(16, ours.heads, batch_first=True)
    theirs.load_state_dict(
        {
            "in_proj_weight": ours.qkv.weight,
            "in_proj_bias": torch.zeros(3 * 16),
            "out_proj.weight": ours.out.weight,
            "out_proj.bias": ours.out.bias,
        }
    )
    mask = ~torch.stack(attend)  # True: must not be seen
    return lambda x: theirs(x, x, x, attn_mask=mask.repeat(len(x), 1, 1), need_weights=False)[0]


def test_the_joint_encoder_is_a_plain_transformer_over_all_tokens():
    model = encoder("spatio_temporal").eval()
    plain = nn.TransformerEncoder(
        nn.TransformerEncoderLayer(
            16, 2, 32, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
        ),
        num_layers=4,
        enable_nested_tensor=False,
    ).eval()
    for ours, theirs in zip(model.encoder.blocks, plain.layers, strict=True):
        theirs.self_attn.in_proj_weight = ours.attention.qkv.weight
        theirs.self_attn.out_proj = ours.attention.out
        theirs.norm1, theirs.norm2 = ours.attention_norm, ours.mlp_norm
        theirs.linear1, theirs.linear2 = ours.mlp[0], ours.mlp[3]
    tokens = torch.randn(2, 3, 6, 16)
    everything = torch.cat([model.encoder.cls_token.expand(2, -1, -1), tokens.flatten(1, 2)], dim=1)
    torch.testing.assert_close(encode(model, tokens), plain(everything)[:, 0], rtol=1e-4, atol=1e-5)


def test_factorised_dot_products_are_full_ones_with_half_of_the_heads_masked_each_way():
    attention = FactorisedAttention(**BLOCK)
    reference = torch_attention(attention, [SAME_FRAME] * 2 + [SAME_PLACE] * 2)
    x = torch.randn(2, 3, 5, 16)
    expected = reference(x.flatten(1, 2)).view_as(x)
    torch.testing.assert_close(attention(x), expected, rtol=1e-4, atol=1e-5)


def test_factorised_self_attention_is_full_attention_masked_to_space_and_then_to_time():
    block = SpaceTimeBlock(**BLOCK, mlp_dim=32)
    over_space = torch_attention(block.attention, [SAME_FRAME] * 4)
    over_time = torch_attention(block.temporal_attention, [SAME_PLACE] * 4)
    x = torch.randn(2, 3, 5, 16)
    y = x.flatten(1, 2)
    y = y + over_space(block.attention_norm(y))
    y = y + over_time(block.temporal_norm(y))
    y = y + block.mlp(block.mlp_norm(y))
    torch.testing.assert_close(block(x), y.view_as(x), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("attention", ENCODERS)
def test_without_positions_no_encoder_knows_the_order_of_frames_or_places(attention):
    model = encoder(attention).eval()
    tokens = torch.randn(2, 3, 6, 16)
    turned = tokens[:, torch.randperm(3)][:, :, torch.randperm(6)]
    torch.testing.assert_close(encode(model, turned), encode(model, tokens), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("attention", ENCODERS)
def test_all_but_the_joint_encoder_know_which_tokens_share_a_frame(attention):
    model = encoder(attention).eval()
    tokens = torch.randn(2, 3, 6, 16)
    swapped = tokens.clone()
    swapped[:, 0, 0], swapped[:, 1, 1] = tokens[:, 1, 1], tokens[:, 0, 0]
    same = torch.allclose(encode(model, swapped), encode(model, tokens), rtol=1e-4, atol=1e-5)
    assert same == (attention == "spatio_temporal")


@pytest.mark.parametrize("attention", ENCODERS)
@pytest.mark.parametrize("tokeniser", ["tubelet", "uniform_frames"])
def test_every_parameter_of_every_encoder_learns(attention, tokeniser):
    model = encoder(attention, tokeniser=tokeniser)
    model(torch.randn(2, 3, 6, 16, 24)).square().sum().backward()
    assert all(p.grad.abs().sum() > 0 for p in model.parameters())


def test_encoders_of_the_papers_size_have_the_parameters_of_their_formulas():
    sizes = PAPER | {"attention": "factorised_encoder"}
    counts = {}
    for name in ENCODERS:
        with torch.device("meta"):
            counts[name] = count(ViViT(**sizes | {"attention": name}))
    dim, heads, width = 1024, 8, 64
    attention = 2 * dim + 3 * dim * heads * width + heads * width * dim + dim
    mlp = 2 * dim + 2 * dim * 2048 + 2048 + dim
    blocks = {name: total - counts["factorised_encoder"] for name, total in counts.items()}
    assert blocks == {
        "factorised_encoder": 0,
        "spatio_temporal": -dim,  # one cls token instead of two
        "factorised_dot_product": -2 * dim,  # none
        "factorised_self_attention": -2 * dim - 6 * mlp,  # 6 blocks of two attentions, not 12
    }
    assert counts["factorised_encoder"] == (
        sum((48000 * 2, 48000 * dim + dim, 2 * dim, 15 * 48 * dim, 2 * dim))
        + 12 * (attention + mlp)
        + sum((2 * dim, dim * 99 + 99))
    )


def test_uniform_frames_are_embedded_as_images_and_no_other_frame_is_seen():
    torch.manual_seed(5)
    sampled = ViViT(**SMALL | {"frames": 9, "frame_patch_size": 3}, tokeniser="uniform_frames")
    torch.manual_seed(5)
    images = ViViT(**SMALL | {"frames": 3, "frame_patch_size": 1})
    video = torch.randn(2, 3, 9, 16, 24)
    expected = images(video[:, :, [1, 4, 7]])  # the middle of each three
    video[:, :, [0, 2, 3, 5, 6, 8]] = float("nan")
    assert torch.equal(sampled(video), expected)


@pytest.mark.parametrize("attention", [e for e in ENCODERS if e != "factorised_encoder"])
def test_modes_that_separate_space_and_time_need_the_factorised_encoder(attention):
    model = encoder(attention)
    freeze_for(model, "fc")
    assert count(model, trainable=True) == count(model.head)
    freeze_for(model, "all")
    assert count(model, trainable=True) == count(model)
    for mode in ("temporal_fc", "spatial_temporal_fc"):
        message = f"^mode = {mode}: allowed with this ViViT: all, fc, last_1 to "
        with pytest.raises(ModelError, match=message):
            freeze_for(model, mode)


@pytest.mark.slow
def test_full_size_learns_from_one_clip():
    torch.manual_seed(0)
    model = ViViT(**PAPER)
    logits = model(torch.randn(1, 3, 150, 240, 320))
    torch.nn.functional.cross_entropy(logits, torch.tensor([7])).backward()
    assert logits.shape == (1, 99)
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())
