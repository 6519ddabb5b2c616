"""What users may rely on when they ask what a run costs, before it starts."""

import re
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from framemix.jobs.progress import clock
from framemix.project.amounts import Count, Places, Sides, training_clips
from framemix.project.measuring import Measured, spread
from framemix.project.params import Params, parse_params
from framemix.project.plan import Plan, planned
from framemix.project.trial_data import DataTrial, Disk, Tried
from framemix.project.trial_networks import Networks, Trained
from tests.pipeline import ROOT, Project
from tests.terminal import Shown, assert_readable

GB = 10**9
PLACES = ("sample", "videos", "clips", "store", "cache", "scratch")
STAGES = [
    "sample",
    "filter",
    "split",
    "resize",
    "mix@ucf101",
    "mix@rldd",
    "pretrain@vivit",
    "pretrain@nonlocal",
    "report_pretraining",
    "finetune",
    "evaluate",
]
TRAINED = Trained(
    train=0.1, predict=0.01, rest=2, weights=10**8, at_once=16, resident=True, frozen=False
)
MEASURED = Measured(
    actions=Count(1000, 1200, 10, "1000 videos"),
    drivers=Count(100, 20, 2, "100 clips"),
    sides={stage: Sides(800, 200, 200) for stage in STAGES if "@" in stage or stage == "finetune"},
    process=1.0,
    disk=Disk(written=GB, read=GB / 10, cached=10 * GB, hashed=GB),
    data=DataTrial(
        actions=[Tried({"sample": 1, "filter": 2, "mix@ucf101": 4}, {"sample": 10**6})] * 4,
        drivers=[
            Tried({"sample": 1, "resize": 2, "mix@rldd": 4}, {"sample": 10**6, "resize": 10**6})
        ]
        * 4,
        start=5.0,
    ),
    networks=Networks(
        start=6.0,
        trained=dict.fromkeys(("pretrain@vivit", "pretrain@nonlocal", "finetune"), TRAINED),
        reports={"report_pretraining": 5.0, "evaluate": 7.0},
    ),
    memory=64 * GB,
    raw={"filter": 7 * GB, "resize": 111 * GB},
    missing=[],
)


def params_with(**changes: Any) -> Params:
    """The committed params, but for the values of some sections' keys."""
    content = yaml.safe_load((ROOT / "params.yaml").read_text())
    for section, values in changes.items():
        content[section] |= values
    return parse_params(content, Path("params.yaml"))


def plan_of(folder: Path, measured: Measured = MEASURED, **changes: Any) -> Plan:
    places = Places(**{name: folder / name for name in PLACES})
    return planned(params_with(**changes), places, measured)


def seconds_of(plan: Plan) -> dict[str, float]:
    return {cost.stage: cost.seconds for cost in plan.costs if cost.seconds is not None}


def with_training(**changes: Any) -> Measured:
    """The measurement in which all short trainings were other than the committed one."""
    tried = replace(TRAINED, **changes)
    trained = dict.fromkeys(MEASURED.networks.trained, tried)
    return replace(MEASURED, networks=replace(MEASURED.networks, trained=trained))


def warnings_of(plan: Plan) -> list[str]:
    return [note for note in plan.notes if note.startswith("warning: ")]


def test_every_stage_of_the_pipeline_has_a_row(tmp_path: Path) -> None:
    definitions = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
    names = [
        f"{name}@{part}" if part else name
        for name, stage in definitions.items()
        for part in [*stage.get("foreach", {}), *stage.get("matrix", {}).get("model", [])] or [""]
    ]
    plan = plan_of(tmp_path)
    assert sorted(cost.stage for cost in plan.costs) == sorted(names)
    assert [cost.stage for cost in plan.costs] == STAGES
    assert warnings_of(plan) == []


