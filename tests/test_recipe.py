"""What the settings of training promise, each against a count of its own."""

import csv
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from einops import reduce
from torch import nn

from framemix.models import ModelConfig, build_model, load_model, normalise
from framemix.models.input import IMAGENET_MEAN, IMAGENET_STD
from framemix.store import MixedStore
from framemix.training.augment import jitter_colour, mixup_cutmix, shift_and_flip
from framemix.training.batches import Orders
from framemix.training.interrupt import Interrupt
from framemix.training.module import TrainingModule
from framemix.training.run import Run, train
from tests.tiny_store import (
    ACTIONS,
    NO_AUGMENT,
    clips,
    examples_of,
    machine,
    make_store,
    nonlocal_config,
    train_into,
    training_settings,
    vivit_config,
)

Weights = dict[str, torch.Tensor]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> MixedStore:
    return make_store(tmp_path_factory.mktemp("recipe") / "store")


def new_run(store: MixedStore, **settings: Any) -> Run:
    torch.manual_seed(0)
    config = vivit_config(dropout=0.0)
    sides = examples_of(store, "train"), examples_of(store, "val")
    how = training_settings(**settings)
    return Run(build_model(config), config, list(ACTIONS), *sides, how, 0, {})


def weights_after(run: Run, folder: Path) -> Weights:
    train_into(run, folder / "out", machine(folder / "scratch"))
    return load_model(folder / "out/model.safetensors").network.state_dict()


def module_with(**settings: Any) -> TrainingModule:
    torch.manual_seed(0)
    how = training_settings(batch_size=4, **settings)
    orders = Orders.of([0] * 4, 1, 4, how, seed=0)
    return TrainingModule(build_model(vivit_config(dropout=0.0)), how, orders, 0, Interrupt())


def step_of(module: TrainingModule, stored: torch.Tensor, labels: torch.Tensor) -> float:
    torch.manual_seed(1)
    return module.training_step((stored, labels), 0).item()


STORED, LABELS = torch.from_numpy(clips(0, 4)), torch.tensor([0, 1, 2, 1])
VIDEO = normalise(STORED, IMAGENET_MEAN, IMAGENET_STD)


def test_label_smoothing_shares_its_part_over_all_classes() -> None:
    module = module_with(label_smoothing=0.3, augment=NO_AUGMENT)
    logits = module.network(VIDEO)
    right = torch.full_like(logits, 0.3 / len(ACTIONS))
    right[range(len(LABELS)), LABELS] += 0.7
    expected = -(right * logits.log_softmax(1)).sum(1).mean().item()
    assert step_of(module, STORED, LABELS) == pytest.approx(expected, abs=1e-5)
    assert expected != pytest.approx(F.cross_entropy(logits, LABELS).item(), abs=1e-3)


@pytest.mark.parametrize(
    "change", [{"shift": 0.5}, {"flip": True}, {"brightness": 0.5}, {"contrast": 0.5}]
)
def test_the_network_learns_from_clips_changed_as_set_each_way_alone(
    change: dict[str, float],
) -> None:
    module = module_with(label_smoothing=0.0, augment=NO_AUGMENT | change)
    # To ViViT, which norms each tubelet, a clip is as bright as any other.
    module.network = build_model(nonlocal_config().model_copy(update={"dropout": 0.0}))
    found = step_of(module, STORED, LABELS)
    torch.manual_seed(1)
    moved = shift_and_flip(STORED, module.settings.augment)
    video = normalise(moved, IMAGENET_MEAN, IMAGENET_STD)
    logits = module.network(jitter_colour(video, module.settings.augment))
    assert found == pytest.approx(F.cross_entropy(logits, LABELS).item(), abs=1e-5)
    assert found != pytest.approx(F.cross_entropy(module.network(VIDEO), LABELS).item(), abs=1e-4)


@pytest.mark.parametrize("kind", ["mixup", "cutmix"])
def test_a_blended_clip_counts_for_its_own_label_and_for_its_partners(kind: str) -> None:
    module = module_with(label_smoothing=0.0, augment=NO_AUGMENT | {kind: 1.0})
    found = step_of(module, STORED, LABELS)
    torch.manual_seed(1)
    video, partners, share = mixup_cutmix(VIDEO, module.settings.augment)
    logits = module.network(video)
    own, others = (F.cross_entropy(logits, each).item() for each in (LABELS, LABELS[partners]))
    assert found == pytest.approx(share * own + (1 - share) * others, abs=1e-5)
    assert found != pytest.approx(own, abs=1e-4)


