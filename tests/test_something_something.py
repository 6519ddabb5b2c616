"""What users may rely on when labelled videos are listed: every one has a row, with a reason."""

import json
import shutil
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch
from PIL import Image

from framemix.datasets.clips import Clip, class_labels
from framemix.datasets.layouts.layout import find_videos
from framemix.datasets.layouts.registry import LABELLED
from framemix.datasets.splits import split_the_rest
from framemix.errors import DatasetError
from framemix.mixing.files import mix_video
from framemix.models import build_model
from framemix.models.input import to_rgb
from framemix.store import MixedStore
from framemix.store.build import build_store
from framemix.store.sources import sources_of
from framemix.training.data import examples_of
from framemix.training.run import Run
from framemix.video.planes import stream_planes
from framemix.video.reading import describe, stream_frames
from framemix.video.writing import video_writer
from tests.listing import count_frames, execution, listed
from tests.tiny_store import machine, mix_settings, nonlocal_config, train_into, training_settings

SUBSETS = ("train", "val", "test")
V1 = "20bn-something-something-v1"


def write_jpgs(folder: Path, count: int, size: tuple[int, int] = (32, 24)) -> Path:
    folder.mkdir(parents=True)
    ramp = np.linspace(0, 255, size[0] * size[1]).reshape(size[1], size[0])
    for number in range(1, count + 1):
        picture = np.stack([ramp, ramp[:, ::-1], np.full_like(ramp, 10 * number)], axis=2)
        Image.fromarray(picture.astype(np.uint8)).save(folder / f"{number:05}.jpg", quality=95)
    return folder


