"""Trains a network on UCF101's mixed clips: `python -m stages.pretrain vivit|nonlocal`."""

from framemix.datasets.clips import Clip
from framemix.datasets.origin import read_origin
from framemix.jobs.terminal import print_text
from framemix.project.params import load_params
from framemix.project.paths import MIXED, MODELS, UCF101_ORIGIN, UCF101_SPLIT
from framemix.project.stage import arguments, run_stage
from framemix.store import MixedStore
from framemix.tables import read_table


def main() -> None:
    (model,), params = arguments(MODELS), load_params()
    # Imported here, because it takes seconds: a wrong argument or setting is reported before.
    from framemix.pretraining.pretrain import pretrain
    from stages.machine import machine_for

    metrics = pretrain(
        MixedStore(MIXED["ucf101"]),
        read_table(UCF101_SPLIT, Clip),
        params.pretrain.vivit if model == "vivit" else params.pretrain.nonlocal_,
        seeds=params.seeds,
        target=MODELS[model],
        machine=machine_for(f"pretrain@{model}", params.runtime),
        views=params.evaluate.views,
        origin=read_origin(UCF101_ORIGIN),
        scope=params.split.group_scope,
    )
    print_text(f"{MODELS[model]}: top-1 {metrics['top1']:.1%} of the val clips")


if __name__ == "__main__":
    run_stage(main)
