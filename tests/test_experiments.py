"""What users may rely on in tables over DVC's experiments: which count, and what is missing."""

import json
from copy import deepcopy
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest
from typer.testing import CliRunner

from framemix.cli import app
from framemix.datasets.splits import FOLDS
from framemix.errors import ExperimentsError
from framemix.evaluation.tables import MetricRow
from framemix.metrics.drowsiness import DriverPrediction
from framemix.project import experiments as module
from framemix.project.experiments import Experiment, Experiments, folds_table, table2
from framemix.tables import write_table
from tests.pipeline import Project

PARAMS: dict[str, Any] = {
    "seed": 0,
    "data": {"ucf101": "data/sample/ucf101", "rldd": "/somewhere/rldd", "ucf101_lists": "lists"},
    "split": {"rldd": "subject", "seed": 0},
    "finetune": {"mode": "all", "task": "alert_drowsy", "epochs": 2, "select": "best"},
    "evaluate": {"batch_size": 4},
    "runtime": {"workers": 2},
}
METRICS = [
    MetricRow(model="finetuned", metric="top1", value=0.5, low=0.4, high=0.6, mean=0.48, std=0.035),
    *(
        MetricRow(model="finetuned", metric=metric, value=value)
        for metric, value in {
            "leak_share": 0.25,
            "drivers_leak_share": 0.0,
            "drowsy_accuracy": 0.9,
            "drowsy_vs_alert_auroc": 0.625,
            "trainable_parameters": 1234,
        }.items()
    ),
]


@pytest.fixture(autouse=True)
def metrics(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every experiment has these metrics."""
    write_table(tmp_path / "estimates.csv", MetricRow, METRICS)
    monkeypatch.setattr("dvc.api.read", lambda path, rev: (tmp_path / Path(path).name).read_text())


def experiment(
    name: str, *, state: str = "success", same_code: bool = True, **changes: Any
) -> Experiment:
    """An experiment with params like PARAMS but for changes given as section__key=value."""
    params = deepcopy(PARAMS)
    for path, value in changes.items():
        section, key = path.split("__")
        params[section][key] = value
    return Experiment(name, name, params, state == "success", state, same_code)


def of_paper_task(name: str, mode: str, **changes: Any) -> Experiment:
    return experiment(name, finetune__mode=mode, finetune__task="drowsy_class", **changes)


def lines(text: str) -> dict[tuple[str, str], list[str]]:
    """The cells of a table's lines by their first two."""
    rows = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("|")]
    return {(row[0], row[1]): row for row in rows}


def test_table2_has_each_modes_experiment_above_the_paper() -> None:
    known = [of_paper_task(f"exp-{mode}", mode) for mode in ("all", "temporal_fc")]
    text = table2(Experiments(PARAMS, known), "drowsy_class")
    rows = lines(text)
    assert rows["all", "exp-all"][2:] == [
        "50.0",
        "40.0 to 60.0",
        "48.0 ± 3.5",
        "25.0",
        "–",
        "90.0",
        "–",
        "0.0",
        "0.625",
        "1,234",
    ]
    assert rows["temporal_fc", "paper A"][2] == "95.43"
    assert rows["fc", "not run"][2:] == ["–"] * 10
    assert "finetune.mode=spatial_temporal_fc,fc'" in text
    assert "finetune.task=drowsy_class" in text
    assert "The paper's rows are of UCF101's 99 classes and drowsy drivers as one more" in text


@pytest.mark.parametrize("table", [lambda e: table2(e, "drowsy_class"), folds_table])
def test_commands_come_with_the_data_that_queued_experiments_would_lack(table: Any) -> None:
    assert "`data` must be absolute, but for the sample's.\n" in table(Experiments(PARAMS, []))
    linked = PARAMS | {"data": PARAMS["data"] | {"rldd": "data/raw/rldd/link"}}
    text = table(Experiments(linked, []))
    assert text.endswith("Not absolute yet: data.rldd = data/raw/rldd/link.\n")


