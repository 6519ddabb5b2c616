import numpy as np
import pytest
import torch

from framemix.errors import ModelError
from framemix.models.config import FinetuneMode
from framemix.models.vivit import (
    ViViT,
    load_vit_pytorch_state_dict,
)

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
    model.freeze_for("fc")
    model.freeze_for(mode)
    assert count(model, trainable=True) == MODES[mode]


@pytest.mark.parametrize("mode", MODES)
def test_gradient_reaches_exactly_what_a_mode_trains(mode: FinetuneMode):
    model = ViViT(**SMALL)
    model.freeze_for(mode)
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


def test_dropout_is_at_work_in_training_only():
    model = ViViT(**SMALL, dropout=0.5)
    video = torch.randn(1, 3, 6, 16, 24)
    assert not torch.equal(model(video), model(video))
    model.eval()
    assert torch.equal(model(video), model(video))


def test_equal_seeds_give_equal_weights():
    def weights(seed):
        torch.manual_seed(seed)
        return torch.nn.utils.parameters_to_vector(ViViT(**SMALL).parameters())

    assert torch.equal(weights(1), weights(1))
    assert not torch.equal(weights(1), weights(2))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"frames": 15}, "frames = 15: not divisible by frame_patch_size = 2"),
        ({"image_size": (16, 20)}, "image_size = 16 x 20: not divisible by image_patch_size = 8"),
        ({"attention": "joint"}, "attention = 'joint': allowed: 'factorised_encoder'"),
    ],
)
def test_refuses_what_it_cannot_build(change, message):
    with pytest.raises(ModelError, match=f"^{message}$"):
        ViViT(**SMALL | change)


def test_refuses_clips_of_another_size_and_unknown_modes():
    model = ViViT(**SMALL)
    with pytest.raises(ModelError, match=r"\(3, 4, 16, 24\).*takes \(3, 6, 16, 24\)"):
        model(torch.zeros(1, 3, 4, 16, 24))
    with pytest.raises(ModelError, match="mode = 'head': allowed: 'all', "):
        model.freeze_for("head")


@pytest.mark.slow
def test_full_size_learns_from_one_clip():
    torch.manual_seed(0)
    model = ViViT(**PAPER)
    logits = model(torch.randn(1, 3, 150, 240, 320))
    torch.nn.functional.cross_entropy(logits, torch.tensor([7])).backward()
    assert logits.shape == (1, 99)
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())
