"""What users may rely on in a split: nothing leaks, nothing is lost, the lists are followed."""

import csv
import zlib
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from framemix.datasets.clips import Clip
from framemix.datasets.groups import leak_share
from framemix.datasets.splits import (
    SplitSettings,
    classes_without,
    group_split,
    random_split,
    read_official_split,
    require_sides,
    split_drivers,
    split_the_rest,
    split_videos,
)
from framemix.errors import DatasetError

SCOPES = ("class", "dataset")
scopes = st.sampled_from(SCOPES)
seeds = st.integers(0, 2**32 - 1)
fold_counts = st.integers(2, 6)
# Clips as (class, group): up to six classes, up to nine groups.
datasets = st.lists(
    st.tuples(st.sampled_from("ABCDEF"), st.integers(1, 9).map(lambda g: f"g{g:02}")),
    min_size=1,
    max_size=80,
)
checked = settings(max_examples=80, deadline=None)


def settings_with(**changes: object) -> SplitSettings:
    values = {
        "strategy": "group",
        "group_scope": "class",
        "folds": 5,
        "fold": 0,
        "seed": 0,
        "rldd": "subject",
    }
    return SplitSettings.model_validate(values | changes)


def unzip(clips: Sequence[tuple[str, str]]) -> tuple[list[str], list[str]]:
    return [name for name, _ in clips], [group for _, group in clips]


def groups_of(clips: Sequence[tuple[str, str]], scope: str) -> dict[str, set[str]]:
    groups = defaultdict(set)
    for name, group in clips:
        groups[name if scope == "class" else ""].add(group)
    return groups


# Splits by group


@given(datasets, scopes, fold_counts, seeds, st.data())
@checked
def test_no_group_is_on_both_sides(clips, scope, folds, seed, data):
    fold = data.draw(st.integers(0, folds - 1))
    classes, groups = unzip(clips)
    subsets = group_split(classes, groups, scope=scope, folds=folds, fold=fold, seed=seed)
    sides = defaultdict(set)
    for name, group, subset in zip(classes, groups, subsets, strict=True):
        sides[(name, group) if scope == "class" else group].add(subset)
    assert all(len(side) == 1 for side in sides.values())
    clusters = list(zip(classes, groups, strict=True)) if scope == "class" else groups
    assert leak_share(clusters, subsets) in (0.0, None)


@given(datasets, fold_counts, seeds, st.data())
@checked
def test_in_each_class_some_groups_train_and_of_two_or_more_some_validate(clips, folds, seed, data):
    fold = data.draw(st.integers(0, folds - 1))
    classes, groups = unzip(clips)
    subsets = group_split(classes, groups, scope="class", folds=folds, fold=fold, seed=seed)
    assert classes_without("train", classes, subsets) == []
    single = [name for name, found in groups_of(clips, "class").items() if len(found) == 1]
    assert classes_without("val", classes, subsets) == sorted(single)


@given(datasets, scopes, fold_counts, seeds)
@checked
def test_the_folds_validate_every_clip_exactly_once(clips, scope, folds, seed):
    if min(map(len, groups_of(clips, scope).values())) < folds:
        # Classes of fewer groups than folds validate again: give each class enough groups.
        clips = clips + [(name, f"x{i}") for name, _ in clips for i in range(folds)]
    classes, groups = unzip(clips)
    validated = Counter()
    for fold in range(folds):
        subsets = group_split(classes, groups, scope=scope, folds=folds, fold=fold, seed=seed)
        validated.update(i for i, subset in enumerate(subsets) if subset == "val")
    assert validated == Counter(range(len(clips)))


@given(datasets, scopes, fold_counts, seeds)
@checked
def test_a_split_is_the_same_each_time_and_for_each_clip_in_any_order(clips, scope, folds, seed):
    chosen = {"scope": scope, "folds": folds, "fold": 0, "seed": seed}
    forward = group_split(*unzip(clips), **chosen)
    assert group_split(*unzip(clips), **chosen) == forward
    assert group_split(*unzip(clips[::-1]), **chosen) == forward[::-1]


def test_another_seed_gives_another_split():
    classes, groups = unzip([("A", f"g{i:02}") for i in range(25)])
    chosen = {"folds": 5, "fold": 0}
    assert len({tuple(random_split(classes, **chosen, seed=s)) for s in range(10)}) > 5
    splits = {
        tuple(group_split(classes, groups, scope="class", **chosen, seed=s)) for s in range(10)
    }
    assert len(splits) > 5


