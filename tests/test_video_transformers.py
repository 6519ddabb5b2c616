"""What users may rely on when they start from a published video network of Hugging Face's."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from framemix.benchmarks.published import Sizes, bench_published
from framemix.datasets.origin import Origin
from framemix.errors import ModelError
from framemix.explain.attention import rollout
from framemix.explain.published import transformer_relevance
from framemix.inference.export import export_onnx
from framemix.inference.loading import load_classifier
from framemix.inference.onnx_file import load_onnx
from framemix.mixing import Pixels
from framemix.models import TrainedModel, build_model, load_model, save_model
from framemix.models.config import FamilyName
from framemix.models.families import FAMILIES
from framemix.models.input import IMAGENET, Normalisation
from framemix.models.video_transformer import VideoTransformer, resampled
from framemix.project.params import load_params
from framemix.starting.start import Start, read_start
from framemix.store import MixedStore
from framemix.training.augment import jitter_colour
from framemix.training.optimizer import build_optimizer
from framemix.training.parts import freeze_for
from framemix.training.settings import AugmentSettings
from framemix.your_videos.settings import YourTraining
from framemix.your_videos.train import train
from tests.tiny_checkpoint import FRAMES, PREPARATIONS, SIDE, write_checkpoint
from tests.tiny_store import (
    NO_AUGMENT,
    machine,
    make_store,
    mix_settings,
    split_of,
    training_settings,
)

pytest.importorskip("transformers", reason="the extra `transformers` is not installed")


ROOT = Path(__file__).resolve().parents[1]
CLASSES = ["a", "b", "c"]
MIX = mix_settings(segments=FRAMES, size=(SIDE, SIDE))
Theirs = dict[FamilyName, Any]
each_family = pytest.mark.parametrize("family", FAMILIES)


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("checkpoints")


@pytest.fixture(scope="module")
def theirs(checkpoints: Path) -> Theirs:
    """The library's own networks, each written to a folder of its family's name."""
    return {family: write_checkpoint(checkpoints / family, family) for family in FAMILIES}


def copied(folder: Path, target: Path) -> Path:
    return Path(shutil.copytree(folder, target))


def stored(count: int, side: int = SIDE) -> Pixels:
    """Noise as a store holds it, uint8 (B, S, H, W, 3)."""
    shape = (count, FRAMES, side, side, 3)
    return np.random.default_rng(count).integers(0, 256, shape, np.uint8)


def prepared(clips: Pixels, family: FamilyName) -> torch.Tensor:
    """What the family's preprocessor makes of clips, float64 (B, T, 3, H, W)."""
    said = PREPARATIONS[family][1]
    pixels = clips * said.get("rescale_factor", 1 / 255) - float(said.get("offset", False))
    if said["do_normalize"]:
        pixels = (pixels - np.array(said["image_mean"])) / np.array(said["image_std"])
    return torch.from_numpy(pixels).movedim(-1, 2)


@torch.inference_mode()
def said_by(theirs: Theirs, family: FamilyName, clips: Pixels) -> torch.Tensor:
    """Their logits (B, 3), computed in float64."""
    network = theirs[family].double()
    logits = network(**{FAMILIES[family].pixels: prepared(clips, family)}).logits
    return logits.reshape(len(clips), 3)


def model_of(theirs: Theirs, family: FamilyName, start: Start) -> TrainedModel:
    """A model that starts there, and has their last layer too."""
    network = start.network(3)
    last = {f"head.classifier.{k}": w for k, w in theirs[family].classifier.state_dict().items()}
    network.load_state_dict({**network.state_dict(), **last})
    config = start.config.model_copy(update={"num_classes": 3})
    colours = start.normalisation.mean, start.normalisation.std
    return TrainedModel(network.eval(), config, CLASSES, MIX.model_dump(mode="json"), *colours)


