"""What users may rely on when they ask whether their datasets are whole."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from framemix.cli import app
from framemix.datasets.clips import STATES, Clip
from framemix.jobs.isolation import Limits
from framemix.project.amounts import Places
from framemix.project.doctor import (
    Finding,
    examine,
    examine_disk,
    examine_rldd,
    examine_splits,
    examine_ucf101,
    examine_weights,
)
from framemix.project.params import parse_params
from framemix.tables import write_table
from tests.bad_videos import encode
from tests.tiny_store import mix_settings

ROOT = Path(__file__).resolve().parents[1]
VIDEOS = ["Archery/v_Archery_g01_c01.avi", "HandstandPushups/v_HandStandPushups_g01_c01.avi"]
LIMITS = Limits(seconds=60, memory_mb=1024)
# Loaded by every Python process: PyAV opens files named after a misbehaviour by misbehaving.
SITECUSTOMIZE = """
import os, time, av

def open_(file, *args, open=av.open, **kwargs):
    if file.endswith("/10.avi"):
        os.abort()
    if file.endswith("/5.avi"):
        time.sleep(60)
    return open(file, *args, **kwargs)

av.open = open_
"""


def bad_lines(findings: list[Finding]) -> list[str]:
    return [finding.line for finding in findings if not finding.well]


@pytest.fixture
def lists(tmp_path: Path) -> Path:
    """UCF101's first split as its authors write it, of two videos."""
    folder = tmp_path / "lists"
    folder.mkdir()
    (folder / "trainlist01.txt").write_text(f"{VIDEOS[0]} 3\r\n")
    (folder / "testlist01.txt").write_text(f"{VIDEOS[1].replace('tandP', 'tandp')}\r\n")
    return folder


@pytest.fixture
def ucf101(tmp_path: Path) -> Path:
    for name in VIDEOS:
        encode(tmp_path / "ucf101" / name)
    (tmp_path / "ucf101/README.md").touch()
    return tmp_path / "ucf101"


@pytest.mark.parametrize("limits", [None, LIMITS])
def test_a_whole_ucf101_is_well(ucf101, lists, limits):
    (finding,) = examine_ucf101(ucf101, lists, limits)
    assert finding.well
    assert finding.line.startswith("UCF101: 2 of 2 videos; 2 ")


def test_what_macos_leaves_beside_files_is_neither_a_video_nor_in_the_way(ucf101, lists, tmp_path):
    for name in VIDEOS:
        (ucf101 / name).with_name(f"._{Path(name).name}").touch()
    assert bad_lines(list(examine_ucf101(ucf101, lists, None))) == []
    encode(tmp_path / "rldd/Fold1_part1/01/10.mov", format="mov")
    (tmp_path / "rldd/Fold1_part1/01/._10.mov").touch()
    first, *lacking = examine_rldd(tmp_path / "rldd", None)
    assert first.line.startswith("UTA-RLDD: 1 of 180 videos; 1 ")
    assert all("subjects that lack" in finding.line for finding in lacking)


def test_missing_extra_and_unreadable_files_are_named_with_what_to_do(ucf101, lists):
    (ucf101 / VIDEOS[0]).write_text("no video")
    (ucf101 / VIDEOS[1]).rename(ucf101 / "HandstandPushups/copy of it.avi")
    lines = bad_lines(list(examine_ucf101(ucf101, lists, None)))
    says = "is no AVI, MP4, MOV, MKV, WebM, WMV, MPEG, TS, FLV, Ogg or GIF file"
    assert lines[1] == f"{ucf101 / VIDEOS[0]}: {says}; get it again"
    assert f"missing 1: {VIDEOS[1].lower()}; get them at https://" in lines[2]
    assert "not UCF101's: 1: HandstandPushups/copy of it.avi; move them away" in lines[3]


def test_another_dataset_in_ucf101s_layout_is_well_where_no_official_split_is_asked_for(
    tmp_path, lists
):
    root = tmp_path / "ours"
    encode(root / "Walk/v_Walk_g01_c01.avi")
    (finding,) = examine_ucf101(root, lists, None, lists_needed=False)
    assert finding.well
    assert finding.line.startswith("data.ucf101: 1 videos, none of UCF101's; 1 ")
    assert bad_lines(list(examine_ucf101(root, lists, None)))


