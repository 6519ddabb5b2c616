"""Writes the study's table, plot and metrics from all networks' predictions."""

from collections import defaultdict

from framemix.frame_mixup.cells import Videos, training_runs
from framemix.frame_mixup.predictions import VideoPrediction
from framemix.frame_mixup.report import CellPredictions, write_study
from framemix.jobs.terminal import print_text
from framemix.project.params import load_params
from framemix.project.paths import REPORTS, STUDY_MODELS
from framemix.project.stage import run_stage
from framemix.tables import read_table


def main() -> None:
    study = load_params().frame_mixup
    runs = training_runs(
        cells=study.cells,
        seeds=study.seeds,
        repeated_cells=study.repeated_cells,
        more_seeds=study.more_seeds,
        long_cells=study.long_cells,
    )
    predictions: dict[tuple[Videos, str], dict[int, list[VideoPrediction]]] = defaultdict(dict)
    for videos, cell, seed in runs:
        table = STUDY_MODELS / f"{videos}-{cell}-{seed}" / "predictions.csv"
        predictions[videos, cell][seed] = read_table(table, VideoPrediction)
    how = (study.mix.segments, study.mix.window)
    cells = [CellPredictions(*cell, *how, of) for cell, of in predictions.items()]
    write_study(cells, REPORTS)
    print_text((REPORTS / "table_b.md").read_text(encoding="utf-8"))


if __name__ == "__main__":
    run_stage(main)
