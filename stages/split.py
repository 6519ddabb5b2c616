"""Divides UCF101's kept videos into train and val."""

from framemix.datasets.records import SplitVideo, Video
from framemix.datasets.splits import split_videos
from framemix.params import load_params
from framemix.stage import run_stage
from framemix.tables import read_table, write_json, write_table
from stages.paths import UCF101_SPLIT, UCF101_SPLIT_FIGURES, VIDEOS


def main() -> None:
    params = load_params()
    videos = read_table(VIDEOS, Video)
    rows, figures = split_videos(videos, params.split, params.data.ucf101_lists)
    write_table(UCF101_SPLIT, SplitVideo, rows)
    write_json(UCF101_SPLIT_FIGURES, figures)
    for name, value in figures.items():
        print(f"{name}: {value}")


if __name__ == "__main__":
    run_stage(main)
