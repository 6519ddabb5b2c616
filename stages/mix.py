"""Mixes the kept videos of a dataset into its store: `python -m stages.mix ucf101|rldd`."""

from framemix.datasets.records import Clip, Video
from framemix.datasets.sources import clip_sources, video_sources
from framemix.jobs.scratch import scratch_root
from framemix.jobs.terminal import say
from framemix.project.params import load_params
from framemix.project.stage import arguments, run_stage
from framemix.store.build import build_store
from framemix.tables import read_table
from stages.paths import MIXED, RLDD_CLIPS, RLDD_TABLE, VIDEOS


def main() -> None:
    (dataset,), params = arguments(MIXED), load_params()
    if dataset == "ucf101":
        sources = video_sources(read_table(VIDEOS, Video), params.data.ucf101)
    else:
        sources = clip_sources(read_table(RLDD_TABLE, Clip), RLDD_CLIPS)
    build_store(
        sources,
        MIXED[dataset],
        params.mix,
        scratch=scratch_root(params.runtime.scratch) / f"mix@{dataset}",
        cluster=params.runtime.cluster,
        limits=params.runtime.limits,
    )
    say(f"mixed {len(sources)} clips into {MIXED[dataset]}")


if __name__ == "__main__":
    run_stage(main)
