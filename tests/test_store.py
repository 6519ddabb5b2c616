"""What users may rely on in the store of mixed clips: what went in, or an error."""

import csv
import os
import pickle
import time
import zlib
from functools import partial
from pathlib import Path

import h5py
import numpy as np
import pytest

from framemix.errors import FramemixError, StoreError
from framemix.mixing import MixSettings
from framemix.store import IndexRow, MixedStore, shard_name, write_index, write_shard
from tests.tiny_store import mix_settings

SHAPE = (4, 6, 8, 3)


settings_with = partial(mix_settings, size=[6, 8])


def clips_of(label: int, count: int) -> np.ndarray:
    return np.random.default_rng(label).integers(0, 256, (count, *SHAPE), np.uint8)


def make_store(folder: Path, counts: dict[str, int], settings: MixSettings) -> Path:
    folder.mkdir()
    rows = []
    for label, (name, count) in enumerate(counts.items()):
        shard = shard_name(name, label, 0)
        write_shard(folder / shard, iter(clips_of(label, count)), count, settings)
        rows += [
            IndexRow(clip=f"{name}/{i}", class_name=name, label=label, shard=shard, row=i, frames=9)
            for i in range(count)
        ]
    write_index(folder, rows)
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make_store(tmp_path / "store", {"Archery": 5, "YoYo": 3}, settings_with())


def test_clips_are_read_as_they_were_written_in_any_order(folder):
    store = MixedStore(folder)
    assert store.clip_shape == SHAPE
    everything = np.concatenate([clips_of(0, 5), clips_of(1, 3)])
    order = [6, 0, 7, 3, 3, 1]
    batch = store.read([store.index[i] for i in order])
    assert batch.dtype == np.uint8
    assert np.array_equal(batch, everything[order])
    assert np.array_equal(store.read(store.index), everything)
    assert store.read([]).shape == (0, *SHAPE)


def test_a_clip_is_read_into_its_place_or_not_at_all(folder):
    store = MixedStore(folder)
    place = np.zeros((2, *SHAPE), np.uint8)
    store.read_into(place[1], store.index[6])
    assert np.array_equal(place[1], clips_of(1, 3)[1])
    assert not place[0].any()
    with pytest.raises(BufferError, match="contiguous"):
        store.read_into(place[0][..., ::-1], store.index[6])


def test_planes_are_read_as_they_were_written(tmp_path):
    settings = settings_with(pixel_format="yuv420p")
    planes = np.random.default_rng(0).integers(0, 256, (2, 4, 9, 8), np.uint8)
    write_shard(tmp_path / "a.h5", planes, 2, settings)
    rows = [
        IndexRow(clip=str(i), class_name="A", label=0, shard="a.h5", row=i, frames=9)
        for i in range(2)
    ]
    write_index(tmp_path, rows)
    store = MixedStore(tmp_path)
    assert store.settings == settings
    assert store.clip_shape == (4, 9, 8)
    assert np.array_equal(store.read(rows[::-1]), planes[::-1])
    with h5py.File(tmp_path / "a.h5") as file:
        assert file["clips"].chunks == (1, 4, 9, 8)


@pytest.fixture
def variants(tmp_path: Path) -> Path:
    """A store of two clips in three variants each."""
    settings = settings_with(variants=3, window={"frames": 5, "at": "start"})
    (tmp_path / "variants").mkdir()
    write_shard(tmp_path / "variants/a.h5", clips_of(0, 6), 6, settings)
    rows = [
        IndexRow(clip=str(i), class_name="A", label=0, shard="a.h5", row=3 * i, frames=9)
        for i in range(2)
    ]
    write_index(tmp_path / "variants", rows)
    return tmp_path / "variants"


