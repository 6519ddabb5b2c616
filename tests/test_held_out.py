"""What users may rely on where held-out train clips choose the epoch, or nothing does."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from framemix.datasets.clips import Clip
from framemix.datasets.groups import clusters_by_name
from framemix.datasets.origin import Origin
from framemix.errors import DatasetError
from framemix.models import load_model
from framemix.models.trained_on import kept_by
from framemix.pretraining.pretrain import pretrain
from framemix.pretraining.settings import PretrainViViT
from framemix.store import IndexRow, MixedStore
from framemix.training.data import Example, labels_of, split_examples
from framemix.training.held_out import learning_and_choosing
from framemix.training.prediction import predict
from tests.tiny_store import TRAINING, VIVIT, machine, make_store, split_of


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> MixedStore:
    return make_store(tmp_path_factory.mktemp("held out") / "store", each=8)


def grouped(store: MixedStore) -> list[Clip]:
    """Each class has two val clips, and two train clips of each of three groups."""
    return [
        clip.model_copy(update={"group": f"g{int(clip.video.split('/')[1]) // 2}"})
        for clip in split_of(store)
    ]


def examples(groups: list[tuple[str, str]], store: MixedStore) -> tuple[list[Example], dict]:
    """A clip for each pair of class and group, and the groups by clip."""
    rows = [
        IndexRow(clip=f"{place}", class_name=name, label=0, shard="x", row=place, frames=9)
        for place, (name, _) in enumerate(groups)
    ]
    whose = {f"{place}": group for place, (_, group) in enumerate(groups)}
    return [Example(store, row, 0) for row in rows], whose


@given(
    groups=st.lists(st.tuples(st.sampled_from("xyz"), st.sampled_from("abcdefghij")), min_size=1)
)
def test_what_is_held_out_is_whole_groups_and_leaves_every_class_clips(
    store: MixedStore, groups: list[tuple[str, str]]
) -> None:
    train, whose = examples(groups, store)
    try:
        learning, choosing = learning_and_choosing(train, train[:1], "held_out", whose)
    except DatasetError:
        return
    sides = [{example.row.clip for example in side} for side in (learning, choosing)]
    assert sides[0] | sides[1] == set(whose)
    assert not {whose[clip] for clip in sides[0]} & {whose[clip] for clip in sides[1]}
    assert {e.row.class_name for e in learning} == {name for name, _ in groups}
    assert choosing


def test_about_a_fifth_is_held_out(store: MixedStore) -> None:
    train, whose = examples([("x", f"{number}") for number in range(100)], store)
    learning, choosing = learning_and_choosing(train, train[:1], "held_out", whose)
    assert (len(learning), len(choosing)) == (80, 20)


@pytest.mark.parametrize("groups", [["a", "a"], ["a", "b"]])
def test_where_nothing_can_be_held_out_that_is_one_clear_line(
    store: MixedStore, groups: list[str]
) -> None:
    train, whose = examples([(f"{place}", group) for place, group in enumerate(groups)], store)
    with pytest.raises(DatasetError, match=r"^select = held_out: .* allowed: best, last$"):
        learning_and_choosing(train, train, "held_out", whose)


def trained(store: MixedStore, folder: Path, select: str) -> list[dict[str, float]]:
    """Pretrain with groups of both sides; return the history."""
    settings = PretrainViViT.model_validate({**TRAINING, "select": select, "model": VIVIT})
    pretrain(
        store,
        grouped(store),
        settings,
        seeds=[0],
        target=folder / select,
        machine=machine(folder / "scratch"),
        origin=Origin(name="tiny", drawn=True),
    )
    with (folder / select / "history.csv").open(newline="") as file:
        return [{key: float(value) for key, value in row.items()} for row in csv.DictReader(file)]


def test_held_out_clips_choose_and_val_clips_are_asked_once_at_the_end(
    store: MixedStore, tmp_path: Path
) -> None:
    history = trained(store, tmp_path, "held_out")
    split = grouped(store)
    train, val = (split_examples(store, split, side) for side in ("train", "val"))
    whose = clusters_by_name(split, "dataset")
    learning, choosing = learning_and_choosing(train, val, "held_out", whose)
    assert len(choosing) == 6  # a group of each class
    model = load_model(tmp_path / "held_out/model.safetensors")
    assert model.trained_on is not None
    assert (model.trained_on.train_clips, model.trained_on.select) == (len(learning), "held_out")
    [kept] = [row for row in history if row["kept"]]
    assert kept == max(history, key=lambda row: row["val_top1"])
    said = predict(model, choosing, batch_size=4, device=torch.device("cpu"))
    loss = -said[range(len(choosing)), labels_of(choosing)].log().mean().item()
    assert loss == pytest.approx(kept["val_loss"], abs=1e-4)
    metrics = json.loads((tmp_path / "held_out/metrics.json").read_text())
    said = predict(model, val, batch_size=4, device=torch.device("cpu"))
    assert metrics["top1"] == pytest.approx(
        (said.argmax(1) == labels_of(val)).double().mean().item(), abs=1e-6
    )


def test_the_last_epochs_top1_stands_beside_that_of_the_kept_one(
    store: MixedStore, tmp_path: Path
) -> None:
    history = trained(store, tmp_path, "best")
    best = json.loads((tmp_path / "best/metrics.json").read_text())
    assert best["top1_last"] == pytest.approx(history[-1]["val_top1"], abs=1e-6)
    trained(store, tmp_path, "last")
    last = json.loads((tmp_path / "last/metrics.json").read_text())
    assert last["top1"] == last["top1_last"] == best["top1_last"]


@pytest.mark.parametrize(
    ("select", "subset", "is_biased"),
    [
        ("best", "val", True),
        ("best", "test", False),
        ("last", "val", False),
        ("held_out", "val", False),
    ],
)
def test_cards_say_whether_the_clips_of_the_metrics_chose_the_epoch(
    select: Any, subset: str, is_biased: bool
) -> None:
    said = kept_by(select, subset)
    assert said.startswith("The kept epoch is ")
    assert ("too good" in said) == is_biased
    assert (f"the {subset} clips did not choose it" in said) != is_biased
