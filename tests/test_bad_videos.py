"""What users may rely on when a dataset is not as it should be: a reason each, and no harm done."""

import shutil
import threading
import time
from pathlib import Path

import av
import numpy as np
import pytest

from framemix.datasets.clips import Clip, class_labels
from framemix.datasets.cutting import ResizeSettings, cut_clips
from framemix.datasets.files import require_hashable
from framemix.datasets.layouts.layout import find_videos
from framemix.datasets.layouts.rldd import RLDD
from framemix.errors import DatasetError, VideoError
from framemix.store import MixedStore
from framemix.store.build import build_store
from framemix.store.sources import sources_of
from framemix.video.reading import stream_frames
from framemix.video.writing import cut_clip
from tests.bad_videos import (
    add_contents,
    add_names,
    add_no_files,
    add_playlists,
    claiming,
    encode,
)
from tests.listing import count_frames, execution, listed
from tests.tiny_store import mix_settings

GOOD = ["Archery/v_Archery_g01_c01.avi", "Archery/v_Archery_g02_c01.avi", "YoYo/v_YoYo_g01_c01.avi"]
FORMATS = ["rgb24", "yuv420p"]


def filtered(root: Path, scratch: Path) -> list[Clip]:
    return listed(root, scratch, min_frames=12)


def mixed(rows: list[Clip], root: Path, folder: Path, pixel_format: str) -> dict[str, np.ndarray]:
    settings = mix_settings(pixel_format=pixel_format)
    build_store(
        sources_of(rows, root, class_labels(rows)),
        folder / "store",
        settings,
        execution(folder / "s"),
    )
    store = MixedStore(folder / "store")
    return {row.clip: store.read([row]) for row in store.index}


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("clean")
    for number, name in enumerate(GOOD):
        encode(root / name, f"testsrc2=size={64 + 16 * number}x48:rate=25")
    return root


@pytest.fixture(scope="module")
def bad(clean: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict]:
    """The clean dataset with all that is bad in its first class, and what to expect of it."""
    root = shutil.copytree(clean, tmp_path_factory.mktemp("bad") / "root")
    folder, canary = root / "Archery", root / GOOD[0]
    expected = {
        **add_contents(folder),
        **add_names(folder, canary),
        **add_no_files(folder),
        **add_playlists(folder, canary),
    }
    return root, {f"Archery/{name}": says for name, says in expected.items()}


@pytest.fixture(scope="module")
def rows(bad: tuple[Path, dict], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Clip]:
    rows = filtered(bad[0], tmp_path_factory.mktemp("scratch"))
    return {row.video: row for row in rows}


def test_all_that_is_in_the_folder_is_a_row_with_its_frames_or_a_reason(bad, rows):
    root, expected = bad
    assert rows.keys() == {*GOOD, *expected}
    for name, says in expected.items():
        row = rows[name]
        if isinstance(says, int):
            assert (row.kept, row.frames, row.reason) == (True, says, ""), row
        else:
            assert row.kept == (not row.reason), row
            assert row.reason.startswith(says or ""), row
            assert says is None or row.reason, row
        assert str(root) not in row.reason
        assert row.reason.isprintable()


@pytest.mark.parametrize("pixel_format", FORMATS)
def test_all_that_the_filter_keeps_is_mixed_and_good_videos_are_as_without_the_bad(
    bad, rows, clean, tmp_path, pixel_format
):
    with_bad = mixed(list(rows.values()), bad[0], tmp_path / "bad", pixel_format)
    assert with_bad.keys() == {name for name, row in rows.items() if row.kept}
    alone_rows = filtered(clean, tmp_path / "scratch")
    assert alone_rows == [rows[name] for name in GOOD]
    alone = mixed(alone_rows, clean, tmp_path / "alone", pixel_format)
    for name, clip in alone.items():
        assert clip.tobytes() == with_bad[name].tobytes(), name