def test_each_variant_of_a_clip_can_be_read_and_the_first_is_what_is_read_unasked(variants):
    store = MixedStore(variants)
    for variant in range(3):
        assert np.array_equal(store.read(store.index, variant), clips_of(0, 6)[variant::3])
    assert np.array_equal(store.read(store.index), clips_of(0, 6)[::3])
    with h5py.File(variants / "a.h5") as file:
        assert file.attrs["variants"] == 3


def test_a_variant_that_was_not_stored_is_refused_and_no_other_clip_read_for_it(variants, folder):
    for place, number in ((variants, 3), (folder, 1)):
        store = MixedStore(place)
        with pytest.raises(StoreError) as caught:
            store.read(store.index[:1], number)
        assert str(caught.value) == (
            f"{place}: view {number + 1} of a clip: allowed: at most its variants = {number}"
        )


def test_damage_to_a_variant_is_reported_with_its_row(variants):
    content = bytearray((variants / "a.h5").read_bytes())
    content[content.index(clips_of(0, 6)[5].tobytes()) + 7] ^= 1
    (variants / "a.h5").write_bytes(content)
    store = MixedStore(variants)
    store.read(store.index)
    with pytest.raises(StoreError, match=r"a\.h5: row 5 \(1\) has changed"):
        store.read(store.index, 2)


def test_a_whole_variant_does_not_vouch_for_the_others_of_its_clip(variants):
    content = bytearray((variants / "a.h5").read_bytes())
    content[content.index(clips_of(0, 6)[3].tobytes()) + 7] ^= 1
    (variants / "a.h5").write_bytes(content)
    store = MixedStore(variants)
    store.read(store.index, 2)
    with pytest.raises(StoreError, match=r"a\.h5: row 3 \(1\) has changed"):
        store.read(store.index)


def test_the_index_names_class_label_shard_and_row_of_every_clip(folder):
    with (folder / "index.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["clip", "class", "label", "shard", "row", "frames"]
    assert [row["label"] for row in rows] == ["0"] * 5 + ["1"] * 3
    assert rows[6] == {
        "clip": "YoYo/1",
        "class": "YoYo",
        "label": "1",
        "shard": "yoyo-1-000.h5",
        "row": "1",
        "frames": "9",
    }


@pytest.mark.parametrize(
    ("class_name", "label", "number", "name"),
    [
        ("ApplyEyeMakeup", 0, 0, "applyeyemakeup-0-000.h5"),
        ("Something, with [something]", 17, 3, "something-with-something-17-003.h5"),
        ("a/../b", 2, 12, "a-b-2-012.h5"),
    ],
)
def test_shards_have_plain_names(class_name, label, number, name):
    assert shard_name(class_name, label, number) == name


def test_shards_of_classes_that_look_alike_do_not_share_a_name():
    assert shard_name("Up!", 0, 0) != shard_name("Up?", 1, 0)
    assert len(shard_name("long " * 100, 0, 0)) < 100


def test_the_same_clips_give_the_same_bytes(tmp_path):
    write_shard(tmp_path / "one", clips_of(0, 5), 5, settings_with())
    time.sleep(1.1)  # HDF5 keeps dates in seconds
    write_shard(tmp_path / "two", clips_of(0, 5), 5, settings_with())
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_a_clip_is_one_chunk_and_uncompressed(folder):
    with h5py.File(folder / "archery-0-000.h5") as file:
        data = file["clips"]
        assert data.shape == (5, *SHAPE)
        assert data.dtype == np.uint8
        assert data.chunks == (1, *SHAPE)
        assert data.compression is None


def test_a_shard_says_how_it_was_mixed(tmp_path):
    write_shard(tmp_path / "a.h5", clips_of(0, 1), 1, settings_with(frames_per_segment=3))
    with h5py.File(tmp_path / "a.h5") as file:
        attributes = dict(file.attrs)
    assert attributes.pop("size").tolist() == [6, 8]
    assert attributes == {
        "method": b"linear",
        "segments": 4,
        "frames_per_segment": 3,
        "window": b"all",
        "fit": b"squeeze",
        "pixel_format": b"rgb24",
    }


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"method": "none", "frames_per_segment": 5},
        {"window": {"frames": 150, "at": "start"}},
        {"window": {"frames": 5, "at": "centre"}, "fit": "pad"},
        {"window": {"frames": 5, "at": "centre"}, "variants": 4},
    ],
)
def test_the_mix_settings_can_be_read_back(tmp_path, changes):
    settings = settings_with(**changes)
    assert MixedStore(make_store(tmp_path / "s", {"A": 1}, settings)).settings == settings


