"""What users may rely on in a training run: if interrupted, it resumes with the same result."""

import csv
import json
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from itertools import chain, product
from pathlib import Path
from typing import Any

import pytest
import torch

from framemix.errors import DatasetError, TrainingError
from framemix.models import build_model, load_model
from framemix.models.config import FinetuneMode
from framemix.models.registry import parse_config
from framemix.store import MixedStore
from framemix.training.batches import Resident, ResidentClips
from framemix.training.callbacks import AtomicCheckpointIO
from framemix.training.data import Batch, labels_of
from framemix.training.frozen import split_frozen
from framemix.training.module import time_left
from framemix.training.parts import freeze_for
from framemix.training.prediction import predict
from framemix.training.run import Run
from framemix.training.settings import AugmentSettings
from tests import warm
from tests.tiny_store import (
    ACTIONS,
    AUGMENT,
    VARIANTS,
    examples_of,
    machine,
    make_store,
    mix_settings,
    nonlocal_config,
    train_into,
    training_settings,
    vivit_config,
)

ROOT = Path(__file__).resolve().parents[1]
TRAINING = """
import json, os, sys
from pathlib import Path
import torch
from framemix.models import build_model
from framemix.training.parts import freeze_for
from framemix.store import MixedStore
from framemix.training.module import TrainingModule
from framemix.training.run import Run
from tests import tiny_store as tiny

def announce(moment, number):
    "Write each moment to standard output; at `moment` send this process the signal."
    def announced(name, method):
        def announcing(self, *args):
            now = " ".join(str(part) for part in (name, self.current_epoch, *args[1:]))
            print(now, flush=True)
            if now == moment:
                os.kill(os.getpid(), number)
            return method(self, *args)
        return announcing
    for name in ("training_step", "validation_step", "on_train_epoch_start", "on_train_epoch_end"):
        setattr(TrainingModule, name, announced(name, getattr(TrainingModule, name)))

def run(folder, network, store, moment, number, settings):
    announce(moment, number)
    store = MixedStore(folder.parent / store)
    torch.manual_seed(0)
    config = tiny.vivit_config() if network == "vivit" else tiny.nonlocal_config()
    model = build_model(config)
    if network == "vivit":
        freeze_for(model, "temporal_fc")  # frozen parts must stay without dropout on resuming
    sides = (tiny.examples_of(store, "train"), tiny.examples_of(store, "val"))
    settings = tiny.training_settings(**settings)
    tiny.train_into(
        Run(model, config, list(tiny.ACTIONS), *sides, settings, 0, {}),
        folder / "out",
        tiny.machine(folder / "scratch"),
    )

run(Path(sys.argv[1]), **json.loads(sys.argv[2]))
"""


MOMENTS = ("training_step", "validation_step", "on_train_epoch_start", "on_train_epoch_end")
# All that a training may be told to do beside its defaults. The early stop ends it.
EVERYTHING: dict[str, Any] = {
    "epochs": 30,
    "patience": 7,
    "accumulate": 2,
    "sampling": "balanced",
    "layer_decay": 0.7,
    "ema_decay": 0.8,
    "batch_size": 5,  # of 12: the last step has a clip for each of its parts
    "augment": AUGMENT | {"flip": True, "mixup": 0.4, "cutmix": 0.7},
}


class Trainer:
    """Runs trainings below `root`, each in a process of its own."""

    def __init__(self, root: Path) -> None:
        self.root = root
        make_store(root / "store")
        make_store(root / "variants", **VARIANTS)

    def run(
        self,
        name: str,
        network: str = "vivit",
        *,
        store: str = "store",
        moment: str | None = None,
        number: int = signal.SIGKILL,
        after: float | None = None,
        **settings: Any,
    ) -> int:
        """Return the exit code; the signal is sent at the `moment` or `after` so many seconds."""
        job = {
            "network": network,
            "store": store,
            "moment": moment,
            "number": number,
            "settings": settings,
        }
        training = warm.start(["-c", TRAINING, self.root / name, json.dumps(job)], joined=True)
        if after is not None:
            time.sleep(after)
            training.send_signal(number)
        printed, _ = training.communicate()
        (self.root / f"{name}.log").write_text(printed)
        return training.wait()

    def moments(self, name: str) -> list[str]:
        """What the last run of that name went through."""
        return (self.root / f"{name}.log").read_text().splitlines()

    def progress(self, name: str) -> tuple[int, int]:
        """Epochs, and batches of the next one, that an interrupted run has saved."""
        (file,) = (self.root / name).glob("scratch/*.partial/last.ckpt")
        progress = torch.load(file, weights_only=True)["progress"]
        return len(progress["history"]), progress["batches_done"]

    def results(self, name: str) -> list[bytes]:
        files = ("model.safetensors", "last.safetensors", "history.csv")
        return [(self.root / name / "out" / file).read_bytes() for file in files]


