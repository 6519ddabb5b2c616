"""Lists users' own labelled videos and checks that they can be decoded."""

from framemix.datasets.clips import Clip
from framemix.datasets.intake import list_clips
from framemix.datasets.layouts.layout import find_videos
from framemix.datasets.layouts.registry import LABELLED
from framemix.datasets.named_groups import looks_like_parts, with_groups
from framemix.datasets.origin import origin_of
from framemix.datasets.summary import summary
from framemix.jobs.terminal import print_text
from framemix.project.params import load_params
from framemix.project.paths import YOUR_ORIGIN, YOUR_TABLE
from framemix.project.stage import require_data, run_stage
from framemix.tables import write_json, write_table


def main() -> None:
    params, key = load_params(), "your_videos.data"
    yours = params.your_videos
    require_data(yours.data, key)
    found = find_videos(LABELLED, yours.data, key)
    notices = list(found.notices)
    if yours.group_pattern is not None:
        found[:] = with_groups(found, yours.group_pattern, "your_videos.group_pattern")
    elif parts := looks_like_parts(found):
        notices.append(f"warning: {' and '.join(parts)} look like parts of one recording")
    clips = list_clips(
        found,
        yours.data,
        yours.videos,
        params.runtime.execution("your_videos_list"),
        keys=(key, "your_videos.videos"),
        label="list your videos",
        clip_seconds=yours.clip_seconds,
    )
    YOUR_TABLE.parent.mkdir(parents=True, exist_ok=True)
    write_table(YOUR_TABLE, Clip, clips)
    write_json(YOUR_ORIGIN, origin_of(yours.data).model_dump())
    print_text("\n".join([*notices, *summary(clips), f"all rows: {YOUR_TABLE}"]))


if __name__ == "__main__":
    run_stage(main)