def test_no_command_is_shown_when_every_mode_is_there() -> None:
    known = [of_paper_task(mode, mode) for mode in module.MODES]
    assert "dvc exp run" not in table2(Experiments(PARAMS, known), "drowsy_class")


@pytest.mark.parametrize(
    "other",
    [
        {"finetune__epochs": 3},
        {"split__seed": 1},
        {"split__rldd": "random"},
        {"evaluate__views": 3},
    ],
)
def test_an_experiment_with_other_settings_does_not_count(other: dict[str, Any]) -> None:
    known = [of_paper_task("stranger", "all", **other)]
    assert "stranger" not in table2(Experiments(PARAMS, known), "drowsy_class")


def test_an_experiment_of_other_code_does_not_count_and_is_named() -> None:
    known = [of_paper_task("stale", "all", same_code=False), of_paper_task("new", "fc")]
    text = table2(Experiments(PARAMS, known), "drowsy_class")
    assert ("all", "not run") in lines(text)
    assert "With other code than is here now: stale. To run them:" in text


def test_what_cannot_change_the_metrics_may_differ() -> None:
    known = [of_paper_task("same", "all", runtime__workers=9, evaluate__batch_size=1)]
    known[0].params["frame_mixup"] = {"seeds": [9]}
    assert ("all", "same") in lines(table2(Experiments(PARAMS, known), "drowsy_class"))


def test_a_queued_experiment_is_reported_to_be_queued_and_not_run_twice() -> None:
    known = [of_paper_task("waiting", "fc", state="queued")]
    text = table2(Experiments(PARAMS, known), "drowsy_class")
    assert ("fc", "queued") in lines(text)
    assert "finetune.mode=all,spatial_temporal_fc,temporal_fc'" in text


def test_one_with_metrics_goes_before_a_later_one_without() -> None:
    known = [of_paper_task("later", "fc", state="failed"), of_paper_task("earlier", "fc")]
    assert ("fc", "earlier") in lines(table2(Experiments(PARAMS, known), "drowsy_class"))


def drivers_of(fold: str, *, right: bool) -> list[DriverPrediction]:
    """A drowsy and an alert clip of the subject that is named after the fold."""
    return [
        DriverPrediction(
            clip=f"{fold}_{state}",
            subject=fold,
            state=state,
            predicted="drowsy" if (state == "drowsy") == right else "alert",
            p_drowsy=0.9 if (state == "drowsy") == right else 0.1,
        )
        for state in ("drowsy", "alert")
    ]


def test_folds_are_pooled_so_that_every_subject_counts_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = [experiment(fold, split__rldd=fold) for fold in FOLDS[:2]]
    known.append(experiment(FOLDS[2], split__rldd=FOLDS[2], state="queued"))

    for fold, right in (("fold1", True), ("fold2", False)):
        (tmp_path / fold / "reports").mkdir(parents=True)
        write_table(
            tmp_path / fold / "reports/drivers.csv", DriverPrediction, drivers_of(fold, right=right)
        )
    monkeypatch.setattr("dvc.api.read", lambda path, rev: (tmp_path / rev / path).read_text())
    text = folds_table(Experiments(PARAMS, known))
    rows = lines(text)
    assert rows["fold1", "1"][2] == "2"
    assert rows["fold1", "1"][5] == "1.000"
    assert rows["fold2", "1"][5] == "0.000"
    assert rows["pooled, 2 of 5", "2"][2] == "4"
    assert rows["pooled, 2 of 5", "2"][5].startswith("0.500")
    assert "rank clips of different folds by scores of different models" in text
    assert "The kept epoch is the best by these val clips" in text
    assert "Not run to their end: fold3." in text
    assert "'split.rldd=fold4,fold5'" in text


def test_without_any_fold_the_table_says_how_to_run_them() -> None:
    text = folds_table(Experiments(PARAMS, [experiment("other")]))
    assert "No fold has metrics yet." in text
    assert "'split.rldd=fold1,fold2,fold3,fold4,fold5'" in text


