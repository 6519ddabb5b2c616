"""What users may rely on for videos of their own: names and lists as they come are understood."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from framemix.datasets.layouts.csv_file import CSV_FILE
from framemix.datasets.layouts.hmdb51 import hmdb51
from framemix.datasets.layouts.layout import Found, FoundVideos, find_videos
from framemix.datasets.layouts.registry import LABELLED
from framemix.errors import DatasetError
from tests.listing import listed
from tests.odd_videos import H264, write
from tests.tiny_model import write_video

SECOND = 10  # frames of a clip of one second


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clip of one second."""
    return write_video(tmp_path_factory.mktemp("clip") / "clip.mp4", SECOND)


def place(root: Path, clip: Path, *names: str) -> Path:
    """Put a clip under many names below a folder."""
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).hardlink_to(clip)
    return root


def find(root: Path) -> FoundVideos:
    return find_videos(LABELLED, root, "data")


def usable(found: Sequence[Found]) -> dict[str, tuple[str, str, str]]:
    """Label, group and subset of what could be a video."""
    return {one.video: (one.label, one.group, one.subset) for one in found if not one.reason}


def reasons(found: Sequence[Found]) -> dict[str, str]:
    return {one.video: one.reason for one in found if one.reason}


def refusal(root: Path) -> str:
    with pytest.raises(DatasetError) as caught:
        find(root)
    said = str(caught.value)
    assert "\n" not in said
    assert "allowed: " in said
    return said


# Folders


def test_folders_of_classes_enter_with_the_names_and_formats_that_people_have(
    clip: Path, tmp_path: Path
) -> None:
    root = place(tmp_path / "pets", clip, "cats/IMG_0011.MOV", "walk/clip (3).mp4", "walk/noname")
    write_video(root / "cats/xvid.AVI", SECOND)
    (root / "walk/a.b").mkdir()
    write(root / "walk/a.b/screen recording.webm", *["-c:v", "libvpx", "-cpu-used", "8"], frames=9)
    write(root / "cats/Ünïcode é.mkv", *H264, frames=8)
    (root / "cats/._IMG_0011.MOV").write_bytes(b"\x00\x05\x16\x07")
    (root / "cats/broken.mp4").write_bytes(clip.read_bytes()[:200])
    (root / "cats/labels.txt").write_text("about")
    (root / "cats/short.mp4").hardlink_to(write_video(tmp_path / "short.mp4", 3))
    rows = {row.video: row for row in listed(root, tmp_path / "s", *LABELLED, min_frames=8)}
    kept = {name: (row.class_name, row.frames) for name, row in rows.items() if row.kept}
    assert kept == {
        "cats/IMG_0011.MOV": ("cats", 10),
        "cats/xvid.AVI": ("cats", 10),
        "cats/Ünïcode é.mkv": ("cats", 8),
        "walk/a.b/screen recording.webm": ("walk", 9),
        "walk/clip (3).mp4": ("walk", 10),
        "walk/noname": ("walk", 10),
    }
    assert {name: row.reason for name, row in rows.items() if not row.kept} == {
        "cats/._IMG_0011.MOV": "macOS's note of another file, not a video",
        "cats/broken.mp4": rows["cats/broken.mp4"].reason,
        "cats/labels.txt": rows["cats/labels.txt"].reason,
        "cats/short.mp4": "3 frames, fewer than 8",
    }
    assert "cannot be decoded" in rows["cats/broken.mp4"].reason
    assert ".mp4" in rows["cats/labels.txt"].reason


def test_folders_of_subsets_may_be_called_as_people_call_them(clip: Path, tmp_path: Path) -> None:
    names = {"Training": "train", "VALID": "val", "validation": "val", "dev": "val", "Test": "test"}
    place(tmp_path, clip, *(f"{name}/Up/{i}.mp4" for i, name in enumerate(names)))
    found = usable(find(tmp_path))
    assert found == {
        f"{name}/Up/{i}.mp4": ("Up", "", subset) for i, (name, subset) in enumerate(names.items())
    }