@each_family
def test_predicts_for_stored_clips_what_the_librarys_network_predicts_for_prepared_ones(
    checkpoints: Path, theirs: Theirs, family: FamilyName, tmp_path: Path
) -> None:
    model = model_of(theirs, family, read_start(checkpoints / family))
    save_model(tmp_path / "model.safetensors", model)
    again = load_model(tmp_path / "model.safetensors")
    assert again.config == model.config
    for count in (1, 3):
        clips = stored(count)
        expected = said_by(theirs, family, clips)
        assert expected.std() > 0.05  # else all would be alike
        for each in (model, again):
            with torch.inference_mode():
                logits = each.logits(torch.from_numpy(clips)).double()
            torch.testing.assert_close(logits, expected, rtol=0, atol=1e-5)


@pytest.mark.slow  # an export takes the compiler of torch half a minute
@each_family
def test_onnx_predicts_the_same_for_any_number_of_clips(
    checkpoints: Path, theirs: Theirs, family: FamilyName, tmp_path: Path
) -> None:
    save_model(
        tmp_path / "m.safetensors", model_of(theirs, family, read_start(checkpoints / family))
    )
    assert export_onnx(tmp_path / "m.safetensors", tmp_path / "m.onnx", []).difference < 1e-5
    classifier = load_onnx(tmp_path / "m.onnx")
    for count in (1, 3):
        clips = stored(count)
        expected = said_by(theirs, family, clips).softmax(dim=1).numpy()
        np.testing.assert_allclose(classifier.probabilities(clips), expected, rtol=0, atol=1e-5)


@each_family
def test_weights_keep_the_names_of_published_checkpoints(
    checkpoints: Path, theirs: Theirs, family: FamilyName
) -> None:
    from safetensors.torch import load_file

    published = load_file(checkpoints / family / "model.safetensors")
    own = read_start(checkpoints / family).network(3).state_dict()
    trunk = f"{FAMILIES[family].trunk}."
    names = {f"{trunk}{k[6:]}" if k.startswith("trunk.") else k[5:] for k in own}
    computed = {f"{trunk}embeddings.position_embeddings"} if FAMILIES[family].waves else set()
    assert names - computed <= published.keys()


@each_family
def test_a_checkpoint_without_last_layers_gives_its_trunk_and_the_others_are_drawn(
    checkpoints: Path, theirs: Theirs, family: FamilyName, tmp_path: Path
) -> None:
    trunk = FAMILIES[family].trunk.partition(".")[0]
    getattr(theirs[family].float(), trunk).save_pretrained(tmp_path)
    file = PREPARATIONS[family][0]
    shutil.copy(checkpoints / family / file, tmp_path / file)
    whole, bare = (read_start(each).weights for each in (checkpoints / family, tmp_path))
    assert {name for name in whole if name.startswith("trunk.")} == bare.keys()
    assert all(torch.equal(whole[name], weight) for name, weight in bare.items())
    drawn = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        drawn.append(read_start(tmp_path).network(3).head.state_dict())
    first, same, other = drawn
    assert all(torch.equal(first[name], same[name]) for name in first)
    assert not torch.equal(first["classifier.weight"], other["classifier.weight"])


@each_family
def test_interpolated_positions_are_the_learned_ones_at_the_size_that_was_learned(
    checkpoints: Path, theirs: Theirs, family: FamilyName
) -> None:
    start = read_start(checkpoints / family)
    wide = start.config.model_copy(update={"frames": 6, "image_size": (24, 24)})
    there = resampled(start.weights, start.config, wide)
    assert build_model(wide).load_state_dict(there, strict=False).unexpected_keys == []
    for name, weight in resampled(start.weights, start.config, start.config).items():
        torch.testing.assert_close(weight, start.weights[name])
    tables = {f"trunk.{path}" for path in FAMILIES[family].tables}
    assert {name for name in there if there[name].shape != start.weights[name].shape} == tables


def test_clips_of_other_sizes_are_one_line_with_the_sizes_and_the_way_out(
    checkpoints: Path, theirs: Theirs, tmp_path: Path
) -> None:
    store = make_store(tmp_path / "store")  # 4 segments of 16 x 24
    start = read_start(checkpoints / "videomae")
    with pytest.raises(ModelError) as caught:
        start.fitted(store, "exact")
    assert str(caught.value) == (
        f"{store.folder}: mixed with mix.size = [16, 24], but {checkpoints / 'videomae'} takes "
        f"mix.size = [16, 16]; allowed: the same, or positions = interpolate"
    )
    network = start.fitted(store, "interpolate").network(3)
    assert network(torch.zeros(2, 3, 4, 16, 24)).shape == (2, 3)
    with pytest.raises(ModelError, match=r"V-JEPA 2: equal sides"):
        read_start(checkpoints / "vjepa2").fitted(store, "interpolate")


