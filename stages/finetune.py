"""Fine-tunes the pretrained ViViT on UTA-RLDD's mixed clips."""

from framemix.devices import resolve_device
from framemix.params import load_params
from framemix.scratch import scratch_root
from framemix.stage import run_stage
from framemix.training.finetune import finetune
from framemix.training.finetune_data import FinetuneData
from framemix.training.run import Machine
from stages.paths import FINETUNED, MIXED, MODELS, RLDD_SPLIT, UCF101_SPLIT


def main() -> None:
    params = load_params()
    data = FinetuneData.read(MIXED["ucf101"], UCF101_SPLIT, MIXED["rldd"], RLDD_SPLIT)
    runtime = params.runtime
    scratch = scratch_root(runtime.scratch) / "finetune"
    finetune(
        MODELS["vivit"] / "model.safetensors",
        data,
        params.finetune,
        seeds=params.seeds,
        target=FINETUNED,
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
