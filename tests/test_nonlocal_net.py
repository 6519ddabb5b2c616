"""What the Non-local network promises: the block of the paper, in the places of the paper."""

import resource
from itertools import pairwise

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from framemix.errors import ModelError
from framemix.models.nonlocal_net import NonLocalBlock, NonLocalNet
from framemix.models.resnet import Bottleneck, conv, max_pool

GOLDEN = {
    "embedded": "embedded_gaussian",
    "gaussian": "gaussian",
    "dot": "dot_product",
    "concatenate": "concatenation",
}
# The reference's names -> ours.
NAMES = {"W_z.0": "out", "W_z.1": "out_norm", "W_f.0": "affinity"}
OWN_PARTS = ("nonlocal_blocks.", "fc.")


def fitted(shared, name):
    """The reference's non-local block as ours, in float64, its input and its output."""
    with np.load(shared / "golden" / f"nonlocal_{name}.npz") as file:
        state = {key[6:]: torch.from_numpy(file[key]) for key in file if key.startswith("state/")}
        x, z = torch.from_numpy(file["x"]), file["z"]
    block = NonLocalBlock(x.shape[1], GOLDEN[name]).double()
    split = [(*key.rsplit(".", 1), value) for key, value in state.items()]
    ours = {f"{NAMES.get(module, module)}.{leaf}": value for module, leaf, value in split}
    shapes = {key: value.shape for key, value in block.state_dict().items()}
    block.load_state_dict({key: value.reshape(shapes[key]) for key, value in ours.items()})
    return block, x, z


def torchvision_resnet_shapes(blocks):
    """Names and shapes of torchvision's bottleneck ResNets, without the classifier."""

    def norm(name, channels):
        per_channel = ("weight", "bias", "running_mean", "running_var")
        return {f"{name}.{key}": (channels,) for key in per_channel} | {
            f"{name}.num_batches_tracked": ()
        }

    shapes = {"conv1.weight": (64, 3, 7, 7)} | norm("bn1", 64)
    channels = 64
    for stage, depth in enumerate(blocks, start=1):
        inner = 32 * 2**stage
        for index in range(depth):
            at = f"layer{stage}.{index}"
            widths = [channels, inner, inner, 4 * inner]
            for i, (before, after) in enumerate(pairwise(widths), start=1):
                kernel = 3 if i == 2 else 1
                shapes[f"{at}.conv{i}.weight"] = (after, before, kernel, kernel)
                shapes |= norm(f"{at}.bn{i}", after)
            if index == 0:
                shapes[f"{at}.downsample.0.weight"] = (4 * inner, channels, 1, 1)
                shapes |= norm(f"{at}.downsample.1", 4 * inner)
            channels = 4 * inner
    return shapes


@pytest.mark.parametrize("name", GOLDEN)
def test_block_equals_the_reference(shared, name):
    block, x, z = fitted(shared, name)
    np.testing.assert_allclose(block.eval()(x).detach(), z, rtol=1e-9)


@pytest.mark.parametrize("subsample", [False, True])
@pytest.mark.parametrize("pairwise", GOLDEN.values())
def test_block_is_an_identity_at_first_and_then_learns(pairwise, subsample):
    block = NonLocalBlock(8, pairwise, subsample)
    x = torch.randn(2, 8, 3, 4, 6)
    assert torch.equal(block(x), x)
    torch.nn.init.ones_(block.out_norm.weight)
    for parameter in (block.g.bias, block.out.bias):
        torch.nn.init.normal_(parameter)
    z = block(x)
    z.square().sum().backward()
    assert not torch.equal(z, x)
    assert all(p.grad is not None for p in block.parameters())


@pytest.mark.parametrize("pairwise", GOLDEN.values())
def test_subsampling_looks_at_the_strongest_of_two_by_two_pixels(pairwise):
    block = NonLocalBlock(4, pairwise).double()
    torch.nn.init.ones_(block.out_norm.weight)
    if pairwise == "concatenation":
        torch.nn.init.ones_(block.affinity.bias)  # below 0 it would gather nothing
    # Where all four pixels are alike, the pooled map holds the same values in the same shares.
    x = torch.randn(1, 4, 2, 2, 3, dtype=torch.float64)
    x = x.repeat_interleave(2, dim=3).repeat_interleave(2, dim=4)
    expected = block.eval()(x)
    block.subsample = True
    torch.testing.assert_close(block(x), expected)