def test_folders_of_subsets_without_classes_are_no_classes(clip: Path, tmp_path: Path) -> None:
    place(tmp_path, clip, "train/a.mp4", "val/b.mp4")
    (tmp_path / "annotations").mkdir()
    (tmp_path / "annotations/about.txt").touch()
    assert "no video of a class" in refusal(tmp_path)


def test_a_list_among_folders_of_classes_is_noticed(clip: Path, tmp_path: Path) -> None:
    place(tmp_path, clip, "walk/a.mp4")
    (tmp_path / "groups.csv").write_text("file,label,group\nwalk/a.mp4,walk,ann\n")
    (tmp_path / "notes.csv").write_text("a,b\n")
    (notice,) = find(tmp_path).notices
    assert "groups.csv" in notice
    assert usable(find(tmp_path / "groups.csv")) == {"walk/a.mp4": ("walk", "ann", "")}


def test_a_class_may_be_called_as_a_subset(clip: Path, tmp_path: Path) -> None:
    place(tmp_path, clip, "train/a.mp4", "bus/b.mp4")
    assert usable(find(tmp_path)) == {
        "train/a.mp4": ("train",) + ("",) * 2,
        "bus/b.mp4": ("bus", "", ""),
    }


def test_where_classes_by_the_first_and_the_last_folder_differ_both_are_counted(
    clip: Path, tmp_path: Path
) -> None:
    root = place(tmp_path / "deep", clip, *(f"walk/person{n}/{n}.mp4" for n in range(3)))
    place(root, clip, "run/person1/9.mp4")
    (notice,) = find(root).notices
    assert "2" in notice
    assert "3" in notice
    assert find(place(tmp_path / "flat", clip, "walk/1.mp4", "run/1.mp4")).notices == []


def test_ucf101s_names_say_the_groups(clip: Path, tmp_path: Path) -> None:
    root = place(tmp_path, clip, "Up/v_Up_g01_c01.avi", "Up/v_Up_g02_c01.avi")
    (root / "README.txt").touch()
    assert {found[1] for found in usable(find(root)).values()} == {"g01", "g02"}
    # One that is not named so has no group: then it is any folder of classes.
    place(root, clip, "Up/mine.mp4")
    assert len(usable(find(root))) == 3


# metadata.csv


def test_metadata_csv_says_more_than_folders(clip: Path, tmp_path: Path) -> None:
    place(tmp_path, clip, "videos/a.mp4", "videos/b.mp4", "videos/c.mp4")
    (tmp_path / "metadata.csv").write_text("file_name,label\nvideos/a.mp4,walk\nvideos/b.mp4,run\n")
    found = find(tmp_path)
    assert usable(found) == {"videos/a.mp4": ("walk", "", ""), "videos/b.mp4": ("run", "", "")}
    assert reasons(found) == {}
    assert ["videos/c.mp4" in notice for notice in found.notices] == [True]


def test_metadata_csv_may_lie_in_each_subsets_folder(clip: Path, tmp_path: Path) -> None:
    for side in ("train", "test"):
        place(tmp_path, clip, f"{side}/a.mp4")
        (tmp_path / side / "metadata.csv").write_text("file_name,label\na.mp4,walk\n")
    assert usable(find(tmp_path)) == {
        "train/a.mp4": ("walk", "", "train"),
        "test/a.mp4": ("walk", "", "test"),
    }


def test_a_metadata_csv_of_something_else_is_no_list_of_videos(clip: Path, tmp_path: Path) -> None:
    place(tmp_path, clip, "walk/a.mp4")
    (tmp_path / "metadata.csv").write_text("camera,owner\nx,y\n")
    assert usable(find(tmp_path)) == {"walk/a.mp4": ("walk", "", "")}


# CSV files