def test_a_seed_gives_the_same_split_in_every_run_and_version():
    classes, groups = unzip([(name, f"g{g}") for g in range(4) for name in "FEDCBA"])
    chosen = {"folds": 3, "fold": 1, "seed": 7}
    at_random = random_split(classes, **chosen)
    assert [i for i, s in enumerate(at_random) if s == "val"] == [0, 1, 4, 7, 9, 14, 17, 22]
    by_group = group_split(classes, groups, scope="class", **chosen)
    assert [i for i, s in enumerate(by_group) if s == "val"] == [3, 6, 13, 14, 15, 16, 17, 18]


def test_folds_of_uneven_groups_are_about_equal_in_clips():
    clips = [("A", f"g{g:02}") for g in range(25) for _ in range(1 + g % 7)]
    for fold in range(5):
        subsets = group_split(*unzip(clips), scope="class", folds=5, fold=fold, seed=0)
        assert subsets.count("val") == pytest.approx(len(clips) / 5, abs=2)


@given(seeds)
@checked
def test_a_large_group_is_set_against_many_small_ones(seed):
    clips = [("A", "large")] * 8 + [("A", f"g{g}") for g in range(8)]
    subsets = group_split(*unzip(clips), scope="class", folds=2, fold=0, seed=seed)
    assert subsets.count("val") == 8


@given(seeds)
@checked
def test_what_does_not_divide_evenly_falls_to_another_fold_in_each_class(seed):
    clips = [(name, f"g{g}") for name in "ABCDE" for g in range(6)]
    for fold in range(5):
        subsets = group_split(*unzip(clips), scope="class", folds=5, fold=fold, seed=seed)
        assert subsets.count("val") == 6


@given(seeds)
@checked
def test_of_fewer_groups_than_folds_each_validates_in_turn(seed):
    clips = [("A", f"g{g}") for g in range(3)]
    validating = [
        group_split(*unzip(clips), scope="class", folds=5, fold=fold, seed=seed).index("val")
        for fold in range(5)
    ]
    assert sorted(validating[:3]) == [0, 1, 2]
    assert validating[3:] == validating[:2]


# Random splits