@pytest.fixture(scope="module")
def trainer(tmp_path_factory: pytest.TempPathFactory) -> Trainer:
    trainer = Trainer(tmp_path_factory.mktemp("run"))
    for network in ("vivit", "nonlocal"):
        assert trainer.run(network, network) == 0, "\n".join(trainer.moments(network))
    return trainer


@pytest.mark.parametrize(
    ("network", "moment"),
    [
        ("vivit", "training_step 0 1"),  # before the first checkpoint
        ("vivit", "validation_step 0 1"),
        pytest.param("vivit", "training_step 1 1", marks=pytest.mark.slow),
        pytest.param("vivit", "on_train_epoch_start 2", marks=pytest.mark.slow),
        ("vivit", "on_train_epoch_end 2"),
        ("nonlocal", "training_step 2 1"),
    ],
)
def test_a_killed_training_run_again_ends_as_if_unbroken(
    trainer: Trainer, network: str, moment: str
) -> None:
    name = f"kill {network} {moment}"
    assert trainer.run(name, network, moment=moment) == -signal.SIGKILL
    assert trainer.run(name, network) == 0
    assert trainer.results(name) == trainer.results(network)


@pytest.mark.parametrize("sampling", ["uniform", "balanced"])
def test_a_training_on_variants_resumes_after_any_end_as_if_uninterrupted(
    trainer: Trainer, sampling: str
) -> None:
    whole, cut = f"variants {sampling}", f"variants {sampling} cut"
    how: dict[str, Any] = {"store": "variants", "sampling": sampling}
    assert trainer.run(whole, **how) == 0
    assert trainer.run(cut, moment="training_step 1 1", **how) == -signal.SIGKILL
    moment = "training_step 1 0"
    assert trainer.run(cut, moment=moment, number=signal.SIGTERM, **how) == 143
    said = (trainer.root / f"{cut}.log").read_text()
    assert said.count("stopped by SIGTERM: saved, run again to resume\n") == 1
    assert trainer.progress(cut) == (1, 1)
    assert trainer.run(cut, **how) == 0
    assert trainer.moments(cut)[0] == "training_step 1 1"
    assert trainer.results(cut) == trainer.results(whole)


@pytest.mark.slow  # below, one is killed at random moments again and again
def test_a_training_killed_again_and_again_ends_as_if_unbroken(trainer: Trainer) -> None:
    assert trainer.run("never", epochs=20) == 0
    draw = random.Random(0)
    codes = [trainer.run("often", epochs=20, after=draw.uniform(0.1, 0.4)) for _ in range(4)]
    assert codes[0] == -signal.SIGKILL
    assert trainer.run("often", epochs=20) == 0
    assert trainer.results("often") == trainer.results("never")


@pytest.fixture(scope="module")
def everything(trainer: Trainer) -> list[str]:
    """The moments of an unbroken run with all settings on."""
    assert trainer.run("everything", **EVERYTHING) == 0
    lines = trainer.moments("everything")
    moments = [line for line in lines if line.split()[0] in MOMENTS]
    epochs = sum(moment.startswith("on_train_epoch_end") for moment in moments)
    assert EVERYTHING["patience"] < epochs < EVERYTHING["epochs"], "no early stop to test"
    return moments


