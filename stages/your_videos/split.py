"""Divides users' own clips into train, val and, where the dataset has one, test."""

from framemix.datasets.clips import Clip
from framemix.jobs.terminal import print_text
from framemix.project.params import load_params
from framemix.project.paths import YOUR_SPLIT, YOUR_TABLE
from framemix.project.stage import run_stage
from framemix.tables import read_table, write_table
from framemix.your_videos.split import split_clips


def main() -> None:
    settings = load_params().your_videos.split
    rows, known = split_clips(read_table(YOUR_TABLE, Clip), settings)
    write_table(YOUR_SPLIT, Clip, rows)
    sides = ", ".join(f"{known[f'{side}_clips']} {side}" for side in ("train", "val", "test"))
    print_text(f"your_videos.split.by = {settings.by}: {sides} clips")
    for side in ("train", "val"):
        if without := known[f"classes_without_{side}"]:
            print_text(f"warning: no {side} clip of {', '.join(without)}")
    if known["leak_share"] is None:
        print_text(
            "warning: clips come without groups: parts of one recording may be on both sides"
        )
    elif known["leak_share"]:
        print_text(
            f"warning: the group of {known['leak_share']:.0%} of the held-out clips is in train"
        )


if __name__ == "__main__":
    run_stage(main)