@given(st.lists(st.sampled_from("ABCDEF"), min_size=1, max_size=120), fold_counts, seeds, st.data())
@checked
def test_a_random_split_validates_one_part_in_folds_of_each_class(classes, folds, seed, data):
    fold = data.draw(st.integers(0, folds - 1))
    subsets = random_split(classes, folds=folds, fold=fold, seed=seed)
    validating = Counter(c for c, s in zip(classes, subsets, strict=True) if s == "val")
    for name, size in Counter(classes).items():
        if size >= folds:
            assert validating[name] in (size // folds, -(-size // folds))
        else:
            assert validating[name] == (1 if size > 1 else 0)
    assert classes_without("train", classes, subsets) == []


@given(st.lists(st.sampled_from("ABC"), min_size=1, max_size=90), fold_counts, seeds)
@checked
def test_random_folds_validate_every_clip_of_a_large_enough_class_once(classes, folds, seed):
    classes = classes + classes[:1] * folds
    validated = Counter()
    for fold in range(folds):
        subsets = random_split(classes, folds=folds, fold=fold, seed=seed)
        validated.update(i for i, subset in enumerate(subsets) if subset == "val")
    large = {name for name, size in Counter(classes).items() if size >= folds}
    assert all(validated[i] == 1 for i, name in enumerate(classes) if name in large)


@given(seeds)
@checked
def test_of_fewer_clips_than_folds_each_validates_in_turn(seed):
    validating = [
        random_split(["A"] * 3, folds=5, fold=fold, seed=seed).index("val") for fold in range(5)
    ]
    assert sorted(validating[:3]) == [0, 1, 2]
    assert validating[3:] == validating[:2]


def test_a_random_split_is_the_same_each_time():
    classes = list("AABBBBBBCCCCCCCCC")
    first = random_split(classes, folds=3, fold=1, seed=5)
    assert random_split(classes, folds=3, fold=1, seed=5) == first


def test_the_leak_share_counts_val_clips_with_a_sibling_in_train():
    groups = ["A/g01", "A/g01", "A/g02", "B/g01", "B/g01"]
    assert leak_share(groups, ["train", "val", "val", "val", "val"]) == 0.25
    assert leak_share(groups, ["train"] * 5) is None


@pytest.mark.parametrize(("scope", "share"), [("class", 0.0), ("dataset", 1.0)])
def test_of_one_person_in_all_classes_every_val_clip_has_a_sibling_in_train(scope, share):
    videos = [
        Clip(video=f"{name}/{person}.avi", class_name=name, group=person, kept=True)
        for name in "ABCDEFGH"
        for person in ("p1", "p2", "p3")
    ]
    settings = settings_with(strategy="random", group_scope=scope)
    _, metrics = split_videos(videos, settings, Path("nowhere"))
    assert metrics["leak_share"] == share


def test_more_folds_than_groups_are_refused_where_a_group_is_of_all_classes():
    videos = [
        Clip(video=f"{name}/{person}.avi", class_name=name, group=person, kept=True)
        for name in "AB"
        for person in ("p1", "p2", "p3")
    ]
    settings = settings_with(group_scope="dataset", folds=4)
    with pytest.raises(DatasetError, match=r"split\.folds = 4: 3 groups; allowed: at most one"):
        split_videos(videos, settings, Path("nowhere"))


def test_each_group_can_validate_alone():
    videos = [kept_video(f"{group}{i}", group) for group in ("g1", "g2", "g3") for i in range(2)]
    alone = []
    for fold in range(3):
        chosen = settings_with(group_scope="dataset", folds=3, fold=fold)
        rows, _ = split_videos(videos, chosen, Path("nowhere"))
        alone += [sorted(row.group for row in rows if row.subset == "val")]
    assert sorted(alone) == [["g1"] * 2, ["g2"] * 2, ["g3"] * 2]


@pytest.mark.parametrize("strategy", ["random", "group"])
def test_the_settings_choose_fold_and_seed_of_videos(strategy):
    videos = [
        Clip(video=f"A/{i}.avi", class_name="A", group=f"g{i:02}", kept=True) for i in range(25)
    ]

    def validating(**changes):
        rows, _ = split_videos(videos, settings_with(strategy=strategy, **changes), Path("none"))
        return [row.video for row in rows if row.subset == "val"]

    folds = [validating(fold=fold) for fold in range(5)]
    assert sorted(video for fold in folds for video in fold) == sorted(v.video for v in videos)
    assert validating(seed=1) != validating(seed=0)


@pytest.mark.parametrize("rldd", ["random", "subject"])
def test_the_settings_choose_fold_and_seed_of_clips(rldd):
    clips = driver_clips(10)

    def validating(**changes):
        rows = split_drivers(clips, settings_with(rldd=rldd, **changes), "alert_drowsy")
        return [row.video for row in rows if row.subset == "val"]

    folds = [validating(fold=fold) for fold in range(5)]
    assert sorted(clip for fold in folds for clip in fold) == sorted(c.video for c in clips)
    assert validating(seed=1) != validating(seed=0)


def test_an_official_list_that_is_no_text_is_named(tmp_path):
    (tmp_path / "trainlist01.txt").write_bytes("Öffnen/v_Öffnen_g01_c01.avi 1".encode("latin-1"))
    with pytest.raises(DatasetError, match=r"trainlist01\.txt: not in UTF-8; allowed: "):
        read_official_split(tmp_path, 1)


def test_empty_lines_of_an_official_list_say_nothing(tmp_path):
    (tmp_path / "trainlist01.txt").write_text("\nA/a.avi 1\n \n")
    (tmp_path / "testlist01.txt").write_text("A/b.avi\n\n")
    assert read_official_split(tmp_path, 1) == {"a/a.avi": "train", "a/b.avi": "val"}


# UCF101 at full scale: its frame counts and its official lists


@pytest.fixture(scope="module")
def ucf101(shared: Path) -> list[Clip]:
    """All of UCF101's 13,320 videos as the filter's rows; class folders spelt as on disk."""
    with (shared / "data/ucf101_frame_counts.csv").open(newline="") as file:
        return [_video(row["video"], int(row["decoded_est"])) for row in csv.DictReader(file)]


def _video(name: str, frames: int) -> Clip:
    _, class_name, group, _ = name.split("_")
    # Files are named HandStandPushups, their folder HandstandPushups.
    folder = class_name.replace("HandStandPushups", "HandstandPushups")
    return Clip(
        video=f"{folder}/{name}.avi",
        class_name=folder,
        group=group,
        frames=frames,
        kept=frames >= 150,
    )


@pytest.fixture(scope="module")
def lists(shared: Path) -> Path:
    return shared / "data/ucfTrainTestlist"


def test_150_frames_leave_7688_videos_in_99_classes(ucf101):
    kept = [video for video in ucf101 if video.kept]
    assert len(ucf101) == 13_320
    assert len(kept) == 7_688
    classes = {video.class_name for video in kept}
    assert len(classes) == 99
    assert {v.class_name for v in ucf101} - classes == {"JumpingJack", "CliffDiving"}


def test_every_kept_video_is_in_the_split_and_no_other(ucf101, lists):
    rows, _ = split_videos(ucf101, settings_with(), lists)
    assert [row.video for row in rows] == [video.video for video in ucf101 if video.kept]


@pytest.mark.parametrize("fold", range(5))
@pytest.mark.parametrize("scope", SCOPES)
def test_ucf101_by_group_is_close_to_4_to_1_and_leaks_nothing(ucf101, lists, scope, fold):
    rows, metrics = split_videos(ucf101, settings_with(group_scope=scope, fold=fold), lists)
    assert metrics["leak_share"] == 0
    assert metrics["train_clips"] + metrics["val_clips"] == len(rows) == 7_688
    assert metrics["val_clips"] / 7_688 == pytest.approx(1 / 5, abs=0.01)
    if scope == "class":
        assert metrics["classes_without_train"] == ""
        # Its two long videos are of one group.
        assert metrics["classes_without_val"] == "BasketballDunk"


def test_ucf101_at_random_is_4_to_1_in_every_class_and_nearly_all_of_it_leaks(ucf101, lists):
    _, metrics = split_videos(ucf101, settings_with(strategy="random"), lists)
    assert metrics["val_clips"] / 7_688 == pytest.approx(1 / 5, abs=0.003)
    assert metrics["leak_share"] > 0.9
    assert metrics["classes_without_train"] == metrics["classes_without_val"] == ""


def drawn(rows: Sequence[Clip]) -> int:
    """A number for the val side of a split."""
    return zlib.crc32("\n".join(row.video for row in rows if row.subset == "val").encode())


@pytest.mark.parametrize(
    ("changes", "number"),
    [
        ({"strategy": "random"}, 16471987),
        ({"strategy": "random", "seed": 3, "fold": 2}, 3791748160),
        ({"group_scope": "class"}, 4116923132),
        ({"group_scope": "dataset"}, 3894120557),
    ],
)
def test_ucf101_is_drawn_as_it_always_was(ucf101, lists, changes, number):
    """Results that are there were made with it."""
    assert drawn(split_videos(ucf101, settings_with(**changes), lists)[0]) == number


@pytest.mark.parametrize(
    ("number", "train", "val", "without_train", "without_val"),
    [
        (1, 5582, 2106, "Mixing", "BasketballDunk, FrisbeeCatch, HulaHoop"),
        (
            2,
            5536,
            2152,
            "HulaHoop",
            "BasketballDunk, CricketShot, FrisbeeCatch, HighJump, Mixing, PushUps, Shotput",
        ),
        (
            3,
            5491,
            2197,
            "",
            "BasketballDunk, CricketBowling, CricketShot, HulaHoop, Mixing, ThrowDiscus",
        ),
    ],
)
def test_official_splits_name_the_classes_that_150_frames_leave_without_a_side(
    ucf101, lists, number, train, val, without_train, without_val
):
    _, metrics = split_videos(ucf101, settings_with(strategy=f"official{number}"), lists)
    assert metrics == {
        "train_clips": train,
        "val_clips": val,
        "leak_share": 0.0,
        "classes_without_train": without_train,
        "classes_without_val": without_val,
    }


@pytest.mark.parametrize("number", [1, 2, 3])
def test_official_splits_cover_all_of_ucf101_however_handstand_pushups_is_spelt(
    ucf101, lists, number
):
    official = read_official_split(lists, number)
    assert len(official) == 13_320
    for video in ucf101:
        assert video.video.lower() in official
    spelt = [v for v in ucf101 if v.kept and v.class_name == "HandstandPushups"]
    other = [
        v.model_copy(update={"video": v.video.replace("Handstand", "HandStand", 1)}) for v in spelt
    ]
    chosen = settings_with(strategy=f"official{number}")
    by_folder, by_file = (split_videos(videos, chosen, lists)[0] for videos in (spelt, other))
    assert [row.subset for row in by_folder] == [row.subset for row in by_file]


def test_an_official_split_puts_the_train_list_in_train_and_the_test_list_in_val(ucf101, lists):
    rows, _ = split_videos(ucf101, settings_with(strategy="official1"), lists)
    listed = {line.split()[0] for line in (lists / "trainlist01.txt").read_text().splitlines()}
    assert {row.video for row in rows if row.subset == "train"} <= listed
    assert not {row.video for row in rows if row.subset == "val"} & listed


# Errors


def kept_video(name: str, group: str = "g01") -> Clip:
    return Clip(video=f"A/{name}.avi", class_name="A", group=group, frames=150, kept=True)


def test_missing_lists_are_an_error_that_names_the_param_and_the_file(tmp_path):
    with pytest.raises(DatasetError, match=r"data\.ucf101_lists = .*no trainlist02\.txt"):
        split_videos([kept_video("a")], settings_with(strategy="official2"), tmp_path)


def test_a_video_that_no_list_knows_is_named(tmp_path):
    (tmp_path / "trainlist01.txt").write_text("A/a.avi 1\n")
    (tmp_path / "testlist01.txt").write_text("A/b.avi\n")
    videos = [kept_video("a"), kept_video("b"), kept_video("mine")]
    with pytest.raises(
        DatasetError, match=r"official1: 1 of 3 videos are in no list, A/mine\.avi first"
    ) as caught:
        split_videos(videos, settings_with(strategy="official1"), tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("clips", "allowed"), [(2, "random"), (1, "several clips of a class")])
def test_a_split_with_an_empty_side_is_refused_and_those_that_do_are_named(
    tmp_path, clips, allowed
):
    with pytest.raises(DatasetError) as caught:
        split_videos([kept_video(name) for name in "ab"[:clips]], settings_with(), tmp_path)
    assert str(caught.value) == (
        f"split.strategy = group: all {clips} clips are in train; allowed: {allowed}"
    )


def test_official_lists_that_put_all_kept_videos_on_one_side_are_refused(tmp_path):
    (tmp_path / "trainlist01.txt").write_text("A/a.avi 1\nA/b.avi 1\n")
    (tmp_path / "testlist01.txt").write_text("A/c.avi\n")
    videos = [kept_video("a", "g01"), kept_video("b", "g02")]
    with pytest.raises(DatasetError) as caught:
        split_videos(videos, settings_with(strategy="official1"), tmp_path)
    assert str(caught.value) == (
        "split.strategy = official1: all 2 clips are in train; allowed: random or group"
    )


def test_rejected_videos_are_in_no_split(tmp_path):
    videos = [
        kept_video("a", "g01"),
        kept_video("b", "g02"),
        Clip(video="A/c.avi", class_name="A", group="g03"),
    ]
    rows, _ = split_videos(videos, settings_with(), tmp_path)
    assert [row.video for row in rows] == ["A/a.avi", "A/b.avi"]


@pytest.mark.parametrize(
    "change", [{"fold": 5}, {"folds": 1}, {"strategy": "official4"}, {"rldd": "fold6"}]
)
def test_split_settings_refuse_what_does_not_exist(change):
    with pytest.raises(ValidationError):
        settings_with(**change)


# UTA-RLDD's clips


def driver_clips(subjects: int, kept: bool = True) -> list[Clip]:
    return [
        Clip(
            video=f"{subject:02}_{state}_{place}",
            class_name=state,
            group=f"{subject:02}",
            subset=f"fold{1 + subject % 5}",
            kept=kept,
        )
        for subject in range(1, subjects + 1)
        for state in ("alert", "drowsy")
        for place in range(3)
    ]


@pytest.mark.parametrize(
    ("rldd", "number"), [("subject", 3154363014), ("random", 3615664362), ("fold3", 3452231115)]
)
def test_drivers_are_drawn_as_they_always_were(rldd, number):
    rows = split_drivers(driver_clips(60), settings_with(rldd=rldd), "alert_drowsy")
    assert drawn(rows) == number


@given(st.integers(2, 30), seeds, st.integers(0, 4))
@checked
def test_by_subject_no_driver_is_on_both_sides(subjects, seed, fold):
    chosen = settings_with(seed=seed, fold=fold)
    rows = split_drivers(driver_clips(subjects), chosen, "alert_drowsy")
    sides = defaultdict(set)
    for row in rows:
        sides[row.group].add(row.subset)
    assert all(len(side) == 1 for side in sides.values())
    assert {row.subset for row in rows} == {"train", "val"}


@pytest.mark.parametrize("number", [1, 2, 3, 4, 5])
def test_a_fold_of_the_dataset_validates_that_fold_and_trains_the_others(number):
    rows = split_drivers(driver_clips(10), settings_with(rldd=f"fold{number}"), "alert_drowsy")
    folds = {clip.video: clip.subset for clip in driver_clips(10)}
    assert {folds[row.video] for row in rows if row.subset == "val"} == {f"fold{number}"}
    others = {f"fold{other}" for other in range(1, 6) if other != number}
    assert {folds[row.video] for row in rows if row.subset == "train"} == others


@pytest.mark.parametrize(
    ("fold", "task", "lacking"),
    [
        (1, "drowsy_class", "drowsy train clip"),
        (1, "alert_drowsy", "alert train clip"),
        (2, "alert_drowsy", "alert val clip"),
        (2, "three_state", "low_vigilant train clip"),
    ],
)
def test_a_split_of_drivers_that_a_task_cannot_learn_from_is_refused(fold, task, lacking):
    clips = [clip for clip in driver_clips(10) if clip.subset == "fold1"]
    with pytest.raises(DatasetError) as caught:
        split_drivers(clips, settings_with(rldd=f"fold{fold}"), task)
    assert str(caught.value) == (
        f"split.rldd = fold{fold}: no {lacking}, which finetune.task = {task} needs; "
        "allowed: another split.rldd, or more drivers"
    )


def test_where_some_folds_can_be_learnt_from_they_are_named():
    clips = [clip for clip in driver_clips(10) if clip.subset in ("fold1", "fold3")]
    with pytest.raises(DatasetError, match=r"needs; allowed: split\.rldd = fold1 or fold3$"):
        split_drivers(clips, settings_with(rldd="fold2"), "alert_drowsy")


def test_a_single_driver_is_refused_by_subject():
    with pytest.raises(DatasetError, match=r"^split\.rldd = subject, .*: no alert val"):
        split_drivers(driver_clips(1), settings_with(), "alert_drowsy")


def test_actions_validate_a_network_of_one_more_class_whose_drivers_all_train():
    clips = [clip for clip in driver_clips(10) if clip.subset == "fold1"]
    rows = split_drivers(clips, settings_with(rldd="fold2"), "drowsy_class")
    assert {row.subset for row in rows} == {"train"}


def test_at_random_each_state_is_4_to_1():
    rows = split_drivers(driver_clips(20), settings_with(rldd="random"), "alert_drowsy")
    assert Counter((row.class_name, row.subset) for row in rows) == {
        (state, subset): count
        for state in ("alert", "drowsy")
        for subset, count in (("train", 48), ("val", 12))
    }


def test_rejected_clips_are_in_no_split():
    clips = driver_clips(4)
    both = [*clips, *driver_clips(5, kept=False)]
    assert split_drivers(both, settings_with(), "alert_drowsy") == split_drivers(
        clips, settings_with(), "alert_drowsy"
    )


# Videos that their dataset divides, or leaves to us


def test_the_datasets_own_subsets_stay_and_the_rest_is_drawn_in_each_class():
    given_ones = [
        Clip(video=f"{name}/{subset}", class_name=name, subset=subset, kept=True)
        for name in "AB"
        for subset in ("train", "val", "test")
    ]
    free = [
        Clip(video=f"{name}/{i}", class_name=name, kept=True) for name in "AB" for i in range(5)
    ]
    short = [Clip(video=f"A/short{i}", class_name="A") for i in range(5)]
    rows = split_the_rest([*short, *given_ones, *free], folds=5)
    assert rows[:5] == short
    assert rows[5:11] == given_ones
    assert Counter((row.class_name, row.subset) for row in rows[11:]) == {
        (name, subset): count for name in "AB" for subset, count in (("train", 4), ("val", 1))
    }
    assert split_the_rest(free, folds=5) == rows[11:]


@pytest.mark.parametrize("side", ["train", "val"])
def test_videos_that_their_dataset_puts_on_one_side_alone_are_refused(side):
    clips = [Clip(video=f"{side}/A/{i}", class_name="A", subset=side, kept=True) for i in range(3)]
    rows = split_the_rest([*clips, Clip(video="B/0", class_name="B")], folds=5)
    other = "val" if side == "train" else "train"
    with pytest.raises(DatasetError) as caught:
        require_sides(rows, "frame_mixup.data.short = videos")
    assert f"frame_mixup.data.short = videos: none of 3 kept videos is in {other}; " in str(
        caught.value
    )
