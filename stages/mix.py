"""Mixes the kept videos of a dataset into its store: `python -m stages.mix ucf101|rldd`."""

from framemix.datasets.clips import STATES, Clip, DriverClip, class_labels
from framemix.jobs.terminal import print_text
from framemix.project.params import load_params
from framemix.project.paths import MIXED, RLDD_CLIPS, RLDD_TABLE, VIDEOS
from framemix.project.stage import arguments, run_stage
from framemix.store.build import build_store
from framemix.store.sources import sources_of
from framemix.tables import read_table


def main() -> None:
    (dataset,), params = arguments(MIXED), load_params()
    if dataset == "ucf101":
        clips = read_table(VIDEOS, Clip)
        sources = sources_of(clips, params.data.ucf101, class_labels(clips))
    else:
        labels = {state: label for label, state in enumerate(STATES.values())}
        sources = sources_of(read_table(RLDD_TABLE, DriverClip), RLDD_CLIPS, labels)
    build_store(
        sources,
        MIXED[dataset],
        params.mix,
        params.runtime.execution(f"mix@{dataset}"),
    )
    print_text(f"mixed {len(sources)} clips into {MIXED[dataset]}")


if __name__ == "__main__":
    run_stage(main)
