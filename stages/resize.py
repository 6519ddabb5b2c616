"""Cuts UTA-RLDD's videos into clips of 320x240 and divides them into train and val."""

from collections.abc import Sequence

from framemix.datasets.files import require_hashable
from framemix.datasets.records import Clip, SplitClip
from framemix.datasets.rldd import resize_clips
from framemix.datasets.splits import SplitSettings, split_clips
from framemix.errors import DatasetError
from framemix.jobs.scratch import scratch_root
from framemix.jobs.terminal import say
from framemix.project.params import load_params
from framemix.project.stage import run_stage
from framemix.tables import write_table
from stages.paths import RLDD_CLIPS, RLDD_SPLIT, RLDD_TABLE


def main() -> None:
    params = load_params()
    require_hashable(params.data.rldd, "data.rldd")
    clips = resize_clips(
        params.data.rldd,
        RLDD_CLIPS,
        params.resize,
        scratch=scratch_root(params.runtime.scratch) / "resize",
        cluster=params.runtime.cluster,
        limits=params.runtime.limits,
    )
    split = split_clips(clips, params.split)
    write_table(RLDD_TABLE, Clip, clips)
    write_table(RLDD_SPLIT, SplitClip, split)
    kept = sum(clip.kept for clip in clips)
    say(f"cut {kept} clips, rejected {len(clips) - kept} files or clips (see {RLDD_TABLE})")
    if unjudged := without_drowsy_val(clips, params.split):
        say(f"warning: {unjudged}")


def without_drowsy_val(clips: Sequence[Clip], split: SplitSettings) -> str | None:
    # What follows from a split without drowsy val clips, and which folds have some; else None.
    val = [row.state for row in split_clips(clips, split) if row.subset == "val"]
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
        rows = split_clips(clips, split)
    except DatasetError:  # all are in val
        return False
    return any((row.state, row.subset) == ("drowsy", "val") for row in rows)


if __name__ == "__main__":
    run_stage(main)