def without(folder: Path, name: str) -> None:
    (folder / name).unlink()


def saying(name: str, **changes: Any) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        content = json.loads((folder / name).read_text())
        (folder / name).write_text(json.dumps(content | changes))

    return change


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        (lambda folder: without(folder, "config.json"), "no config.json; allowed: a folder with"),
        (lambda folder: (folder / "config.json").write_text("["), "config.json: not readable JSON"),
        (saying("config.json", model_type="bert"), "model_type = 'bert': allowed: videomae, vivit"),
        (saying("config.json", hidden_size="many"), "VideoMAEConfig: "),
        (saying("config.json", hidden_size=25), "VideoMAE: The hidden size 25 is not a multiple"),
        (saying("config.json", hidden_act="none such"), "VideoMAE: 'none such'"),
        (saying("config.json", num_hidden_layers=10**6), "allowed: at most 256"),
        (saying("config.json", num_hidden_layers=3), "model.safetensors: lacks trunk.encoder."),
        (saying("config.json", intermediate_size=8), "of another shape than in config.json: "),
        (lambda folder: without(folder, "model.safetensors"), "no model.safetensors; allowed: "),
        (lambda folder: (folder / "model.safetensors").write_text("x"), "not a readable safetens"),
        (
            lambda folder: (folder / "model.safetensors").rename(folder / "pytorch_model.bin"),
            "has pytorch_model.bin alone, which can run code; allowed: model.safetensors",
        ),
        (lambda folder: without(folder, "preprocessor_config.json"), "no preprocessor_config.json"),
        (saying("preprocessor_config.json", image_std=[0.2, 0.2, 0]), "image_std"),
        (saying("preprocessor_config.json", image_mean=None), "no image_mean or image_std"),
    ],
)
def test_a_folder_that_is_no_such_checkpoint_is_one_line(
    checkpoints: Path, theirs: Theirs, harm: Any, words: str, tmp_path: Path
) -> None:
    folder = copied(checkpoints / "videomae", tmp_path / "copy")
    harm(folder)
    with pytest.raises(ModelError) as caught:
        read_start(folder)
    message = str(caught.value)
    assert message.startswith(f"{folder}: ")
    assert words in message
    assert "\n" not in message


def test_the_name_of_a_model_on_a_hub_names_the_command_that_downloads_it() -> None:
    with pytest.raises(ModelError) as caught:
        read_start(Path("MCG-NJU/videomae-base"))
    assert "hf download MCG-NJU/videomae-base --local-dir data/pretrained/videomae-base" in str(
        caught.value
    )
    assert "\n" not in str(caught.value)


def test_no_code_of_a_checkpoint_runs(checkpoints: Path, theirs: Theirs, tmp_path: Path) -> None:
    folder = copied(checkpoints / "videomae", tmp_path / "copy")
    mark = tmp_path / "mark"
    (folder / "code.py").write_text(f"open({str(mark)!r}, 'w').write('ran')\n")
    code = {"AutoConfig": "code.Config", "AutoModelForVideoClassification": "code.Network"}
    changes: dict[str, Any] = {"auto_map": code, "_attn_implementation": "somebody/kernels"}
    saying("config.json", **changes)(folder)
    read_start(folder).network(3)
    assert not mark.exists()


def test_weights_may_be_in_several_files_of_the_folder_and_nowhere_else(
    checkpoints: Path, theirs: Theirs, tmp_path: Path
) -> None:
    theirs["vivit"].float().save_pretrained(tmp_path, max_shard_size="20KB")
    shutil.copy(checkpoints / "vivit/preprocessor_config.json", tmp_path)
    assert not (tmp_path / "model.safetensors").exists()
    whole, parts = (read_start(each).weights for each in (checkpoints / "vivit", tmp_path))
    assert all(torch.equal(whole[name], parts[name]) for name in whole)
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(index.read_text().replace("model-00001", "../model-00001"))
    with pytest.raises(ModelError, match="allowed: names of files in the folder"):
        read_start(tmp_path)