def test_ucf101_in_a_folder_of_its_own_below_data_ucf101_is_found_missing(ucf101, lists):
    lines = bad_lines(list(examine_ucf101(ucf101.parent, lists, None, lists_needed=False)))
    assert lines[0].startswith("UCF101: missing 2: ")
    assert f"ucf101/{VIDEOS[0]}, ucf101/{VIDEOS[1]}" in lines[1]


def test_a_video_that_is_damaged_inside_is_found_by_decoding_it(ucf101, lists):
    content = (ucf101 / VIDEOS[0]).read_bytes()
    (ucf101 / VIDEOS[0]).write_bytes(content[: content.index(b"movi") + 4])
    assert bad_lines(list(examine_ucf101(ucf101, lists, None))) == []
    assert any(VIDEOS[0] in line for line in bad_lines(list(examine_ucf101(ucf101, lists, LIMITS))))


def test_files_that_crash_or_hang_the_decoder_are_findings_like_others(tmp_path, monkeypatch):
    for state in (0, 5, 10):
        encode(tmp_path / f"root/Fold1_part1/01/{state}.avi")
    (tmp_path / "sitecustomize.py").write_text(SITECUSTOMIZE)
    monkeypatch.syspath_prepend(tmp_path)
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    params["data"]["rldd"] = str(tmp_path / "root")
    params["runtime"]["decode_timeout"] = 0.1
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params))
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(app, ["doctor", "--decode"])
    assert done.exit_code == 1
    for line in (
        "UTA-RLDD: 3 of 180 videos; 1 decoded to their end",
        "10.avi: the decoder crashed (SIGABRT); get it again",
        "5.avi: decoding took more than 1 s (10 times runtime.decode_timeout); get it again",
    ):
        assert f"{line}\n" in done.stdout


def test_where_nothing_is_it_says_where_to_get_it(tmp_path):
    (tmp_path / "README.md").touch()
    for findings in (
        examine_ucf101(tmp_path, tmp_path, None),
        examine_ucf101(tmp_path / "gone", tmp_path, None),
        examine_rldd(tmp_path, None),
    ):
        (line,) = bad_lines(list(findings))
        assert "nothing there; get it at https://" in line


def test_without_the_lists_it_says_where_to_get_them(ucf101, tmp_path):
    (line,) = bad_lines(list(examine_ucf101(ucf101, tmp_path / "none", None)))
    assert "no lists to compare with; get https://" in line


def test_a_file_that_no_table_can_name_is_reported_with_its_reason(ucf101, tmp_path):
    (ucf101 / VIDEOS[0]).rename(ucf101 / "Archery/v_new\nline_g01_c01.avi")
    findings = examine_ucf101(ucf101, tmp_path / "none", None, lists_needed=False)
    assert bad_lines(list(findings))[1:] == [
        f"{ucf101}/Archery/v_new\\nline_g01_c01.avi: its name has control characters or is not "
        "UTF-8; get it again"
    ]


def test_the_real_lists_name_all_of_ucf101(shared, real_ucf101):
    root, lists = shared / "data/UCF-101", shared / "data/ucfTrainTestlist"
    lines = [finding.line for finding in examine_ucf101(root, lists, None)]
    there = len(real_ucf101)
    assert lines[0].startswith(f"UCF101: {there} of 13320 videos; {there} ")
    assert lines[1].startswith(f"UCF101: missing {13320 - there}: ")


def test_the_states_that_subjects_lack_are_listed(tmp_path):
    video = encode(tmp_path / "video.avi")
    for subject in range(1, 61):
        for state in (0, 5, 10):
            if (subject, state) not in {(7, 5), (13, 5), (60, 0)}:
                path = tmp_path / f"root/Fold{subject % 5 + 1}_part1/{subject:02}/{state}.avi"
                path.parent.mkdir(parents=True, exist_ok=True)
                path.hardlink_to(video)
    findings = list(examine_rldd(tmp_path / "root", None))
    assert findings[0].well
    assert [line.split(";")[0] for line in bad_lines(findings)] == [
        "UTA-RLDD: subjects that lack 5: 07, 13",
        "UTA-RLDD: subjects that lack 0: 60",
    ]


