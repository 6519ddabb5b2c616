"""What I3D promises: a 2D network made to see the order of frames."""

import pytest
import torch
from torch import nn

from framemix.models.i3d import I3D, InflatedConv
from framemix.models.tsn import TSN

SMALL = {"depth": 10, "num_classes": 5, "width": 8}


def twins(**sizes):
    """An I3D and the 2D network that its weights were inflated from."""
    models = []
    for kind in (I3D, TSN):
        torch.manual_seed(0)
        models.append(kind(**sizes).eval().double())
    return models


@pytest.mark.parametrize("frames", [1, 2, 8])
@pytest.mark.parametrize("sizes", [SMALL, {"depth": 50, "num_classes": 3, "width": 4}])
def test_a_still_video_is_to_it_what_its_image_is_to_the_2d_network(sizes, frames):
    inflated, flat = twins(**sizes)
    image = torch.randn(2, 3, 1, 33, 48, dtype=torch.float64)
    still = image.expand(-1, -1, frames, -1, -1)
    inexact = {"rtol": 1e-4, "atol": 1e-5}  # a third of a kernel is rounded to fp32
    torch.testing.assert_close(inflated.maps(still), flat.maps(still), **inexact)  # ends, too
    torch.testing.assert_close(inflated(still), flat(image), **inexact)


def test_sees_the_order_of_frames():
    inflated, flat = twins(**SMALL)
    # Fresh kernels are the same forwards and backwards; trained ones are not.
    for module in inflated.modules():
        if isinstance(module, InflatedConv):
            nn.init.normal_(module.weight)
    clips = torch.randn(2, 3, 6, 32, 32, dtype=torch.float64)
    torch.testing.assert_close(flat(clips.flip(2)), flat(clips))
    assert not torch.allclose(inflated(clips.flip(2)), inflated(clips), rtol=1e-3)


def test_a_kernel_sees_its_frames_and_no_others():
    conv = InflatedConv(nn.Conv3d(1, 1, (1, 3, 3), padding=(0, 1, 1), bias=False), 3)
    clips = torch.zeros(1, 1, 7, 5, 5)
    clips[:, :, 3] = 1
    seen = conv(clips).abs().sum(dim=(0, 1, 3, 4)) > 0
    assert seen.tolist() == [False, False, True, True, True, False, False]


def test_the_stem_and_the_first_kernel_of_every_second_block_are_inflated():
    with torch.device("meta"):
        model = I3D(num_classes=174)
    frames = {
        name: module.weight.shape[2]
        for name, module in model.named_modules()
        if isinstance(module, InflatedConv)
    }
    blocks = ["1.0", "1.2", "2.1", "2.3", "3.1", "3.3", "3.5", "4.1"]
    assert frames == {"conv1": 5} | {f"layer{block}.conv1": 3 for block in blocks}


def test_has_the_2d_networks_parameters_and_those_of_the_added_frames():
    with torch.device("meta"):
        inflated, flat = (
            sum(p.numel() for p in kind(num_classes=174).parameters()) for kind in (I3D, TSN)
        )
    # 1 x 1 kernels, channels in x out of the blocks above
    kernels = 64 * 64 + 256 * 64 + 2 * 512 * 128 + 3 * 1024 * 256 + 2048 * 512
    assert inflated - flat == 4 * 3 * 64 * 7 * 7 + 2 * kernels


def test_every_parameter_learns():
    model = I3D(**SMALL, dropout=0.5)
    before = [p.detach().clone() for p in model.parameters()]
    model(torch.randn(4, 3, 4, 32, 32)).square().sum().backward()
    torch.optim.SGD(model.parameters(), lr=1).step()
    assert not any(map(torch.equal, before, model.parameters()))
