"""What users may rely on in pretraining: its outputs, the same again, and networks that learn."""

import csv
import json
import shutil
from pathlib import Path

import pytest
import torch
from pydantic import ValidationError
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from framemix.datasets.clips import Clip
from framemix.datasets.origin import Origin
from framemix.errors import DatasetError
from framemix.mixing import MixSettings
from framemix.models import build_model, load_model
from framemix.models.trained_on import TrainedOn
from framemix.pretraining.pretrain import model_config, pretrain
from framemix.pretraining.settings import PretrainModel, PretrainNonLocal, PretrainViViT
from framemix.project.params import Params, load_params
from framemix.project.profiles import apply_profile
from framemix.store import MixedStore
from framemix.training.data import class_names, labels_of, split_examples
from framemix.training.prediction import predict
from tests.pipeline import ROOT
from tests.tiny_metrics import accuracies
from tests.tiny_store import (
    ACTIONS,
    NONLOCAL,
    TRAINING,
    VARIANTS,
    VIVIT,
    machine,
    make_store,
    mix_settings,
    split_of,
)

SETTINGS = {
    "vivit": PretrainViViT.model_validate({**TRAINING, "model": VIVIT}),
    "nonlocal": PretrainNonLocal.model_validate({**TRAINING, "model": NONLOCAL}),
}
FRAME_NET = {"depth": 10, "width": 8, "dropout": 0.1, "weights": None, "weights_sha256": None}
HISTORY = ["epoch", "train_loss", "train_top1", "val_loss", "val_top1", "learning_rate", "kept"]
OUTPUTS = {"model.safetensors", "history.csv", "metrics.json", "timing.json"}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> MixedStore:
    return make_store(tmp_path_factory.mktemp("pretrain") / "store")


