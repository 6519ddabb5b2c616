"""Tables over DVC's experiments: paper A's four modes, and UTA-RLDD's five folds pooled.

An experiment of any commit counts when the code that decides outputs, and all its settings but the
compared one, are the current ones; `runtime`, and the settings of `evaluate` other than `views`,
change no metric. The workspace itself does not count: its settings may be newer than its metrics.
"""

import json
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any, get_args

import dvc.api

from framemix.datasets.splits import FOLDS
from framemix.errors import ExperimentsError
from framemix.evaluation.tables import (
    METRICS,
    NONE,
    OF_VAL,
    PAPER_LEAK,
    MetricRow,
    by_metric,
    interval,
    over_seeds,
    percent,
    shown,
    value_of,
)
from framemix.finetuning.task import Task
from framemix.metrics.drowsiness import DriverPrediction, drowsiness_estimates
from framemix.metrics.intervals import Estimate
from framemix.models.config import PaperMode
from framemix.models.trained_on import kept_by
from framemix.project.paths import DRIVERS, ESTIMATES, METRICS_FILE, SAMPLE
from framemix.tables import RowType, parse_table
from framemix.text.markdown import Table

# Paper A, table 2: val and drowsy accuracy in %; trainable parameters with a head of 100 classes.
PAPER_TABLE_2 = {
    "all": ("94.91", "98.6", "125,690,724"),
    "spatial_temporal_fc": ("94.84", "98.6", "75,702,372"),
    "temporal_fc": ("95.43", "100", "37,903,460"),
    "fc": ("94.58", "92.0", "104,548"),
}
DRIVER_METRICS = [metric for metric in METRICS if metric not in OF_VAL]
MODES = get_args(PaperMode)
# Sections of params.yaml that change no metric of a fine-tuned model, except evaluate.views.
OF_NO_MODEL = ("runtime", "evaluate", "frame_mixup")
POOLED = (
    "Pooled AUROC and sensitivity rank clips of different folds by scores of different models. "
    "Where one model scores higher than another whatever the clip, that moves them, mostly down. "
    "Accuracies rank nothing."
)
# DVC's reference of an experiment: the commit that it started from, then its name.
REFERENCE = re.compile(r"refs/exps/([0-9a-f]{2})/([0-9a-f]{38})/.+")
# The code among the deps in dvc.yaml.
CODE = re.compile(r"^ *- ((?:src|stages)/\S+)", re.M)


@dataclass(frozen=True)
class Experiment:
    """An experiment of DVC; it has no metrics until it has run, and `state` is the reason.

    `same_code` is whether the code that decides outputs is the current one.
    """

    name: str
    revision: str
    params: Mapping[str, Any]
    has_metrics: bool
    state: str
    same_code: bool


@dataclass(frozen=True)
class Experiments:
    """The params of the workspace, and DVC's experiments, the latest first."""

    params: Mapping[str, Any]
    known: Sequence[Experiment]

    @classmethod
    def read(cls) -> "Experiments":
        """Read the experiments of all commits from `dvc exp show`. Raises ExperimentsError."""
        references = _run("git", "for-each-ref", "--format=%(refname)", "refs/exps").split()
        commits = {
            "".join(found.groups()) for found in map(REFERENCE.fullmatch, references) if found
        }
        revisions = [f"--rev={commit}" for commit in ("HEAD", *sorted(commits))]
        shown = _run(sys.executable, "-m", "dvc", "exp", "show", "--json", *revisions)
        workspace, *baselines = json.loads(shown)
        return cls(
            params=_params(workspace["data"]),
            known=[_experiment(e) for commit in baselines for e in commit["experiments"] or []],
        )

    def by(self, section: str, key: str, **fixed: Any) -> dict[str, Experiment]:
        """Return one experiment per value of `section`.`key`, with all other settings as here.

        `fixed` replaces other keys of that section. Experiments with metrics are preferred.
        """
        found: dict[str, Experiment] = {}
        for experiment in sorted(
            self._alike(section, key, fixed), key=lambda one: not one.has_metrics
        ):
            if experiment.same_code:
                found.setdefault(experiment.params[section][key], experiment)
        return found

    def of_other_code(self, section: str, key: str, **fixed: Any) -> list[str]:
        """Return the names of experiments that `by` leaves out only because of their code."""
        alike = self._alike(section, key, fixed)
        return sorted(experiment.name for experiment in alike if not experiment.same_code)

    def _alike(self, section: str, key: str, fixed: Mapping[str, Any]) -> Iterator[Experiment]:
        here = {**self.params, section: {**self.params[section], **fixed}}
        for experiment in self.known:
            if _without(experiment.params, section, key) == _without(here, section, key):
                yield experiment