def test_pooled_before_its_convolutions_a_block_looks_at_what_a_pooled_map_shows():
    """As in the authors' code: phi and g see the pooled map, theta the whole one."""
    torch.manual_seed(0)
    block = NonLocalBlock(4, subsample=True, pool="before").double().eval()
    torch.nn.init.ones_(block.out_norm.weight)
    x = torch.randn(2, 4, 3, 4, 6, dtype=torch.float64)
    pooled = F.max_pool3d(x, (1, 2, 2))
    theta, phi, g = (
        layer.flatten(2) for layer in (block.theta(x), block.phi(pooled), block.g(pooled))
    )
    y = g @ (theta.mT @ phi).softmax(-1).mT
    z = block.out_norm(block.out(y.unflatten(2, (3, 4, 6)))) + x
    torch.testing.assert_close(block(x), z)
    block.pool = "after"
    assert not torch.allclose(block(x), z)


def test_a_scaled_block_divides_products_by_the_root_of_their_channels():
    torch.manual_seed(0)
    scaled, plain = (NonLocalBlock(8, scaled=one).double().eval() for one in (True, False))
    plain.load_state_dict(scaled.state_dict())
    for block in (scaled, plain):
        torch.nn.init.ones_(block.out_norm.weight)
    with torch.no_grad():
        plain.theta.weight /= 2  # the root of 4 inner channels
    x = torch.randn(1, 8, 2, 4, 4, dtype=torch.float64)
    torch.testing.assert_close(scaled(x), plain(x))


def test_has_the_papers_parameter_count():
    with torch.device("meta"):
        model = NonLocalNet(num_classes=99)
    assert sum(p.numel() for p in model.parameters()) == 25_812_643


@pytest.mark.parametrize(("depth", "blocks"), [(50, (3, 4, 6, 3)), (101, (3, 4, 23, 3))])
def test_torchvision_weights_fit_key_for_key(depth, blocks):
    with torch.device("meta"):
        state = NonLocalNet(depth=depth, num_classes=99).state_dict()
    ours = {k: tuple(v.shape) for k, v in state.items() if not k.startswith(OWN_PARTS)}
    image = torchvision_resnet_shapes(blocks)
    assert ours == {
        key: shape if len(shape) < 4 else (*shape[:2], 1, *shape[2:])
        for key, shape in image.items()
    }


@pytest.mark.parametrize(
    "size", [(1, 32, 32), (4, 33, 47), (31, 32, 40), (32, 32, 40), (45, 64, 32)]
)
def test_takes_clips_of_any_size(size):
    model = NonLocalNet(depth=10, num_classes=3, width=4).eval()
    assert model(torch.randn(2, 3, *size)).shape == (2, 3)


@pytest.mark.parametrize(("frames", "left"), [(1, 1), (31, 31), (32, 4), (64, 8), (150, 19)])
def test_strides_over_time_from_32_frames_on(frames, left):
    model = NonLocalNet(depth=10, num_classes=3, width=4).eval()
    x = model.res2(torch.randn(1, 3, frames, 32, 48))
    assert x.shape == (1, 4, left, 8, 12)
    x = model.stage("layer3", model.stage("layer2", x))
    assert model.layer4(x).shape == (1, 32, left, 1, 2)


def test_from_32_frames_on_every_other_frame_is_seen():
    model = NonLocalNet(depth=10, num_classes=3, width=4).eval()
    video = torch.randn(1, 3, 40, 32, 48)
    odd, even = video.clone(), video.clone()
    odd[:, :, 1::2] = 0
    even[:, :, 38] = 0
    seen = model.res2(video)
    assert torch.equal(model.res2(odd), seen)
    assert not torch.equal(model.res2(even), seen)


def test_a_fresh_block_compares_positions_by_small_weights():
    torch.manual_seed(0)
    block = NonLocalBlock(64)
    for layer in (block.theta, block.phi, block.g, block.out):
        assert layer.weight.std().item() == pytest.approx(0.01, rel=0.1)


def test_a_fresh_convolution_keeps_the_variance_of_gradients():
    torch.manual_seed(0)
    layer = conv(16, 64, kernel=3)  # He et al. 2015, section 2.2: 2 / (9 * out)
    assert layer.weight.std().item() == pytest.approx((2 / (9 * 64)) ** 0.5, rel=0.05)


def test_a_bottleneck_that_strides_sees_every_pixel():
    """In its 3x3 kernel, as torchvision's weights were trained, and not in the first 1x1."""
    block, x = Bottleneck(4, 64, stride=2).eval(), torch.randn(1, 4, 1, 8, 8, requires_grad=True)
    block.branch(x).square().sum().backward()
    assert (x.grad.abs().sum(1) > 0).all()


