"""Evaluates all trained models; writes tables, pictures and a page to reports/, and model cards."""

from pathlib import Path

from framemix.jobs.terminal import say
from framemix.project.params import load_params
from framemix.project.stage import run_stage
from stages.paths import FINETUNED, MIXED, MODELS, REPORTS, RLDD_SPLIT, SAMPLE, UCF101_SPLIT


def main() -> None:
    params = load_params()
    # Loaded only now: it takes seconds, and a wrong setting is reported at once.
    from framemix.devices import resolve_device
    from framemix.evaluation.page import Circumstances
    from framemix.evaluation.report import write_report
    from framemix.evaluation.tables import summary
    from framemix.finetuning.data import FinetuneData

    data = FinetuneData.read(MIXED["ucf101"], UCF101_SPLIT, MIXED["rldd"], RLDD_SPLIT)
    circumstances = Circumstances(
        split=params.split,
        mode=params.finetune.mode,
        ucf101=name_of(params.data.ucf101),
        rldd=name_of(params.data.rldd),
        sample=params.data.rldd.is_relative_to(SAMPLE),
    )
    figures = write_report(
        MODELS,
        FINETUNED,
        data,
        circumstances,
        params.evaluate,
        device=resolve_device(params.runtime.device),
        target=REPORTS,
    )
    say(summary(figures))
    say(f"all tables and pictures: {REPORTS}/index.html")


def name_of(folder: Path) -> str:
    # An output tells nothing of the machine that it was made on.
    return folder.name if folder.is_absolute() else folder.as_posix()


if __name__ == "__main__":
    run_stage(main)
