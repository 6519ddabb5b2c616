"""What several test files need: the shared reference data where it is at hand, a small disk."""

import gc
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import warm

ROOT = Path(__file__).resolve().parents[1]

LONG = ("pipeline", "odd_videos", "terminal", "run", "distributed", "export", "demo", "cluster")

gc.set_threshold(20_000)  # as stages do


def pytest_configure(config: pytest.Config) -> None:
    """Let the processes that run the tests know the one that started them."""
    if not hasattr(config, "workerinput"):
        os.environ[warm.SESSION] = str(os.getpid())


def pytest_collection_finish() -> None:
    """Look for garbage only among what tests make: what was loaded before them stays."""
    gc.freeze()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files that take longest first: no process shall be left alone with one."""
    items.sort(key=lambda item: next((i for i, n in enumerate(LONG) if n in item.path.name), 99))


@pytest.fixture(scope="module", autouse=True)
def _shared_workers_end_with_the_file() -> Iterator[None]:
    """Dask costs CPU as long as it runs, and other files look at which processes there are."""
    yield
    if "tests.listing" in sys.modules:
        sys.modules["tests.listing"].end_workers()


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real videos and reference outputs beside the checkout."""
    folder = ROOT.parent / "shared"
    if not folder.is_dir():
        pytest.skip("reference data (../shared) is not here")
    return folder


@pytest.fixture(scope="session")
def real_ucf101(shared: Path) -> list[Path]:
    """Some of UCF101's own videos."""
    videos = sorted((shared / "data/UCF-101").rglob("*.avi"))
    assert videos
    return videos


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 100 kB; `mount -o remount` makes it larger."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=100k", "none", folder]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("mounting a small file system is not permitted here")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)
