"""Evaluates the pretrained networks: paper A's table 1, and their cards. Needs no drivers."""

from framemix.datasets.clips import Clip
from framemix.jobs.terminal import print_text
from framemix.project.params import load_params
from framemix.project.paths import MIXED, MODELS, REPORTS, UCF101_SPLIT
from framemix.project.stage import run_stage
from framemix.store import MixedStore
from framemix.tables import read_table


def main() -> None:
    params = load_params()
    # Loaded only now: it takes seconds, and a wrong setting is reported at once.
    from framemix.devices import resolve_device
    from framemix.evaluation.page import Circumstances
    from framemix.evaluation.report import report_pretraining
    from framemix.evaluation.tables import summary

    metrics = report_pretraining(
        MODELS,
        MixedStore(MIXED["ucf101"]),
        read_table(UCF101_SPLIT, Clip),
        Circumstances(params.split),
        params.evaluate,
        device=resolve_device(params.runtime.device),
        target=REPORTS,
    )
    print_text(summary(metrics))
    print_text(f"table 1 with pictures: {REPORTS}/pretraining.html")


if __name__ == "__main__":
    run_stage(main)
