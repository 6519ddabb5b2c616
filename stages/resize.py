"""Cuts videos of drivers into clips of 320x240 and divides them into train and val."""

from pathlib import Path

from framemix.datasets.clips import Clip
from framemix.datasets.cutting import cut_clips
from framemix.datasets.files import require_hashable
from framemix.datasets.layouts.drivers import find_drivers
from framemix.datasets.layouts.layout import FoundVideos
from framemix.datasets.origin import origin_of
from framemix.datasets.splits import split_drivers, without_drowsy_val
from framemix.errors import NoVideosError
from framemix.jobs.terminal import print_text
from framemix.project.params import load_params
from framemix.project.paths import RLDD_CLIPS, RLDD_ORIGIN, RLDD_SPLIT, RLDD_TABLE
from framemix.project.stage import WITHOUT_DRIVERS, require_data, run_stage
from framemix.tables import write_json, write_table


def main() -> None:
    params, key = load_params(), "data.rldd"
    root = params.data.rldd
    require_data(root, key)
    require_hashable(root, key)
    found = _find(root, key)
    clips = cut_clips(
        found,
        root,
        RLDD_CLIPS,
        params.resize,
        params.runtime.execution("resize"),
    )
    # The task is not among the stage's params, because it decides no output. It is used here so
    # that a split that lacks clips for it is refused before mixing.
    split = split_drivers(clips, params.split, params.finetune.task)
    write_table(RLDD_TABLE, Clip, clips)
    write_table(RLDD_SPLIT, Clip, split)
    write_json(RLDD_ORIGIN, origin_of(root).model_dump())
    for notice in found.notices:
        print_text(notice)
    kept = sum(clip.kept for clip in clips)
    print_text(f"cut {kept} clips, rejected {len(clips) - kept} files or clips (see {RLDD_TABLE})")
    if unjudged := without_drowsy_val(clips, params.split):
        print_text(f"warning: {unjudged}")


def _find(root: Path, key: str) -> FoundVideos:
    try:
        return find_drivers(root, key)
    except NoVideosError as error:
        raise NoVideosError(f"{error}; {WITHOUT_DRIVERS}") from None


if __name__ == "__main__":
    run_stage(main)