# Training


@each_family
def test_modes_train_the_last_layers_and_as_many_blocks_as_they_say(
    checkpoints: Path, theirs: Theirs, family: FamilyName
) -> None:
    network = read_start(checkpoints / family).network(3)
    trained = {}
    for mode in ("fc", "last_1", "last_2", "all"):
        freeze_for(network, mode)
        trained[mode] = {n for n, weight in network.named_parameters() if weight.requires_grad}
    assert {name.split(".")[0] for name in trained["fc"]} == {"head"}
    assert trained["fc"] < trained["last_1"] < trained["last_2"] < trained["all"]
    blocks = 4 if family == "videoprism" else 2
    for mode, count in (("last_1", 1), ("last_2", 2)):
        found = {re.sub(r"(\.\d+\.).*", r"\1", name) for name in trained[mode] - trained["fc"]}
        assert sum(bool(re.search(r"\.\d+\.$", name)) for name in found) == count
    with pytest.raises(ModelError, match=rf"last_1 to last_{blocks}$"):
        freeze_for(network, f"last_{blocks + 1}")


def test_each_block_learns_as_much_slower_as_layer_decay_says(
    checkpoints: Path, theirs: Theirs
) -> None:
    for family, names in {
        "videomae": ["trunk.embeddings", "trunk.encoder.layer.0", "trunk.encoder.layer.1", "head"],
        "videoprism": [
            "trunk.spatial_embeddings",
            "trunk.spatial_layers.0",
            "trunk.spatial_layers.1",
            "trunk.temporal_layers.0",
            "trunk.temporal_layers.1",
            "head",
        ],
    }.items():
        network = read_start(checkpoints / family).network(3)
        settings = training_settings(layer_decay=0.75, learning_rate=0.1)
        rates = {
            id(weight): group["lr"]
            for group in build_optimizer(network, settings).param_groups
            for weight in group["params"]
        }
        found = [
            {rates[id(w)] for name, w in network.named_parameters() if name.startswith(f"{part}.")}
            for part in names
        ]
        expected = [0.1 * 0.75 ** (len(names) - 1 - depth) for depth in range(len(names))]
        assert [len(each) for each in found] == [1] * len(names)
        assert [each.pop() for each in found] == pytest.approx(expected)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> MixedStore:
    return make_store(tmp_path_factory.mktemp("transformers") / "store")


@pytest.fixture
def folder(checkpoints: Path, theirs: Theirs, tmp_path: Path) -> Path:
    """A folder to start from, that can be taken away."""
    return copied(checkpoints / "vivit", tmp_path / "vivit")


def yours(start: Path, **changes: Any) -> YourTraining:
    section = load_params(ROOT / "params.yaml").your_videos.train.model_dump(by_alias=True)
    small = {"epochs": 2, "warmup_epochs": 0, "batch_size": 8, "augment": NO_AUGMENT}
    start_there = {"architecture": "transformers", "start": start, "positions": "interpolate"}
    return YourTraining.model_validate(section | small | start_there | changes)


def fit(store: MixedStore, target: Path, settings: YourTraining) -> TrainedModel:
    here = machine(target.with_name(f"{target.name}-scratch"))
    origin = Origin(name="tiny", drawn=False)
    train(store, split_of(store), settings, origin=origin, target=target, machine=here, views=1)
    return load_model(target / "model.safetensors")


