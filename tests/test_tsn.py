"""What TSN and TSM promise: one is blind to the order of segments, the other sees it."""

import numpy as np
import pytest
import torch
from einops import rearrange
from hypothesis import given, settings
from hypothesis import strategies as st

from framemix.models.tsn import TSM, TSN, TemporalShift

SMALL = {"depth": 10, "num_classes": 5, "width": 8}
# torchvision's ResNet-50 without its classifier, and its 2048 output channels.
RESNET_50, CHANNELS = 23_508_032, 2048


@pytest.mark.parametrize("kind", [TSN, TSM])
def test_has_resnets_parameters_and_a_classifier(kind):
    with torch.device("meta"):
        model = kind(num_classes=174)
    assert sum(p.numel() for p in model.parameters()) == RESNET_50 + CHANNELS * 174 + 174


@pytest.mark.parametrize("kind", [TSN, TSM])
@pytest.mark.parametrize("size", [(1, 32, 32), (8, 33, 47), (40, 32, 24)])
def test_takes_any_number_of_segments_of_any_size(kind, size):
    assert kind(**SMALL).eval()(torch.randn(2, 3, *size)).shape == (2, 5)


@settings(max_examples=10, deadline=None)
@given(order=st.permutations(range(6)), seed=st.integers(0, 2**31))
def test_tsn_does_not_see_the_order_of_segments(order, seed):
    torch.manual_seed(seed)
    model = TSN(**SMALL, dropout=0.5).eval().double()
    clips = torch.randn(2, 3, 6, 32, 32, dtype=torch.float64)
    torch.testing.assert_close(model(clips[:, :, order]), model(clips))


def test_tsn_is_the_mean_of_what_it_predicts_for_each_segment():
    model = TSN(**SMALL).eval().double()
    clips = torch.randn(2, 3, 4, 32, 32, dtype=torch.float64)
    each = torch.stack([model(segment) for segment in clips.split(1, dim=2)])
    torch.testing.assert_close(model(clips), each.mean(0))


def test_tsm_sees_the_order_of_segments():
    model = TSM(**SMALL).eval().double()
    clips = torch.randn(2, 3, 4, 32, 32, dtype=torch.float64)
    assert not torch.allclose(model(clips.flip(2)), model(clips), rtol=1e-3)


def test_tsm_is_a_tsn_to_a_single_segment_of_channels_that_stay():
    torch.manual_seed(0)
    still = TSN(**SMALL).eval()
    torch.manual_seed(0)
    shifted = TSM(**SMALL).eval()
    assert shifted.state_dict().keys() == still.state_dict().keys()
    clips = torch.randn(2, 3, 4, 32, 32)
    assert not torch.allclose(shifted(clips), still(clips))
    for stage in (shifted.layer1, shifted.layer2, shifted.layer3, shifted.layer4):
        for block in stage:
            assert isinstance(block.before_branch, TemporalShift)
            block.before_branch = torch.nn.Identity()
    assert torch.equal(shifted(clips), still(clips))


@pytest.mark.parametrize(
    ("depth", "shifting"), [(50, [3, 4, 6, 3]), (101, [2, 2, 12, 2])], ids=["50", "101"]
)
def test_every_block_shifts_but_at_depth_101_every_second(depth, shifting):
    with torch.device("meta"):
        model = TSM(depth=depth, num_classes=3)
    stages = (model.layer1, model.layer2, model.layer3, model.layer4)
    shifts = [[isinstance(b.before_branch, TemporalShift) for b in stage] for stage in stages]
    assert [sum(stage) for stage in shifts] == shifting
    assert all(stage[0] for stage in shifts)


def test_shortcuts_are_not_shifted():
    torch.manual_seed(0)
    still = TSN(**SMALL).eval()
    shifted = TSM(**SMALL).eval()
    shifted.load_state_dict(still.state_dict())
    for model in (still, shifted):
        for name, weight in model.named_parameters():
            if name.endswith("bn2.weight"):  # the last of a branch: what is left is shortcuts
                torch.nn.init.zeros_(weight)
    clips = torch.randn(2, 3, 4, 32, 32)
    assert torch.equal(shifted(clips), still(clips))


def test_shift_equals_the_reference(shared):
    with np.load(shared / "golden" / "temporal_shift.npz") as file:
        segments, fold = int(file["segments"]), int(file["fold_div"])
        x, y = (rearrange(file[key], "(b t) c h w -> b c t h w", t=segments) for key in ("x", "y"))
    assert fold == 8
    np.testing.assert_array_equal(TemporalShift()(torch.from_numpy(x.copy())), y)


@pytest.mark.parametrize("kind", [TSN, TSM])
def test_every_parameter_learns(kind):
    model = kind(**SMALL, dropout=0.5)
    model(torch.randn(4, 3, 4, 32, 32)).square().sum().backward()
    assert all(p.grad.abs().sum() > 0 for p in model.parameters())