def test_with_all_settings_on_a_training_killed_at_random_moments_ends_as_if_unbroken(
    trainer: Trainer, everything: list[str]
) -> None:
    draw = random.Random(1)
    epochs = int(everything[-1].split()[-1])
    kinds = [signal.SIGKILL, signal.SIGTERM] * 2
    for epoch, number in zip(sorted(draw.sample(range(epochs), len(kinds))), kinds, strict=True):
        kind = draw.choice(["training_step", "training_step", "validation_step"])
        moment = draw.choice([m for m in everything if m.startswith(f"{kind} {epoch} ")])
        code = trainer.run("cut", moment=moment, number=number, **EVERYTHING)
        assert code == (143 if number == signal.SIGTERM else -number), moment
    assert trainer.run("cut", **EVERYTHING) == 0
    assert trainer.results("cut") == trainer.results("everything")


def test_sigterm_between_the_parts_of_a_step_saves_behind_the_step(
    trainer: Trainer, everything: list[str]
) -> None:
    for moment, saved in (
        ("training_step 0 2", (0, 4)),
        ("training_step 1 1", (1, 2)),
        ("training_step 1 4", (1, 6)),  # the epoch's last step: in the validation
        ("validation_step 2 1", (2, 6)),
    ):
        assert trainer.run("parts", moment=moment, number=signal.SIGTERM, **EVERYTHING) == 143
        assert trainer.progress("parts") == saved
    assert trainer.run("parts", **EVERYTHING) == 0
    assert trainer.results("parts") == trainer.results("everything")


def test_a_stopped_training_that_was_ended_at_its_end_adds_no_epoch(
    trainer: Trainer, everything: list[str]
) -> None:
    moment = everything[-1]
    assert moment.startswith("on_train_epoch_end")
    assert trainer.run("stopped", moment=moment, number=signal.SIGTERM, **EVERYTHING) == 143
    assert trainer.run("stopped", **EVERYTHING) == 0
    assert trainer.moments("stopped") == []
    assert trainer.results("stopped") == trainer.results("everything")


def test_the_history_stands_in_the_outputs_after_each_epoch_and_after_resuming(
    trainer: Trainer,
) -> None:
    out = trainer.root / "followed" / "out"
    for ended in ("training_step 2 0", "training_step 2 1"):  # the second one resumes
        shutil.rmtree(out, ignore_errors=True)  # as DVC does
        assert trainer.run("followed", moment=ended) == -signal.SIGKILL
        assert [path.name for path in out.iterdir()] == ["history.csv"]
        with (out / "history.csv").open() as file:
            rows = list(csv.DictReader(file))
        assert [row["epoch"] for row in rows] == ["0", "1"]
        assert sum(int(row["kept"]) for row in rows) == 1
    assert trainer.run("followed") == 0
    assert trainer.results("followed") == trainer.results("vivit")


def test_each_epoch_says_how_long_the_rest_takes_and_the_first_how_long_all(
    trainer: Trainer,
) -> None:
    epochs = [line for line in trainer.moments("vivit") if line.startswith("epoch ")]
    first, *others, last = epochs
    assert re.search(r"\d:\d\d left of \d:\d\d$", first)
    assert all(re.search(r"\d:\d\d left$", line) for line in others)
    assert last.endswith(" s")


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        ([60.0], ", 19:00 left of 20:00"),
        ([60.0, 2.0], ", 9:18 left"),
        ([60.0] * 10 + [2.0] * 5, ", 0:10 left"),
        ([2.0] * 20, ""),
    ],
)
def test_the_time_left_follows_the_last_epochs(seconds: list[float], words: str) -> None:
    assert time_left(seconds, 20) == words


def test_ctrl_c_saves_and_ends_with_130_without_a_traceback(trainer: Trainer) -> None:
    assert trainer.run("ctrl-c", moment="training_step 1 1", number=signal.SIGINT) == 130
    assert trainer.progress("ctrl-c") == (1, 2)
    assert "Traceback" not in "\n".join(trainer.moments("ctrl-c"))
    assert trainer.run("ctrl-c") == 0
    assert trainer.results("ctrl-c") == trainer.results("vivit")


