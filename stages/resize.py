"""Cuts UTA-RLDD's videos into clips of 320x240 and divides them into train and val."""

from framemix.datasets.files import require_hashable
from framemix.datasets.records import Clip, SplitClip
from framemix.datasets.rldd import resize_clips
from framemix.datasets.splits import split_clips
from framemix.params import load_params
from framemix.scratch import scratch_root
from framemix.stage import run_stage
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
    print(f"cut {kept} clips, rejected {len(clips) - kept} files or clips (see {RLDD_TABLE})")
    if not any(row.state == "drowsy" and row.subset == "val" for row in split):
        print(
            f"warning: split.rldd = {params.split.rldd}, split.fold = {params.split.fold}: no "
            f"drowsy clip in val, so drowsy_accuracy will be null; allowed: a fold with subjects"
        )


if __name__ == "__main__":
    run_stage(main)