def test_epochs_and_seeds_multiply_a_training_and_nothing_else(tmp_path: Path) -> None:
    recipe = yaml.safe_load((ROOT / "params.yaml").read_text())["pretrain"]["vivit"]
    once = seconds_of(plan_of(tmp_path))
    more = seconds_of(plan_of(tmp_path, pretrain={"vivit": recipe | {"epochs": 300}}))
    epoch = 800 * 0.1 + 200 * 0.01
    assert more["pretrain@vivit"] - once["pretrain@vivit"] == pytest.approx(270 * epoch, rel=0.01)
    assert {stage for stage in STAGES if more[stage] != once[stage]} == {"pretrain@vivit"}


def test_several_devices_share_the_computing(tmp_path: Path) -> None:
    one, four = (seconds_of(plan_of(tmp_path, runtime={"devices": n})) for n in (1, 4))
    assert 3 < one["pretrain@vivit"] / four["pretrain@vivit"] < 4
    assert one["mix@ucf101"] == four["mix@ucf101"]


def test_more_workers_shorten_the_data_stages_until_the_disk_bounds_them(tmp_path: Path) -> None:
    two, many = (seconds_of(plan_of(tmp_path, runtime={"workers": n})) for n in (2, 20))
    assert two["filter"] - many["filter"] == pytest.approx(1200 * 2 * (1 / 2 - 1 / 20))
    # 100 clips are at most four shards, each of which one worker mixes.
    assert two["mix@rldd"] - many["mix@rldd"] == pytest.approx(100 * 4 * (1 / 2 - 1 / 4))
    slow = replace(MEASURED, disk=replace(MEASURED.disk, written=10**5))
    assert seconds_of(plan_of(tmp_path, slow))["mix@ucf101"] > 230e6 / 1e5


def test_clips_that_are_read_each_epoch_bound_it_by_the_disk(tmp_path: Path) -> None:
    paper = {"mix": {"size": [240, 320], "segments": 144, "method": "none"}}
    streamed = replace(with_training(resident=False), memory=GB)
    plan = plan_of(tmp_path, streamed, **paper)
    of_vivit = next(line for line in warnings_of(plan) if "pretrain@vivit" in line)
    # 1,000 clips of 144 frames take 33.2 GB, at 0.1 GB/s.
    assert "reads 33.2 GB, which takes 5:32; it computes for 1:22" in of_vivit
    assert seconds_of(plan)["pretrain@vivit"] > 30 * 331
    cached = plan_of(tmp_path, replace(streamed, memory=64 * GB), **paper)
    assert not any("an epoch reads" in line for line in warnings_of(cached))


def test_a_disk_that_is_too_small_is_reported(tmp_path: Path) -> None:
    huge = replace(MEASURED, actions=replace(MEASURED.actions, clips=10**12))
    (line,) = warnings_of(plan_of(tmp_path, huge))
    assert "make room" in line


def test_fewer_clips_at_once_than_are_set_are_said(tmp_path: Path) -> None:
    lines = warnings_of(plan_of(tmp_path, with_training(at_once=1)))
    assert len(lines) == 3
    assert "pretrain@vivit: extrapolated from steps of 1 clips; 16 are set" in lines[0]


def test_a_network_that_does_not_fit_into_memory_has_no_time(tmp_path: Path) -> None:
    trained = MEASURED.networks.trained | {"pretrain@vivit": None, "finetune": None}
    networks = replace(MEASURED.networks, trained=trained)
    plan = plan_of(tmp_path, replace(MEASURED, networks=networks))
    unknown = {"pretrain@vivit", "report_pretraining", "finetune", "evaluate"}
    assert {*STAGES} - {*seconds_of(plan)} == unknown
    assert f", at least {clock(sum(seconds_of(plan).values()))}\n" in plan.text()