def test_drivers_videos_are_cut_and_mixed_whatever_lies_beside_them(bad, clean, tmp_path):
    kinds = [*bad[1]]
    good, root = tmp_path / "good", tmp_path / "root"
    for folder in (good, root):
        for subject in (90, 91):
            (folder / f"Fold1_part1/{subject}").mkdir(parents=True)
            shutil.copy(clean / GOOD[0], folder / f"Fold1_part1/{subject}/10.avi")
    for number, kind in enumerate(kinds[:24]):
        (root / f"Fold1_part1/{number}").mkdir()
        video = root / f"Fold1_part1/{number}/10.mp4"
        if "says999" in kind:  # of 83 clips, 81 would be refused one by one
            claiming(video, 99)
        else:
            shutil.copy(bad[0] / kind, video)
    (root / "Fold1_part1/80").mkdir()
    (root / "Fold1_part1/80/10.mp4").symlink_to("gone.mp4")
    settings = ResizeSettings(states=[10], orientation="any", frames=12, fps=25, clips=None)
    results = []
    for folder in (good, root):
        work = tmp_path / f"work-{folder.name}"
        found = find_videos([RLDD], folder, "data.rldd")
        clips = cut_clips(found, folder, work / "clips", settings, execution(work / "s"))
        sources = sources_of(clips, work / "clips", {"drowsy": 2})
        build_store(sources, work / "store", mix_settings(), execution(work / "m"))
        store = MixedStore(work / "store")
        results.append((clips, {row.clip: store.read([row]).tobytes() for row in store.index}))
    (few, alone), (many, among) = results
    assert {clip.video for clip in many} >= {f"Fold1_part1/{n}/10.mp4" for n in range(24)}
    assert all(clip.kept != bool(clip.reason) for clip in many)
    assert [clip for clip in many if clip.group in ("90", "91")] == few
    assert {name: among[name] for name in alone} == alone


def test_what_stops_dvc_is_named_before_any_work(bad, clean):
    require_hashable(clean, "data.ucf101")
    with pytest.raises(DatasetError) as caught:
        require_hashable(bad[0], "data.ucf101")
    assert str(caught.value) == (
        f"data.ucf101 = {bad[0]}: Archery/v_\\xff_g01_c01.avi: its name has control characters or "
        "is not UTF-8; DVC cannot hash it, nor 4 more; move such entries out of the folder"
    )


def test_a_link_that_leads_nowhere_is_named_alone_where_it_is_the_only_one(tmp_path):
    (tmp_path / "v_A_g01_c01.avi").symlink_to("/nowhere")
    with pytest.raises(DatasetError, match=r"cannot hash it; move such entries out of the folder$"):
        require_hashable(tmp_path, "data.ucf101")


def test_a_playlist_reads_nothing_but_itself(bad):
    """ffmpeg itself does follow the list: without that the test could not fail."""
    playlist = bad[0] / "Archery/v_ffconcat_g01_c01.avi"
    with av.open(str(playlist)) as followed:
        assert sum(1 for _ in followed.decode(video=0)) == 24
    readers = [
        count_frames,
        lambda path: next(stream_frames(path, size=(8, 8), fit="squeeze")),
        lambda path: cut_clip(
            path,
            path.with_name("cut.mp4"),
            stream=0,
            start=0,
            frames=2,
            fps=25,
            width=8,
            height=8,
        ),
    ]
    for read in readers:
        with pytest.raises(
            VideoError, match="is no AVI, MP4, MOV, MKV, WebM, WMV, MPEG, TS, FLV, Ogg or GIF file"
        ):
            read(playlist)


def test_a_file_that_goes_while_the_filter_runs_is_a_row_that_says_so(clean, tmp_path):
    root, scratch = shutil.copytree(clean, tmp_path / "root"), tmp_path / "scratch"
    gone = root / GOOD[1]

    def remove() -> None:
        while not list(scratch.glob("*.partial")):
            time.sleep(0.001)
        gone.unlink()

    remover = threading.Thread(target=remove)
    remover.start()
    rows = {row.video: row for row in filtered(root, scratch)}
    remover.join()
    assert rows[GOOD[1]].reason == "cannot be read: No such file or directory"
    assert [name for name, row in rows.items() if row.kept] == [GOOD[0], GOOD[2]]
