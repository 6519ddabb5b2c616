"""Reports problems that would stop the pipeline, and how to solve them.

It checks that datasets are complete, splits possible, weights present and the disk large enough.
UCF101's official lists name all of its 13,320 videos; UTA-RLDD has 60 subjects in three states.
"""

import shutil
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from framemix.datasets.clips import RLDD_VIDEO, STATES, Clip, folder_of
from framemix.datasets.files import Entry, commonest, list_entries
from framemix.datasets.intake import clip_of
from framemix.datasets.layouts import rldd, ucf101
from framemix.datasets.layouts.actions import find_actions
from framemix.datasets.layouts.drivers import find_drivers
from framemix.datasets.layouts.layout import Found, find_videos
from framemix.datasets.layouts.registry import LABELLED
from framemix.datasets.splits import (
    SplitSettings,
    read_official_split,
    require_sides,
    split_drivers,
    split_the_rest,
    split_videos,
    without_drowsy_val,
)
from framemix.errors import DatasetError, VideoError, reason_of, some_of
from framemix.finetuning.task import Task
from framemix.jobs.isolation import Limits, isolated
from framemix.jobs.progress import track
from framemix.mixing import MixSettings
from framemix.models.config import ImageWeights
from framemix.project.amounts import (
    Find,
    Places,
    count_clips,
    count_videos,
    found_in,
    listed,
    readable_size,
    stored_bytes,
)
from framemix.project.params import Params
from framemix.project.paths import PRETRAINED_VIVIT
from framemix.project.stage import WITHOUT_DRIVERS
from framemix.video.containers import is_macos_note, require_video_file
from framemix.video.reading import examine as examine_video

UCF101_PAGE = "https://www.crcv.ucf.edu/data/UCF101.php"
LISTS_PAGE = "https://www.crcv.ucf.edu/data/UCF101/UCF101TrainTestSplits-RecognitionTask.zip"
RLDD_PAGE = "https://sites.google.com/view/utarldd/home (111 GB)"
NAMED = 10  # files that a finding names; the others are counted
RLDD_TIMES = 10  # a limit's seconds are meant for a clip; the videos have ten minutes


@dataclass(frozen=True)
class Finding:
    """The result of one check: whether all is well, and a line about it."""

    well: bool
    line: str


def examine(params: Params, places: Places, *, decode: bool) -> Iterator[Finding]:
    """Check both datasets and the disk; with `decode`, every frame of the videos."""
    data = params.data
    limits = params.runtime.limits if decode else None
    official = params.split.strategy.startswith("official")
    if data.ucf101.is_relative_to(places.sample):
        yield _rendered("ucf101", data.ucf101)
    else:
        yield from examine_ucf101(data.ucf101, data.ucf101_lists, limits, lists_needed=official)
    if data.rldd.is_relative_to(places.sample):
        yield _rendered("rldd", data.rldd)
    else:
        yield from examine_rldd(data.rldd, limits and _of_whole_videos(limits))
    yield from examine_splits(params, places)
    counts = [count_videos(params, places), count_clips(params, places)]
    yield from (Finding(True, count.line) for count in counts)
    yield from examine_weights(params)
    clips = sum(count.clips for count in counts)
    folders = {"store": places.store, "scratch": places.scratch, "DVC cache": places.cache}
    yield from examine_disk(clips, params.mix, folders)


def examine_ucf101(
    root: Path, lists: Path, limits: Limits | None, *, lists_needed: bool = True
) -> Iterator[Finding]:
    """Compare the files below `root` with the official lists; decode each within `limits`.

    Without `limits`, only the first bytes of a file are read. Without lists, which is a problem if
    they are needed, all videos are checked, and so are those of other datasets.
    """
    entries = _entries(root)
    if not entries and not root.is_file():
        yield Finding(False, f"data.ucf101 = {root}: nothing there; get it at {UCF101_PAGE}")
        return
    if not any(map(_named_as_ucf101, entries)):
        yield from _examine_own(find_actions, root, "data.ucf101", limits)
        if lists_needed:
            yield Finding(False, "split.strategy: official1..3 is of UCF101's own videos alone")
        return
    there = _videos(entries)
    what = f"data.ucf101: {len(there)} videos"
    try:
        expected = set(read_official_split(lists, 1))
    except DatasetError:
        yield from _files(root, there, limits, what)
        line = f"data.ucf101_lists = {lists}: no lists"
        if lists_needed:
            yield Finding(False, f"{line} to compare with; get {LISTS_PAGE}")
        else:
            yield Finding(True, f"{line}; only split.strategy official1..3 needs them")
        return
    videos = [entry for entry in entries if entry.path.lower() in expected]
    if not videos and not lists_needed and any(_in_layout(entry) for entry in there):
        yield from _files(root, there, limits, f"{what}, none of UCF101's")
        return
    missing = expected - {video.path.lower() for video in videos}
    extra = [entry.path for entry in entries if entry.path.lower() not in expected]
    yield from _files(root, videos, limits, f"UCF101: {len(videos)} of {len(expected)} videos")
    if missing:
        yield Finding(False, f"UCF101: missing {_some(missing)}; get them at {UCF101_PAGE}")
    if extra:
        yield Finding(False, f"UCF101: not UCF101's: {_some(extra)}; move them away")