def test_one_fold_validates_and_the_others_train() -> None:
    actions, drivers = Count(7688, 13320, 99, ""), Count(150, 120, 2, "")
    params = params_with(split={"folds": 4}, finetune={"task": "drowsy_class"})
    sides = training_clips(params, actions, drivers)
    assert sides["pretrain@vivit"] == Sides(train=5766, val=1922, evaluated=1922)
    # UCF101's and the drowsy half of the drivers' clips; all held-out drivers are evaluated.
    assert sides["finetune"] == Sides(train=5822, val=1941, evaluated=1941 + 38)


def test_videos_are_taken_from_all_of_a_dataset() -> None:
    assert spread(range(100), 4) == [12, 37, 62, 87]
    assert spread(["a"], 3) == ["a", "a", "a"]


# The command


def rows_of(lines: Sequence[str]) -> dict[str, list[str]]:
    """Return the cells of a table's rows after their first one, by that."""
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines if "|" in line]
    return {first: rest for first, *rest in cells[2:]}


def files_in(folder: Path) -> set[Path]:
    return {path for path in folder.rglob("*") if "__pycache__" not in path.parts}


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Shown:
    """What the command shows where drivers' videos are missing and no stage has run."""
    project = Project.fresh(tmp_path_factory.mktemp("plan") / "project")
    project.set(data__rldd="data/raw/rldd")
    before = files_in(project.folder)
    shown = project.show("framemix plan", columns=140)
    assert files_in(project.folder) == before
    return shown


def test_the_command_plans_each_stage_and_leaves_no_file(shown: Shown) -> None:
    assert shown.code == 0, shown.text
    assert_readable(shown, columns=140)
    rows = rows_of(shown.lines)
    assert [name for name in rows if name in STAGES] == STAGES
    assert all(re.fullmatch(r"(\d+:)?\d+:\d\d", rows[stage][1]) for stage in STAGES)
    # Two classes' pairs of three groups, in clips of 4 segments of 24x32 pixels.
    assert rows["mix@ucf101"][2].startswith("24 clips; ")
    assert any(line.startswith("all stages: ") for line in shown.lines)


def test_it_says_which_dataset_has_no_video_to_measure(shown: Shown) -> None:
    (line,) = [line for line in shown.lines if line.startswith("warning: ")]
    assert "data.rldd = data/raw/rldd: no video there to measure; noise of 320x240" in line
    assert "about 180000 clips, of 120 videos of 600 s" in shown.text


# The whole sample


def bytes_below(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def in_seconds(shown: str) -> int:
    total = 0
    for part in shown.split(":"):
        total = 60 * total + int(part)
    return total


def in_bytes(shown: str) -> float:
    number, unit = shown.split()
    return float(number) * {"MB": 1e6, "GB": 1e9}[unit]


@pytest.mark.slow
def test_the_plan_of_the_sample_is_within_a_factor_of_two(tmp_path: Path) -> None:
    project = Project.fresh(tmp_path / "project", profile=None)
    planned = rows_of(project.run("framemix plan").splitlines())
    took = {}
    for stage in STAGES:
        began = time.monotonic()
        project.run(f"dvc repro -s {stage}")
        took[stage] = time.monotonic() - began
    # Loading DVC, which the plan does not count.
    began = time.monotonic()
    project.run("dvc repro -s split")
    loading = time.monotonic() - began
    took = {stage: seconds - loading for stage, seconds in took.items()}
    times = {stage: in_seconds(planned[stage][1]) for stage in STAGES}
    print({stage: (times[stage], round(seconds, 1)) for stage, seconds in took.items()})
    for stage in STAGES:
        if took[stage] > 10:
            assert 0.5 < times[stage] / took[stage] < 2, stage
    assert 0.5 < sum(times.values()) / sum(took.values()) < 2
    for stage, folder in {
        "sample": "data/sample",
        "resize": "data/rldd/clips",
        "mix@ucf101": "data/mixed/ucf101",
        "mix@rldd": "data/mixed/rldd",
    }.items():
        size = in_bytes(planned[stage][0])
        assert 0.5 < size / bytes_below(project.folder / folder) < 2, stage