def test_a_trained_model_needs_neither_the_folder_nor_another_preparation(
    store: MixedStore, folder: Path, tmp_path: Path
) -> None:
    start = read_start(folder)
    model = fit(store, tmp_path / "out", yours(folder, layer_decay=0.75))
    shutil.rmtree(folder)
    assert model.normalisation == start.normalisation
    rows = store.read(store.index[:3])
    path = tmp_path / "out/model.safetensors"
    said = load_classifier(path, "cpu").probabilities(rows)
    with torch.inference_mode():
        expected = model.logits(torch.from_numpy(rows)).softmax(1).numpy()
    np.testing.assert_allclose(said, expected, atol=1e-6)
    learnt = model.network.state_dict()
    assert not torch.equal(
        learnt["trunk.layernorm.weight"], start.weights["trunk.layernorm.weight"]
    )
    tuned = fit(store, tmp_path / "again", yours(path, mode="fc", epochs=1))  # from its own file
    assert torch.equal(
        tuned.network.state_dict()["trunk.layernorm.weight"], learnt["trunk.layernorm.weight"]
    )


@pytest.mark.parametrize("mode", ["fc", "last_1"])
def test_a_frozen_trunk_sees_each_clip_once_and_learns_nothing(
    store: MixedStore, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    seen: list[int] = []
    features = VideoTransformer.features

    def counted(self: VideoTransformer, video: torch.Tensor) -> torch.Tensor:
        seen.append(len(video))
        return features(self, video)

    monkeypatch.setattr(VideoTransformer, "features", counted)
    totals = []
    for epochs in (1, 3):
        model = fit(store, tmp_path / f"{epochs}", yours(folder, mode=mode, epochs=epochs))
        totals.append(sum(seen))
        seen.clear()
    assert totals[1] - totals[0] == (0 if mode == "fc" else 2 * len(store.index))
    start, learnt = read_start(folder).weights, model.network.state_dict()
    same = torch.equal(learnt["trunk.layernorm.weight"], start["trunk.layernorm.weight"])
    assert same == (mode == "fc")


def test_brightness_and_contrast_change_pixels_alike_however_clips_are_normalised() -> None:
    settings = AugmentSettings(**NO_AUGMENT | {"brightness": 0.5, "contrast": 0.5})
    clips = torch.from_numpy(stored(2))
    ways = [IMAGENET, Normalisation((0, 0, 0), (1, 1, 1)), Normalisation((1, 1, 1), (2, 2, 2))]
    pixels = []
    for how in ways:
        torch.manual_seed(0)
        changed = jitter_colour(how(clips), settings, how)
        mean, std = (torch.tensor(each)[:, None, None, None] for each in (how.mean, how.std))
        pixels.append(changed * std + mean)
    for other in pixels[1:]:
        torch.testing.assert_close(other, pixels[0], rtol=0, atol=1e-5)


@each_family
def test_what_a_prediction_draws_on_is_shared_out_among_the_clips_tokens(
    checkpoints: Path, theirs: Theirs, family: FamilyName
) -> None:
    network = read_start(checkpoints / family).network(3).eval()
    clip = torch.randn(1, 3, FRAMES, SIDE, SIDE, generator=torch.Generator().manual_seed(0))
    before = network(clip)
    relevance = transformer_relevance(network, clip)
    assert relevance.shape == network.grid
    assert float(relevance.min()) >= 0
    assert float(relevance.sum()) == pytest.approx(1.0)
    assert float(relevance.std()) > 1e-4
    assert torch.equal(network(clip), before)  # it computes as before
    if family in ("videomae", "vivit"):  # of which the library tells the attentions itself
        trunk = network.trunk
        trunk.set_attn_implementation("eager")
        said = trunk(clip.transpose(1, 2), output_attentions=True).attentions
        flow = rollout(said)[0]
        expected = flow.mean(0) if family == "videomae" else flow[0, 1:] / flow[0, 1:].sum()
        torch.testing.assert_close(relevance.flatten(), expected, rtol=0, atol=1e-6)


def test_a_step_is_compared_with_the_plain_way_around_the_librarys_network() -> None:
    changes = {"hidden_size": 24, "num_attention_heads": 2, "num_hidden_layers": 2}
    small = {"intermediate_size": 32, "image_size": SIDE, "patch_size": 8, "num_frames": FRAMES}
    sizes = Sizes(batch=2, turns=2, classes=3, changes={**changes, **small})
    said = bench_published(torch.device("cpu"), sizes)
    assert re.search(r"a training step / the plain way *\| *\d+\.\d\d \(1\) \|", said)
