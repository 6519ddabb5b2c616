"""What users may rely on in fine-tuning: what is trained, on which clips, and its metrics."""

import json
import shutil
import statistics
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from framemix.benchmarks.paper import PAPER_VIVIT
from framemix.datasets.clips import Clip
from framemix.datasets.origin import Origin
from framemix.datasets.splits import random_split
from framemix.errors import DatasetError, ModelError, StoreError
from framemix.finetuning.data import FinetuneData, task_of
from framemix.finetuning.finetune import finetune, redrawn
from framemix.finetuning.settings import FinetuneSettings, Task
from framemix.metrics.accuracy import parameter_counts
from framemix.metrics.seeds import OverSeeds, SeedMetric, over_seeds, seed_metrics
from framemix.models import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    ModelConfig,
    TrainedModel,
    build_model,
    load_model,
    save_model,
)
from framemix.models.config import FinetuneMode
from framemix.models.vivit import ViViT
from framemix.starting.start import Start
from framemix.tables import read_table
from framemix.training.data import labels_of
from framemix.training.parts import freeze_for
from framemix.training.prediction import predict
from tests.tiny_metrics import accuracies
from tests.tiny_model import record
from tests.tiny_store import (
    ACTIONS,
    FINETUNING,
    STATES,
    TRAINING,
    driver_split,
    finetune_data,
    machine,
    make_store,
    mix_settings,
    nonlocal_config,
    vivit_config,
)

TASKS: tuple[Task, ...] = ("drowsy_class", "alert_drowsy", "three_state")
CLASSES = {
    "drowsy_class": [*ACTIONS, "drowsy"],
    "alert_drowsy": ["alert", "drowsy"],
    "three_state": ["alert", "low_vigilant", "drowsy"],
}
# design.md, section 2: 100 classes at 150x240x320.
TRAINABLE = {
    "all": 125_690_724,
    "spatial_temporal_fc": 75_702_372,
    "temporal_fc": 37_903_460,
    "fc": 104_548,
}
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> FinetuneData:
    return finetune_data(tmp_path_factory.mktemp("finetune"))


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pretrained(tmp_path_factory.mktemp("finetune"), vivit_config())


def pretrained(folder: Path, config: ModelConfig) -> Path:
    """A model file as pretraining writes it."""
    torch.manual_seed(7)
    mix = mix_settings().model_dump(mode="json")
    network = build_model(config)
    trained = TrainedModel(network, config, list(ACTIONS), mix, IMAGENET_MEAN, IMAGENET_STD)
    save_model(folder / "model.safetensors", trained)
    return folder / "model.safetensors"


def settings(
    mode: FinetuneMode = "all", task: Task = "drowsy_class", **changes: Any
) -> FinetuneSettings:
    return FinetuneSettings.model_validate(
        {**TRAINING, **FINETUNING, "mode": mode, "task": task, **changes}
    )


def started(chosen: FinetuneSettings, source: Path) -> FinetuneSettings:
    return chosen.model_copy(update={"start": source})


def starting_network(model: TrainedModel, classes: int, **how: Any) -> Any:
    return Start.of(model, Path("model.safetensors")).network(classes, **how)


def run(source: Path, data: FinetuneData, folder: Path, chosen: FinetuneSettings) -> dict[str, Any]:
    """Fine-tune into `folder`/out and return the metrics."""
    target, chosen = folder / "out", started(chosen, source)
    finetune(data, chosen, seeds=[0], target=target, machine=machine(folder / "scratch"))
    metrics: dict[str, Any] = json.loads((target / "metrics.json").read_text())
    return metrics


@pytest.mark.parametrize("mode", list(TRAINABLE))
def test_each_mode_trains_as_many_parameters_as_the_paper_model_has_there(
    mode: FinetuneMode,
) -> None:
    with torch.device("meta"):  # shapes without numbers
        paper = TrainedModel(
            build_model(PAPER_VIVIT), PAPER_VIVIT, ["x"] * 99, {}, IMAGENET_MEAN, IMAGENET_STD
        )
        network = starting_network(paper, 100, head="replace", temporal="keep")
    freeze_for(network, mode)
    counts = parameter_counts(network)
    assert counts == {"parameters": TRAINABLE["all"], "trainable_parameters": TRAINABLE[mode]}