def table2(experiments: Experiments, task: Task) -> str:
    """Return paper A's table 2 in Markdown: each mode's experiment above the paper's row.

    For modes without metrics, the commands that run them follow.
    """
    found = experiments.by("finetune", "mode", task=task)
    table = Table(
        columns=[
            "trained",
            "by",
            "val top-1, %",
            "95 % interval",
            "over seeds",
            "leak share, %",
            "seen in pretraining, %",
            "drowsy accuracy, %",
            "95 % interval",
            "leak share of drivers, %",
            "drowsy or alert: AUROC",
            "trained parameters",
        ],
        rows=[line for mode in MODES for line in _table2_lines(mode, found.get(mode))],
    )
    missing = [mode for mode in MODES if mode not in found]
    others = experiments.of_other_code("finetune", "mode", task=task)
    paragraphs = [
        f"# Table 2: fine-tuning, task {task}",
        table.markdown(),
        "The paper's rows are of UCF101's 99 classes and drowsy drivers as one more, whatever is "
        "learnt here from whatever videos. "
        "Its val accuracy is what a random split drawn again before fine-tuning would give: with "
        "four fifths of the val clips learnt in pretraining, 0.8 x 100 % + 0.2 x 77.8 % are "
        "95.6 %. Drowsy accuracy counts no false alarm; the AUROC beside it weighs drowsy clips "
        f"against alert ones. {kept_by(experiments.params['finetune']['select'])}",
        *_how_to_fill(
            [f"finetune.task={task}", f"'finetune.mode={','.join(missing)}'"],
            missing,
            others,
            experiments.params["data"],
        ),
    ]
    return "\n\n".join(paragraphs) + "\n"


def folds_table(experiments: Experiments) -> str:
    """Return a table of UTA-RLDD's own folds in Markdown, and of all folds pooled.

    The drivers of each fold are predicted by a model that never saw them; pooled, every subject
    counts once. Pooled AUROC and sensitivity compare scores of different models.
    """
    found = {fold: e for fold, e in experiments.by("split", "rldd").items() if fold in FOLDS}
    drivers = {
        fold: _read(e, DRIVERS, DriverPrediction)
        for fold, e in sorted(found.items())
        if e.has_metrics
    }
    pooled = [driver for fold in drivers.values() for driver in fold]
    metrics = {**drivers, f"pooled, {len(drivers)} of {len(FOLDS)}": pooled}
    table = Table(
        columns=[
            "split.rldd",
            "subjects",
            "clips",
            *(METRICS[metric] for metric in DRIVER_METRICS),
        ],
        rows=[_fold_line(name, metrics[name]) for name in metrics if metrics[name]],
    )
    missing = [fold for fold in FOLDS if fold not in found]
    others = experiments.of_other_code("split", "rldd")
    waiting = [fold for fold, experiment in found.items() if not experiment.has_metrics]
    paragraphs = [
        f"# UTA-RLDD's folds, task {experiments.params['finetune']['task']}, "
        f"mode {experiments.params['finetune']['mode']}",
        table.markdown() if pooled else "No fold has metrics yet.",
        *([kept_by(experiments.params["finetune"]["select"])] if pooled else []),
        *([POOLED] if len(drivers) > 1 else []),
        *([f"Not run to their end: {', '.join(sorted(waiting))}."] if waiting else []),
        *_how_to_fill(
            [f"'split.rldd={','.join(missing)}'"], missing, others, experiments.params["data"]
        ),
    ]
    return "\n\n".join(paragraphs) + "\n"


def _table2_lines(mode: str, experiment: Experiment | None) -> list[list[str]]:
    val, drowsy, parameters = PAPER_TABLE_2[mode]
    return [
        [mode, *_cells_of(experiment)],
        [mode, "paper A", val, NONE, NONE, PAPER_LEAK, NONE, drowsy, NONE, NONE, NONE, parameters],
    ]