@pytest.mark.parametrize(
    ("videos", "segments", "size"), [(7575, 150, "261.8 GB"), (7575, 8, "14.0 GB")]
)
def test_the_disk_that_a_mix_needs_counts_once_on_one_file_system(tmp_path, videos, segments, size):
    settings = mix_settings(segments=segments, size=[240, 320])
    folders = {"store": tmp_path / "data/mixed", "cache": tmp_path / "cache"}
    (finding,) = examine_disk(videos, settings, folders)
    assert finding.line.startswith(f"store, cache: {videos} clips of {segments} rgb24 segments,")
    assert f" take {size};" in finding.line


def test_every_variant_takes_the_room_of_a_clip(tmp_path):
    settings = mix_settings(
        segments=8, size=[240, 320], variants=5, window={"frames": 150, "at": "start"}
    )
    (finding,) = examine_disk(7575, settings, {"store": tmp_path})
    assert "mix.variants = 5 of each, take 69.8 GB;" in finding.line


def test_two_file_systems_each_need_the_room(tmp_path):
    other = Path("/dev/shm")
    if not other.is_dir() or other.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("no second file system here")
    findings = examine_disk(10**9, mix_settings(), {"store": tmp_path, "scratch": other})
    assert [finding.well for finding in findings] == [False, False]
    assert findings[1].line.startswith("scratch: ")


@pytest.mark.parametrize(("share", "well"), [(0.5, True), (1.5, False)])
def test_what_is_mixed_already_takes_no_more_room_and_counts_once(tmp_path, share, well):
    for name in ("store", "cache"):
        (tmp_path / name).mkdir()
    held = 10**12
    with (tmp_path / "store/a.h5").open("wb") as file:
        file.truncate(held)  # a hole, which takes no disk
    (tmp_path / "cache/a.h5").hardlink_to(tmp_path / "store/a.h5")
    settings = mix_settings(segments=8, size=[240, 320])
    free = shutil.disk_usage(tmp_path).free
    clips = round((free + share * held) / (8 * 240 * 320 * 3))
    folders = {name: tmp_path / name for name in ("store", "cache")}
    (finding,) = examine_disk(clips, settings, folders)
    assert finding.well == well
    assert "; 1000.0 GB are there, " in finding.line


PLACES = ("sample", "videos", "clips", "store", "cache", "scratch")


def mixed(folder: Path, **changes: Any) -> list[str]:
    """What the doctor says will be mixed: of data.ucf101, of data.rldd, and on the disk.

    In a checkout with the committed params, but for `changes` of a section's keys.
    """
    content = yaml.safe_load((ROOT / "params.yaml").read_text())
    for section, values in changes.items():
        content[section] |= values
    for key in ("ucf101", "rldd"):
        content["data"][key] = str(folder / content["data"][key])
    places = Places(**{name: folder / "data" / name for name in PLACES})
    findings = list(examine(parse_params(content, Path("params.yaml")), places, decode=False))
    return [finding.line for finding in findings[-3:]]