@pytest.mark.parametrize(
    ("network", "moment", "saved", "goes_on_at"),
    [
        ("vivit", "training_step 0 0", (0, 1), "training_step 0 1"),
        pytest.param(
            *("vivit", "training_step 1 1", (1, 2), "training_step 1 2"), marks=pytest.mark.slow
        ),
        ("nonlocal", "training_step 1 0", (1, 1), "training_step 1 1"),
        ("vivit", "training_step 1 2", (1, 3), "validation_step 1 0"),  # the epoch's last batch
        ("vivit", "validation_step 0 1", (0, 3), "validation_step 0 0"),
        pytest.param(
            *("nonlocal", "validation_step 2 0", (2, 3), "validation_step 2 0"),
            marks=pytest.mark.slow,
        ),
        ("vivit", "on_train_epoch_end 0", (1, 0), "on_train_epoch_start 1"),
    ],
)
def test_sigterm_saves_and_the_next_run_resumes_to_the_same_end(
    trainer: Trainer, network: str, moment: str, saved: tuple[int, int], goes_on_at: str
) -> None:
    name = f"term {network} {moment}"
    assert trainer.run(name, network, moment=moment, number=signal.SIGTERM) == 143
    assert trainer.progress(name) == saved
    assert trainer.run(name, network) == 0
    assert trainer.moments(name)[0] == goes_on_at
    assert trainer.results(name) == trainer.results(network)


def test_the_seconds_of_an_epoch_include_those_before_the_interruption(trainer: Trainer) -> None:
    assert trainer.run("slow", moment="training_step 1 1", number=signal.SIGTERM) == 143
    (file,) = (trainer.root / "slow").glob("scratch/*.partial/last.ckpt")
    checkpoint = torch.load(file, weights_only=True)
    checkpoint["progress"]["seconds"] += 1000
    AtomicCheckpointIO().save_checkpoint(checkpoint, file)
    assert trainer.run("slow") == 0
    timing = json.loads((trainer.root / "slow/out/timing.json").read_text())
    assert 1000 < timing["seconds"] < 1060
    assert timing["seconds_an_epoch"] < 60  # the median of three


def test_sigterm_after_the_last_epoch_leaves_no_step_to_do_again(trainer: Trainer) -> None:
    moment = "on_train_epoch_end 2"
    assert trainer.run("last", moment=moment, number=signal.SIGTERM) == 143
    assert trainer.run("last") == 0
    assert trainer.moments("last") == []
    assert trainer.results("last") == trainer.results("vivit")


def test_sigterm_from_outside_ends_a_long_training_within_seconds(trainer: Trainer) -> None:
    start = time.monotonic()
    settings = {"epochs": 100_000, "number": signal.SIGTERM, "after": 1.5}
    assert trainer.run("outside", **settings) == 143
    assert time.monotonic() - start < 6
    saved = trainer.progress("outside")
    assert saved > (0, 0)
    assert trainer.run("outside", **settings) == 143
    assert trainer.progress("outside") > saved


def test_epochs_that_were_not_the_best_are_kept_too(trainer: Trainer) -> None:
    settings = {"learning_rate": 1e-9, "warmup_epochs": 0}  # val top-1 stays as it is
    assert trainer.run("flat", moment="training_step 2 0", **settings) == -signal.SIGKILL
    assert trainer.progress("flat") == (2, 0)


def test_a_run_resumes_where_its_scratch_folder_has_moved_to(trainer: Trainer) -> None:
    moment = "training_step 2 1"
    assert trainer.run("old", moment=moment, number=signal.SIGTERM) == 143
    (trainer.root / "old").rename(trainer.root / "new")
    assert trainer.run("new") == 0
    assert trainer.moments("new")[0] == "training_step 2 2"
    assert trainer.results("new") == trainer.results("vivit")


def test_a_run_with_other_settings_does_not_resume_this_one(trainer: Trainer) -> None:
    moment = "training_step 2 0"
    assert trainer.run("other", moment=moment, number=signal.SIGTERM) == 143
    assert trainer.run("other", learning_rate=0.001) == 0
    assert trainer.moments("other")[0] == "on_train_epoch_start 0"
    assert trainer.run("alone", learning_rate=0.001) == 0
    assert trainer.results("other") == trainer.results("alone")


def test_a_finished_run_is_not_trained_again(trainer: Trainer) -> None:
    before = trainer.results("nonlocal")
    (trainer.root / "nonlocal/out/model.safetensors").unlink()
    assert trainer.run("nonlocal", "nonlocal") == 0
    assert trainer.moments("nonlocal") == []
    assert trainer.results("nonlocal") == before


