"""The report as pages without outside requests, and the card of each model."""

import base64
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

from framemix.datasets.splits import SplitSettings
from framemix.evaluation.evaluator import Evaluation
from framemix.evaluation.findings import Findings
from framemix.evaluation.tables import (
    NAMES,
    NONE,
    by_metric,
    classes_table,
    estimates_table,
    percent,
    result,
)
from framemix.finetuning.data import task_of
from framemix.jobs.atomic import write_text
from framemix.mixing import MixSettings
from framemix.models.config import FinetuneMode
from framemix.models.trained_on import TrainedOn
from framemix.text.markdown import Table
from framemix.text.names import literal, printable


@dataclass(frozen=True)
class Circumstances:
    """The split that the metrics are of, and the mode of a fine-tuned model."""

    split: SplitSettings
    mode: FinetuneMode | None = None


@dataclass(frozen=True)
class Table1:
    """Paper A's table 1 with our rows, and what it must be read with."""

    table: Table
    note: str


def write_page(
    path: Path,
    findings: Mapping[str, Findings],
    table1: Table1,
    settings: Mapping[str, str],
    *,
    subjects: Table | None = None,
) -> None:
    """Write a page of `findings` by model, with the pictures that lie beside it inside it.

    `subjects` are those of the fine-tuned model; a page of pretraining alone has none.
    """
    write_filled(
        path,
        "page.html.jinja",
        parts=[_part(name, found) for name, found in findings.items()],
        table1=table1,
        subjects=subjects,
        settings=settings,
        pictures=pictures_of(path.parent),
    )


def write_card(name: str, evaluation: Evaluation, circumstances: Circumstances, path: Path) -> None:
    """Write the model's card in Markdown: data, metrics, intended use and limits."""
    found = Findings.of(name, evaluation)
    write_filled(
        path,
        "card.md.jinja",
        part=_part(name, found),
        finetuned=evaluation.drivers is not None,
        settings=settings_of(evaluation, circumstances),
        metrics=by_metric(found.metrics, name),
        config=evaluation.model.config.model_dump(),
        subjects=len({driver.subject for driver in evaluation.drivers or []}),
    )


def settings_of(evaluation: Evaluation, circumstances: Circumstances) -> dict[str, str]:
    """Return the run's settings by the names of params.yaml."""
    split, mix = circumstances.split, MixSettings.model_validate(evaluation.model.mix)
    settings = {
        **described(evaluation.model.trained_on),
        **{f"mix.{key}": as_yaml(value) for key, value in mix.model_dump().items()},
        "evaluate.views": str(evaluation.views),
        "split.strategy": split.strategy,
        "split.group_scope": split.group_scope,
        "split.fold": f"{split.fold} of {split.folds}",
        "leak share": _share(evaluation.leak_share),
    }
    if circumstances.mode is None:
        return settings
    return {
        **settings,
        "split.rldd": split.rldd,
        "val clips seen in pretraining": _share(
            evaluation.own_metrics["val_seen_in_pretraining"].value
        ),
        "leak share, drivers": _share(evaluation.drivers_leak_share),
        "finetune.task": task_of(evaluation.model.classes),
        "finetune.mode": circumstances.mode,
    }


def as_yaml(value: Any) -> str:
    """Return a setting as params.yaml has it, in one line."""
    text = yaml.safe_dump(value, default_flow_style=True, sort_keys=False, width=math.inf)
    # Behind a text or a number YAML marks the document's end.
    return text.strip().removesuffix("...").strip()


def write_filled(
    path: Path, template: str, package: str = "framemix.evaluation", **content: Any
) -> None:
    """Write a template of `package`, which may use those of this one, filled with `content`."""
    environment = Environment(
        loader=ChoiceLoader([PackageLoader(package), PackageLoader("framemix.evaluation")]),
        autoescape=lambda name: bool(name and name.endswith("html.jinja")),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"literal": literal, "printable": printable}
    write_text(path, environment.get_template(template).render(content))


def _part(name: str, found: Findings) -> dict[str, Any]:
    """Return what page and card show of one model."""
    metrics = by_metric(found.metrics, name)
    return {
        "name": name,
        "title": NAMES[name],
        "caveat": found.caveat,
        "result": result(metrics),
        "chance": f"{percent(1 / len(found.classes))} %",
        "kept": found.kept,
        "recipe": {key: as_yaml(value) for key, value in found.training.items()},
        "estimates": estimates_table(metrics),
        "classes": classes_table(found.classes),
        "without_val": [row.class_name for row in found.classes if not row.clips],
    }


def described(trained_on: TrainedOn | None) -> dict[str, str]:
    """Return which videos a model was trained on, by its own record."""
    if trained_on is None:
        return {"trained on": "not recorded"}
    start = trained_on.start
    begun = {} if start is None else {"its first weights on": start.summary}
    return {"trained on": trained_on.summary, **begun}


def _share(fraction: float | None) -> str:
    return NONE if fraction is None else f"{percent(fraction)} %"


def pictures_of(folder: Path) -> dict[str, str]:
    """Return the pictures in a folder by their names, each as an address that holds it."""
    return {file.stem: _data_uri(file) for file in sorted(folder.glob("*.png"))}


def _data_uri(picture: Path) -> str:
    return f"data:image/png;base64,{base64.b64encode(picture.read_bytes()).decode('ascii')}"
