"""What users may rely on where groups are unknown: names say them, or warn of parts."""

import csv
from collections.abc import Sequence
from pathlib import Path

import pytest

from framemix.datasets.layouts.folders import FOLDERS
from framemix.datasets.layouts.layout import Found, find_videos
from framemix.datasets.named_groups import looks_like_parts, with_groups
from framemix.errors import DatasetError


def videos(*names: str, label: str = "walk") -> list[Found]:
    return [Found(name, label) for name in names]


@pytest.mark.parametrize(
    ("pattern", "groups"),
    [
        (r"person(\d+)", ["07", "12"]),
        (r"(?P<group>person\d+)_(\d)", ["person07", "person12"]),
        (r"/(\w+?)_", ["person07", "person12"]),
    ],
)
def test_a_pattern_finds_the_groups_in_paths(pattern: str, groups: list[str]) -> None:
    found = [*videos("walk/person07_1.avi", "run/person12_1.avi"), Found("x", reason="no video")]
    assert [one.group for one in with_groups(found, pattern, "key")] == [*groups, ""]


@pytest.mark.parametrize(
    ("pattern", "says"),
    [
        ("(person", "no regular expression"),
        ("person", "0 parts in brackets"),
        (r"(p)(\d)", "2 parts in brackets"),
        (r"person(\d+)", "no group in 1 of 2 paths, walk/me.avi first"),
        (r"(x?)", "no group in 2 of 2 paths"),
    ],
)
def test_a_pattern_that_finds_no_groups_is_one_line(pattern: str, says: str) -> None:
    with pytest.raises(DatasetError) as caught:
        with_groups(videos("walk/me.avi", "walk/person07.avi"), pattern, "split.pattern")
    assert f"split.pattern = {pattern!r}: " in str(caught.value)
    assert says in str(caught.value)


@pytest.mark.parametrize(
    "names",
    [
        ("walk_01.mp4", "walk_02.mp4"),
        ("rec3_part1.mp4", "rec3_part2.mp4"),
        ("IMG_0011.MOV", "IMG_0011 (2).MOV"),
        ("IMG_0011.MOV", "IMG_0011 copy.MOV"),
        ("video 3 - Copy.mp4", "video 3.mp4"),
        ("IMG_0011 (1).MOV", "IMG_0011.MOV", "a.MOV"),
        ("v_Up_g01_c01.avi", "v_Up_g01_c02.avi"),
        ("film_np1_ba_goo_0.avi", "film_np1_ba_goo_1.avi"),
        ("person04-1.avi", "Person04-2.avi"),
        ("cam2.pt1.mkv", "cam2.pt2.mkv"),
    ],
)
def test_names_that_differ_in_a_number_part_or_copy_look_like_parts(names: Sequence[str]) -> None:
    assert looks_like_parts(videos(*(f"walk/{name}" for name in names))) is not None


@pytest.mark.parametrize(
    "names",
    [
        ("IMG_0011.MOV", "IMG_0012.MOV"),
        ("VID_20240105_101500.mp4", "VID_20240105_111500.mp4"),
        ("2024-01-05.mp4", "2024-01-06.mp4"),
        ("PXL_20240105_1.mp4", "PXL_20240105_2.mp4"),
        ("video_001.mp4", "video_002.mp4"),
        ("clip (1).mp4", "clip (2).mp4"),
        ("fi001.mp4", "fi002.mp4"),
        ("1.mp4", "2.mp4"),
        (
            "Screen Recording 2024-01-05 at 10.11.12.mov",
            "Screen Recording 2024-01-05 at 10.11.13.mov",
        ),
        ("Abuse001_x264.mp4", "Abuse002_x264.mp4"),
        ("-a_b-c1_000007_000017.mp4", "xyz_000000_000010.mp4"),
        ("anna.mp4", "bob.mp4"),
        ("mp4", "mp3"),
    ],
)
def test_names_that_number_recordings_do_not(names: Sequence[str]) -> None:
    assert looks_like_parts(videos(*(f"walk/{name}" for name in names))) is None


def test_parts_are_looked_for_within_a_class_and_a_folder_of_unknown_groups() -> None:
    across = [Found("a/walk_01.mp4", "a"), Found("b/walk_02.mp4", "b")]
    assert looks_like_parts(across) is None
    assert looks_like_parts(videos("x/walk_01.mp4", "y/walk_02.mp4")) is None
    grouped = [Found(f"a/walk_0{n}.mp4", "a", group=f"{n}") for n in (1, 2)]
    assert looks_like_parts(grouped) is None


@pytest.mark.parametrize(
    ("name", "parts"), [("UCF-101", True), ("Weizmann", True), ("fights", False)]
)
def test_parts_are_recognised_by_real_names(name: str, parts: bool, shared: Path) -> None:
    """Fights were cut out of recordings, too, but their names do not say so."""
    found = find_videos([FOLDERS], shared / "data" / name, "data")
    assert (looks_like_parts(found) is not None) == parts


def test_the_full_list_of_ucf101_looks_like_parts_in_every_class(shared: Path) -> None:
    with (shared / "data/ucf101_frame_counts.csv").open(newline="") as file:
        names = [row["video"] for row in csv.DictReader(file)]
    classes: dict[str, list[Found]] = {}
    for name in names:
        label = name.split("_")[1]
        classes.setdefault(label, []).append(Found(f"{label}/{name}.avi", label))
    assert [label for label, found in classes.items() if not looks_like_parts(found)] == []