@pytest.mark.parametrize("task", TASKS)
def test_classes_and_labels_of_a_task(data: FinetuneData, task: Task) -> None:
    assert data.classes(task) == CLASSES[task]
    assert task_of(data.classes(task)) == task
    for side in ("train", "val"):
        examples = data.examples(task, side)
        assert {CLASSES[task][e.label] for e in examples} == set(CLASSES[task])
        assert all(CLASSES[task][e.label] == e.row.class_name for e in examples)


def test_an_action_that_is_called_as_a_state_is_refused_where_both_are_learnt(
    data: FinetuneData, tmp_path: Path
) -> None:
    alike = replace(data, ucf101=make_store(tmp_path / "ucf101", ("alert", "nod")))
    with pytest.raises(DatasetError, match="a class is called alert, as a state of drivers"):
        alike.classes("drowsy_class")
    assert alike.classes("alert_drowsy") == ["alert", "drowsy"]


def test_drowsy_class_learns_from_actions_and_drowsy_clips_alone(data: FinetuneData) -> None:
    names = {example.row.class_name for example in data.examples("drowsy_class", "train")}
    assert names == {*ACTIONS, "drowsy"}


@pytest.mark.parametrize("task", TASKS)
def test_no_clip_is_on_both_sides(data: FinetuneData, task: Task) -> None:
    train, val = ({e.row.clip for e in data.examples(task, side)} for side in ("train", "val"))
    assert train
    assert val
    assert not train & val


def test_the_head_is_new_and_all_else_is_the_pretrained_models(source: Path) -> None:
    trained = load_model(source)
    assert isinstance(trained.network, ViViT)
    torch.manual_seed(0)
    network = starting_network(trained, 4, head="replace", temporal="keep")
    old = trained.network.state_dict()
    for name, tensor in network.state_dict().items():
        if not name.startswith("head."):
            assert torch.equal(tensor, old[name]), name
    assert network.head[1].weight.shape[0] == 4
    same_size = starting_network(trained, len(ACTIONS), head="replace", temporal="keep")
    assert not torch.equal(same_size.head[1].weight, trained.network.head[1].weight)


def test_other_encoders_are_fine_tuned_as_a_whole_or_by_their_head(
    data: FinetuneData, tmp_path: Path
) -> None:
    joint = pretrained(tmp_path, vivit_config(attention="spatio_temporal"))
    run(joint, data, tmp_path, settings("fc", epochs=1))
    before = load_model(joint).network.encoder.state_dict()
    after = load_model(tmp_path / "out/model.safetensors").network.encoder.state_dict()
    assert all(torch.equal(before[name], tensor) for name, tensor in after.items())
    with pytest.raises(
        ModelError, match=r"^mode = temporal_fc: allowed with this ViViT: all, fc, "
    ):
        run(joint, data, tmp_path, settings("temporal_fc"))


def test_an_extended_head_keeps_its_predictions_for_the_pretrained_classes(source: Path) -> None:
    trained = load_model(source)
    network = starting_network(trained, 4, head="extend", temporal="keep").eval()
    clips = torch.randn(2, 3, 4, 16, 24)
    assert torch.allclose(network(clips)[:, :3], trained.network(clips), atol=1e-6)
    assert network.head[1].weight[3].abs().sum() > 0


