"""Tiny trained models and the reports on them, made once for all test processes of a session."""

import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch

from framemix.datasets.origin import Origin
from framemix.datasets.splits import SplitSettings
from framemix.evaluation.page import Circumstances
from framemix.evaluation.report import report_pretraining, write_report
from framemix.evaluation.settings import EvaluateSettings
from framemix.evaluation.tables import MetricRow
from framemix.finetuning.data import FinetuneData
from framemix.finetuning.finetune import finetune
from framemix.finetuning.settings import FinetuneSettings
from framemix.pretraining.pretrain import pretrain
from framemix.pretraining.settings import PretrainNonLocal, PretrainViViT
from tests.once import once
from tests.tiny_store import (
    FINETUNING,
    NONLOCAL,
    TRAINING,
    VARIANTS,
    VIVIT,
    finetune_data,
    machine,
)

CPU = torch.device("cpu")
VIEWS = 2
MODELS = ("vivit", "nonlocal")
PRETRAINED = Circumstances(
    SplitSettings(strategy="random", group_scope="class", folds=3, fold=0, seed=0, rldd="random")
)
FINETUNED = replace(PRETRAINED, mode="temporal_fc")
SETTINGS = EvaluateSettings(
    batch_size=4,
    views=VIEWS,
    pictured_clips=2,
    reversed_classes=[("Archery", "YoYo"), ("Grow", "Shrink")],
)
ORIGINS = (Origin(name="UCF-101", drawn=False), Origin(name="UTA-RLDD", drawn=False))


@dataclass(frozen=True)
class Reported:
    """The tiny data, the models trained on it, and the reports on them.

    `models` is like models/: two pretrained networks and a fine-tuned one. `pretraining` is the
    report as the stage report_pretraining leaves it, `reports` as evaluate does.
    """

    data: FinetuneData
    models: Path
    pretraining: Path
    reports: Path


@dataclass(frozen=True)
class Copies:
    """The models and the report of pretraining, copied for tests that write into them."""

    models: Path
    target: Path

    def evaluated(self, data: FinetuneData) -> Path:
        """Write the report on all models of `data`; return its folder."""
        write_evaluation(self.models, data, self.target)
        return self.target


def reported(temporary: pytest.TempPathFactory) -> Reported:
    """Return the models and reports that all tests only read; those that write copy them."""
    return once(temporary, report)


def report(temporary: pytest.TempPathFactory) -> Reported:
    """Train the models and write their reports."""
    folder = temporary.mktemp("report")
    made = Reported(
        data=finetune_data(folder / "data", **VARIANTS),
        models=folder / "models",
        pretraining=folder / "pretraining",
        reports=folder / "reports",
    )
    train_models(made.data, made.models)
    write_pretraining(made.models, made.data, made.pretraining)
    shutil.copytree(made.pretraining, made.reports)
    write_evaluation(made.models, made.data, made.reports)
    return made


def train_models(data: FinetuneData, folder: Path) -> None:
    """Train two networks and fine-tune the first, into a folder like models/."""
    here = machine(folder.parent / "scratch")
    for settings, name in (
        (PretrainViViT.model_validate({**TRAINING, "model": VIVIT}), "vivit"),
        (PretrainNonLocal.model_validate({**TRAINING, "model": NONLOCAL}), "nonlocal"),
    ):
        pretrain(
            data.ucf101,
            data.ucf101_split,
            settings,
            seeds=[0],
            target=folder / name,
            machine=here,
            views=VIEWS,
            origin=ORIGINS[0],
            scope="class",
        )
    start = {"start": str(folder / "vivit/model.safetensors")}
    tuning = {**TRAINING, **FINETUNING, **start, "mode": "temporal_fc"}
    finetune(
        data,
        FinetuneSettings.model_validate(tuning),
        seeds=[0],
        target=folder / "finetuned",
        machine=here,
        views=VIEWS,
        origins=ORIGINS,
        scope="class",
    )


def write_pretraining(models: Path, data: FinetuneData, target: Path) -> list[MetricRow]:
    return report_pretraining(
        {name: models / name for name in MODELS},
        data.ucf101,
        data.ucf101_split,
        PRETRAINED,
        SETTINGS,
        device=CPU,
        target=target,
    )


def write_evaluation(models: Path, data: FinetuneData, target: Path) -> list[MetricRow]:
    return write_report(
        {name: models / name for name in MODELS},
        models / "finetuned",
        data,
        FINETUNED,
        SETTINGS,
        device=CPU,
        target=target,
    )
