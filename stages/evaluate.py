"""Evaluates all trained models and writes tables, curves and pictures to reports/."""

import json

from framemix.devices import resolve_device
from framemix.evaluation.report import write_report
from framemix.params import load_params
from framemix.stage import run_stage
from framemix.training.finetune_data import FinetuneData
from stages.paths import (
    FINETUNED,
    MIXED,
    MODELS,
    REPORTS,
    RLDD_SPLIT,
    UCF101_SPLIT,
    UCF101_SPLIT_FIGURES,
)


def main() -> None:
    params = load_params()
    data = FinetuneData.read(MIXED["ucf101"], UCF101_SPLIT, MIXED["rldd"], RLDD_SPLIT)
    metrics = write_report(
        MODELS,
        FINETUNED,
        data,
        json.loads(UCF101_SPLIT_FIGURES.read_text())["leak_share"],
        params.evaluate,
        device=resolve_device(params.runtime.device),
        target=REPORTS,
    )
    print(json.dumps(metrics, indent=2))


if __name__ == "__main__":
    run_stage(main)
