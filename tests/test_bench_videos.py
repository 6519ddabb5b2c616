"""`framemix bench videos`: what its tables may be relied on for, and that it resumes."""

import csv
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, Future
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from framemix.benchmarks import runs, videos
from framemix.benchmarks.cell_tables import Condition, table
from framemix.benchmarks.cells import PREDICTIONS, Cell, CellJob, CellRow, finish_cell
from framemix.benchmarks.videos import bench_videos, splits_of
from framemix.datasets.clips import Clip
from framemix.errors import DatasetError
from framemix.project.params import Params, load_params
from framemix.project.profiles import apply_profile
from framemix.tables import read_table
from tests import tiny_store as tiny
from tests.pipeline import ROOT, Project
from tests.terminal import assert_readable
from tests.tiny_model import write_video

FOLDS = 2
TRAININGS = FOLDS * (4 + 2 * 2 + 1 + 5)  # networks, more seeds, the random split, more mixes


def tiny_params(folder: Path) -> Params:
    """The test profile with two folds and one epoch."""
    shutil.copy(ROOT / "params.yaml", folder)
    apply_profile(ROOT / "profiles/test.yaml", folder / "params.yaml")
    params = load_params(folder / "params.yaml")
    yours = params.your_videos
    changed = {
        "split": yours.split.model_copy(update={"folds": FOLDS}),
        "train": yours.train.model_copy(update={"epochs": 1}),
    }
    return params.model_copy(update={"your_videos": yours.model_copy(update=changed)})


def write_list(path: Path, rows: Sequence[Sequence[object]]) -> Path:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([["path", "label", "group"], *rows])
    return path


def write_videos(folder: Path) -> Path:
    """Write two classes of four groups each, and the list of them."""
    rows = []
    for group in range(4):
        for seed, label in enumerate(("hop", "spin")):
            video = write_video(folder / f"{label}/{group}.avi", 8, seed, size=(24, 32))
            rows.append((video.relative_to(folder), label, f"person {group}"))
    return write_list(folder / "list.csv", rows)


class ThisProcess(Executor):
    """Does each task at once, and ends as Ctrl-C does after so many."""

    def __init__(self, tasks: int | None = None) -> None:
        self.tasks = tasks

    def submit(self, work: Any, job: Any) -> Future[Any]:  # type: ignore[override]
        if self.tasks == 0:
            raise KeyboardInterrupt
        self.tasks = self.tasks and self.tasks - 1
        future: Future[Any] = Future()
        future.set_result(work(job))
        return future


class Bench:
    """The command on a few tiny videos, in this process; counts its trainings."""

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch) -> None:
        self.list, self.out, self.params = write_videos(folder), folder / "out", tiny_params(folder)
        self.trainings, self.patch = 0, patch
        train = runs.train

        def counted(*given: Any) -> Path:
            self.trainings += 1
            return train(*given)

        patch.setattr(runs, "train", counted)

    def run(self, tasks: int | None = None) -> tuple[str, int]:
        """Return what the command prints, and how many networks it trained."""

        @contextmanager
        def pool(processes: int) -> Iterator[Executor]:
            yield ThisProcess(tasks)

        self.patch.setattr(videos, "process_pool", pool)
        before = self.trainings
        return bench_videos(self.list, self.params, self.out, 1), self.trainings - before

    @property
    def predictions(self) -> list[CellRow]:
        """The rows of all cells."""
        files = self.out.glob(f"cells/*/{PREDICTIONS}")
        return [row for file in files for row in read_table(file, CellRow)]


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """A study that was interrupted after five trainings, and resumed."""
    with pytest.MonkeyPatch.context() as patch:
        bench = Bench(tmp_path_factory.mktemp("bench"), patch)
        with pytest.raises(KeyboardInterrupt):
            bench.run(tasks=6 + 5)  # the ways to mix first
        assert bench.trainings == 5
        assert bench.run()[1] == TRAININGS - 5
        yield bench


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_a_finished_study_trains_nothing_and_prints_the_same_tables(bench: Bench) -> None:
    tables = (bench.out / "tables.md").read_text()
    text, trainings = bench.run()
    assert (f"{text}\n", trainings) == (tables, 0)


def test_every_seed_evaluates_each_clip_once(bench: Bench) -> None:
    evaluated = Counter((r.network, r.by, r.mix, r.seed, r.clip) for r in bench.predictions)
    assert set(evaluated.values()) == {1}
    assert len(evaluated) == TRAININGS // FOLDS * 8


