"""Evaluates the fine-tuned model beside the pretrained ones; writes reports/ and the model card."""

from framemix.jobs.terminal import print_text
from framemix.project.params import load_params
from framemix.project.paths import FINETUNED, MIXED, MODELS, REPORTS, RLDD_SPLIT, UCF101_SPLIT
from framemix.project.stage import run_stage


def main() -> None:
    params = load_params()
    # Imported here, because it takes seconds: a wrong setting is reported before.
    from framemix.devices import resolve_device
    from framemix.evaluation.page import Circumstances
    from framemix.evaluation.report import write_report
    from framemix.evaluation.tables import summary
    from framemix.finetuning.data import FinetuneData

    data = FinetuneData.read((MIXED["ucf101"], UCF101_SPLIT), MIXED["rldd"], RLDD_SPLIT)
    metrics = write_report(
        MODELS,
        FINETUNED,
        data,
        Circumstances(params.split, params.finetune.mode),
        params.evaluate,
        device=resolve_device(params.runtime.device),
        target=REPORTS,
    )
    print_text(summary(metrics))
    print_text(f"all tables and pictures: {REPORTS}/index.html")


if __name__ == "__main__":
    run_stage(main)
