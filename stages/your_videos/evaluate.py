"""Evaluates the model of users' own videos on held-out clips; writes its report and card."""

from framemix.datasets.clips import Clip
from framemix.jobs.terminal import print_text
from framemix.project.params import load_params
from framemix.project.paths import YOUR_METRICS, YOUR_MIXED, YOUR_MODEL, YOUR_REPORTS, YOUR_SPLIT
from framemix.project.stage import run_stage
from framemix.store import MixedStore
from framemix.tables import read_table


def main() -> None:
    params = load_params()
    # Imported here, because it takes seconds: a wrong setting is reported before.
    from framemix.devices import resolve_device
    from framemix.evaluation.tables import METRICS, in_words, shown
    from framemix.your_videos.report import write_report

    metrics = write_report(
        YOUR_MODEL,
        MixedStore(YOUR_MIXED),
        read_table(YOUR_SPLIT, Clip),
        params.your_videos.evaluate,
        device=resolve_device(params.runtime.device),
        target=YOUR_REPORTS,
        metrics=YOUR_METRICS,
    )
    for row in metrics:
        if row.clips is not None:
            name, _, unit = METRICS[row.metric].partition(",")
            value = f"{shown(row.metric, row.value)}{unit}"
            print_text(f"{name}: {value} of {row.clips} clips ({in_words(row)})")
    print_text(f"all tables and pictures: {YOUR_REPORTS}/index.html")


if __name__ == "__main__":
    run_stage(main)