def test_tables_have_the_networks_the_splits_and_the_mixes(bench: Bench) -> None:
    networks, splits, mixes = (
        [cells(line) for line in part.splitlines()]
        for part in (bench.out / "tables.md").read_text().strip().split("\n\n")[2:]
    )
    assert sorted(row[0] for row in networks[2:]) == ["Non-local", "TSM", "TSN", "ViViT"]
    assert [row[2] for row in networks[2:]] == ["3", "3", "1", "1"]
    assert splits[0][0] == f"{networks[2][0]}, divided by"
    assert [row[0] for row in splits[2:]] == ["group", "random"]
    assert [float(row[3]) > 0 for row in splits[2:]] == [False, True]
    assert [row[0] for row in mixes[2:]] == [
        *(f"{method}, 4 segments" for method in ("none", "average", "linear", "harmonic")),
        *(f"{method}, 8 segments" for method in ("linear", "harmonic")),
    ]


def test_the_accuracy_in_a_table_is_that_of_the_predictions(bench: Bench) -> None:
    splits = (bench.out / "tables.md").read_text().strip().split("\n\n")[3].splitlines()
    (best,) = {row.network for row in bench.predictions if row.by == "random"}
    for line, by in zip(splits[2:], ("group", "random"), strict=True):
        right = [
            row.true == row.predicted
            for row in bench.predictions
            if (row.network, row.by, row.seed) == (best, by, 0) and row.mix == "linear, 4 segments"
        ]
        assert len(right) == 8
        assert cells(line)[4] == f"{100 * sum(right) / 8:.1f}"


# A cell


@pytest.fixture
def job(tmp_path: Path) -> CellJob:
    """A cell on half of a tiny store's clips."""
    store = tiny.make_store(tmp_path / "store")
    params = tiny_params(tmp_path)
    return CellJob(
        cell=Cell("vivit", "group", store.settings, 0, 0),
        recipe=params.pretrain.vivit.model_copy(update={"epochs": 1}),
        store=store.folder,
        split=tiny.split_of(store, val_each=3),
        leak_share=0.0,
        device=torch.device("cpu"),
        folder=tmp_path / "cells",
    )


