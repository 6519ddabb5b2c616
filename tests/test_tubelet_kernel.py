"""What a GPU's kernel makes of bytes, here by Triton's interpreter: as the passes it stands for."""

from collections.abc import Iterator
from concurrent.futures import Executor, ProcessPoolExecutor
from importlib.util import find_spec
from multiprocessing import get_context
from typing import Any

import pytest
import torch

from framemix.models import IMAGENET_MEAN, IMAGENET_STD
from framemix.models.config import Tokeniser
from framemix.models.input import affine
from framemix.models.tubelets import TubeletEmbedding

pytestmark = pytest.mark.skipif(
    find_spec("triton") is None, reason="no Triton here: it comes with torch's CUDA builds"
)


@pytest.fixture(scope="module")
def interpreter() -> Iterator[Executor]:
    """A process that imports Triton for the first time, and so as an interpreter."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRITON_INTERPRET", "1")
        with ProcessPoolExecutor(1, get_context("spawn")) as executor:
            yield executor


def normed(clips: torch.Tensor, sizes: dict[str, Any]) -> torch.Tensor:
    from framemix.models.tubelet_kernel import normed_tubelets

    colours = affine(IMAGENET_MEAN, IMAGENET_STD)
    return normed_tubelets(clips, colours, **sizes, dtype=torch.float32)


@pytest.mark.parametrize("contrast", [1, 128])
@pytest.mark.parametrize(
    ("tokeniser", "frame_patch", "patch", "size"),
    [
        ("tubelet", 2, 8, (16, 24)),
        ("tubelet", 4, 5, (15, 25)),  # rows of an odd number of bytes
        ("tubelet", 8, 40, (40, 80)),  # many runs at a time do not hold it
        ("tubelet", 8, 2, (4, 4)),
        ("uniform_frames", 2, 8, (16, 24)),
        ("uniform_frames", 4, 4, (16, 24)),
    ],
)
def test_the_kernel_norms_tubelets_as_layer_norm_does_and_in_its_own_order(
    interpreter: Executor,
    tokeniser: Tokeniser,
    frame_patch: int,
    patch: int,
    size: tuple[int, int],
    contrast: int,
) -> None:
    embedding = TubeletEmbedding(
        image_size=size,
        image_patch_size=patch,
        frames=8,
        frame_patch_size=frame_patch,
        dim=4,
        tokeniser=tokeniser,
    ).double()
    clips = 255 - torch.randint(0, 256, (2, 8, *size, 3)).byte() // contrast
    sizes = {
        "patch": patch,
        "frame_patch": embedding.frame_patch,
        "every": embedding.every,
        "eps": embedding.pixel_norm.eps,
    }
    found = interpreter.submit(normed, clips, sizes).result()
    exact = embedding._by_row(embedding._normed(clips, None, None, torch.float64)).flatten(3)
    torch.testing.assert_close(found.double(), exact, rtol=0, atol=1e-5)
