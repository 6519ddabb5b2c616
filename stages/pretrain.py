"""Trains a network on UCF101's mixed clips: `python -m stages.pretrain vivit|nonlocal`."""

from framemix.datasets.records import SplitVideo
from framemix.devices import resolve_device
from framemix.params import load_params
from framemix.scratch import scratch_root
from framemix.stage import argument, run_stage
from framemix.store import MixedStore
from framemix.tables import read_table
from framemix.training.pretrain import pretrain
from framemix.training.run import Machine
from stages.paths import MIXED, MODELS, UCF101_SPLIT


def main() -> None:
    model, params = argument(MODELS), load_params()
    settings = params.pretrain.vivit if model == "vivit" else params.pretrain.nonlocal_
    runtime = params.runtime
    scratch = scratch_root(runtime.scratch) / f"pretrain@{model}"
    pretrain(
        MixedStore(MIXED["ucf101"]),
        read_table(UCF101_SPLIT, SplitVideo),
        settings,
        seeds=params.seeds,
        target=MODELS[model],
        machine=Machine(
            device=resolve_device(runtime.device),
            devices=runtime.devices,
            num_nodes=runtime.num_nodes,
            workers=runtime.workers,
            resident=runtime.resident,
            scratch=scratch,
        ),
        views=params.evaluate.views,
    )


if __name__ == "__main__":
    run_stage(main)