def test_a_finished_run_whose_model_was_deleted_is_trained_again(trainer: Trainer) -> None:
    assert trainer.run("deleted") == 0
    for file in (trainer.root / "deleted").rglob("model.safetensors"):
        file.unlink()
    assert trainer.run("deleted") == 0
    assert trainer.results("deleted") == trainer.results("vivit")


@pytest.mark.parametrize("left", [0, pytest.param(1000, marks=pytest.mark.slow), -100])
def test_a_damaged_checkpoint_is_one_line_that_says_what_to_delete(
    trainer: Trainer, left: int
) -> None:
    name = f"damaged {left}"
    assert trainer.run(name, moment="training_step 1 1") == -signal.SIGKILL
    (file,) = (trainer.root / name).glob("scratch/*.partial/last.ckpt")
    file.write_bytes(file.read_bytes()[:left])
    assert trainer.run(name) == 1
    said = (trainer.root / f"{name}.log").read_text().splitlines()[-1]
    assert f"TrainingError: {file}: a damaged checkpoint (" in said
    assert "; delete it" in said
    file.unlink()
    assert trainer.run(name) == 0
    assert trainer.results(name) == trainer.results("vivit")


def test_a_flipped_bit_anywhere_in_a_checkpoint_is_noticed(tmp_path: Path) -> None:
    path, generator, keeper = tmp_path / "last.ckpt", random.Random(0), AtomicCheckpointIO()
    state = {"weights": torch.ones(500), "epoch": 3, "history": [{"epoch": 0, "val_top1": 0.5}]}
    keeper.save_checkpoint(state, path)
    assert keeper.load_checkpoint(path)["weights"].equal(state["weights"])
    whole = path.read_bytes()
    for bit in generator.sample(range(8 * len(whole)), 300):
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << bit % 8
        path.write_bytes(damaged)
        with pytest.raises(TrainingError, match=r"a damaged checkpoint \(.*\); delete it, and the"):
            keeper.load_checkpoint(path)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> MixedStore:
    return make_store(tmp_path_factory.mktemp("run") / "store")


@pytest.fixture(scope="module")
def variants(tmp_path_factory: pytest.TempPathFactory) -> MixedStore:
    return make_store(tmp_path_factory.mktemp("run") / "variants", **VARIANTS)


def new_run(
    store: MixedStore, mode: FinetuneMode = "all", dropout: float = 0.0, **settings: Any
) -> Run:
    torch.manual_seed(0)
    config = vivit_config(dropout=dropout)
    network = build_model(config)
    freeze_for(network, mode)
    sides = examples_of(store, "train"), examples_of(store, "val")
    return Run(network, config, list(ACTIONS), *sides, training_settings(**settings), 0, {})


def weights_after(run: Run, folder: Path) -> dict[str, torch.Tensor]:
    train_into(run, folder / "out", machine(folder / "scratch"))
    return load_model(folder / "out/model.safetensors").network.state_dict()


