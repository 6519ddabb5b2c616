"""What users may rely on when a model is asked about a store's clips."""

from pathlib import Path

import pytest
import torch
from einops import reduce
from torch import nn

from framemix.errors import StoreError
from framemix.models import IMAGENET_MEAN, IMAGENET_STD, TrainedModel, build_model, normalise
from framemix.training.data import Example
from framemix.training.prediction import predict
from tests.tiny_store import ACTIONS, VARIANTS, make_store, nonlocal_config, vivit_config

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def examples(tmp_path_factory: pytest.TempPathFactory) -> list[Example]:
    store = make_store(tmp_path_factory.mktemp("prediction") / "store")
    return [Example(store, row, row.label) for row in store.index]


@pytest.fixture(scope="module", params=["vivit", "nonlocal"])
def model(request: pytest.FixtureRequest) -> TrainedModel:
    torch.manual_seed(0)
    config = vivit_config() if request.param == "vivit" else nonlocal_config()
    network = build_model(config)
    return TrainedModel(network, config, list(ACTIONS), {}, IMAGENET_MEAN, IMAGENET_STD)


def test_gives_a_row_of_probabilities_a_clip(model: TrainedModel, examples: list[Example]) -> None:
    probabilities = predict(model, examples, batch_size=5, device=CPU)
    assert probabilities.shape == (18, 3)
    assert probabilities.dtype == torch.float64
    assert torch.allclose(probabilities.sum(1), torch.ones(18).double())


def test_rows_follow_the_order_of_the_examples(
    model: TrainedModel, examples: list[Example]
) -> None:
    forward = predict(model, examples, batch_size=4, device=CPU)
    backward = predict(model, examples[::-1], batch_size=4, device=CPU)
    assert torch.allclose(forward, backward.flip(0), atol=1e-6)
    assert (forward[0] - forward[-1]).abs().max() > 1e-4  # else the order could not be told


def test_neither_batch_size_nor_dropout_changes_what_a_model_predicts(
    model: TrainedModel, examples: list[Example]
) -> None:
    model.network.train()
    whole = predict(model, examples, batch_size=18, device=CPU)
    model.network.train()
    assert torch.allclose(predict(model, examples, batch_size=7, device=CPU), whole, atol=1e-6)


def test_is_the_softmax_of_the_network_on_normalised_clips(
    model: TrainedModel, examples: list[Example]
) -> None:
    example = examples[7]
    clips = torch.from_numpy(example.store.read([example.row]))
    with torch.no_grad():
        logits = model.network.eval()(normalise(clips, model.mean, model.std))
    expected = logits.double().exp() / logits.double().exp().sum()
    said = predict(model, [example], batch_size=1, device=CPU)
    assert torch.allclose(said.double(), expected, atol=1e-6)


class Sure(nn.Module):
    """Takes every clip for the first class, the surer the brighter it is."""

    def forward(self, clips: torch.Tensor) -> torch.Tensor:
        first = 20 + reduce(clips, "b c t h w -> b", "mean")
        return torch.stack([first, torch.zeros_like(first), torch.zeros_like(first)], dim=1)


def test_the_surest_predictions_are_no_ties(examples: list[Example]) -> None:
    config = nonlocal_config()
    model = TrainedModel(Sure(), config, list(ACTIONS), {}, IMAGENET_MEAN, IMAGENET_STD)
    said = predict(model, examples, batch_size=5, device=CPU)[:, 0]
    clips = torch.from_numpy(examples[0].store.read([example.row for example in examples]))
    brightness = normalise(clips, IMAGENET_MEAN, IMAGENET_STD).mean((1, 2, 3, 4))
    assert said.argsort().tolist() == brightness.argsort().tolist()
    assert len(set(said.tolist())) == len(examples)


@pytest.mark.parametrize("views", [1, 2, 3])
def test_of_several_views_the_probabilities_are_averaged(
    model: TrainedModel, tmp_path: Path, views: int
) -> None:
    store = make_store(tmp_path / "store", **VARIANTS)
    examples = [Example(store, row, row.label) for row in store.index]
    # Each variant as a clip of its own, in a store that knows of no others.
    rows = [
        [row.model_copy(update={"row": row.row + variant}) for row in store.index]
        for variant in range(views)
    ]
    alone = [
        predict(model, [Example(store, r, r.label) for r in of], batch_size=7, device=CPU)
        for of in rows
    ]
    said = predict(model, examples, batch_size=4, device=CPU, views=views)
    assert torch.allclose(said, torch.stack(alone).mean(0), atol=1e-6)
    if views > 1:
        assert (alone[1] - alone[0]).abs().max() > 1e-4  # else nothing was averaged


def test_more_views_than_are_stored_are_refused(
    model: TrainedModel, examples: list[Example]
) -> None:
    with pytest.raises(StoreError, match=r"view 2 of a clip: allowed: at most its variants = 1$"):
        predict(model, examples, batch_size=4, device=CPU, views=2)


def test_without_clips_there_are_no_rows(model: TrainedModel) -> None:
    assert predict(model, [], batch_size=4, device=CPU).shape == (0, 3)
