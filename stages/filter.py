"""Lists UCF101's videos and keeps those of enough decoded frames."""

from collections import Counter

from framemix.datasets.files import require_hashable
from framemix.datasets.records import Video, class_labels
from framemix.datasets.ucf101 import filter_videos
from framemix.jobs.scratch import scratch_root
from framemix.jobs.terminal import say
from framemix.project.params import load_params
from framemix.project.stage import run_stage
from framemix.tables import write_table
from stages.paths import VIDEOS


def main() -> None:
    params = load_params()
    require_hashable(params.data.ucf101, "data.ucf101")
    videos = filter_videos(
        params.data.ucf101,
        params.filter,
        scratch=scratch_root(params.runtime.scratch) / "filter",
        cluster=params.runtime.cluster,
        limits=params.runtime.limits,
    )
    VIDEOS.parent.mkdir(parents=True, exist_ok=True)
    write_table(VIDEOS, Video, videos)
    kept = Counter(video.kept for video in videos)
    say(
        f"kept {kept[True]} videos of {len(class_labels(videos))} classes, "
        f"rejected {kept[False]} (see {VIDEOS})"
    )


if __name__ == "__main__":
    run_stage(main)