def _cells_of(experiment: Experiment | None) -> list[str]:
    if experiment is None or not experiment.has_metrics:
        state = experiment.state if experiment else "not run"
        return [state, *[NONE] * 10]
    metrics = by_metric(_read(experiment, ESTIMATES, MetricRow), "finetuned")
    top1 = metrics["top1"]
    drowsy, auroc = metrics.get("drowsy_accuracy"), metrics.get("drowsy_vs_alert_auroc")
    return [
        experiment.name,
        percent(top1.value),
        interval(top1),
        over_seeds(top1),
        percent(value_of(metrics, "leak_share")),
        percent(value_of(metrics, "val_seen_in_pretraining")),
        percent(drowsy.value) if drowsy else NONE,
        interval(drowsy) if drowsy else NONE,
        percent(value_of(metrics, "drivers_leak_share")),
        shown(auroc.metric, auroc.value) if auroc else NONE,
        f"{metrics['trainable_parameters'].value:,.0f}",
    ]


def _fold_line(name: str, drivers: Sequence[DriverPrediction]) -> list[str]:
    estimates = {estimate.metric: estimate for estimate in drowsiness_estimates(drivers)}
    subjects = len({driver.subject for driver in drivers})
    cells = [_cell(estimates.get(metric)) for metric in DRIVER_METRICS]
    return [name, str(subjects), str(len(drivers)), *cells]


def _cell(estimate: Estimate | None) -> str:
    if estimate is None:
        return NONE
    value = shown(estimate.metric, estimate.value)
    return f"{value} ({interval(estimate)})" if estimate.interval else value


def _how_to_fill(
    changes: Sequence[str],
    missing: Sequence[str],
    others: Sequence[str],
    data: Mapping[str, str],
) -> list[str]:
    if not missing:
        return []
    stale = f"With other code than is here now: {', '.join(others)}. " if others else ""
    # One change per line, so that all can be read and copied on a narrow terminal.
    run = " \\\n  ".join(["dvc exp run --queue", *(f"-S {change}" for change in changes)])
    commands = f"{run}\ndvc queue start"
    return [
        f"Without an experiment at the settings of params.yaml: {', '.join(missing)}. {stale}"
        f"To run them:\n\n```sh\n{commands}\n```",
        f"They run in copies of what Git and DVC track: paths in params.yaml's `data` must be "
        f"absolute, but for the sample's.{_left_behind(data)}",
    ]


def _left_behind(data: Mapping[str, str]) -> str:
    """Return a sentence on data with relative paths; most splits do not use the lists."""
    relative = [
        f"data.{key} = {path}"
        for key, path in data.items()
        if key != "ucf101_lists"
        and not Path(path).is_absolute()
        and not Path(path).is_relative_to(SAMPLE)
    ]
    return f" Not absolute yet: {', '.join(relative)}." if relative else ""


def _read(experiment: Experiment, file: Path, row_type: type[RowType]) -> list[RowType]:
    """Return a table of the pipeline in the version of the experiment."""
    text = dvc.api.read(str(file), rev=experiment.revision)
    return parse_table(StringIO(text), file, row_type)


def _experiment(entry: Mapping[str, Any]) -> Experiment:
    latest, executor = entry["revs"][0], entry["executor"]
    data, state = latest["data"] or {}, executor["state"] if executor else "success"
    # DVC shows a running experiment with the metrics of the commit that it started from.
    files = data.get("metrics", {}) if state == "success" else {}
    return Experiment(
        name=latest["name"] or latest["rev"][:7],
        revision=latest["rev"],
        params=_params(data),
        has_metrics=bool(files.get(str(METRICS_FILE), {}).get("data")),
        state="no metrics" if state == "success" else state,
        same_code=_same_code(latest["rev"]),
    )


def _same_code(revision: str) -> bool:
    """Return whether the code among the deps of dvc.yaml is the same here as in a revision."""
    if revision == "workspace":  # an experiment that `dvc exp run` is running here
        return True
    code = set(CODE.findall(Path("dvc.yaml").read_text(encoding="utf-8")))
    return not _run("git", "diff", "--name-only", revision, "--", *code)


def _run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        reason = done.stderr.strip().splitlines()[-1:] or ["no reason given"]
        shown = " ".join(command[:3]) if command[0] == "git" else "dvc exp show"
        raise ExperimentsError(f"{shown}: {reason[0]}; allowed: a checkout of framemix")
    return done.stdout


def _params(data: Mapping[str, Any]) -> dict[str, Any]:
    params: dict[str, Any] = data.get("params", {}).get("params.yaml", {}).get("data", {})
    return params


def _without(params: Mapping[str, Any], section: str, key: str) -> dict[str, Any]:
    rest = {k: v for k, v in params.items() if k not in OF_NO_MODEL}
    rest["evaluate"] = {"views": params.get("evaluate", {}).get("views")}
    return {**rest, section: {k: v for k, v in rest.get(section, {}).items() if k != key}}
