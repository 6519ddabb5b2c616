"""What subprocesses are asked to do, well and badly; it loads fast, as each of them imports it."""

import ctypes
import os
import resource
import subprocess
import threading
import time
from pathlib import Path
from typing import Any

from framemix.errors import VideoError


def misbehave(path: object) -> str:
    """Do what the file's name says; return it when it says nothing bad."""
    name = Path(str(path)).name
    if "hang" in name:
        ctypes.PyDLL(None).pause()  # holding Python's global lock, as a C library may
    if "segfault" in name:
        ctypes.string_at(0)
    if "abort" in name:
        os.abort()
    if "exit" in name:
        os._exit(3)
    if "hoard" in name:
        hoard = []
        while True:
            hoard.append(bytes(2**24))
    return name


def identity(path: Path) -> tuple[str, int]:
    return path.name, os.getpid()


def print_much(path: Path) -> str:
    subprocess.run(["echo", "noise from below"], check=True)
    print("noise" * 9999, flush=True)
    return path.name


def square(path: Path) -> Any:
    import numpy as np  # which the other subprocesses need not wait for

    return np.full((3, int(path.name)), 7, np.uint16)


def refuse(path: Path) -> None:
    raise VideoError(path, "cannot be decoded: because")


def break_after(path: Path) -> str:
    """Damage the process so that whatever comes next crashes it."""
    if path.name == "damage":
        threading.Timer(0.2, os.abort).start()
    else:
        time.sleep(0.5)
    return path.name


def core_size(path: Path) -> int:
    return resource.getrlimit(resource.RLIMIT_CORE)[1]


def dawdle(path: Path) -> str:
    time.sleep(1)
    return path.name


def start_sleep(path: Path) -> None:
    path.write_text(str(subprocess.Popen(["sleep", "60"]).pid))
    misbehave("hang")