def test_each_epoch_takes_every_clip_once_in_an_order_of_its_own(
    store: MixedStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[list[int]] = []
    read = ResidentClips.__getitems__

    def reading(clips: ResidentClips, places: list[int]) -> Batch:
        if len(clips) == 12:  # the training clips
            taken.append(places)
        return read(clips, places)

    monkeypatch.setattr(ResidentClips, "__getitems__", reading)
    train_into(new_run(store), tmp_path / "out", machine(tmp_path / "scratch"))
    orders = [list(chain(*taken[first : first + 3])) for first in (0, 3, 6)]
    assert [sorted(order) for order in orders] == [list(range(12))] * 3
    assert len({tuple(order) for order in orders}) == 3


def test_each_epoch_takes_a_variant_of_every_clip_and_validates_on_the_first(
    variants: MixedStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: dict[int, list[list[int]]] = {12 * 3: [], 6: []}
    read = ResidentClips.__getitems__

    def reading(clips: ResidentClips, places: list[int]) -> Batch:
        taken[len(clips)].append(places)
        return read(clips, places)

    monkeypatch.setattr(ResidentClips, "__getitems__", reading)
    run = new_run(variants)
    train_into(run, tmp_path / "out", machine(tmp_path / "scratch"))
    orders = [list(chain(*taken[36][first : first + 3])) for first in (0, 3, 6)]
    assert [sorted(place // 3 for place in order) for order in orders] == [list(range(12))] * 3
    assert len({tuple(sorted(order)) for order in orders}) == 3
    assert sorted(chain(*taken[6])) == sorted(list(range(6)) * 3)
    model = load_model(tmp_path / "out/model.safetensors")
    said = predict(model, run.val, batch_size=4, device=torch.device("cpu"), views=1)
    with (tmp_path / "out/history.csv").open(newline="") as file:
        best = max(csv.DictReader(file), key=lambda row: float(row["val_top1"]))
    loss = -said[range(len(run.val)), labels_of(run.val)].log().mean().item()
    assert loss == pytest.approx(float(best["val_loss"]), abs=1e-4)


@pytest.mark.parametrize("kind", ["store", "variants"])
def test_clips_from_memory_and_from_workers_give_the_same(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    store: MixedStore = request.getfixturevalue(kind)
    for resident in (True, False):
        here = machine(tmp_path / f"scratch {resident}", resident=resident)
        train_into(new_run(store, epochs=2), tmp_path / str(resident), here)
    for file in ("model.safetensors", "history.csv"):
        one, two = (tmp_path / name / file for name in ("True", "False"))
        assert one.read_bytes() == two.read_bytes(), file


def test_average_weights_are_what_is_validated_and_kept(store: MixedStore, tmp_path: Path) -> None:
    settings = {"ema_decay": 0.9, "epochs": 3, "learning_rate": 0.02}
    run = new_run(store, **settings)
    train_into(run, tmp_path / "out", machine(tmp_path / "scratch"))
    with (tmp_path / "out/history.csv").open(newline="") as file:
        best = max(csv.DictReader(file), key=lambda row: float(row["val_top1"]))
    model = load_model(tmp_path / "out/model.safetensors")
    said = predict(model, run.val, batch_size=4, device=torch.device("cpu"))
    loss = -said[range(len(run.val)), labels_of(run.val)].log().mean().item()
    assert loss == pytest.approx(float(best["val_loss"]), abs=1e-4)
    plain = weights_after(new_run(store, **{**settings, "ema_decay": None}), tmp_path / "plain")
    averaged = model.network.state_dict()
    assert not any(torch.equal(plain[name], averaged[name]) for name in plain)


@pytest.mark.parametrize(
    ("mode", "ema_decay", "kind", "read"),
    [
        ("fc", None, "store", 1),
        ("spatial_temporal_fc", 0.5, "store", 1),
        ("temporal_fc", None, "variants", 3),
        *(
            pytest.param(mode, *how, marks=pytest.mark.slow)
            for mode, how in product(
                ["spatial_temporal_fc", "temporal_fc", "fc"],
                [(None, "store", 1), (0.5, "store", 1), (None, "variants", 3)],
            )
        ),
    ],
)
def test_what_frozen_layers_give_is_computed_once_and_changes_nothing(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    mode: FinetuneMode,
    ema_decay: float | None,
    kind: str,
    read: int,
) -> None:
    store: MixedStore = request.getfixturevalue(kind)
    settings = {"augment": dict.fromkeys(AUGMENT, 0), "epochs": 3, "ema_decay": ema_decay}
    seen: list[int] = []

    def counting(name: str, resident: Resident = "auto") -> None:
        run, seen[:] = new_run(store, mode, dropout=0.1, **settings), []
        run.network.embedding.register_forward_hook(lambda *call: seen.append(len(call[2])))
        here = machine(tmp_path / f"scratch {name}", resident=resident)
        train_into(run, tmp_path / name, here)

    counting("once")
    # The training clips' variants and the validation clips; one tells how large it will be.
    assert sum(seen) == 12 * read + 6 + 1
    with monkeypatch.context() as patch:  # as where the memory is too small
        patch.setattr("framemix.training.batches.RESIDENT_SHARE", 0.0)
        for name, resident in (("from disk", "auto"), ("from memory", True)):
            counting(name, resident)
            assert sum(seen) == 3 * (12 + 6) + 1
    monkeypatch.setattr("framemix.training.run.split_frozen", lambda network, *_: (None, network))
    counting("unsplit")
    assert sum(seen) == 3 * (12 + 6)
    for name in ("from disk", "from memory", "unsplit"):
        assert_same_training(tmp_path / "once", tmp_path / name)


def assert_same_training(one: Path, other: Path) -> None:
    """But for float32's last digits: other batches add up in another order."""
    weights = [load_model(path / "model.safetensors").network.state_dict() for path in (one, other)]
    assert all(torch.allclose(weights[0][name], weights[1][name], atol=1e-5) for name in weights[0])
    tables = [list(csv.reader((path / "history.csv").open(newline=""))) for path in (one, other)]
    for row, same in zip(tables[0][1:], tables[1][1:], strict=True):
        assert [float(x) for x in row] == pytest.approx([float(x) for x in same], abs=1e-5)


@pytest.mark.parametrize("change", list(AUGMENT))
def test_frozen_layers_see_clips_again_where_anything_changes_them(
    store: MixedStore, change: str
) -> None:
    network = new_run(store, "fc").network
    still = dict.fromkeys(AUGMENT, 0)
    frozen, _ = split_frozen(network, AugmentSettings.model_validate(still))
    assert frozen is not None
    changed = AugmentSettings.model_validate(still | {change: 0.5 if change != "flip" else True})
    assert split_frozen(network, changed) == (None, network)


@pytest.mark.parametrize("mode", ["all", "spatial_temporal_fc", "temporal_fc", "fc"])
def test_frozen_parameters_stay_bit_for_bit_and_all_others_change(
    store: MixedStore, tmp_path: Path, mode: FinetuneMode
) -> None:
    run = new_run(store, mode, epochs=1)
    before = {name: p.clone() for name, p in run.network.named_parameters()}
    after = weights_after(run, tmp_path)
    trained = {name for name, p in run.network.named_parameters() if p.requires_grad}
    assert {name for name in before if not torch.equal(before[name], after[name])} == trained


def test_frozen_parts_run_without_dropout(store: MixedStore, tmp_path: Path) -> None:
    without = weights_after(new_run(store, "fc", dropout=0.0, epochs=1), tmp_path / "without")
    frozen = weights_after(new_run(store, "fc", dropout=0.5, epochs=1), tmp_path / "frozen")
    assert all(torch.equal(without[name], frozen[name]) for name in without)


@pytest.mark.parametrize("architecture", ["nonlocal", "tsn", "tsm", "i3d"])
def test_dropout_before_the_last_layer_is_at_work_in_training(
    store: MixedStore, tmp_path: Path, architecture: str
) -> None:
    sizes = {"architecture": architecture, "depth": 10, "width": 4, "num_classes": len(ACTIONS)}
    if architecture == "nonlocal":
        sizes = nonlocal_config().model_dump()

    def weights(dropout: float) -> dict[str, torch.Tensor]:
        torch.manual_seed(0)
        config = parse_config({**sizes, "dropout": dropout})
        run = replace(new_run(store, epochs=1), network=build_model(config), config=config)
        return weights_after(run, tmp_path / str(dropout))

    without, dropped = weights(0.0), weights(0.5)
    assert not torch.equal(without["fc.weight"], dropped["fc.weight"])


@pytest.mark.parametrize("select", ["best", "last"])
def test_the_model_is_that_of_the_best_epoch_on_val_clips_or_of_the_last(
    store: MixedStore, tmp_path: Path, select: str
) -> None:
    run = new_run(store, epochs=6, learning_rate=0.02, select=select)
    train_into(run, tmp_path / "out", machine(tmp_path / "scratch"))
    with (tmp_path / "out/history.csv").open(newline="") as file:
        history = [{name: float(x) for name, x in row.items()} for row in csv.DictReader(file)]
    best = max(history, key=lambda row: row["val_top1"])
    others = history[-1], max(history, key=lambda row: row["train_top1"])
    assert best["val_top1"] > history[0]["val_top1"]  # else nothing was learnt
    assert best not in others  # else they could not be told apart
    chosen = best if select == "best" else history[-1]
    assert [row for row in history if row["kept"]] == [chosen]
    for name, row in (("model", chosen), ("last", history[-1])):
        model = load_model(tmp_path / f"out/{name}.safetensors")
        said = predict(model, run.val, batch_size=4, device=torch.device("cpu"))
        loss = -said[range(len(run.val)), labels_of(run.val)].log().mean().item()
        assert loss == pytest.approx(row["val_loss"], abs=1e-4)


def test_of_equally_good_epochs_the_earlier_is_kept(store: MixedStore, tmp_path: Path) -> None:
    settings = {"learning_rate": 1e-6, "warmup_epochs": 0, "schedule": "constant"}
    first = weights_after(new_run(store, epochs=1, **settings), tmp_path / "one")
    third = weights_after(new_run(store, epochs=3, **settings), tmp_path / "three")
    history = (tmp_path / "three/out/history.csv").read_text().splitlines()[1:]
    assert len({row.split(",")[4] for row in history}) == 1, history
    assert all(torch.equal(first[name], third[name]) for name in first)


def test_the_gradient_is_clipped_to_its_norm(store: MixedStore, tmp_path: Path) -> None:
    settings = {
        "epochs": 1,
        "batch_size": 100,  # one step
        "optimizer": "sgd",
        "learning_rate": 1.0,
        "weight_decay": 0.0,
        "warmup_epochs": 0,
        "schedule": "constant",
    }
    lengths = {}
    for clip_norm in (None, 0.01):
        run = new_run(store, clip_norm=clip_norm, **settings)
        before = {name: p.clone() for name, p in run.network.named_parameters()}
        after = weights_after(run, tmp_path / str(clip_norm))
        steps = torch.cat([(after[name] - before[name]).flatten() for name in before])
        lengths[clip_norm] = steps.norm().item()
    assert lengths[None] > 0.1
    assert lengths[0.01] == pytest.approx(0.01, rel=1e-3)


def test_the_model_file_holds_what_prediction_needs(store: MixedStore, tmp_path: Path) -> None:
    train_into(new_run(store, epochs=1), tmp_path / "out", machine(tmp_path / "scratch"))
    model = load_model(tmp_path / "out/model.safetensors")
    assert model.classes == list(ACTIONS)
    assert model.mix == mix_settings().model_dump(mode="json")
    assert model.config == vivit_config(dropout=0.0)


@pytest.mark.parametrize("side", ["train", "val"])
def test_a_split_without_clips_on_one_side_is_one_clear_error(
    store: MixedStore, tmp_path: Path, side: str
) -> None:
    run = new_run(store)
    getattr(run, side).clear()
    with pytest.raises(DatasetError, match=f"no {side} clip") as caught:
        train_into(run, tmp_path / "out", machine(tmp_path / "scratch"))
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("subset", "batch_size"),
    [("train", 4), ("val", 12)],  # at 12 clips, the epoch's one step spoils the weights behind it
)
def test_a_training_that_diverges_says_what_to_change_and_leaves_no_model(
    store: MixedStore, tmp_path: Path, subset: str, batch_size: int
) -> None:
    diverging = {"learning_rate": 1e30, "optimizer": "sgd", "clip_norm": None, "warmup_epochs": 0}
    expected = rf"^epoch 1: {subset} loss = nan.*smaller learning_rate \(it is 1e\+30\).*clip_norm"
    for _ in ("first", "again"):
        run = new_run(store, batch_size=batch_size, **diverging)
        with pytest.raises(TrainingError, match=expected) as caught:
            train_into(run, tmp_path / "out", machine(tmp_path / "scratch"))
        assert "\n" not in str(caught.value)
    assert not list(tmp_path.rglob("*.safetensors"))
    assert not list(tmp_path.rglob("last.ckpt"))


def test_training_leaves_the_process_handling_of_sigterm_as_it_was(
    store: MixedStore, tmp_path: Path
) -> None:
    before = signal.getsignal(signal.SIGTERM)
    handler = signal.signal(signal.SIGTERM, lambda *_: None)
    mine = signal.getsignal(signal.SIGTERM)
    try:
        train_into(new_run(store, epochs=1), tmp_path / "out", machine(tmp_path / "scratch"))
        assert signal.getsignal(signal.SIGTERM) is mine
    finally:
        signal.signal(signal.SIGTERM, handler)
    assert signal.getsignal(signal.SIGTERM) == before


def test_a_training_loads_no_package_that_it_does_not_use() -> None:
    code = "import sys, framemix.training.run; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    )
    assert {"lightning", "torchmetrics"} <= set(loaded.stdout.split())
    assert not {"matplotlib", "transformers", "dvc"} & set(loaded.stdout.split())