def test_the_last_epochs_network_predicts_and_sees_no_val_clip_before(
    job: CellJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = set()

    def to_second_class(run: runs.Run, machine: runs.Machine) -> Path:
        seen.update(example.row.clip for example in [*run.train, *run.val])
        torch.nn.init.zeros_(run.network.head[1].weight)
        run.network.head[1].bias.data = torch.tensor([0.0, 9.0, 0.0])
        (machine.scratch / "timing.json").write_text('{"seconds": 1, "seconds_an_epoch": 1}')
        return machine.scratch

    monkeypatch.setattr(runs, "train", to_second_class)
    rows = finish_cell(job)
    assert {row.predicted for row in rows} == {tiny.ACTIONS[1]}
    assert {row.clip for row in rows} == {c.video for c in job.split if c.subset == "val"}
    assert seen == {c.video for c in job.split if c.subset == "train"}


def test_a_cell_is_trained_again_only_where_something_that_decides_it_changed(
    job: CellJob,
) -> None:
    rows = finish_cell(job)
    assert finish_cell(replace(job, leak_share=None)) == rows
    changed = [
        replace(job, recipe=job.recipe.model_copy(update={"learning_rate": 0.1})),
        replace(job, cell=replace(job.cell, seed=1)),
        replace(job, split=[c.model_copy(update={"group": "other"}) for c in job.split]),
    ]
    for other in changed:
        finish_cell(other)
    assert len(list(job.folder.glob(f"*/{PREDICTIONS}"))) == 1 + len(changed)
    assert not list(job.folder.glob("*.partial"))


# Tables


def rows_of(seed: int, right: Sequence[float], **values: Any) -> list[CellRow]:
    """Predictions of clips of two classes in turn; `right` are the probabilities of their own."""
    usual = {"network": "tsn", "by": "group", "mix": "", "parameters": 9, "leak_share": 0.0}
    return [
        CellRow.model_validate(
            {
                **usual,
                "fold": n % 2,
                "seed": seed,
                "seconds": 1.0,
                "cpu_seconds": 1.0,
                "clip": f"{n}",
                "group": f"g{n // 2}",
                "true": "ab"[n % 2],
                "predicted": "ab"[n % 2] if own > 0.5 else "ba"[n % 2],
                "probability": own,
                **values,
            }
        )
        for n, own in enumerate(right)
    ]


def test_metrics_are_means_over_seeds_and_differences_are_clip_by_clip() -> None:
    # The clips 1 and 3 are of class b: p(b) is 0.9, 0.2 and 0.4, 0.3 of the clips 1, 3 and 0, 2.
    one = rows_of(0, [0.6, 0.9, 0.7, 0.2])
    two = rows_of(1, [0.6, 0.9, 0.7, 0.6])
    first, both = Condition("first", one), Condition("both", [*one, *two])
    assert both.accuracy == (0.75 + 1) / 2
    assert [measure.value for measure in both.aurocs] == [0.5, 1.0]
    row = table("network", [first, both]).rows[1]
    assert row[2:5] == ["2", "0.0", "87.5 ± 17.7"]
    assert row[6] == "0.750 ± 0.354"
    assert row[8] == "+12.5"


def test_more_than_two_classes_have_no_auroc() -> None:
    rows = [*rows_of(0, [0.9] * 4), *rows_of(0, [0.9], true="c", predicted="a", clip="other")]
    (row,) = table("network", [Condition("one", rows)]).rows
    assert row[6:8] == ["–", "–"]


def test_of_equal_networks_that_of_fewer_parameters_is_better() -> None:
    mix = load_params(ROOT / "params.yaml").your_videos
    study = videos.Study(mix, {}, {}, torch.device("cpu"), Path(), ThisProcess(), 1)
    for network, parameters, right in (("tsn", 9, 0.9), ("tsm", 8, 0.9), ("vivit", 7, 0.1)):
        rows = rows_of(0, [right] * 4, parameters=parameters)
        study.rows[Cell(network, "group", study.base, 0, 0)] = rows  # type: ignore[arg-type]
    assert study.ranked(["vivit", "tsn", "tsm"]) == ["tsm", "tsn", "vivit"]


# What is refused


@pytest.mark.parametrize(
    ("clips", "line"),
    [
        ([("a", ""), ("b", "")] * 4, "VIDEOS = list.csv: no clip has a group"),
        ([("a", "1"), ("a", "2")] * 4 + [("b", "1")], "folds = 2: a class has fewer clips"),
        ([("a", "1"), ("b", "1")] * 4, "folds = 2: 1 groups"),
    ],
)
def test_clips_that_cannot_each_be_evaluated_are_one_line(
    clips: Sequence[tuple[str, str]], line: str, tmp_path: Path
) -> None:
    rows = [
        Clip(video=f"{number}.avi", class_name=name, group=group, kept=True)
        for number, (name, group) in enumerate(clips)
    ]
    with pytest.raises(DatasetError, match=line):
        splits_of(rows, tiny_params(tmp_path).your_videos, Path("list.csv"))


# The command


@pytest.mark.slow
def test_a_killed_command_resumes_on_real_clips(shared: Path, tmp_path: Path) -> None:
    folder = shared / "data/fights"
    with (folder / "groups.csv").open(newline="") as file:
        chosen = list(csv.DictReader(file))[::25]
    rows = [(folder / row["file"], row["label"], row["group"]) for row in chosen]
    listed, out = write_list(tmp_path / "list.csv", rows), tmp_path / "out"
    project = Project.fresh(tmp_path / "project")
    project.set(your_videos__split__folds=FOLDS, your_videos__train__epochs=1)
    # The source of this checkout, whichever is installed.
    command = f"PYTHONPATH=src framemix bench videos {listed} --out {out} --processes 2"
    project.run_until(f"{command} 2>&1", f"3/{TRAININGS}: ")
    kept = {file: file.stat().st_mtime_ns for file in out.glob(f"cells/*/{PREDICTIONS}")}
    assert len(kept) >= 3
    assert f"{TRAININGS} trainings took" in project.run(command)
    assert len(list(out.glob(f"cells/*/{PREDICTIONS}"))) == TRAININGS
    assert all(file.stat().st_mtime_ns == written for file, written in kept.items())
    shown = project.show(command)  # trains nothing
    assert shown.code == 0, shown.text
    assert_readable(shown)
