"""What is said of wrong settings where several types of them are allowed."""

import pytest
from pydantic import BaseModel, ValidationError

from framemix.models.config import ModelSettings
from framemix.pretraining.settings import PretrainModel
from framemix.validation import describe_error
from tests.tiny_store import TRAINING

TSN = {
    "architecture": "tsn",
    "depth": 10,
    "width": 8,
    "dropout": 0.1,
    "weights": None,
    "weights_sha256": None,
}


class Study(BaseModel):
    """Settings of several networks, by name, that say which architecture each is of."""

    models: dict[str, ModelSettings]
    runs: dict[str, PretrainModel]


def explained(model: object, run_model: object = TSN) -> str:
    runs = {"a": {**TRAINING, "model": run_model}}
    with pytest.raises(ValidationError) as caught:
        Study.model_validate({"models": {"tsn": model}, "runs": runs})
    return describe_error(caught.value, Study)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (TSN | {"depth": 18}, "depth = 18: allowed: 10, 50 or 101"),
        (TSN | {"weights_sha256": "x"}, "weights_sha256 = 'x': allowed: text like ^[0-9a-f]{64}$"),
        (
            TSN | {"pairwise": "gaussian"},
            "pairwise: unknown key; "
            "allowed: depth, width, dropout, architecture, weights, weights_sha256",
        ),
        (
            TSN | {"architecture": "resnet"},
            "architecture = 'resnet': allowed: 'vivit', 'nonlocal', 'tsn', 'tsm', 'i3d'",
        ),
        (
            {key: value for key, value in TSN.items() if key != "architecture"},
            "architecture: missing; allowed: every key present, null where it may be",
        ),
    ],
)
def test_a_network_among_several_kinds_is_explained_by_its_own_keys(
    model: object, message: str
) -> None:
    assert explained(model) == f"models.tsn.{message}"
    assert explained(TSN, model) == f"runs.a.model.{message}"


def test_a_network_that_is_no_mapping_is_reported_to_be_none() -> None:
    assert explained(3) == "models.tsn = 3: allowed: a mapping"