class Brightest(nn.Module):
    """Scores each class by the brightness of its colour, which is what sets these clips apart."""

    def forward(self, video: torch.Tensor) -> torch.Tensor:
        return reduce(video, "b c t h w -> b c", "mean")


def test_a_blended_clip_is_predicted_right_by_the_label_of_its_larger_share() -> None:
    how = training_settings(augment=NO_AUGMENT | {"mixup": 1.0})
    module = TrainingModule(Brightest(), how, Orders.of([0] * 3, 1, 3, how, 0), 0, Interrupt())
    stored = torch.from_numpy(np.concatenate([clips(label, 1) for label in range(3)]))
    shares = []
    for seed in range(8):
        torch.manual_seed(seed)
        module.training_step((stored, torch.arange(3)), 0)
        torch.manual_seed(seed)
        shares.append(mixup_cutmix(stored.float(), how.augment)[2])
    assert min(shares) < 0.4
    assert max(shares) > 0.6
    _, right, counted = module._sums["train"]
    assert right == counted == 3 * 8


def test_no_two_steps_draw_the_same_and_another_seed_draws_others(
    store: MixedStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[int] = []
    step = TrainingModule.training_step

    def watched(self: TrainingModule, batch: Any, batch_idx: int) -> torch.Tensor:
        drawn.append(torch.initial_seed())
        return step(self, batch, batch_idx)

    monkeypatch.setattr(TrainingModule, "training_step", watched)
    for seed in (0, 1):
        run = replace(new_run(store, epochs=2), seed=seed)
        weights_after(run, tmp_path / str(seed))
    assert len(drawn) == len(set(drawn)) == 2 * 2 * 3


def test_the_history_has_the_learning_rate_of_each_epochs_last_step(
    store: MixedStore, tmp_path: Path
) -> None:
    settings = {"learning_rate": 0.008, "warmup_epochs": 1, "accumulate": 2}
    weights_after(new_run(store, **settings), tmp_path)  # three steps an epoch
    with (tmp_path / "out/history.csv").open(newline="") as file:
        rates = [float(row["learning_rate"]) for row in csv.DictReader(file)]
    cosine = [(1 + math.cos(math.pi * step / 6)) / 2 for step in (2, 5)]
    assert rates == pytest.approx([0.008 * share for share in (3 / 4, *cosine)])


def test_a_run_that_differs_in_anything_is_another(store: MixedStore, tmp_path: Path) -> None:
    seventh = make_store(tmp_path / "store", each=7)
    other = [e for e in examples_of(seventh, "train") if not e.row.clip.endswith("/6")]

    def run(**changes: Any) -> Run:
        return replace(new_run(store, epochs=1), **changes)

    runs = [
        run(),
        run(train=run().train[1:]),
        run(train=other),
        run(val=run().val[1:]),
        run(seed=1),
        run(origin={"weights": "other"}),
        run(classes=list(ACTIONS[::-1])),
        run(config=vivit_config(dropout=0.5)),
        new_run(store, epochs=1, weight_decay=0.0),
    ]
    here = machine(tmp_path / "scratch")
    assert len({train(each, here) for each in runs}) == len(runs)


def test_a_model_of_the_same_pixels_mixed_by_other_settings_says_by_which(
    store: MixedStore, tmp_path: Path
) -> None:
    windows = make_store(tmp_path / "store", window={"frames": 150, "at": "start"})
    for each in (store, windows):
        train_into(new_run(each, epochs=1), tmp_path / "out", machine(tmp_path / "scratch"))
        said = load_model(tmp_path / "out/model.safetensors").mix
        assert said == each.settings.model_dump(mode="json")


def test_the_average_is_beside_the_training_and_does_not_change_it(
    store: MixedStore, tmp_path: Path
) -> None:
    learning = {}
    for decay in (None, 0.9):
        weights_after(new_run(store, ema_decay=decay), tmp_path / str(decay))
        with (tmp_path / str(decay) / "out/history.csv").open(newline="") as file:
            learning[decay] = [
                (row["train_loss"], row["train_top1"]) for row in csv.DictReader(file)
            ]
    assert learning[None] == learning[0.9]


@pytest.mark.parametrize("config", [vivit_config(dropout=0.0), nonlocal_config()])
def test_the_averages_decay_rises_to_what_is_set_statistics_of_batch_norms_included(
    store: MixedStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, config: ModelConfig
) -> None:
    before: list[Weights] = []  # each step
    start = TrainingModule.on_train_batch_start

    def watched(self: TrainingModule, batch: Any, batch_idx: int) -> None:
        before.append({name: w.clone() for name, w in self.network.state_dict().items()})
        start(self, batch, batch_idx)

    def run(**more: Any) -> Run:
        settings = {"epochs": 1, "learning_rate": 0.02, "warmup_epochs": 0, **more}
        return replace(new_run(store, **settings), network=build_model(config), config=config)

    plain, averaged = run(), run(ema_decay=0.2)
    averaged.network.load_state_dict(plain.network.state_dict())
    last = weights_after(plain, tmp_path / "plain")
    monkeypatch.setattr(TrainingModule, "on_train_batch_start", watched)
    found = weights_after(averaged, tmp_path / "averaged")
    first, *later = [*before[1:], last]
    assert len(later) == 2
    for name in last:
        if not last[name].is_floating_point():  # the count of batches
            continue
        expected = first[name]
        # After n updates (1 + n) / (10 + n), which is above 0.2 from the second on.
        for weights, decay in zip(later, (2 / 11, 0.2), strict=True):
            expected = decay * expected + (1 - decay) * weights[name]
        torch.testing.assert_close(found[name], expected, rtol=1e-4, atol=1e-6)


def test_a_step_in_parts_is_the_step_as_a_whole(
    store: MixedStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts: list[int] = []
    step = TrainingModule.training_step

    def counted(self: TrainingModule, batch: Any, batch_idx: int) -> torch.Tensor:
        parts.append(len(batch[1]))
        return step(self, batch, batch_idx)

    monkeypatch.setattr(TrainingModule, "training_step", counted)
    settings = {"batch_size": 6, "augment": NO_AUGMENT, "epochs": 2}
    whole, divided = (
        weights_after(new_run(store, accumulate=n, **settings), tmp_path / str(n)) for n in (1, 3)
    )
    assert parts == [6] * 4 + [2] * 12
    for name in whole:
        torch.testing.assert_close(divided[name], whole[name], rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("patience", [1, 3])
def test_training_stops_after_so_many_epochs_without_a_better_one(
    store: MixedStore, tmp_path: Path, patience: int
) -> None:
    settings = {"learning_rate": 1e-7, "warmup_epochs": 0, "schedule": "constant", "epochs": 9}
    weights_after(new_run(store, patience=patience, **settings), tmp_path)
    assert len((tmp_path / "out/history.csv").read_text().splitlines()) == 1 + 1 + patience


def test_a_better_epoch_restarts_the_count_of_patience(store: MixedStore, tmp_path: Path) -> None:
    weights_after(new_run(store, patience=2, learning_rate=0.02, epochs=12), tmp_path)
    with (tmp_path / "out/history.csv").open(newline="") as file:
        top1 = [float(row["val_top1"]) for row in csv.DictReader(file)]
    best = top1.index(max(top1))
    assert best > 1  # else nothing was counted again
    assert len(top1) == best + 1 + 2


@pytest.mark.parametrize(
    ("precision", "dtype"), [("fp32", torch.float32), ("bf16", torch.bfloat16)]
)
def test_the_network_computes_in_the_precision_that_is_set(
    store: MixedStore,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    precision: str,
    dtype: torch.dtype,
) -> None:
    seen: set[torch.dtype] = set()
    loss = TrainingModule._loss

    def watched(self: TrainingModule, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        seen.add(logits.dtype)
        return loss(self, logits, labels)

    monkeypatch.setattr(TrainingModule, "_loss", watched)
    weights = weights_after(new_run(store, epochs=1, precision=precision), tmp_path)
    assert seen == {dtype}
    assert {weight.dtype for weight in weights.values()} == {torch.float32}
