"""What the settings of the optimiser promise: how fast each parameter learns, and when."""

from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import nn

from framemix.models import build_model
from framemix.training.batches import Orders
from framemix.training.interrupt import Interrupt
from framemix.training.module import TrainingModule
from framemix.training.parts import freeze_for
from tests.tiny_store import nonlocal_config, training_settings, vivit_config

RATE = 0.008
BATCHES = 4  # an epoch


def classifier(network: nn.Module | None = None, **changes: Any) -> TrainingModule:
    settings = training_settings(learning_rate=RATE, **changes)
    network = network or build_model(vivit_config())
    orders = Orders.of([0] * 4 * BATCHES, 1, 4, settings, seed=0)
    return TrainingModule(network, settings, orders, seed=0, interrupt=Interrupt())


def rates(**changes: Any) -> list[float]:
    """The learning rate of every step of three epochs."""
    configured = classifier(**changes).configure_optimizers()
    optimizer, scheduler = configured["optimizer"], configured["lr_scheduler"]["scheduler"]
    seen = []
    for _ in range(3 * BATCHES):
        seen.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return seen


def test_learning_rate_warms_up_in_equal_steps_then_falls_by_half_a_cosine() -> None:
    seen = rates(warmup_epochs=1, schedule="cosine")
    assert seen[:5] == pytest.approx([RATE * step / 5 for step in (1, 2, 3, 4, 5)])
    assert seen[8] == pytest.approx(RATE / 2)  # half way between warm-up and end
    assert seen[6] == pytest.approx(RATE * (1 + 2**-0.5) / 2)
    assert all(later < earlier for earlier, later in pairwise(seen[4:]))
    assert 0 < seen[-1] < 0.05 * RATE


def test_a_constant_learning_rate_stays_after_warm_up() -> None:
    seen = rates(warmup_epochs=0.5, schedule="constant")
    assert seen == pytest.approx([RATE / 3, RATE * 2 / 3] + [RATE] * 10)


def test_warm_up_may_be_left_out_or_fill_the_run() -> None:
    assert rates(warmup_epochs=0, schedule="cosine")[0] == pytest.approx(RATE)
    assert rates(warmup_epochs=3, schedule="cosine")[-1] == pytest.approx(RATE * 12 / 13)
    assert max(rates(warmup_epochs=9, schedule="cosine")) < RATE


@pytest.mark.parametrize("architecture", ["vivit", "nonlocal"])
def test_only_weights_decay_not_biases_norms_positions_and_class_tokens(architecture: str) -> None:
    network = build_model(vivit_config() if architecture == "vivit" else nonlocal_config())
    optimizer = classifier(network, weight_decay=0.1).configure_optimizers()["optimizer"]
    decays = {id(p): g["weight_decay"] for g in optimizer.param_groups for p in g["params"]}
    for path, module in network.named_modules():
        for name, parameter in module.named_parameters(recurse=False):
            weight = isinstance(module, nn.Linear | nn.Conv3d) and name == "weight"
            assert decays.pop(id(parameter)) == (0.1 if weight else 0.0), f"{path}.{name}"
    assert not decays


def test_frozen_parameters_are_not_the_optimizers() -> None:
    network = build_model(vivit_config())
    freeze_for(network, "fc")
    optimizer = classifier(network).configure_optimizers()["optimizer"]
    optimized = {id(p) for group in optimizer.param_groups for p in group["params"]}
    assert optimized == {id(p) for p in network.head.parameters()}


def test_settings_choose_the_optimizer() -> None:
    sgd = classifier(optimizer="sgd").configure_optimizers()["optimizer"]
    assert isinstance(sgd, torch.optim.SGD)
    assert sgd.param_groups[0]["momentum"] == 0.9
    adamw = classifier(optimizer="adamw").configure_optimizers()["optimizer"]
    assert isinstance(adamw, torch.optim.AdamW)


def test_each_depth_learns_so_many_times_as_fast_as_the_next() -> None:
    network = build_model(vivit_config(spatial_depth=2, temporal_depth=1))
    optimizer = classifier(network, layer_decay=0.5).configure_optimizers()["optimizer"]
    rate = {id(p): g["initial_lr"] for g in optimizer.param_groups for p in g["params"]}
    depths = {
        "embedding.": 4,
        "spatial.cls_token": 4,
        "spatial.blocks.0.": 3,
        "spatial.blocks.1.": 2,
        "temporal.cls_token": 2,
        "temporal.blocks.0.": 1,
        "head.": 0,
    }
    for name, parameter in network.named_parameters():
        (depth,) = (depth for start, depth in depths.items() if name.startswith(start))
        assert rate.pop(id(parameter)) == pytest.approx(RATE * 0.5**depth), name
    assert not rate


def test_layer_decay_goes_down_the_stages_of_a_convolutional_network_too() -> None:
    network = build_model(nonlocal_config())
    optimizer = classifier(network, layer_decay=0.5).configure_optimizers()["optimizer"]
    rate = {id(p): g["initial_lr"] for g in optimizer.param_groups for p in g["params"]}
    rates = [rate[id(network.get_parameter(f"layer{n}.0.conv1.weight"))] for n in (1, 2, 3, 4)]
    assert rates == pytest.approx([RATE / 16, RATE / 8, RATE / 4, RATE / 2])
    assert rate[id(network.fc.weight)] == RATE


def test_a_non_local_block_learns_as_the_residual_block_that_it_comes_before() -> None:
    config = nonlocal_config().model_copy(update={"depth": 50, "nonlocal_blocks": 5})
    network = build_model(config)
    optimizer = classifier(network, layer_decay=0.5).configure_optimizers()["optimizer"]
    rate = {id(p): g["initial_lr"] for g in optimizer.param_groups for p in g["params"]}
    for name, block in network.nonlocal_blocks.items():
        stage, number = name.split("_")
        after = network.layer3 if stage == "layer2" else network.layer4
        beside = [*getattr(network, stage), after[0]][int(number)].conv1.weight
        assert {rate[id(p)] for p in block.parameters()} == {rate[id(beside)]}, name
