"""Cuts UTA-RLDD's videos into clips of 320x240 and divides them into train and val."""

from collections.abc import Sequence

from framemix.datasets.clips import Clip
from framemix.datasets.cutting import cut_clips
from framemix.datasets.files import require_hashable
from framemix.datasets.layouts.layout import find_videos
from framemix.datasets.layouts.rldd import RLDD
from framemix.datasets.splits import SplitSettings, split_drivers
from framemix.errors import DatasetError
from framemix.jobs.scratch import scratch_root
from framemix.jobs.terminal import say
from framemix.project.params import load_params
from framemix.project.stage import run_stage
from framemix.tables import write_table
from stages.paths import RLDD_CLIPS, RLDD_SPLIT, RLDD_TABLE


def main() -> None:
    params, key = load_params(), "data.rldd"
    root = params.data.rldd
    require_hashable(root, key)
    clips = cut_clips(
        find_videos([RLDD], root, key),
        root,
        RLDD_CLIPS,
        params.resize,
        scratch=scratch_root(params.runtime.scratch) / "resize",
        cluster=params.runtime.cluster,
        limits=params.runtime.limits,
    )
    split = split_drivers(clips, params.split)
    write_table(RLDD_TABLE, Clip, clips)
    write_table(RLDD_SPLIT, Clip, split)
    kept = sum(clip.kept for clip in clips)
    say(f"cut {kept} clips, rejected {len(clips) - kept} files or clips (see {RLDD_TABLE})")
    if unjudged := without_drowsy_val(clips, params.split):
        say(f"warning: {unjudged}")


def without_drowsy_val(clips: Sequence[Clip], split: SplitSettings) -> str | None:
    # What follows from a split without drowsy val clips, and which folds have some; else None.
    val = [row.class_name for row in split_drivers(clips, split) if row.subset == "val"]
    if "drowsy" in val:
        return None
    folds = [f"fold{number}" for number in range(1, 6)]
    by_folder = split.rldd in folds
    key, values = ("rldd", folds) if by_folder else ("fold", list(range(split.folds)))
    others = (split.model_copy(update={key: value}) for value in values)
    better = [str(getattr(other, key)) for other in others if _has_drowsy_val(clips, other)]
    chosen = f"split.rldd = {split.rldd}" + ("" if by_folder else f", split.fold = {split.fold}")
    stops = "" if val else "finetune stops where finetune.task = alert_drowsy or three_state; else "
    allowed = f"split.{key} = {' or '.join(better)}" if better else "another split.rldd"
    return (
        f"{chosen}: no {'drowsy clip' if val else 'clip of a driver'} in val: {stops}"
        f"drowsy_accuracy will be null; allowed: {allowed}"
    )


def _has_drowsy_val(clips: Sequence[Clip], split: SplitSettings) -> bool:
    try:
        rows = split_drivers(clips, split)
    except DatasetError:  # all are in val
        return False
    return any((row.class_name, row.subset) == ("drowsy", "val") for row in rows)


if __name__ == "__main__":
    run_stage(main)
