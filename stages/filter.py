"""Lists the videos of UCF101, or others, and keeps those with enough decoded frames."""

from collections import Counter

from framemix.datasets.clips import Clip, class_labels
from framemix.datasets.files import require_hashable
from framemix.datasets.intake import list_clips
from framemix.datasets.layouts.actions import find_actions
from framemix.datasets.origin import origin_of
from framemix.jobs.terminal import print_text
from framemix.project.params import load_params
from framemix.project.paths import UCF101_ORIGIN, VIDEOS
from framemix.project.stage import require_data, run_stage
from framemix.tables import write_json, write_table


def main() -> None:
    params, key = load_params(), "data.ucf101"
    root = params.data.ucf101
    require_data(root, key)
    require_hashable(root, key)
    found = find_actions(root, key)
    videos = list_clips(
        found,
        root,
        params.filter,
        params.runtime.execution("filter"),
        keys=(key, "filter"),
        label="filter videos",
    )
    VIDEOS.parent.mkdir(parents=True, exist_ok=True)
    write_table(VIDEOS, Clip, videos)
    write_json(UCF101_ORIGIN, origin_of(root).model_dump())
    kept = Counter(video.kept for video in videos)
    for notice in found.notices:
        print_text(notice)
    print_text(
        f"kept {kept[True]} videos of {len(class_labels(videos))} classes, "
        f"rejected {kept[False]} (see {VIDEOS})"
    )


if __name__ == "__main__":
    run_stage(main)
