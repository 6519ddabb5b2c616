"""Trains and evaluates a network: `python -m stages.frame_mixup.train short linear-all 0`."""

from framemix.datasets.clips import Clip
from framemix.datasets.origin import read_origin
from framemix.datasets.reversals import partners
from framemix.frame_mixup.predictions import VideoPrediction
from framemix.project.params import load_params
from framemix.project.paths import STUDY_MIXED, STUDY_MODELS, STUDY_ORIGINS, STUDY_VIDEOS
from framemix.project.stage import arguments, run_stage
from framemix.store import MixedStore
from framemix.tables import read_table, write_table


def main() -> None:
    params = load_params()
    study = params.frame_mixup
    cells = dict.fromkeys([*study.cells, *study.long_cells])
    seeds = [str(seed) for seed in study.seeds + study.more_seeds]
    videos, cell, seed = arguments(STUDY_VIDEOS, cells, seeds)
    # Imported here, because it takes seconds: a wrong argument or setting is reported before.
    from framemix.frame_mixup.direction import evaluate_direction
    from framemix.models import load_model
    from framemix.pretraining.pretrain import pretrain
    from stages.machine import machine_for

    name = f"{videos}-{cell}-{seed}"
    target = STUDY_MODELS / name
    kept = [row for row in read_table(STUDY_VIDEOS[videos], Clip) if row.kept]
    store = MixedStore(STUDY_MIXED / videos / cell)
    machine = machine_for(f"frame_mixup_train@{name}", params.runtime)
    pretrain(
        store,
        kept,
        study.train,
        seeds=[int(seed)],
        target=target,
        machine=machine,
        origin=read_origin(STUDY_ORIGINS[videos]),
    )
    predictions = evaluate_direction(
        load_model(target / "model.safetensors"),
        store,
        kept,
        partners(study.reversed_classes),
        batch_size=study.train.batch_size,
        device=machine.device,
    )
    write_table(target / "predictions.csv", VideoPrediction, predictions)


if __name__ == "__main__":
    run_stage(main)