def test_checksums_identify_the_clips_of_each_shard(folder):
    expected = [zlib.crc32(clip.tobytes()) for clip in clips_of(1, 3)]
    checksums = MixedStore(folder).checksums()
    assert list(checksums) == ["archery-0-000.h5", "yoyo-1-000.h5"]
    assert checksums["yoyo-1-000.h5"] == expected


def test_a_store_with_open_files_can_be_sent_to_another_process(folder):
    store = MixedStore(folder)
    first = store.read(store.index[:1])
    copy = pickle.loads(pickle.dumps(store))
    assert np.array_equal(copy.read(copy.index[:1]), first)
    assert np.array_equal(store.read(store.index[:1]), first)


def test_a_store_can_be_read_in_a_forked_process_too(folder):
    store = MixedStore(folder)
    first = store.read(store.index)
    pid = os.fork()
    if pid == 0:
        os._exit(
            0 if np.array_equal(pickle.loads(pickle.dumps(store)).read(store.index), first) else 1
        )
    assert os.waitpid(pid, 0)[1] == 0


# A store that is not whole


def test_a_missing_shard_is_named(folder):
    (folder / "yoyo-1-000.h5").unlink()
    store = MixedStore(folder)
    store.read(store.index[:5])
    with pytest.raises(StoreError, match=r"yoyo-1-000\.h5: cannot be read: ") as caught:
        store.read(store.index)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("share", [0.0, 0.2, 0.9, 0.999])
def test_a_truncated_shard_is_named(folder, share):
    shard = folder / "archery-0-000.h5"
    content = shard.read_bytes()
    shard.write_bytes(content[: int(len(content) * share)])
    store = MixedStore(folder)
    with pytest.raises(StoreError, match=r"archery-0-000\.h5: cannot be read: ") as caught:
        store.read(store.index)
    assert "\n" not in str(caught.value)


def test_a_shard_that_was_compressed_afterwards_is_named(folder):
    with h5py.File(folder / "yoyo-1-000.h5", "r+") as file:
        clips = file.pop("clips")[:]
        data = file.create_dataset(
            "clips", data=clips // 64, chunks=(1, *SHAPE), compression="gzip"
        )
        data.attrs["crc32"] = [0, 0, 0]
    store = MixedStore(folder)
    with pytest.raises(StoreError, match=r"yoyo-1-000\.h5: cannot be read: compressed, or not a"):
        store.read(store.index)


def test_a_shard_that_says_nothing_we_know_of_its_mixing_is_named_in_plain_words(folder):
    with h5py.File(folder / "yoyo-1-000.h5", "r+") as file:
        file.attrs["method"] = np.bytes_("mean")
    store = MixedStore(folder)
    with pytest.raises(StoreError, match=r"yoyo-1-000\.h5: mix settings: method = 'mean': allowed"):
        store.read(store.index)


def test_a_store_without_an_index_or_without_clips_is_refused(tmp_path):
    with pytest.raises(FramemixError, match=r"index\.csv: no such table"):
        MixedStore(tmp_path)
    write_index(tmp_path, [])
    with pytest.raises(StoreError, match=r"index\.csv: lists no clip"):
        MixedStore(tmp_path)


# Damage


def read_all(folder: Path) -> tuple[dict[str, object], np.ndarray]:
    store = MixedStore(folder)
    return store.settings.model_dump(), store.read(store.index)


