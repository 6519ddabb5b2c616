"""Fine-tunes the pretrained ViViT, or another model, on UTA-RLDD's mixed clips."""

from framemix.datasets.origin import read_origin
from framemix.jobs.terminal import print_text
from framemix.project.params import load_params
from framemix.project.paths import (
    FINETUNED,
    MIXED,
    RLDD_ORIGIN,
    RLDD_SPLIT,
    UCF101_ORIGIN,
    UCF101_SPLIT,
)
from framemix.project.stage import run_stage


def main() -> None:
    params = load_params()
    # Imported here, because it takes seconds: a wrong setting is reported before.
    from framemix.finetuning.data import FinetuneData
    from framemix.finetuning.finetune import finetune
    from stages.machine import machine_for

    # What DVC has not made need not be there, and may be of another run.
    actions = params.finetune.needs == "ucf101"
    metrics = finetune(
        FinetuneData.read(
            (MIXED["ucf101"], UCF101_SPLIT) if actions else None, MIXED["rldd"], RLDD_SPLIT
        ),
        params.finetune,
        seeds=params.seeds,
        target=FINETUNED,
        machine=machine_for("finetune", params.runtime),
        views=params.evaluate.views,
        origins=(read_origin(UCF101_ORIGIN) if actions else None, read_origin(RLDD_ORIGIN)),
        scope=params.split.group_scope,
    )
    print_text(f"{FINETUNED}: top-1 {metrics['top1']:.1%} of the val clips")


if __name__ == "__main__":
    run_stage(main)