def fill(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def test_the_disk_is_evaluated_by_the_tables_that_list_what_is_in_the_folders(tmp_path):
    fill(tmp_path / "data/sample/ucf101", "A/a.avi", "B/b.avi")
    fill(tmp_path / "data/sample/rldd", "Fold1_part1/01/0.mp4", "Fold1_part1/01/10.mp4")
    videos = [Clip(video="A/a.avi", class_name="A", kept=True)]
    videos += [Clip(video="B/b.avi", class_name="B", reason="short")]
    write_table(tmp_path / "data/videos", Clip, videos)
    clips = [
        Clip(video=f"Fold1_part1/01/{n}.mp4", class_name="x", start=start, kept=True)
        for n, start in ((0, 0), (0, 5), (10, 0))
    ]
    write_table(tmp_path / "data/clips", Clip, clips)
    ucf101, rldd, disk = mixed(tmp_path)
    assert ucf101.startswith("to mix of data.ucf101: 1 videos, those kept in ")
    assert rldd.startswith("to mix of data.rldd: 3 clips, those kept in ")
    assert ": 4 clips of 16 rgb24 segments" in disk
    # Other videos beside those, or in their place: the tables are of something else.
    fill(tmp_path / "data/sample/ucf101", "A/c.avi")
    (tmp_path / "data/sample/rldd/Fold1_part1/01/10.mp4").unlink()
    ucf101, rldd, _ = mixed(tmp_path)
    assert ": about 240 videos" in ucf101
    assert rldd.endswith(": about 72 clips, of 24 videos of 15 s")


def test_before_anything_ran_the_disk_is_evaluated_by_what_the_sample_will_be(tmp_path):
    smaller = {"groups": 2, "clips_per_group": 3, "subjects": 5, "seconds": 10}
    ucf101, rldd, disk = mixed(tmp_path, sample=smaller)
    assert ": about 48 videos" in ucf101
    assert rldd == "to mix of data.rldd: about 20 clips, of 10 videos of 10 s"
    assert ": 68 clips of " in disk


def test_before_anything_ran_the_disk_is_evaluated_by_the_videos_in_the_folders(tmp_path):
    fill(tmp_path / "ucf", *(f"A/v_A_g01_c{n:02}.avi" for n in range(22)), "README.md", "notes")
    fill(tmp_path / "rldd", *(f"Fold1_part1/01/{state}.mov" for state in (0, 5, 10)), "list.txt")
    data = {"ucf101": "ucf", "rldd": "rldd"}
    ucf101, rldd, disk = mixed(tmp_path, data=data)
    assert ucf101.endswith(": at most 22 videos, all there are; filter has yet to run")
    assert rldd.endswith(": about 240 clips, of 2 videos of 600 s")  # of the states 0 and 10
    assert ": 262 clips of " in disk
    *_, rldd, disk = mixed(tmp_path, data=data, resize={"clips": 75, "states": [0, 5, 10]})
    assert rldd.endswith(
        ": about 225 clips, of 3 videos of 600 s, resize.clips = 75 a state at most"
    )
    assert ": 247 clips of " in disk


@pytest.mark.parametrize(
    ("least", "words"),
    [(150, ": 7688 videos, UCF101's of 150 frames or more"), (200, ": at most 13320 videos, ")],
)
def test_the_disk_is_evaluated_by_the_whole_datasets_where_nothing_is_yet(tmp_path, least, words):
    data = {"ucf101": "ucf", "rldd": "rldd"}
    ucf101, rldd, _ = mixed(tmp_path, data=data, filter={"min_frames": least})
    assert words in ucf101
    assert rldd.endswith(": about 14400 clips, of 120 videos of 600 s")


@pytest.mark.parametrize(("strategy", "well"), [("group", True), ("official2", False)])
def test_the_lists_are_missed_only_where_the_split_reads_them(tmp_path, strategy, well):
    content = yaml.safe_load((ROOT / "params.yaml").read_text())
    content["data"] |= {"ucf101": str(tmp_path / "ucf"), "ucf101_lists": str(tmp_path / "none")}
    content["split"]["strategy"] = strategy
    encode(tmp_path / "ucf" / VIDEOS[0])
    (tmp_path / "ucf" / VIDEOS[1]).parent.mkdir()
    (tmp_path / "ucf" / VIDEOS[1]).write_text("no video")
    params = parse_params(content, Path("params.yaml"))
    places = Places(**{name: tmp_path / name for name in PLACES})
    findings = list(examine(params, places, decode=False))
    (lists,) = [finding for finding in findings if "data.ucf101_lists" in finding.line]
    assert lists.well == well
    # The videos are looked at all the same.
    assert findings[0].line.startswith("data.ucf101: 2 videos; 1 begin as videos do")


def bad_splits(folder: Path, **changes: Any) -> list[str]:
    """What the doctor says of splits in a checkout of datasets `ucf` and `rldd`."""
    content = yaml.safe_load((ROOT / "params.yaml").read_text())
    for section, values in changes.items():
        content[section] |= values
    content["data"] |= {key: str(folder / key) for key in ("ucf101", "rldd", "ucf101_lists")}
    content["frame_mixup"]["data"]["short"] = str(folder / "short")
    places = Places(**{name: folder / "data" / name for name in PLACES})
    return bad_lines(list(examine_splits(parse_params(content, Path("params.yaml")), places)))


def test_a_split_that_cannot_be_made_is_reported_before_anything_runs(tmp_path):
    fill(tmp_path / "ucf101", *(f"A/v_A_g{group:02}_c01.avi" for group in range(5)))
    fill(
        tmp_path / "rldd", *(f"Fold1_part1/{n:02}/{state}.mov" for n in (1, 2) for state in (0, 10))
    )
    fill(tmp_path / "short", "train/Grow/1.avi", "train/Shrink/1.avi")
    (study,) = bad_splits(tmp_path)
    assert study.startswith(
        f"frame_mixup.data.short = {tmp_path / 'short'}: none of 2 kept videos "
    )
    videos, drivers, study = bad_splits(tmp_path, split={"folds": 6, "rldd": "fold2"})
    assert videos == (
        "split.folds = 6: 5 groups; allowed: at most one fold a group; "
        "tried on the files' names, as filter has yet to run"
    )
    assert drivers.startswith("split.rldd = fold2: no alert val clip, which finetune.task = alert_")
    assert drivers.endswith("; tried on the files' names, as resize has yet to run")


def test_official_lists_of_one_side_alone_are_reported(tmp_path):
    fill(tmp_path / "ucf101", "A/v_A_g01_c01.avi", "A/v_A_g02_c01.avi")
    (tmp_path / "ucf101_lists").mkdir()
    (tmp_path / "ucf101_lists/trainlist01.txt").write_text(
        "A/v_A_g01_c01.avi 1\nA/v_A_g02_c01.avi 1\n"
    )
    (tmp_path / "ucf101_lists/testlist01.txt").write_text("B/v_B_g01_c01.avi\n")
    (line,) = bad_splits(tmp_path, split={"strategy": "official1"})
    assert line.startswith("split.strategy = official1: all 2 clips are in train; allowed: random")


def test_splits_are_tried_on_the_tables_where_those_list_what_is_there(tmp_path):
    names = [f"Fold{fold}_part1/{fold:02}/{state}.mov" for fold in (1, 2) for state in (0, 10)]
    fill(tmp_path / "rldd", *names)
    rows = [
        Clip(
            video=name,
            class_name=STATES[int(Path(name).stem)],
            group=name[12:14],
            subset=name[:5].lower(),
            kept=name != names[-1],  # the drowsy video of the second fold
        )
        for name in names
    ]
    split = {"rldd": "fold2"}
    assert bad_splits(tmp_path, split=split) == []
    (tmp_path / "data").mkdir()
    write_table(tmp_path / "data/clips", Clip, rows)
    (line,) = bad_splits(tmp_path, split=split)
    assert line.startswith("split.rldd = fold2: no drowsy val clip, which finetune.task = alert_")
    assert line.endswith("; allowed: another split.rldd, or more drivers")
    (line,) = bad_splits(tmp_path, split=split, finetune={"task": "drowsy_class"})
    assert line.startswith("split.rldd = fold2: no drowsy val clip: drowsy_accuracy will be null;")


def test_a_file_of_image_weights_that_is_missing_is_reported_before_hours_of_mixing(tmp_path):
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    weights = tmp_path / "resnet10.pth"
    params["pretrain"]["nonlocal"]["model"]["weights"] = str(weights)
    params["frame_mixup"]["train"]["model"]["weights"] = "https://host/resnet10-01234567.pth"
    (missing,) = examine_weights(parse_params(params, tmp_path))
    assert not missing.well
    assert missing.line.startswith(f"pretrain.nonlocal.model.weights = {weights}: no such file;")
    weights.touch()
    assert [finding.well for finding in examine_weights(parse_params(params, tmp_path))] == [True]


def test_the_exit_code_says_whether_all_is_well(tmp_path, monkeypatch):
    shutil.copy(ROOT / "params.yaml", tmp_path)
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(app, ["doctor"])
    assert (done.exit_code, "the sample" in done.stdout) == (0, True), done.output
    params = yaml.safe_load((tmp_path / "params.yaml").read_text())
    params["data"]["rldd"] = str(tmp_path / "gone")
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params))
    done = CliRunner().invoke(app, ["doctor"])
    assert done.exit_code == 1
    assert "BAD data.rldd" in done.stdout


def test_what_is_started_from_must_be_there(tmp_path: Path) -> None:
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    params["finetune"]["start"] = str(tmp_path / "checkpoint")
    (missing,) = examine_weights(parse_params(params, tmp_path))
    assert not missing.well
    assert f"finetune.start = {tmp_path / 'checkpoint'}: no such file or folder" in missing.line
    (tmp_path / "checkpoint").mkdir()
    assert [finding.well for finding in examine_weights(parse_params(params, tmp_path))] == [True]
