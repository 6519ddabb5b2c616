"""What a GPU's kernel makes of bytes, here by Triton's interpreter: as the passes it stands for.

And that Triton compiles it for GPUs, which needs none.
"""

import subprocess
from collections.abc import Iterator
from concurrent.futures import Executor, ProcessPoolExecutor
from importlib.util import find_spec
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest
import torch

from framemix.models import IMAGENET_MEAN, IMAGENET_STD
from framemix.models.config import Tokeniser
from framemix.models.input import IMAGENET, affine
from framemix.models.tubelets import TubeletEmbedding

pytestmark = pytest.mark.skipif(
    find_spec("triton") is None, reason="no Triton here: it comes with torch's CUDA builds"
)


@pytest.fixture(scope="module")
def interpreter() -> Iterator[Executor]:
    """A process that imports Triton for the first time, and so as an interpreter."""
    with ProcessPoolExecutor(1, get_context("spawn")) as executor:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("TRITON_INTERPRET", "1")
            executor.submit(abs, 0).result()  # which starts it
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
    exact = embedding._by_row(
        embedding._normed(clips, IMAGENET.affine, None, None, torch.float64)
    ).flatten(3)
    torch.testing.assert_close(found.double(), exact, rtol=0, atol=1e-5)


class Launches(list[tuple[Any, dict[str, Any]]]):
    """Stands for the kernel, and keeps what it is launched with."""

    def __getitem__(self, grid: Any) -> Any:
        return lambda *values, **options: self.append((values, options))


@pytest.mark.parametrize("capability", [80, 90, 100])  # A100; H100 and H200; B200
@pytest.mark.parametrize(
    ("frames", "sizes"),
    [
        (150, {"patch": 40, "frame_patch": 10, "every": 1}),  # paper A
        (16, {"patch": 16, "frame_patch": 2, "every": 1}),
        (16, {"patch": 40, "frame_patch": 1, "every": 2}),  # uniform frames
    ],
)
def test_the_kernel_compiles_for_gpus_and_their_registers_hold_its_values(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    frames: int,
    sizes: dict[str, Any],
    capability: int,
) -> None:
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    from framemix.models import tubelet_kernel

    kernel, launches = tubelet_kernel._kernel, Launches()
    monkeypatch.setattr(tubelet_kernel, "_kernel", launches)
    clips = torch.empty(1, frames, 240, 320, 3, dtype=torch.uint8)
    colours = affine(IMAGENET_MEAN, IMAGENET_STD)
    tubelet_kernel.normed_tubelets(clips, colours, **sizes, eps=1e-5, dtype=torch.bfloat16)
    [(values, options)] = launches

    # As a launch does, for values and addresses of whole 16 bytes.
    numbers = [x.data_ptr() if isinstance(x, torch.Tensor) else x for x in values]
    whole = [i for i, x in enumerate(numbers) if isinstance(x, int) and x % 16 == 0]
    names = dict(zip(kernel.arg_names, values, strict=False))
    kinds = {"pixels": "*u8", "out": "*bf16", float: "fp32", int: "i32"}
    signature = {name: kinds.get(name) or kinds[type(value)] for name, value in names.items()}
    constants = {name: value for name, value in options.items() if name in kernel.arg_names}
    compiled = triton.compile(
        ASTSource(
            kernel,
            signature | dict.fromkeys(constants, "constexpr"),
            constants,
            {(i,): [["tt.divisibility", 16]] for i in whole},
        ),
        target=GPUTarget("cuda", capability, 32),
        options={name: value for name, value in options.items() if name not in constants},
    )
    cubin = tmp_path / "kernel.cubin"
    cubin.write_bytes(compiled.asm["cubin"])
    tool = triton.knobs.nvidia.cuobjdump.path
    used = subprocess.check_output([tool, "--dump-resource-usage", cubin], text=True)
    assert " STACK:0 " in used
    assert " LOCAL:0 " in used