@pytest.mark.parametrize(
    ("revision", "executor", "counts", "state"),
    [
        ("abc", None, True, ""),
        ("abc", {"state": "success"}, True, ""),
        ("abc", {"state": "running"}, False, "running"),
        ("workspace", {"state": "running"}, False, "running"),  # is no commit yet
        ("abc", {"state": "failed"}, False, "failed"),
    ],
)
def test_only_an_experiment_that_ended_well_has_metrics(
    revision: str,
    executor: dict[str, str] | None,
    counts: bool,
    state: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """DVC gives one that runs the metrics of the commit that it started from."""
    params = {"params.yaml": {"data": of_paper_task("one", "fc").params}}
    metrics = {"reports/metrics.json": {"data": {"finetuned": {"top1": 0.5}}}}
    rev = {"rev": revision, "name": "one", "data": {"params": params, "metrics": metrics}}
    listed = [
        {"data": {"params": {"params.yaml": {"data": PARAMS}}}},
        {"experiments": [{"revs": [rev], "executor": executor}]},
        {"experiments": None},
    ]

    def answer(command: list[str], **kwargs: Any) -> CompletedProcess[str]:
        unknown = "workspace" in command
        shown = json.dumps(listed) if "show" in command else ""
        return CompletedProcess(command, 128 if unknown else 0, shown, "fatal: bad revision")

    monkeypatch.setattr(module.subprocess, "run", answer)
    rows = lines(table2(Experiments.read(), "drowsy_class"))
    assert (("fc", "one") in rows) == counts
    assert (("fc", state) in rows) != counts


def test_outside_a_checkout_the_error_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(
        ExperimentsError, match=r"git for-each-ref .*; allowed: a checkout"
    ) as error:
        Experiments.read()
    assert "\n" not in str(error.value)


def test_a_fresh_checkout_has_no_experiments_and_the_command_says_what_to_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(Project.fresh(tmp_path / "project").folder)
    done = CliRunner().invoke(app, ["table2"])
    assert done.exit_code == 0, done.output
    assert (tmp_path / "project/reports/table2.md").read_text().strip() == done.output.strip()
    assert lines(done.output)["temporal_fc", "not run"]
    assert "dvc queue start" in done.output


@pytest.mark.slow
def test_tables_are_filled_from_experiments_that_dvc_ran(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = Project.fresh(tmp_path / "project")
    project.run("dvc repro")
    project.run(
        "dvc exp run --queue -S finetune.task=drowsy_class -S 'finetune.mode=temporal_fc,fc'"
    )
    project.run("dvc exp run --queue -S 'split.rldd=fold1,fold3'")
    project.run("dvc queue start")
    project.await_queue()
    table = project.run("framemix table2")
    rows = lines(table)
    ours = {mode: row for (mode, by), row in rows.items() if by not in ("not run", "paper A")}
    assert {"temporal_fc", "fc"} <= ours.keys()
    project.run("echo >> README.md && git commit -qam 'of no code'")
    assert lines(project.run("framemix table2")) == lines(table)
    project.run("echo >> src/framemix/mixing/frames.py")
    assert ("fc", "not run") in lines(project.run("framemix table2"))
    project.run("git checkout src")
    shown = json.loads(project.run("dvc exp show --json --rev HEAD~"))[1]["experiments"]
    metrics = {
        run["revs"][0]["data"]["params"]["params.yaml"]["data"]["finetune"]["mode"]: run["revs"][0][
            "data"
        ]["metrics"]["reports/metrics.json"]["data"]["finetuned"]
        for run in shown
    }
    assert ours["fc"][2] == f"{100 * metrics['fc']['top1']:.1f}"
    pooled = [row for row in lines(project.run("framemix folds")).values() if "2 of 5" in row[0]]
    assert pooled[0][1] == "2"