def test_a_flipped_bit_anywhere_in_a_shard_is_refused_with_its_name_or_changes_nothing(tmp_path):
    folder = make_store(tmp_path / "store", {"Archery": 2}, settings_with())
    shard = folder / "archery-0-000.h5"
    whole, (settings, clips) = shard.read_bytes(), read_all(folder)
    refusals = []
    for place in range(len(whole)):
        damaged = bytearray(whole)
        damaged[place] ^= 1 << place % 8
        shard.write_bytes(damaged)
        try:
            found = read_all(folder)
            assert found[0] == settings
            assert np.array_equal(found[1], clips)
        except StoreError as error:
            refusals.append(str(error))
    assert len(refusals) > clips.size * 0.9
    assert all(line.startswith(f"{shard}: ") and "\n" not in line for line in refusals)


def test_damage_is_reported_with_the_clip_and_the_way_to_mend_it(folder):
    shard = folder / "yoyo-1-000.h5"
    clip = clips_of(1, 3)[2].tobytes()
    content = bytearray(shard.read_bytes())
    content[content.index(clip) + 7] ^= 1
    shard.write_bytes(content)
    store = MixedStore(folder)
    store.read(store.index[:7])
    with pytest.raises(StoreError) as caught:
        store.read(store.index[7:])
    assert str(caught.value) == (
        f"{shard}: row 2 (YoYo/2) has changed; "
        f"mend it with: find . -samefile {shard} -delete; dvc repro"
    )


def test_each_process_checks_what_it_reads(folder):
    shard = folder / "yoyo-1-000.h5"
    content = bytearray(shard.read_bytes())
    place = content.index(clips_of(1, 3)[2].tobytes())
    store = MixedStore(folder)
    store.read(store.index)
    with shard.open("r+b") as file:
        file.seek(place)
        file.write(bytes([content[place] ^ 1]))
    copy = pickle.loads(pickle.dumps(store))
    with pytest.raises(StoreError, match=r"yoyo-1-000\.h5: row 2 \(YoYo/2\) has changed"):
        copy.read(copy.index)


def test_a_shard_that_loses_its_end_between_two_epochs_is_named(folder):
    store = MixedStore(folder)
    store.read(store.index)
    content = (folder / "yoyo-1-000.h5").read_bytes()
    os.truncate(folder / "yoyo-1-000.h5", content.index(clips_of(1, 3)[2].tobytes()) + 7)
    with pytest.raises(StoreError, match=r"yoyo-1-000\.h5: ends before row 2 \(YoYo/2\) does"):
        store.read(store.index)


def test_a_shard_with_rows_that_were_never_written_is_named(folder):
    with h5py.File(folder / "yoyo-1-000.h5", "r+") as file:
        del file["clips"]
        data = file.create_dataset("clips", (3, *SHAPE), np.uint8, chunks=(1, *SHAPE))
        data.attrs["crc32"] = [0, 0, 0]
    store = MixedStore(folder)
    with pytest.raises(StoreError, match=r"yoyo-1-000\.h5: cannot be read: rows without a clip"):
        store.read(store.index)


@pytest.mark.parametrize("row", [-1, 3, 10**6])
def test_an_index_that_names_a_row_that_is_not_there_is_refused(folder, row):
    store = MixedStore(folder)
    with pytest.raises(StoreError, match=rf"index\.csv: YoYo/0: yoyo-1-000\.h5 has no row {row};"):
        store.read([store.index[5].model_copy(update={"row": row})])


def test_a_shard_takes_its_whole_room_on_the_disk_before_its_first_clip(tmp_path):
    def clips():
        written = (tmp_path / "a.h5").stat()
        assert written.st_blocks * 512 >= written.st_size > 20 * clips_of(0, 1).size
        yield from clips_of(0, 20)

    write_shard(tmp_path / "a.h5", clips(), 20, settings_with())