@pytest.mark.parametrize("kernel", [(1, 3, 3), (3, 3, 3), (3, 1, 1)])
def test_pooling_in_turn_is_pooling_at_once(kernel):
    x = torch.randn(2, 3, 7, 9, 12)
    stride, padding = [(size + 1) // 2 for size in kernel], [size // 2 for size in kernel]
    assert torch.equal(max_pool(x, kernel), F.max_pool3d(x, kernel, stride, padding))


# Residual blocks of res3 and res4 as they run, n: a non-local block.
ORDERS = {
    (10, 1): ("0", "n0"),
    (50, 1): ("0123", "01234n5"),
    (50, 5): ("01n23n", "01n23n45n"),
    (101, 5): (
        "01n23n",
        "0.1.2.3.4.5.6.n7.8.9.10.11.12.13.n14.15.16.17.18.19.20.n21.22".replace(".", ""),
    ),
}


@pytest.mark.parametrize(("depth", "blocks"), ORDERS)
def test_nonlocal_blocks_come_where_the_papers_put_them(depth, blocks):
    model = NonLocalNet(depth=depth, num_classes=3, width=4, nonlocal_blocks=blocks).eval()
    assert len(model.nonlocal_blocks) == blocks
    for stage, expected in zip(("layer2", "layer3"), ORDERS[depth, blocks], strict=True):
        order = []
        named = [("n", block) for block in model.nonlocal_blocks.values()]
        hooks = [
            module.register_forward_hook(lambda *_, name=name, order=order: order.append(name))
            for name, module in [*named, *getattr(model, stage).named_children()]
        ]
        model.stage(stage, torch.randn(1, getattr(model, stage)[0].in_channels, 2, 8, 8))
        for hook in hooks:
            hook.remove()
        assert "".join(order) == expected


def test_five_blocks_have_the_parameters_of_their_widths():
    def block(channels):
        # theta, phi and g with bias; W and its norm
        inner = channels // 2
        return 3 * (channels + 1) * inner + (inner + 1) * channels + 2 * channels

    with torch.device("meta"):
        model = NonLocalNet(num_classes=99, nonlocal_blocks=5, subsample=True)
    expected = 25_812_643 + 2 * block(512) + 2 * block(1024)
    assert sum(p.numel() for p in model.parameters()) == expected


def test_subsampled_networks_take_maps_of_any_size():
    model = NonLocalNet(depth=10, num_classes=3, width=4, subsample=True).eval()
    for size in (16, 32, 80):  # 1, 2 and 5 pixels in res4
        assert model(torch.randn(1, 3, 2, size, 48)).isfinite().all()


def test_every_parameter_outside_the_closed_block_learns():
    model = NonLocalNet(depth=10, num_classes=3, width=4)
    model(torch.randn(2, 3, 4, 32, 32)).square().sum().backward()
    silent = {name for name, p in model.named_parameters() if not p.grad.abs().sum() > 0}
    # The block's last norm is zero at first: behind it, gradient comes with the second step.
    closed = {
        f"nonlocal_blocks.layer3_0.{name}"
        for name, _ in model.nonlocal_blocks["layer3_0"].named_parameters()
        if not name.startswith("out_norm")
    }
    assert silent == closed


def test_refuses_what_it_cannot_build():
    with pytest.raises(ModelError, match=r"^depth = 34: allowed: 10, 50, 101$"):
        NonLocalNet(depth=34, num_classes=3)
    with pytest.raises(ModelError, match=r"^pairwise = 'cosine': allowed: 'embedded_gaussian', "):
        NonLocalBlock(8, "cosine")
    with pytest.raises(ModelError, match=r"^nonlocal_blocks = 5: allowed with depth = 10: 1$"):
        NonLocalNet(depth=10, num_classes=3, nonlocal_blocks=5)
    with pytest.raises(
        ModelError, match=r"^scaled = true: allowed with pairwise = gaussian: false"
    ):
        NonLocalNet(depth=10, num_classes=3, pairwise="gaussian", scaled=True)
    with pytest.raises(ModelError, match=r"^pool = 'within': allowed: 'after', 'before'$"):
        NonLocalBlock(8, pool="within")
    with pytest.raises(ModelError, match=r"^nonlocal_blocks = 2: allowed: 1, 5$"):
        NonLocalNet(num_classes=3, nonlocal_blocks=2)


@pytest.mark.slow
def test_full_size_learns_from_one_clip_within_24_gib():
    torch.manual_seed(0)
    model = NonLocalNet(num_classes=99)
    logits = model(torch.randn(1, 3, 150, 240, 320))
    torch.nn.functional.cross_entropy(logits, torch.tensor([7])).backward()
    assert logits.shape == (1, 99)
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < 24 * 2**20  # KiB
