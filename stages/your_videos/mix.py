"""Mixes users' own clips into their store."""

from framemix.datasets.clips import Clip, class_labels
from framemix.jobs.terminal import print_text
from framemix.project.params import load_params
from framemix.project.paths import YOUR_MIXED, YOUR_TABLE
from framemix.project.stage import run_stage
from framemix.store.build import build_store
from framemix.store.sources import sources_of
from framemix.tables import read_table


def main() -> None:
    params = load_params()
    yours = params.your_videos
    clips = read_table(YOUR_TABLE, Clip)
    sources = sources_of(clips, yours.data, class_labels(clips))
    build_store(
        sources,
        YOUR_MIXED,
        yours.mix,
        params.runtime.execution("your_videos_mix"),
    )
    print_text(f"mixed {len(sources)} clips into {YOUR_MIXED}")


if __name__ == "__main__":
    run_stage(main)