def test_a_csv_file_lists_videos_with_all_that_is_known_of_them(clip: Path, tmp_path: Path) -> None:
    place(tmp_path, clip, "a.mp4", "b/c, d.mp4", "left out.mp4")
    table = tmp_path / "labels.csv"
    lines = ["path,label,group,split,start,end,notes", "a.mp4,walk,ann,Training,0,0.5,x"]
    lines += ["a.mp4,run,ann,Training,0.5,,", '"b/c, d.mp4",walk,bob,dev,,,']
    lines += ["b\\c, d.mp4,run,bob,dev,,0.3,".replace("b\\c, d.mp4", '"b\\c, d.mp4"')]
    table.write_text("\n".join(lines))
    found = find(table)
    assert [(one.video, one.label, one.start, one.end) for one in found] == [
        ("a.mp4", "walk", 0.0, 0.5),
        ("a.mp4", "run", 0.5, None),
        ("b/c, d.mp4", "walk", None, None),
        ("b/c, d.mp4", "run", 0.0, 0.3),
    ]
    assert [(one.group, one.subset) for one in found] == [("ann", "train")] * 2 + [
        ("bob", "val")
    ] * 2
    assert reasons(found) == {}
    assert [": 1, left out.mp4 first" in line for line in found.notices] == [True]


@pytest.mark.parametrize("column", ["path", "File", "file_name", "filename", "VIDEO"])
@pytest.mark.parametrize("label", ["label", "Class"])
def test_columns_may_be_called_as_people_call_them(
    column: str, label: str, clip: Path, tmp_path: Path
) -> None:
    place(tmp_path, clip, "a.mp4")
    (tmp_path / "x.tsv").write_text(f"{label}\t{column}\nwalk\ta.mp4\n")
    assert usable(find(tmp_path / "x.tsv")) == {"a.mp4": ("walk", "", "")}


def test_paths_may_be_absolute_or_lead_out_of_the_folder(clip: Path, tmp_path: Path) -> None:
    place(tmp_path, clip, "videos/a.mp4", "lists/b.mp4", "else/c.mp4")
    table = tmp_path / "lists/labels.csv"
    paths = ["../videos/a.mp4", f"{tmp_path}/lists/b.mp4", f"{tmp_path}/else/c.mp4", "./b.mp4"]
    table.write_text("path,label\n" + "".join(f"{path},walk\n" for path in paths))
    found = find(table)
    assert [*usable(found)] == ["../videos/a.mp4", f"{tmp_path}/else/c.mp4", "b.mp4"]
    rows = listed(table, tmp_path / "s", *LABELLED, min_frames=8)
    assert [row.frames for row in rows if row.kept] == [SECOND] * 3


def test_what_a_list_names_and_cannot_be_used_is_a_row_with_a_reason(
    clip: Path, tmp_path: Path
) -> None:
    place(tmp_path, clip, "a.mp4", "d.mp4", "folder/b.mp4")
    names = ["a.mp4,walk", "a.mp4,run", "gone.mp4,walk", "folder,walk", "d.mp4,"]
    (tmp_path / "x.csv").write_text("\n".join(["path,label", *names]))
    found = find(tmp_path / "x.csv")
    assert usable(found) == {"a.mp4": ("walk", "", "")}
    assert sorted((one.video, one.reason) for one in found if one.reason) == [
        ("a.mp4", "is listed before, as walk"),
        ("d.mp4", "no label"),
        ("folder", "a folder, not a file"),
        ("gone.mp4", "cannot be read: No such file or directory"),
    ]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("path,label,split\na.mp4,walk,eval\n", ("x.csv:2", "'eval'", "validation")),
        ("path,label,start\n\na.mp4,walk,1m\n", ("x.csv:3", "'1m'", "seconds")),
        ("path,label,end\na.mp4,walk,-1\n", ("x.csv:2", "'-1'", "seconds")),
        ("path,label,end\na.mp4,walk,nan\n", ("x.csv:2", "'nan'", "seconds")),
        ("path,label\n,walk\n", ("x.csv:2", "path is empty")),
        ("path,label\na.mp4,walk, or run\n", ("x.csv:2", "3 cells", "quote")),
        ("name,label\na.mp4,walk\n", ("x.csv:1", "no column path", "name, label", "file_name")),
        ("a.mp4,walk\n", ("x.csv:1", "no column path")),
        ("path,file,label\na.mp4,b.mp4,walk\n", ("path and file",)),
        ('path,label\na.mp4,"walk\nb.mp4,run\n', ("x.csv:2", "quote")),
        ("", ("x.csv:1", "nothing")),
        ("path,label\n", ("no video of a class",)),
    ],
)
def test_a_list_that_cannot_be_meant_is_one_line_that_says_where(
    text: str, says: Sequence[str], clip: Path, tmp_path: Path
) -> None:
    place(tmp_path, clip, "a.mp4", "b.mp4")
    (tmp_path / "x.csv").write_text(text)
    said = refusal(tmp_path / "x.csv")
    assert [part for part in says if part not in said] == []


