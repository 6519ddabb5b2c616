"""Divides UCF101's kept videos into train and val."""

from framemix.datasets.clips import Clip
from framemix.datasets.splits import split_videos
from framemix.jobs.terminal import print_text
from framemix.project.params import load_params
from framemix.project.paths import UCF101_SPLIT, UCF101_SPLIT_STATISTICS, VIDEOS
from framemix.project.stage import require_data, run_stage
from framemix.tables import read_table, write_json, write_table


def main() -> None:
    params = load_params()
    videos = read_table(VIDEOS, Clip)
    if params.split.strategy.startswith("official"):
        require_data(params.data.ucf101_lists, "data.ucf101_lists")
    rows, statistics = split_videos(videos, params.split, params.data.ucf101_lists)
    write_table(UCF101_SPLIT, Clip, rows)
    write_json(UCF101_SPLIT_STATISTICS, statistics)
    print_text(
        f"split.strategy = {params.split.strategy}: {statistics['train_clips']} train clips, "
        f"{statistics['val_clips']} val clips"
    )
    for subset in ("train", "val"):
        if without := statistics[f"classes_without_{subset}"]:
            print_text(f"warning: no {subset} clip of {without}")
    if statistics["leak_share"] is None:
        print_text(
            "warning: videos come without groups: parts of one recording may be on both sides"
        )
    elif leaks := statistics["leak_share"]:
        print_text(f"warning: {leaks:.0%} of the val clips have a sibling of their group in train")


if __name__ == "__main__":
    run_stage(main)