def test_temporal_layers_may_start_from_random_weights_and_all_of_them_do(source: Path) -> None:
    trained = load_model(source)
    for weight in trained.network.parameters():
        weight.data += 1  # fresh norms and biases are as the source's were
    old = trained.network.state_dict()
    new = starting_network(trained, 4, head="replace", temporal="reinit").state_dict()
    drawn = {name for name in old if name[:4] != "head" and not torch.equal(old[name], new[name])}
    assert drawn == {name for name in old if name.startswith("temporal.")}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"head": "extend", "task": "alert_drowsy"},
            "head = extend: needs task = drowsy_class",
        ),
        (
            {"split": "redrawn", "task": "three_state"},
            "split = redrawn: needs task = drowsy_class",
        ),
        (
            {"temporal": "reinit", "mode": "fc"},
            "temporal = reinit: needs a mode that trains these layers, not fc",
        ),
    ],
)
def test_settings_that_cannot_go_together_are_named(changes: dict[str, str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        settings(**changes)


def test_a_redrawn_split_is_4_to_1_again_and_says_how_much_of_val_was_pretrained_on(
    source: Path, tmp_path: Path
) -> None:
    data = finetune_data(tmp_path / "data")
    chosen = settings("fc", split="redrawn", epochs=1)
    metrics = run(source, data, tmp_path, chosen)
    split = read_table(tmp_path / "out/split.csv", Clip)
    assert split == redrawn(data).ucf101_split
    val = {video.video for video in split if video.subset == "val"}
    before = {video.video for video in data.ucf101_split if video.subset == "val"}
    assert len(val) in (3, 4, 5)  # of 6 clips in each of 3 classes
    assert metrics["val_seen_in_pretraining"] == pytest.approx(
        len(val - before) / len(val), abs=1e-6
    )
    assert val - before
    model = load_model(tmp_path / "out/model.safetensors")
    evaluated, others = (each.examples("drowsy_class", "val") for each in (redrawn(data), data))
    found, wrong = (
        accuracies(predict(model, clips, batch_size=4, device=CPU), labels_of(clips))
        for clips in (evaluated, others)
    )
    assert found.items() <= metrics.items()
    assert found != wrong  # else it would not show


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_split_is_not_drawn_again_as_it_was(data: FinetuneData, seed: int) -> None:
    names = [name for name in ACTIONS for _ in range(100)]
    subsets = random_split(names, folds=5, fold=0, seed=seed)
    split = [
        Clip(video=str(place), class_name=name, group="g01", subset=subset)
        for place, (name, subset) in enumerate(zip(names, subsets, strict=True))
    ]
    again = redrawn(replace(data, ucf101_split=split)).ucf101_split
    before, after = (
        {video.video for video in drawn if video.subset == "val"} for drawn in (split, again)
    )
    assert len(before) == len(after) == 60
    assert len(before & after) < 30  # 12 by chance


def test_metrics_are_from_as_many_views_as_are_asked_for(
    data: FinetuneData, source: Path, tmp_path: Path
) -> None:
    here = machine(tmp_path / "scratch")
    target, chosen = tmp_path / "out", started(settings("fc", epochs=1), source)
    with pytest.raises(StoreError, match="view 2 of a clip"):  # the store has one
        finetune(data, chosen, seeds=[0], target=target, machine=here, views=2)


def test_every_seed_is_trained_and_the_metrics_are_over_all_of_them(
    data: FinetuneData, source: Path, tmp_path: Path
) -> None:
    chosen, here = settings("fc", epochs=1, learning_rate=0.1), machine(tmp_path / "scratch")
    chosen = started(chosen, source)
    alone = []
    for seed in (3, 1, 4):
        target = tmp_path / str(seed)
        finetune(data, chosen, seeds=[seed], target=target, machine=here)
        alone.append(json.loads((target / "metrics.json").read_text()))
        assert not any(name.endswith(("_mean", "_std")) for name in alone[-1])
    finetune(data, chosen, seeds=[3, 1, 4], target=tmp_path / "all", machine=here)
    metrics = json.loads((tmp_path / "all/metrics.json").read_text())
    assert {name: metrics[name] for name in alone[0]} == alone[0]
    for name in ("top1", "mean_class_accuracy", "drowsy_vs_alert_auroc"):
        values = [metrics[name] for metrics in alone]
        assert metrics[f"{name}_mean"] == pytest.approx(statistics.mean(values), abs=1e-6)
        assert metrics[f"{name}_std"] == pytest.approx(statistics.stdev(values), abs=1e-6)
    assert "parameters_mean" not in metrics
    assert "drowsy_clips_mean" not in metrics
    first, together = (tmp_path / name / "model.safetensors" for name in ("3", "all"))
    assert first.read_bytes() == together.read_bytes()


def test_of_several_seeds_the_deviation_is_a_samples_and_what_one_lacks_has_neither() -> None:
    seeds = [
        {"top1": 0.5, "auroc": 0.5, "clips": 3},
        {"top1": 0.6, "auroc": None, "clips": 3},
        {"top1": 0.7, "auroc": 0.9, "clips": 3},
    ]
    expected = {"top1_mean": 0.6, "top1_std": 0.1, "auroc_mean": None, "auroc_std": None}
    summary = over_seeds(seeds)
    assert summary == seeds[0] | expected
    assert seed_metrics(summary) == {
        "top1": SeedMetric(0.5, OverSeeds(0.6, 0.1)),
        "auroc": SeedMetric(0.5),
        "clips": SeedMetric(3),
    }


@pytest.mark.parametrize("mode", list(TRAINABLE))
def test_a_mode_leaves_the_pretrained_parts_it_freezes_as_they_are(
    data: FinetuneData, source: Path, tmp_path: Path, mode: FinetuneMode
) -> None:
    metrics = run(source, data, tmp_path, settings(mode, epochs=1))
    trained_parts = {
        "all": {"embedding", "spatial", "temporal"},
        "spatial_temporal_fc": {"spatial", "temporal"},
        "temporal_fc": {"temporal"},
        "fc": set(),
    }[mode]
    before = load_model(source).network.state_dict()
    after = load_model(tmp_path / "out/model.safetensors").network.state_dict()
    shared = [name for name in before if not name.startswith("head.")]
    changed = {name for name in shared if not torch.equal(before[name], after[name])}
    assert changed == {name for name in shared if name.split(".")[0] in trained_parts}
    assert (metrics["trainable_parameters"] == metrics["parameters"]) == (mode == "all")


@pytest.mark.parametrize("task", TASKS)
def test_metrics_and_model_of_a_task(
    data: FinetuneData, source: Path, tmp_path: Path, task: Task
) -> None:
    metrics = run(source, data, tmp_path, settings("temporal_fc", task))
    assert set(metrics) == {
        "top1",
        "top1_last",
        "top5",
        "mean_class_accuracy",
        "parameters",
        "trainable_parameters",
        "drowsy_accuracy",
        "drowsy_clips",
        "drowsy_vs_alert_auroc",
        "val_seen_in_pretraining",
    }
    assert metrics["val_seen_in_pretraining"] == (0.0 if task == "drowsy_class" else None)
    assert metrics["drowsy_clips"] == 2
    assert load_model(tmp_path / "out/model.safetensors").classes == CLASSES[task]


def test_auroc_is_over_all_pairs_of_a_drowsy_and_an_alert_val_clip(
    data: FinetuneData, source: Path, tmp_path: Path
) -> None:
    six = replace(data, rldd_split=driver_split(data.rldd, val_each=4))
    metrics = run(source, six, tmp_path, settings("fc", learning_rate=1e-4))
    drivers = six.drivers("val")
    model = load_model(tmp_path / "out/model.safetensors")
    p = predict(model, drivers, batch_size=3, device=CPU)[:, -1].tolist()
    state = [example.row.class_name for example in drivers]
    pairs = [
        (p[i] > p[j]) + 0.5 * (p[i] == p[j])
        for i in range(len(p))
        for j in range(len(p))
        if (state[i], state[j]) == ("drowsy", "alert")
    ]
    assert len(pairs) == 16
    assert metrics["drowsy_vs_alert_auroc"] == pytest.approx(sum(pairs) / 16, abs=1e-6)


def test_drivers_without_a_state_of_the_task_on_a_side_are_refused(
    data: FinetuneData, source: Path, tmp_path: Path
) -> None:
    """As where they were divided for another task."""
    split = [clip.model_copy(update={"subset": "train"}) for clip in data.rldd_split]
    with pytest.raises(DatasetError, match=r"^finetune\.task = alert_drowsy: no alert val clip; "):
        run(source, replace(data, rldd_split=split), tmp_path, settings("fc", "alert_drowsy"))


def test_without_drowsy_val_clips_their_metrics_are_null(
    data: FinetuneData, source: Path, tmp_path: Path
) -> None:
    split = [
        clip.model_copy(update={"subset": "train"}) if clip.class_name == "drowsy" else clip
        for clip in data.rldd_split
    ]
    metrics = run(source, replace(data, rldd_split=split), tmp_path, settings("fc"))
    assert metrics["drowsy_accuracy"] is None
    assert metrics["drowsy_vs_alert_auroc"] is None
    assert metrics["drowsy_clips"] == 0
    assert metrics["top1"] is not None


def test_a_fine_tuned_model_names_its_own_videos_and_those_of_its_start(
    data: FinetuneData, source: Path, tmp_path: Path
) -> None:
    actions, drivers = Origin(name="actions", drawn=True), Origin(name="drivers", drawn=False)
    start = record(6.0, drawn=True)
    first = tmp_path / "first.safetensors"
    save_model(first, replace(load_model(source), trained_on=start))
    for task, videos, clips in (
        ("drowsy_class", (actions, drivers), (16, 8)),
        ("alert_drowsy", (drivers,), (8, 4)),
    ):
        metrics = finetune(
            data,
            started(settings("fc", task, epochs=1), first),
            seeds=[0],
            target=tmp_path / task,
            machine=machine(tmp_path / "scratch"),
            origins=(actions, drivers),
        )
        said = load_model(tmp_path / task / "model.safetensors").trained_on
        assert said is not None
        assert (said.videos, said.start) == (videos, start)
        assert (said.train_clips, said.val_clips, said.leak_share) == (*clips, 1.0)
        assert said.metrics["drowsy_accuracy"] == metrics["drowsy_accuracy"]


def test_what_is_said_of_the_start_beside_its_weights_trains_nothing_again(
    data: FinetuneData, source: Path, tmp_path: Path
) -> None:
    named = tmp_path / "named.safetensors"
    save_model(named, replace(load_model(source), trained_on=record()))
    timings = []
    for start in (source, named):
        run(start, data, tmp_path, settings("fc", epochs=1))
        timings.append((tmp_path / "out/timing.json").stat().st_ino)
    assert timings[0] == timings[1]


def test_the_same_run_in_a_fresh_scratch_gives_the_same_bytes(
    data: FinetuneData, source: Path, tmp_path: Path
) -> None:
    for name in ("one", "two"):
        run(source, data, tmp_path / name, settings("temporal_fc"))
    for file in ("model.safetensors", "history.csv", "metrics.json"):
        one, two = (tmp_path / name / "out" / file for name in ("one", "two"))
        assert one.read_bytes() == two.read_bytes(), file


def test_another_source_is_another_run_in_the_same_scratch(
    data: FinetuneData, source: Path, tmp_path: Path
) -> None:
    path = Path(shutil.copy(source, tmp_path))
    run(path, data, tmp_path, settings("fc", epochs=1))
    first = (tmp_path / "out/model.safetensors").read_bytes()
    other = load_model(path)
    torch.nn.init.zeros_(other.network.head[1].bias)
    torch.nn.init.ones_(other.network.spatial.cls_token)
    save_model(path, other)
    run(path, data, tmp_path, settings("fc", epochs=1))
    assert (tmp_path / "out/model.safetensors").read_bytes() != first


@pytest.mark.parametrize("which", ["ucf101", "rldd"])
def test_a_store_mixed_otherwise_than_the_models_is_refused_in_one_line(
    data: FinetuneData, source: Path, tmp_path: Path, which: str
) -> None:
    classes = ACTIONS if which == "ucf101" else STATES
    other = make_store(tmp_path / "other", classes, method="average")
    with pytest.raises(
        ModelError, match=r"with mix.method = 'average', but .* mix.method = 'linear'; "
    ) as caught:
        run(source, replace(data, **{which: other}), tmp_path, settings())
    assert str(tmp_path / "other") in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_any_network_can_be_fine_tuned(data: FinetuneData, tmp_path: Path) -> None:
    source = pretrained(tmp_path, nonlocal_config())
    metrics = run(source, data, tmp_path, settings("last_1", epochs=1))
    assert metrics["parameters"] > metrics["trainable_parameters"]
    before, after = (load_model(f).network for f in (source, tmp_path / "out/model.safetensors"))
    assert torch.equal(before.layer3[0].conv1.weight, after.layer3[0].conv1.weight)
    assert not torch.equal(before.layer4[0].conv1.weight, after.layer4[0].conv1.weight)