def test_a_list_in_another_encoding_is_reported_with_its_line(clip: Path, tmp_path: Path) -> None:
    place(tmp_path, clip, "a.mp4")
    (tmp_path / "x.csv").write_bytes("path,label\na.mp4,walk\nb.mp4,öffnen\n".encode("latin-1"))
    assert "x.csv:3" in refusal(tmp_path / "x.csv")


CELL = (
    st.text(
        st.characters(codec="utf-8", exclude_categories=("C", "Z")) | st.sampled_from(" ,;|'\""),
        min_size=1,
        max_size=12,
    )
    .map(str.strip)
    .filter(bool)
)


@settings(max_examples=60, deadline=None)
@given(
    labels=st.lists(st.tuples(CELL, CELL), min_size=1, max_size=4),
    delimiter=st.sampled_from(",;\t|"),
    line_end=st.sampled_from(["\n", "\r\n", "\r"]),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    spaces=st.sampled_from(["", " "]),
    decimal=st.sampled_from(".,"),
)
def test_all_dialects_of_csv_are_read_alike(
    labels: list[tuple[str, str]],
    delimiter: str,
    line_end: str,
    encoding: str,
    quoting: int,
    spaces: str,
    decimal: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    folder = tmp_path_factory.mktemp("dialect")
    text = io.StringIO()
    writer = csv.writer(text, delimiter=delimiter, lineterminator=line_end, quoting=quoting)  # type: ignore[call-overload]
    writer.writerow(["Label", f"{spaces}path", "Group", "start"])
    for number, (label, group) in enumerate(labels):
        (folder / f"{number}.mp4").touch()
        start = f"{number}{decimal}5"
        writer.writerow([label, f"{number}.mp4{spaces}", group, start])
    writer.writerow([])
    path = folder / "x.csv"
    path.write_bytes(text.getvalue().encode(encoding))
    found = [(one.video, one.label, one.group, one.start) for one in CSV_FILE.find(path)]
    assert found == [
        (f"{number}.mp4", label, group, number + 0.5)
        for number, (label, group) in enumerate(labels)
    ]


# MMAction2, HMDB51, Kinetics


def test_mmactions_lists_name_sides_and_classes(clip: Path, tmp_path: Path) -> None:
    place(tmp_path, clip, "videos/b c/1.mp4", "videos/2.mp4", "videos/3.mp4", "videos/4.mp4")
    (tmp_path / "k_train_list_videos.txt").write_text("b c/1.mp4 0\r\n2.mp4 1\r\n\r\n")
    (tmp_path / "k_val_list_videos.txt").write_text("3.mp4 1\ngone.mp4 0\n")
    (tmp_path / "k_train_list_rawframes.txt").write_text("2 40 1\n")
    assert {one.label for one in find(tmp_path)} == {"0", "1"}
    (tmp_path / "label_map_k.txt").write_text("jump rope\nwalk\n")
    found = find(tmp_path)
    assert usable(found) == {
        "videos/b c/1.mp4": ("jump rope", "", "train"),
        "videos/2.mp4": ("walk", "", "train"),
        "videos/3.mp4": ("walk", "", "val"),
    }
    assert reasons(found) == {"gone.mp4": "cannot be read: No such file or directory"}
    assert ["videos/4.mp4" in line for line in found.notices] == [True]
    (tmp_path / "classes.txt").write_text("1 rope\n2 walking\n")
    assert {one.label for one in find(tmp_path)} == {"rope", "walking"}


def test_one_list_of_mmaction_is_a_dataset(clip: Path, tmp_path: Path) -> None:
    place(tmp_path, clip, "1.mp4", "2.mp4")
    (tmp_path / "all.txt").write_text("1.mp4 0\n2.mp4 3\n")
    assert usable(find(tmp_path / "all.txt")) == {"1.mp4": ("0", "", ""), "2.mp4": ("3", "", "")}
    (tmp_path / "classes.txt").write_text("walk\nrun\n")
    assert "all.txt:2: label 3: allowed: 0 to 1" in refusal(tmp_path / "all.txt")
    (tmp_path / "all.txt").write_text("1.mp4 0\n2.mp4\n")
    assert "all.txt:2" in refusal(tmp_path / "all.txt")


def test_hmdb51_has_the_sides_of_its_lists_and_groups_by_source(clip: Path, tmp_path: Path) -> None:
    names = [f"film_{n}_wave_u_cm_np1_ba_med_{part}.avi" for n in range(2) for part in range(2)]
    place(tmp_path, clip, *(f"hmdb51_org/wave/{name}" for name in names))
    lists = tmp_path / "testTrainMulti_7030_splits"
    lists.mkdir()
    for split, sides in ((1, "1120"), (2, "2211")):
        lines = [f"{name} {side} " for name, side in zip(names, sides, strict=True)]
        text = "\n".join([*lines, f"gone_wave_u.avi {split}"])
        (lists / f"wave_test_split{split}.txt").write_text(text)
    found = find(tmp_path)
    folder = "hmdb51_org/wave"
    assert usable(found) == {
        f"{folder}/{names[0]}": ("wave", "film_0", "train"),
        f"{folder}/{names[1]}": ("wave", "film_0", "train"),
        f"{folder}/{names[2]}": ("wave", "film_1", "test"),
    }
    assert reasons(found) == {
        f"{folder}/{names[3]}": "not used in split 1",
        "wave/gone_wave_u.avi": "no such file",
    }
    second = find_videos([hmdb51(2)], tmp_path, "data")
    assert {one.subset for one in second if one.video.endswith(names[0])} == {"test"}
    (lists / "wave_test_split1.txt").write_text("a.avi 3\n")
    assert "wave_test_split1.txt:1" in refusal(tmp_path)


@pytest.mark.parametrize("below", ["", "walking the dog/"])
def test_kinetics_files_are_cut_already_and_grouped_by_their_youtube_video(
    below: str, clip: Path, tmp_path: Path
) -> None:
    place(tmp_path, clip, f"train/{below}-a_b-c1_000007_000017.mp4", "val/xyz_000000_000010.mkv")
    place(tmp_path, clip, "val/more_000000_000010.mp4")
    header = "label,youtube_id,time_start,time_end,split,is_cc\n"
    lines = '"walking the dog",-a_b-c1,7,17,train,0\nrun,gone,0,10,train,0\n'
    (tmp_path / "train.csv").write_text(header + lines)
    (tmp_path / "val.csv").write_text(f"{header}run,xyz,0,10,validate,0\n")
    found = find(tmp_path)
    assert usable(found) == {
        f"train/{below}-a_b-c1_000007_000017.mp4": ("walking the dog", "-a_b-c1", "train"),
        "val/xyz_000000_000010.mkv": ("run", "xyz", "val"),
    }
    assert {one.start for one in found} == {None}
    assert reasons(found) == {"gone_000000_000010.mp4": "no such file"}


# Which one it is


def test_lists_that_are_called_train_csv_are_not_always_something_something(
    clip: Path, tmp_path: Path
) -> None:
    """As Kaggle has UCF101."""
    place(tmp_path, clip, "train/v_Up_g01_c01.avi", "train/Up/a.avi", "val/Down/b.avi")
    (tmp_path / "train.csv").write_text("clip_name,clip_path,label\nv_Up_g01_c01,/train/x.avi,Up\n")
    assert set(usable(find(tmp_path))) == {"train/Up/a.avi", "val/Down/b.avi"}


def test_what_is_no_dataset_is_reported_with_what_is_there(clip: Path, tmp_path: Path) -> None:
    assert "nothing" in refusal(tmp_path)
    for number in range(3):
        (tmp_path / f"{number}.jpg").touch()
    place(tmp_path, clip, "a.mp4")
    said = refusal(tmp_path)
    assert "3 .jpg and 1 .mp4 files" in said
    assert all(layout.looks in said for layout in LABELLED)
    assert "a file that is no list" in refusal(tmp_path / "a.mp4")
