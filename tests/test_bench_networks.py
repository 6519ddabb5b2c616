"""`framemix bench networks`: every clip evaluated once a seed, after equal training time."""

import csv
import json
import re
import shutil
from collections import Counter
from concurrent.futures import Executor, Future
from dataclasses import replace
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from framemix.benchmarks import candidates, networks, runs
from framemix.benchmarks.candidates import (
    TABLES,
    init_candidates,
    mix_candidates,
    network_candidates,
)
from framemix.benchmarks.commands import NetworksTable
from framemix.benchmarks.networks import bench_networks, fold_splits, hits_of
from framemix.benchmarks.runs import CALIBRATION_EPOCHS, Job, Outcome, epochs_in, run_job
from framemix.cli import app
from framemix.datasets.clips import Clip
from framemix.errors import DatasetError, FramemixError, VideoError
from framemix.jobs.fingerprint import PACKAGE, source_files
from framemix.models import build_model
from framemix.pretraining.pretrain import model_config
from framemix.project.params import Params, load_params
from framemix.project.profiles import apply_profile
from framemix.training.data import split_examples
from tests import tiny_store as tiny
from tests.tiny_model import write_video

ROOT = Path(__file__).resolve().parents[1]
CPU = torch.device("cpu")
CLASSES = ("Hop", "Spin")
OPTIONS = networks.Options(
    tables=tuple(TABLES), folds=2, seconds=0.1, seeds=1, processes=1, device=CPU
)


def make_params(folder: Path) -> Params:
    """Write params.yaml in the test profile and return what it says."""
    shutil.copy(ROOT / "params.yaml", folder)
    apply_profile(ROOT / "profiles/test.yaml", folder / "params.yaml")
    return load_params(folder / "params.yaml")


def write_videos(root: Path, groups: int = 2, frames: int = 150) -> Path:
    for label, name in enumerate(CLASSES):
        for group in range(1, groups + 1):
            write_video(root / name / f"v_{name}_g{group:02}_c01.avi", frames, seed=label)
    return root


def video(number: int, class_name: str, group: str) -> Clip:
    return Clip(video=f"{class_name}/{number}.avi", class_name=class_name, group=group, kept=True)


def tiny_job(folder: Path) -> Job:
    """A run on half of a store's clips, in steps of four."""
    store = tiny.make_store(folder / "store")
    vivit = make_params(folder).pretrain.vivit
    recipe = vivit.model_copy(update={"patience": 1, "batch_size": 4})
    return Job(
        name="ViViT",
        candidate=candidates.Candidate(recipe, store.settings),
        seconds=0.5,
        store=store.folder,
        split=tiny.split_of(store, val_each=3),
        fold=0,
        seed=0,
        device=CPU,
    )


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split("|")]


def tables_of(folder: Path, monkeypatch: pytest.MonkeyPatch, *options: str) -> list[list[str]]:
    """Run the command on four tiny videos; return its tables' rows, and the lines on stderr."""
    make_params(folder)
    monkeypatch.chdir(folder)
    root = str(write_videos(folder / "videos"))
    usual = ["--folds", "2", "--seconds", "0.1", "--device", "cpu"]
    done = CliRunner().invoke(app, ["bench", "networks", root, *usual, *options])
    assert done.exit_code == 0, done.output
    caption, *tables = done.stdout.strip().split("\n\n")
    assert caption.startswith("4 clips of 2 classes and 2 groups; `--folds 2 --seconds 0.1 ")
    return [*(table.splitlines()[2:] for table in tables), done.stderr.strip().splitlines()]


def check_row(row: str) -> None:
    _, parameters, epochs, *rates, accuracy, interval = cells(row)
    assert int(parameters.replace(",", "")) > 1000
    assert int(epochs) >= 1
    assert len(rates) == 3
    assert min(map(float, rates)) >= 0
    low, high = map(float, interval.split(" to "))
    assert 0 <= low <= float(accuracy) <= high <= 100


def test_the_command_prints_two_tables_and_a_line_a_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for table, name in (("networks", "TSN"), ("mixes", "linear, 8 segments")):
        one = partial(lambda make, name, *of: {name: make(*of)[name]}, TABLES[table], name)
        monkeypatch.setitem(TABLES, table, one)
    chosen = ("--table", "networks", "--table", "mixes")
    (tsn,), (mixed,), lines = tables_of(tmp_path, monkeypatch, "--seeds", "1", *chosen)
    assert (cells(tsn)[0], cells(mixed)[0]) == ("TSN", "linear, 8 segments")
    for row in (tsn, mixed):
        check_row(row)
    runs_of = [re.match(r"\d/4: (.*), fold (\d), seed 0: \d+ epochs in", line) for line in lines]
    assert Counter(match.groups() for match in runs_of if match) == Counter(
        product(("TSN", "linear, 8 segments"), "12")
    )