def examine_rldd(root: Path, limits: Limits | None) -> Iterator[Finding]:
    """Report the subjects of UTA-RLDD that lack a state below `root`, and read each file.

    `limits` are those of `examine_ucf101`.
    """
    entries = _entries(root)
    if not entries and not root.is_file():
        yield Finding(
            False, f"data.rldd = {root}: nothing there; get it at {RLDD_PAGE}; {WITHOUT_DRIVERS}"
        )
        return
    if not rldd.RLDD.fits(root):
        yield from _examine_own(find_drivers, root, "data.rldd", limits)
        return
    there: dict[int, set[int]] = defaultdict(set)
    videos = []
    for entry in entries:
        if name := RLDD_VIDEO.fullmatch(entry.path):
            there[int(name["subject"])].add(int(name["state"]))
            videos.append(entry)
    count = rldd.SUBJECTS * len(STATES)
    yield from _files(root, videos, limits, f"UTA-RLDD: {len(videos)} of {count} videos")
    lacking: dict[str, list[str]] = defaultdict(list)
    for subject in range(1, rldd.SUBJECTS + 1):
        if states := [str(state) for state in STATES if state not in there[subject]]:
            lacking[", ".join(states)].append(f"{subject:02}")
    for missing, subjects in lacking.items():
        yield Finding(
            False,
            f"UTA-RLDD: subjects that lack {missing}: {', '.join(subjects)}; see {RLDD_PAGE}",
        )
    if others := [entry.path for entry in entries if entry not in videos]:
        yield Finding(False, f"UTA-RLDD: not its videos: {_some(others)}; move them away")


def examine_splits(params: Params, places: Places) -> Iterator[Finding]:
    """Report splits that are impossible, or that lack clips that fine-tuning needs.

    They are tried on the tables of clips or, before these exist, on the names of the files, some of
    which may be rejected.
    """
    data, settings, task = params.data, params.split, params.finetune.task
    named = "; tried on the files' names, as {} has yet to run"
    # Missing lists have been reported already.
    if data.ucf101_lists.is_dir() or not settings.strategy.startswith("official"):
        found = found_in(find_actions, data.ucf101, "data.ucf101")
        rows = listed(places.videos, found)
        videos = rows or _as_kept(found)
        divide_videos = partial(split_videos, videos, settings, data.ucf101_lists)
        yield from _tried(divide_videos, videos, "" if rows else named.format("filter"))
    found = found_in(find_drivers, data.rldd, "data.rldd")
    rows = listed(places.clips, found)
    clips = rows or _will_be_cut(found, params.resize.states)
    divide_drivers = partial(_divide_drivers, clips, settings, task)
    yield from _tried(divide_drivers, clips, "" if rows else named.format("resize"))
    yield from _examine_study_splits(params, named.format("the study"))


def examine_weights(params: Params) -> Iterator[Finding]:
    """Report whether the files of first weights exist; a URL is downloaded when it is needed."""
    for section, model in (
        ("pretrain.nonlocal.model", params.pretrain.nonlocal_.model),
        ("frame_mixup.train.model", params.frame_mixup.train.model),
    ):
        if isinstance(model, ImageWeights) and model.weights and not model.is_url:
            there = Path(model.weights).is_file()
            found = "is there" if there else "no such file; allowed: null, a file or a URL"
            yield Finding(there, f"{section}.weights = {model.weights}: {found}")
    yours = params.your_videos.train
    starts = {"finetune": params.finetune.start} | (
        {"your_videos.train": yours.start} if yours.has_start else {}
    )
    for section, start in starts.items():
        if start != PRETRAINED_VIVIT:  # which the pipeline trains
            found = "is there" if start.exists() else "no such file or folder (docs/pretrained.md)"
            yield Finding(start.exists(), f"{section}.start = {start}: {found}")


def examine_disk(clips: int, settings: MixSettings, folders: Mapping[str, Path]) -> list[Finding]:
    """Compare the size of `clips` mixed clips with the free space under the named `folders`.

    On one file system, a shard has several names (hard links) and takes its space once.
    """
    needed = clips * stored_bytes(settings)
    systems: dict[int, list[str]] = defaultdict(list)
    for name, folder in folders.items():
        systems[existing(folder).stat().st_dev].append(name)
    findings = []
    for names in systems.values():
        folder = existing(folders[names[0]])
        held = max(_held(folders[name]) for name in names)
        free = shutil.disk_usage(folder).free
        line = (
            f"{', '.join(names)}: {clips} clips of {settings.segments} {settings.pixel_format} "
            f"segments, mix.variants = {settings.variants} of each, take {readable_size(needed)}; "
            f"{readable_size(held)} are there, {readable_size(free)} are free"
        )
        well = held + free >= needed
        advice = "" if well else "; make room, or lower mix.variants, mix.segments or mix.size"
        findings.append(Finding(well, line + advice))
    return findings