@pytest.fixture(scope="module", params=["vivit", "nonlocal"])
def target(
    request: pytest.FixtureRequest, store: MixedStore, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The folder `models/<name>` after pretraining."""
    folder = tmp_path_factory.mktemp("pretrain") / request.param
    run(store, folder)
    return folder


def run(
    store: MixedStore,
    target: Path,
    split: list[Clip] | None = None,
    settings: PretrainModel | None = None,
    views: int = 1,
) -> None:
    pretrain(
        store,
        split or split_of(store),
        settings or SETTINGS[target.name],
        seeds=[0],
        target=target,
        machine=machine(target.parent / "scratch"),
        views=views,
    )


def test_writes_model_history_metrics_and_timing(target: Path) -> None:
    assert {file.name for file in target.iterdir()} == OUTPUTS


def test_the_model_says_what_it_was_trained_on_and_another_name_trains_nothing(
    store: MixedStore, tmp_path: Path
) -> None:
    lengths = {"frames": 150, "seconds": 6.0}
    split = [clip.model_copy(update=lengths) for clip in split_of(store)]
    trained = []
    for name, drawn in (("a", True), ("b", False)):
        target = tmp_path / name
        pretrain(
            store,
            split,
            SETTINGS["vivit"],
            seeds=[0],
            target=target,
            machine=machine(tmp_path / "scratch"),
            origin=Origin(name=name, drawn=drawn),
            scope="class",
        )
        model = load_model(target / "model.safetensors")
        metrics = json.loads((target / "metrics.json").read_text())
        assert model.trained_on is not None
        intervals = model.trained_on.intervals
        assert all(low <= metrics[key] <= high for key, (low, high) in intervals.items())
        assert "top1" in intervals
        assert model.trained_on == TrainedOn(
            videos=(Origin(name=name, drawn=drawn),),
            train_clips=12,
            val_clips=6,
            clip_seconds=6.0,
            leak_share=1.0,
            metrics={
                key: metrics[key] for key in ("top1", "top5", "mean_class_accuracy", "top1_last")
            },
            intervals=intervals,
            settings=SETTINGS["vivit"].recipe.model_dump(mode="json"),
            seeds=(0,),
            start=None,
        )
        trained.append((target / "timing.json").stat().st_ino)  # the file of one training
    assert trained[0] == trained[1]


def test_history_has_a_row_an_epoch(target: Path) -> None:
    with (target / "history.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == HISTORY
    assert [row["epoch"] for row in rows] == ["0", "1", "2"]
    assert all(float(row["train_loss"]) > 0 and 0 <= float(row["val_top1"]) <= 1 for row in rows)
    rates = [float(row["learning_rate"]) for row in rows]
    assert rates == sorted(rates, reverse=True)  # of each epoch's last step: warm-up is over
    assert rates[-1] < 0.003 / 10


def test_metrics_are_those_of_the_saved_model_on_the_val_clips(
    target: Path, store: MixedStore
) -> None:
    metrics = json.loads((target / "metrics.json").read_text())
    model, val = (
        load_model(target / "model.safetensors"),
        split_examples(store, split_of(store), "val"),
    )
    assert len(val) == 6
    said = predict(model, val, batch_size=4, device=torch.device("cpu"))
    parameters = sum(p.numel() for p in model.network.parameters())
    del metrics["top1_last"]  # of weights that are not kept
    assert metrics == {
        **accuracies(said, labels_of(val)),
        "parameters": parameters,
        "trainable_parameters": parameters,
    }


def test_other_views_give_other_metrics_of_the_same_training(tmp_path: Path) -> None:
    variants = make_store(tmp_path / "store", **VARIANTS)
    val = split_examples(variants, split_of(variants), "val")
    kept = []
    for views in (1, 3):
        shutil.rmtree(tmp_path / "vivit", ignore_errors=True)
        run(variants, tmp_path / "vivit", views=views)
        model = load_model(tmp_path / "vivit/model.safetensors")
        said = predict(model, val, batch_size=4, device=torch.device("cpu"), views=views)
        metrics = json.loads((tmp_path / "vivit/metrics.json").read_text())
        assert accuracies(said, labels_of(val)).items() <= metrics.items()
        kept.append((said, (tmp_path / "vivit/timing.json").read_bytes()))
    assert kept[0][1] == kept[1][1]  # nothing was trained again
    assert not torch.allclose(kept[0][0], kept[1][0], atol=1e-4)


def test_timing_says_on_what_and_how_long(target: Path) -> None:
    timing = json.loads((target / "timing.json").read_text())
    assert set(timing) == {"device", "epochs", "seconds_an_epoch", "seconds"}
    assert timing["epochs"] == 3
    assert 0 < timing["seconds_an_epoch"] < 60


def test_the_model_knows_its_classes_and_how_its_clips_were_mixed(target: Path) -> None:
    model = load_model(target / "model.safetensors")
    assert model.classes == list(ACTIONS)
    assert model.mix == mix_settings().model_dump(mode="json")
    assert model.config.architecture == target.name


@pytest.mark.parametrize("name", ["vivit", "nonlocal"])
def test_planes_are_trained_on_as_pixels_are(tmp_path: Path, name: str) -> None:
    planes = make_store(tmp_path / "store", pixel_format="yuv420p")
    once = SETTINGS[name].model_copy(update={"epochs": 1})
    run(planes, tmp_path / name, settings=once)
    with (tmp_path / name / "history.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert 0 < float(row["train_loss"]) < 10
    assert 0 < float(row["val_loss"]) < 10
    model = load_model(tmp_path / name / "model.safetensors")
    assert model.mix == mix_settings(pixel_format="yuv420p").model_dump(mode="json")
    val = split_examples(planes, split_of(planes), "val")
    assert predict(model, val, batch_size=4, device=torch.device("cpu")).shape == (6, 3)


def test_the_same_run_in_a_fresh_scratch_gives_the_same_bytes(
    target: Path, store: MixedStore, tmp_path: Path
) -> None:
    again = tmp_path / target.name
    run(store, again)
    for name in OUTPUTS - {"timing.json"}:
        assert (again / name).read_bytes() == (target / name).read_bytes(), name


@pytest.mark.parametrize("name", ["vivit", "nonlocal"])
def test_a_network_learns_what_can_be_learnt(store: MixedStore, tmp_path: Path, name: str) -> None:
    longer = SETTINGS[name].model_copy(update={"epochs": 12, "learning_rate": 0.01})
    run(store, tmp_path / name, settings=longer)
    assert json.loads((tmp_path / name / "metrics.json").read_text())["top1"] == 1.0


@pytest.mark.parametrize("name", ["tsn", "tsm", "i3d"])
def test_paper_bs_networks_run_on_the_same_store(
    store: MixedStore, tmp_path: Path, name: str
) -> None:
    model = {"architecture": name, **FRAME_NET}
    settings = PretrainModel.model_validate({**TRAINING, "epochs": 10, "model": model})
    run(store, tmp_path / name, settings=settings)
    assert json.loads((tmp_path / name / "metrics.json").read_text())["top1"] == 1.0
    assert load_model(tmp_path / name / "model.safetensors").config.architecture == name


@pytest.mark.parametrize(
    "attention", ["spatio_temporal", "factorised_self_attention", "factorised_dot_product"]
)
def test_every_encoder_of_vivit_learns(store: MixedStore, tmp_path: Path, attention: str) -> None:
    model = VIVIT | {"attention": attention, "tokeniser": "uniform_frames"}
    longer = {**TRAINING, "epochs": 12, "learning_rate": 0.01, "model": model}
    run(store, tmp_path / "vivit", settings=PretrainViViT.model_validate(longer))
    assert json.loads((tmp_path / "vivit" / "metrics.json").read_text())["top1"] == 1.0


def test_vivits_first_weights_are_drawn_as_init_says(store: MixedStore, tmp_path: Path) -> None:
    recipe = {**TRAINING, "epochs": 1, "learning_rate": 1e-12}
    trained = {}
    for init in ("xavier", "torch"):
        settings = PretrainViViT.model_validate({**recipe, "model": VIVIT | {"init": init}})
        run(store, tmp_path / init, settings=settings)
        trained[init] = load_model(tmp_path / init / "model.safetensors").network.state_dict()
    bias = "head.1.bias"
    assert trained["xavier"][bias].abs().max() < 1e-9
    assert trained["torch"][bias].abs().max() > 1e-3
    assert torch.equal(*(each["embedding.positions"] for each in trained.values()))


def test_a_model_without_its_architecture_is_refused() -> None:
    with pytest.raises(ValidationError, match="architecture"):
        PretrainModel.model_validate({**TRAINING, "model": FRAME_NET})
    with pytest.raises(ValidationError, match="resnet"):
        PretrainModel.model_validate({**TRAINING, "model": FRAME_NET | {"architecture": "resnet"}})


def test_classes_are_in_the_order_of_their_labels_whatever_the_index_order(
    store: MixedStore,
) -> None:
    turned = MixedStore(store.folder)
    turned.index.reverse()
    assert class_names(turned) == list(ACTIONS)


def test_classes_are_in_the_order_of_their_labels_and_not_of_the_alphabet(tmp_path: Path) -> None:
    names = ["YoYo", "Archery", "ApplyLipstick"]
    assert class_names(make_store(tmp_path / "store", names, each=1)) == names


def test_only_the_clips_of_the_asked_side_are_taken(store: MixedStore) -> None:
    split = split_of(store, val_each=1)
    sides = {
        side: {e.row.clip for e in split_examples(store, split, side)} for side in ("train", "val")
    }
    assert sides["val"] == {f"{name}/0" for name in ACTIONS}
    assert len(sides["train"]) == 15
    assert not sides["train"] & sides["val"]


@pytest.mark.parametrize(("val_each", "side"), [(0, "val"), (6, "train")])
def test_a_split_with_an_empty_side_is_one_clear_error(
    store: MixedStore, tmp_path: Path, val_each: int, side: str
) -> None:
    with pytest.raises(DatasetError, match=f"the split leaves no {side} clip"):
        run(store, tmp_path / "vivit", split_of(store, val_each))


def paper_settings(folder: Path, *over: str) -> Params:
    """The params with the paper's profile in them, and then with others."""
    shutil.copy(ROOT / "params.yaml", folder / "params.yaml")
    for profile in ("paper", *over):
        apply_profile(ROOT / f"profiles/{profile}.yaml", folder / "params.yaml")
    return load_params(folder / "params.yaml")


def built(section: PretrainModel, mix: MixSettings) -> nn.Module:
    with torch.device("meta"):
        return build_model(model_config(section.model, mix, classes=99)).eval()


def test_the_paper_profile_builds_the_papers_networks(tmp_path: Path) -> None:
    settings = paper_settings(tmp_path)
    assert (settings.mix.segments, *settings.mix.size) == (150, 240, 320)
    counts = [
        sum(p.numel() for p in built(section, settings.mix).parameters())
        for section in (settings.pretrain.vivit, settings.pretrain.nonlocal_)
    ]
    assert counts == [125_689_699, 25_812_643]


@pytest.mark.parametrize(
    ("profile", "parameters", "gflop"),
    [("mixed8", 81.0, 30.1), ("mixed16", 85.9, 33.9), ("mixed30", 86.3, 63.5)],
)
def test_mixed_profiles_cost_what_their_headers_say(
    tmp_path: Path, profile: str, parameters: float, gflop: float
) -> None:
    settings = paper_settings(tmp_path, profile)
    assert settings.mix.segments == int(profile.removeprefix("mixed"))
    assert (settings.mix.method, settings.mix.window) == ("linear", "all")
    vivit = built(settings.pretrain.vivit, settings.mix)
    with FlopCounterMode(display=False) as counter:
        vivit(torch.empty(1, 3, settings.mix.segments, *settings.mix.size, device="meta"))
    header = (ROOT / f"profiles/{profile}.yaml").read_text()
    assert f"Costs: {gflop} GFLOP a clip" in header
    assert f"{parameters} million parameters" in header
    assert round(counter.get_total_flops() / 1e9, 1) == gflop
    assert round(sum(p.numel() for p in vivit.parameters()) / 1e6, 1) == parameters