class Recorder(Executor):
    """Keeps the names of the runs in the order that they are asked for."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def submit(self, work: Any, job: Job) -> Future[Outcome]:  # type: ignore[override]
        self.names.append(job.name)
        future: Future[Outcome] = Future()
        future.set_result(Outcome(job.seed, 1, 1, 1.0, 1.0, 1.0, {}))
        return future


def test_networks_take_turns_so_that_the_load_is_alike_for_all(tmp_path: Path) -> None:
    params, pool = make_params(tmp_path), Recorder()
    names = {one: name for name, one in network_candidates(params.pretrain, params.mix).items()}
    data = networks.Data([], [[], []], dict.fromkeys((one.mix for one in names), tmp_path))
    networks._train_all(pool, names, data, replace(OPTIONS, seeds=3))
    assert pool.names == [*names.values()] * 2 * 3


@pytest.mark.slow
def test_every_network_and_every_mix_is_in_the_tables(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = ("--seeds", "1", "--processes", "2")
    of_networks, of_mixes, of_inits, lines = tables_of(tmp_path, monkeypatch, *options)
    assert len(of_networks) == 9
    assert [cells(row)[0] for row in of_mixes] == [
        "linear, 8 segments",
        "linear, 16 segments",
        "linear, 30 segments",
        "150 plain frames",
    ]
    assert len(of_inits) == 2 * 5
    for row in (*of_networks, *of_mixes, *of_inits):
        check_row(row)
    assert len(lines) == (13 + 5) * 2


@given(st.data())
def test_every_clip_is_evaluated_once_and_by_networks_that_never_saw_its_group(
    data: st.DataObject,
) -> None:
    folds = data.draw(st.integers(2, 6))
    groups = [f"g{number:02}" for number in range(data.draw(st.integers(folds, 9)))]
    others = data.draw(st.lists(st.sampled_from(groups)))
    videos = [
        video(number, data.draw(st.sampled_from(CLASSES)), group)
        for number, group in enumerate([*groups, *others])
    ]
    evaluated: Counter[str] = Counter()
    for split in fold_splits(videos, folds):
        sides = {side: {v.group for v in split if v.subset == side} for side in ("train", "val")}
        assert sides["train"]
        assert not sides["train"] & sides["val"]
        evaluated.update(v.video for v in split if v.subset == "val")
    assert evaluated == Counter(v.video for v in videos)


def test_hits_are_a_row_a_seed_over_all_folds() -> None:
    videos = [video(number, "Hop", f"g{number}") for number in range(3)]
    outcome = Outcome(
        seed=0,
        parameters=1,
        epochs=1,
        seconds=1.0,
        trained=1.0,
        predicted=1.0,
        hits={"Hop/2.avi": True},
    )
    rest = {"Hop/0.avi": False, "Hop/1.avi": True}
    outcomes = [
        outcome,
        replace(outcome, hits=rest),
        replace(outcome, seed=1),
        replace(outcome, seed=1, hits=dict.fromkeys(rest, False)),
    ]
    assert hits_of(outcomes, videos).tolist() == [[False, True, True], [False, False, True]]


def test_seeds_have_a_mean_and_a_sample_deviation() -> None:
    assert networks.over_seeds([50.0, 60.0, 70.0]) == "60.0 ± 10.0"
    assert networks.over_seeds([50.0]) == "50.0"


def test_a_clip_evaluated_by_three_seeds_is_still_one_clip() -> None:
    hits = np.array([[True, False, True, True, False, True]])
    groups = ["g1", "g1", "g2", "g2", "g3", "g3"]
    once, thrice = (networks._interval(hits.repeat(k, 0), groups) for k in (1, 3))
    assert once == thrice


@pytest.mark.parametrize(
    ("seconds", "epoch_seconds", "epochs"),
    [(20, 1.0, 20), (20, 1.3, 15), (20, 0.001, 20000), (20, 60.0, 1), (0.1, 0.9, 1)],
)
def test_epochs_follow_from_the_time(seconds: float, epoch_seconds: float, epochs: int) -> None:
    assert epochs_in(seconds, epoch_seconds) == epochs


def test_a_run_trains_for_the_epochs_that_its_time_holds_and_looks_at_no_val_clip(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = tiny_job(tmp_path)
    trained: list[tuple[runs.Run, dict[str, float]]] = []

    def watched(run: runs.Run, machine: runs.Machine) -> Path:
        done = original(run, machine)
        trained.append((run, json.loads((done / "timing.json").read_text())))
        return done

    original = runs.train
    monkeypatch.setattr(runs, "train", watched)
    outcome = run_job(job)
    (_, calibrated), (run, timing) = trained
    assert calibrated["epochs"] == CALIBRATION_EPOCHS
    assert outcome.epochs == epochs_in(job.seconds, calibrated["seconds_an_epoch"])
    assert timing["epochs"] == run.settings.epochs == outcome.epochs
    assert outcome.seconds == timing["seconds"]
    val = {row.video for row in job.split if row.subset == "val"}
    assert outcome.hits.keys() == val
    assert not val & {example.row.clip for example in [*run.train, *run.val]}


def test_predictions_are_those_of_the_last_epoch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job, last = tiny_job(tmp_path), []

    def validating(run: runs.Run, machine: runs.Machine) -> Path:
        val = split_examples(run.train[0].store, job.split, "val")
        done = original(replace(run, val=val), machine)
        last.append(list(csv.DictReader((done / "history.csv").open()))[-1]["val_top1"])
        return done

    original = runs.train
    monkeypatch.setattr(runs, "train", validating)
    hits = run_job(job).hits.values()
    assert sum(hits) / len(hits) == pytest.approx(float(last[-1]), abs=1e-6)


def test_the_network_in_memory_is_evaluated_and_not_the_best_on_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def to_second_class(run: runs.Run, machine: runs.Machine) -> Path:
        torch.nn.init.zeros_(run.network.head[1].weight)
        run.network.head[1].bias.data = torch.tensor([0.0, 1.0, 0.0])
        (tmp_path / "timing.json").write_text('{"seconds": 1.0, "seconds_an_epoch": 0.0}')
        return tmp_path

    monkeypatch.setattr(runs, "train", to_second_class)
    hits = run_job(tiny_job(tmp_path)).hits
    assert hits == {clip: clip.startswith(tiny.ACTIONS[1]) for clip in hits}


def test_all_networks_see_the_same_clips_and_mixes_differ_in_nothing_else() -> None:
    params = load_params(ROOT / "params.yaml")
    of_networks = network_candidates(params.pretrain, params.mix)
    of_mixes = mix_candidates(params.pretrain, params.mix)
    assert {candidate.mix for candidate in of_networks.values()} == {params.mix}
    sizes = {name: one.recipe.model for name, one in of_networks.items()}
    encoders = [model.attention for name, model in sizes.items() if name.startswith("ViViT")]
    assert sorted(encoders) == sorted([*candidates.ENCODERS, "factorised_encoder"])
    small = [sizes[name] for name in ("Non-local", "TSN", "TSM", "I3D")]
    assert {(model.depth, model.width) for model in small} == {(10, 16)}
    vivit, *others = (one.recipe for one in of_mixes.values())
    for other in others:
        patch = {"frame_patch_size": vivit.model.frame_patch_size}
        model = other.model.model_copy(update=patch)
        assert other.model_copy(update={"model": model}) == vivit
    for candidate in (*of_networks.values(), *of_mixes.values()):
        build_model(model_config(candidate.recipe.model, candidate.mix, classes=4))


def test_what_stands_in_both_tables_is_trained_once() -> None:
    params = load_params(ROOT / "params.yaml")
    mix = params.mix.model_copy(update={"segments": 8})
    model = params.pretrain.vivit.model.model_copy(update={"frame_patch_size": 2})
    vivit = params.pretrain.vivit.model_copy(update={"model": model})
    pretrain = params.pretrain.model_copy(update={"vivit": vivit})
    of_networks = network_candidates(pretrain, mix)
    first = next(name for name in of_networks if name.endswith("factorised encoder"))
    assert of_networks[first] == mix_candidates(pretrain, mix)["linear, 8 segments"]


def test_every_table_can_be_chosen() -> None:
    assert [*NetworksTable] == [*TABLES]


def test_each_vivit_is_compared_with_each_init_and_nothing_else_changed(tmp_path: Path) -> None:
    params = make_params(tmp_path)
    of_inits = init_candidates(params.pretrain, params.mix)
    assert len(of_inits) == 2 * 5
    recipes = [candidate.recipe for candidate in of_inits.values()]
    for one, other in zip(recipes[::2], recipes[1::2], strict=True):
        assert (one.model.init, other.model.init) == ("xavier", "torch")
        assert one.model == other.model.model_copy(update={"init": "xavier"})
        assert one.model_copy(update={"model": None}) == other.model_copy(update={"model": None})
    assert set(network_candidates(params.pretrain, params.mix).values()) & set(of_inits.values())


@pytest.mark.parametrize(
    ("groups", "frames", "folds", "error", "line"),
    [
        (
            0,
            0,
            2,
            DatasetError,
            r"videos: no such folder or file; allowed: a folder with <Class>/v_<Class>",
        ),
        (2, 150, 3, DatasetError, "--folds = 3: the videos have 2 groups"),
        (2, 149, 2, VideoError, "v_Hop_g01_c01.avi: 149 frames; allowed: at least 150"),
    ],
)
def test_what_is_wrong_with_the_videos_is_one_line(
    tmp_path: Path, groups: int, frames: int, folds: int, error: type[FramemixError], line: str
) -> None:
    params = make_params(tmp_path)
    root = write_videos(tmp_path / "videos", groups, frames)
    with pytest.raises(error, match=line) as raised:
        bench_networks(root, params.pretrain, params.mix, replace(OPTIONS, folds=folds))
    assert "\n" not in str(raised.value)


def test_it_only_decodes() -> None:
    needed = source_files(PACKAGE / "benchmarks/networks.py")
    assert PACKAGE / "video/reading.py" in needed
    assert PACKAGE / "video/writing.py" not in needed