def _examine_study_splits(params: Params, named: str) -> Iterator[Finding]:
    """Check the study's videos, if there are any: not everyone runs the study."""
    study = params.frame_mixup
    cells = {"short": study.cells, "long": study.long_cells}
    for name, root in study.data:
        if not (cells[name] and root.is_dir()):
            continue
        key = f"frame_mixup.data.{name}"
        try:
            videos = _as_kept(find_videos(LABELLED, root, key))
        except DatasetError as error:
            yield Finding(False, str(error))
            continue
        rows = split_the_rest(videos, study.videos.folds)
        yield from _tried(partial(require_sides, rows, f"{key} = {root}"), rows, named)


def _tried(divide: Callable[[], object], rows: Sequence[Clip], named: str) -> Iterator[Finding]:
    """Yield the reason why a split is impossible; nothing while there are no clips."""
    if any(row.kept for row in rows):
        try:
            divide()
        except DatasetError as error:
            yield Finding(False, f"{error}{named}")


def _divide_drivers(clips: Sequence[Clip], settings: SplitSettings, task: Task) -> None:
    split_drivers(clips, settings, task)
    if unjudged := without_drowsy_val(clips, settings):
        raise DatasetError(unjudged)


def _as_kept(found: Iterable[Found]) -> list[Clip]:
    return [clip_of(one).model_copy(update={"kept": not one.reason}) for one in found]


def _will_be_cut(found: Iterable[Found], states: Iterable[int]) -> list[Clip]:
    """Return the clips that drivers' videos will give, two of each video."""
    wanted = [STATES[number] for number in states]
    return [video for video in _as_kept(found) if video.class_name in wanted for _ in range(2)]


def _of_whole_videos(limits: Limits) -> Limits:
    """Return the limits of decoding a whole video of UTA-RLDD, from the limits of a clip."""
    names = (f"{RLDD_TIMES} times {limits.names[0]}", limits.names[1])
    return replace(limits, seconds=RLDD_TIMES * limits.seconds, names=names)


def _rendered(name: str, root: Path) -> Finding:
    return Finding(True, f"data.{name} = {root}: the sample, made by dvc repro")


def _videos(entries: Sequence[Entry]) -> list[Entry]:
    return [entry for entry in entries if entry.path.lower().endswith(".avi")]


def _in_layout(video: Entry) -> bool:
    """Return whether a file has the layout of UCF101: <Class>/v_*_gNN_cNN.avi."""
    return ucf101.NAME.fullmatch(video.path) is not None


def _named_as_ucf101(video: Entry) -> bool:
    """Return whether a file is called so, wherever it lies."""
    return ucf101.NAME.fullmatch(f"Class/{Path(video.path).name}") is not None


def _examine_own(find: Find, root: Path, key: str, limits: Limits | None) -> Iterator[Finding]:
    """Report what is in another dataset than the papers', and read each file."""
    try:
        found = find(root, key)
    except DatasetError as error:
        yield Finding(False, str(error))
        return
    videos = {one.video: one.label for one in found if not one.reason}
    # A video that is a folder of pictures is looked at by the stage.
    files = [Entry(video) for video in videos if not (folder_of(root) / video).is_dir()]
    classes = len(set(videos.values()))
    what = f"{key}: {len(videos)} videos of {classes} classes"
    yield from _files(folder_of(root), files, limits, what)
    others = [one for one in found if one.reason and one.video != "README.md"]
    if others := [one for one in others if not is_macos_note(Path(one.video).name)]:
        why = commonest(one.reason for one in others)
        yield Finding(False, f"{key}: not used: {_some([o.video for o in others])}: {why}")


def _files(
    root: Path, videos: Sequence[Entry], limits: Limits | None, what: str
) -> Iterator[Finding]:
    """Yield a finding about all files, and one for each that cannot be read."""
    bad = []
    for video in track(videos, total=len(videos), label="read") if limits else videos:
        path = root / video.path
        try:
            if video.reason:
                raise VideoError(path, video.reason)
            if limits:
                isolated(examine_video, path, limits)
            else:
                require_video_file(path)
        except VideoError as error:
            bad.append(Finding(False, f"{path}: {reason_of(error, path)}; get it again"))
    checked = "decoded to their end" if limits else "begin as videos do (--decode reads them whole)"
    yield Finding(not bad, f"{what}; {len(videos) - len(bad)} {checked}")
    yield from bad


def _entries(root: Path) -> list[Entry]:
    """Return the entries below `root`, without the project's README and macOS's metadata."""
    found = list_entries(root) if root.is_dir() else []
    return [e for e in found if e.path != "README.md" and not is_macos_note(Path(e.path).name)]


def _some(names: Collection[str]) -> str:
    """Return the number of names, and the first of them."""
    return f"{len(names)}: {some_of(names, NAMED)}"


def existing(folder: Path) -> Path:
    """Return the folder, or its nearest parent that exists: a stage will make the rest."""
    return next(path for path in (folder, *folder.absolute().parents) if path.exists())


def _held(folder: Path) -> int:
    """Return the bytes of the shards below a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*.h5"))