def write_video(path: Path, count: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with video_writer(path, width=32, height=24, fps=12, codec="xvid") as write:
        for number in range(count):
            write(np.full((24, 32, 3), 10 * number, np.uint8))
    return path


def write_videos(paths: list[Path], count: int) -> None:
    """Write the same video to all paths."""
    first = write_video(paths[0], count)
    for path in paths[1:]:
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(first, path)


def write_webm(path: Path, count: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as file:
        stream = file.add_stream("libvpx-vp9", rate=12)
        stream.width, stream.height, stream.pix_fmt = 32, 24, "yuv420p"
        for number in range(count):
            picture = np.full((24, 32, 3), 10 * number, np.uint8)
            file.mux(stream.encode(av.VideoFrame.from_ndarray(picture)))
        file.mux(stream.encode())
    return path


def table(root: Path, scratch: Path, folds: int = 5) -> dict[str, Clip]:
    rows = listed(root, scratch / "scratch", *LABELLED, min_frames=8)
    return {row.video: row for row in split_the_rest(rows, folds)}


@pytest.fixture(scope="module")
def v1(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sound videos 1 to 3, and one of each thing that can be wrong."""
    root = tmp_path_factory.mktemp("something") / "v1"
    for number in ("1", "2", "3", "cut", "empty", "gap", "short", "unlabelled", "unlisted"):
        write_jpgs(root / V1 / number, 4 if number == "short" else 12)
    cut = root / V1 / "cut/00007.jpg"
    cut.write_bytes(cut.read_bytes()[:-200])
    (root / V1 / "empty/00007.jpg").write_bytes(b"")
    (root / V1 / "gap/00007.jpg").unlink()
    train = "1; Up\n2;Down; slowly\ncut;Up\nempty;Up\ngap;Up\nmissing;Up\nshort;Up\nunlabelled;\n"
    (root / "something-something-v1-train.csv").write_text(train)
    (root / V1 / "._1").touch()  # macOS's
    (root / "._something-something-v1-train.csv").write_bytes(b"\x00\x05\x16\x07")
    (root / "something-something-v1-validation.csv").write_text("3;Up\n")
    (root / "something-something-v1-test.csv").write_text("unlisted\n")
    return root


@pytest.fixture(scope="module")
def rows(v1: Path) -> dict[str, Clip]:
    return table(v1, v1.parent)


def test_every_folder_and_every_id_of_the_lists_has_a_row(rows: dict[str, Clip]) -> None:
    kept = {video: (row.class_name, row.subset) for video, row in rows.items() if row.kept}
    assert kept == {
        f"{V1}/1": ("Up", "train"),
        f"{V1}/2": ("Down; slowly", "train"),
        f"{V1}/3": ("Up", "val"),
    }
    row = rows[f"{V1}/1"]
    assert (row.frames, row.width, row.height) == (12, 32, 24)
    assert list(rows) == sorted(rows)


@pytest.mark.parametrize(
    ("video", "reason"),
    [
        ("cut", "cannot be decoded: Invalid data found when processing input"),
        ("empty", "12 jpg files, 6 of them in sequence and readable"),
        ("gap", "cannot be decoded: No such file or directory"),
        ("missing", "no such folder or file"),
        ("short", "4 frames, fewer than 8"),
        ("unlabelled", "no label"),
        ("unlisted", "in no list with labels"),
        ("._1", "macOS's note of another file, not a video"),
    ],
)
def test_what_cannot_be_used_is_a_row_with_a_reason(
    video: str, reason: str, rows: dict[str, Clip]
) -> None:
    row = rows[f"{V1}/{video}"]
    assert not row.kept
    assert row.reason == reason


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("x-train.csv", "1;Öffnen".encode("latin-1")),
        ("train.json", b"{"),
        ("train.json", b"[1, 2]"),
        ("train.json", b'[{"template": "Pushing [something]"}]'),
    ],
)
def test_a_list_that_is_none_is_named_with_what_it_should_be(
    tmp_path: Path, name: str, content: bytes
) -> None:
    (tmp_path / V1).mkdir()
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DatasetError, match=rf"{name}: no list of videos; allowed: .*id;label"):
        find_videos(LABELLED, tmp_path, "data")


def test_second_version_is_video_files_and_json_lists(tmp_path: Path) -> None:
    root = tmp_path / "v2"
    folder = root / "20bn-something-something-v2"
    write_webm(folder / "1.webm", 10)
    (folder / "2.webm").write_bytes(b"no video")
    entries = [
        {"id": "1", "label": "putting a cup on a box", "template": "Putting [something] on [it]"},
        {"id": "2", "label": "x", "template": "Up"},
        {"id": "3", "label": "y", "template": "Up"},
    ]
    (root / "labels").mkdir()
    (root / "labels/train.json").write_text(json.dumps(entries))
    (root / "labels/validation.json").write_text("[]")
    rows = list(table(root, tmp_path).values())
    assert [row.kept for row in rows] == [True, False, False]
    assert rows[0].class_name == "Putting something on it"
    assert rows[0].subset == "train"
    assert rows[0].frames == 10
    assert rows[1].reason == "is no AVI, MP4, MOV, MKV, WebM, WMV, MPEG, TS, FLV, Ogg or GIF file"
    assert rows[2].reason == "no such folder or file"


@pytest.mark.parametrize("subsets", [("train", "val", "test"), ()])
def test_any_folder_of_classes_is_a_dataset(subsets: tuple[str, ...], tmp_path: Path) -> None:
    root = tmp_path / "videos"
    for subset in subsets or ("",):
        write_videos([root / subset / f"Up/{number}.avi" for number in range(5)], 8)
        (root / subset / "0.avi").touch()
    (root / "README").write_text("about")
    (root / subsets[0] / "README" if subsets else root / "NOTES").write_text("about")
    rows = table(root, tmp_path)
    counts = {s: sum(row.subset == s for row in rows.values() if row.kept) for s in SUBSETS}
    assert counts == (dict.fromkeys(SUBSETS, 5) if subsets else {"train": 4, "val": 1, "test": 0})
    assert {r.reason for r in rows.values() if not r.kept} == {
        "not [<train|val|test>/]<Class>/<video>"
    }


def test_what_is_rejected_takes_no_place_in_a_subset(tmp_path: Path) -> None:
    write_videos([tmp_path / f"videos/Up/{number}.avi" for number in range(4)], 8)
    write_videos([tmp_path / f"videos/Up/{number}-short.avi" for number in range(4)], 7)
    rows = table(tmp_path / "videos", tmp_path, folds=2).values()
    assert sorted(row.subset for row in rows if row.kept) == ["train", "train", "val", "val"]
    assert [row.subset for row in rows if not row.kept] == [""] * 4


@pytest.mark.parametrize("there", [False, True])
def test_a_folder_without_videos_is_refused_in_one_line(there: bool, tmp_path: Path) -> None:
    if there:
        (tmp_path / "none").mkdir()
    with pytest.raises(DatasetError, match=r"none: no .*; allowed: .*Something-Something V1 or V2"):
        table(tmp_path / "none", tmp_path)


def test_lists_of_nothing_that_can_be_used_are_refused(tmp_path: Path) -> None:
    (tmp_path / "something-something-v1-train.csv").write_text("1;Up\n")
    with pytest.raises(
        DatasetError, match=r"no video can be used: no such folder or file \(1 of 1\)"
    ):
        table(tmp_path, tmp_path)


def test_jpgs_are_read_as_their_pictures_whatever_the_folder_is_called(tmp_path: Path) -> None:
    folder = write_jpgs(tmp_path / "100% [a]*", 9)
    frames = np.stack(list(stream_frames(folder, size=(24, 32), fit="squeeze")))
    pictures = np.stack([Image.open(file) for file in sorted(folder.iterdir())])
    assert frames.shape == (9, 24, 32, 3)
    assert abs(frames.astype(int) - pictures).mean() < 3
    assert count_frames(folder) == 9
    assert describe(folder).width == 32


def test_a_picture_that_changed_is_mixed_again(tmp_path: Path) -> None:
    folder = write_jpgs(tmp_path / "videos/Up/1", 8)
    row = Clip(video="Up/1", class_name="Up", subset="train", frames=8, kept=True)
    stores = []
    for number in range(2):
        store = tmp_path / f"store{number}"
        build_store(
            sources_of([row], tmp_path / "videos", {"Up": 0}),
            store,
            mix_settings(size=[24, 32]),
            execution(tmp_path / "scratch"),
        )
        stores.append(MixedStore(store).read(MixedStore(store).index))
        Image.new("RGB", (32, 24), "white").save(folder / "00005.jpg")
    changed = [
        bool((one != other).any()) for one, other in zip(*(s[0] for s in stores), strict=True)
    ]
    assert changed == [False, False, True, False]


@pytest.mark.parametrize("fit", ["squeeze", "crop", "pad"])
def test_jpgs_look_alike_in_both_pixel_formats(fit: Any, tmp_path: Path) -> None:
    folder = write_jpgs(tmp_path / "1", 3, size=(60, 40))
    rgb = np.stack(list(stream_frames(folder, size=(24, 24), fit=fit)))
    planes = np.stack(list(stream_planes(folder, size=(24, 24), fit=fit)))
    same = to_rgb(torch.from_numpy(planes)[None])[0].numpy()
    assert abs(same.astype(int) - rgb).mean() < 4


@pytest.mark.parametrize("pixel_format", ["rgb24", "yuv420p"])
def test_real_videos_run_through_mixing_and_a_training_step(
    pixel_format: str, shared: Path, tmp_path: Path
) -> None:
    root = shared / "data/something-something-standin"
    rows = list(table(root, tmp_path).values())
    assert len(rows) == 13
    assert all(row.kept and 320 <= row.width <= 427 for row in rows)
    settings = mix_settings(pixel_format=pixel_format, segments=8)
    build_store(
        sources_of(rows, root, class_labels(rows)),
        tmp_path / "store",
        settings,
        execution(tmp_path / "scratch"),
    )
    store = MixedStore(tmp_path / "store")
    stored = next(row for row in store.index if row.clip == f"{V1}/2")
    mixed = np.stack(list(mix_video(root / V1 / "2", 48, settings, reader="pyav")))
    assert np.array_equal(store.read([stored])[0], mixed)
    clips = {s: [row.video for row in rows if row.subset == s] for s in ("train", "val")}
    config = nonlocal_config(classes=2)
    run = Run(
        network=build_model(config),
        config=config,
        classes=["Stand-in label A", "Stand-in label B"],
        train=examples_of(store, clips["train"]),
        val=examples_of(store, clips["val"]),
        settings=training_settings(epochs=1, batch_size=16),
        seed=0,
        origin={},
    )
    train_into(run, tmp_path / "model", machine(tmp_path))
    assert (tmp_path / "model/model.safetensors").is_file()
