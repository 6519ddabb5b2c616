"""Runs a function on a file in a subprocess of its own: decoders hang, crash and eat memory.

Each thread keeps one such subprocess for all its files, so that a file costs a message and not
a start. It dies with the thread that it works for.
"""

import mmap
import os
import pickle
import resource
import signal
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from itertools import count, islice
from pathlib import Path
from typing import Any, TypeVar

from framemix.errors import FramemixError, VideoError
from framemix.jobs.lifeline import die_with

Result = TypeVar("Result")
Item = TypeVar("Item")

# An arena a thread would take address space by the number of cores; numpy's threads likewise.
FRUGAL = {"MALLOC_ARENA_MAX": "2", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
# Dask's workers set this one: memory would go back after each frame, and be paged in for the next.
WASTEFUL = "MALLOC_TRIM_THRESHOLD_"
SERVE = "from framemix.jobs.isolation import serve; serve({fd}, {parent}, {memory_mb})"

LENGTH = struct.Struct("=Q")
ULIMIT = "`ulimit -v`"  # what a shell lets each of its processes map, in kilobytes

_of_thread = threading.local()
# In this process: a number for each iteration that is begun.
_numbers = count()
# In the subprocess: the rest of an iteration, by its number and how many items went before.
_begun: dict[tuple[int, int], Iterator[Any]] = {}


@dataclass(frozen=True)
class Limits:
    """What the work on one file may take: seconds, and megabytes of memory.

    `names` are what a user sets the two by; None for a limit that nobody can set.
    """

    seconds: float
    memory_mb: int
    names: tuple[str | None, str | None] = ("runtime.decode_timeout", "runtime.decode_memory_mb")


def isolated(work: Callable[[Path], Result], file: Path, limits: Limits) -> Result:
    """Return `work(file)`, done in this thread's subprocess; its exceptions are raised here.

    `work` and its result must pickle. Raises VideoError when the subprocess breaks a limit or
    dies: the file is only blamed for what it does in a fresh one, since what came before may
    have left damage behind. Raises FramemixError where it cannot be the file's fault: the
    subprocess does not start, or this process itself may have less memory than the limit.
    """
    # Not the thread's again until it has answered: an interrupt may come at any point.
    child: _Child | None = vars(_of_thread).pop("child", None)
    if child is not None and child.limits == limits:
        try:
            return child.run(work, file)
        except _BrokenError:
            pass
    elif child is not None:
        child.end()
    try:
        return _Child(work, limits).run(work, file)
    except _ConfinedError as broken:
        raise FramemixError(str(broken)) from None
    except _BrokenError as broken:
        raise VideoError(file, str(broken)) from None


def isolated_items(
    begin: Callable[[Path], Iterator[Item]], file: Path, limits: Limits, *, batch: int
) -> Iterator[Item]:
    """Yield what `begin(file)` does, in batches from this thread's subprocess, as `isolated` does.

    `limits` are for a batch each time. The subprocess goes on where the last batch ended, as long
    as nothing else was asked of it; else it begins again and passes over what was there already.
    """
    number, done = next(_numbers), 0
    while True:
        work = partial(_next_items, begin=begin, number=number, done=done, batch=batch)
        items = isolated(work, file, limits)
        yield from items
        if len(items) < batch:
            return
        done += len(items)


def _next_items(
    file: Path, *, begin: Callable[[Path], Iterator[Item]], number: int, done: int, batch: int
) -> list[Item]:
    """Return up to `batch` items, from that on which comes after `done` others."""
    items = _begun.pop((number, done), None)
    _begun.clear()
    if items is None:
        items = islice(begin(file), done, None)
    taken = list(islice(items, batch))
    _begun[number, done + len(taken)] = items
    return taken


class _BrokenError(Exception):
    """The subprocess is gone; says why."""


class _ConfinedError(_BrokenError):
    """It is gone, maybe for what this process itself is denied."""


class _Child:
    """A subprocess that works on one file at a time."""

    def __init__(self, work: Callable[[Path], Any], limits: Limits) -> None:
        self.limits = limits
        self.channel, theirs = socket.socketpair()
        with theirs:
            serve = SERVE.format(fd=theirs.fileno(), parent=os.getpid(), memory_mb=limits.memory_mb)
            self.process = subprocess.Popen(
                [sys.executable, "-P", "-c", serve],
                env=_environment(),
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=2,  # what C libraries print is no result of the stage
                process_group=0,
            )
        _send(self.channel, work)
        self.memory_mb: int | None = None  # that it may take; None until it is ready

    def run(self, work: Callable[[Path], Result], file: Path) -> Result:
        """Return `work(file)`, or raise what it raised, and be the thread's for the next file.

        Raises _BrokenError.
        """
        try:
            if self.memory_mb is None:  # loading libraries is not decoding
                self.memory_mb = _receive(self.channel)
                self.channel.settimeout(self.limits.seconds)
            _send(self.channel, (work, file))
            result, error = _receive(self.channel)
        except TimeoutError:
            self.end()
            limit = _named(f"{self.limits.seconds:g} s", self.limits.names[0])
            raise _BrokenError(f"decoding took more than {limit}") from None
        except (EOFError, ConnectionError):
            raise self._crashed(self.end()) from None
        except BaseException:
            self.end()  # its answer would be taken for the next file's
            raise
        if isinstance(error, MemoryError):
            self.end()  # gives back what it holds
            raise self._out_of_memory()
        _of_thread.child = self
        if error is not None:
            raise error
        value: Result = result
        return value

    def _crashed(self, how: str) -> _BrokenError:
        if self.memory_mb is None:
            limit, _ = resource.getrlimit(resource.RLIMIT_AS)
            cause = "" if limit == resource.RLIM_INFINITY else f"; {ULIMIT} is {limit // 1024}"
            return _ConfinedError(f"the decoder does not start ({how}){cause}")
        if self.memory_mb < self.limits.memory_mb:
            return _ConfinedError(
                f"the decoder crashed ({how}), maybe as {ULIMIT} leaves it {self.memory_mb} MB of "
                f"memory; allowed: unlimited, or so that {self.limits.memory_mb} MB are left"
            )
        return _BrokenError(f"the decoder crashed ({how})")

    def _out_of_memory(self) -> _BrokenError:
        if self.memory_mb is not None and self.memory_mb < self.limits.memory_mb:
            return _ConfinedError(
                f"decoding needs more than the {self.memory_mb} MB of memory that {ULIMIT} leaves; "
                f"allowed: unlimited, or so that {self.limits.memory_mb} MB are left"
            )
        limit = _named(f"{self.limits.memory_mb} MB", self.limits.names[1])
        return _BrokenError(f"decoding needs more than {limit}")

    def end(self) -> str:
        """Kill the subprocess and what it started; return how it ended if it had already."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.channel.close()
        code = self.process.wait()
        return signal.Signals(-code).name if code < 0 else f"exit code {code}"


def serve(fd: int, parent: int, memory_mb: int) -> None:
    """Be the subprocess: answer requests from the socket `fd` until its other end closes."""
    # By the kernel, because a decoder that hangs may keep all of Python's threads from running.
    die_with(parent)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    channel = socket.socket(fileno=fd)
    with suppress(EOFError, ConnectionError):  # the other end may close at any point
        _receive(channel)  # loads the libraries that the work needs, which memory_mb leaves out
        _send(channel, _limit_memory(memory_mb))
        while True:
            work, file = _receive(channel)
            try:
                _send(channel, (work(file), None))
            except Exception as error:
                _send(channel, (None, error))


def _named(limit: str, name: str | None) -> str:
    return limit if name is None else f"{limit} ({name})"


def _environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name != WASTEFUL}
    return {**kept, **FRUGAL, "PYTHONPATH": os.pathsep.join(sys.path)}


def _limit_memory(megabytes: int) -> int:
    """Let this process map so much more than it has mapped, or what it may: return that."""
    mapped = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    limit, own = mapped + megabytes * 2**20, resource.getrlimit(resource.RLIMIT_AS)[0]
    if own != resource.RLIM_INFINITY and own < limit:
        return (own - mapped) // 2**20
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    return megabytes


def _send(channel: socket.socket, message: Any) -> None:
    """Send a pickled message as a file in memory: large arrays are copied once, not piped."""
    arrays: list[pickle.PickleBuffer] = []
    parts = [memoryview(pickle.dumps(message, protocol=5, buffer_callback=arrays.append))]
    parts += [array.raw() for array in arrays]
    with os.fdopen(os.memfd_create("message"), "wb") as file:
        for part in parts:
            file.write(LENGTH.pack(part.nbytes))
            file.write(part)
        file.flush()
        socket.send_fds(channel, [b"."], [file.fileno()])


def _receive(channel: socket.socket) -> Any:
    """Return the next message; its arrays are the sender's. Raises EOFError when that is gone."""
    _, files, _, _ = socket.recv_fds(channel, 1, 1)
    if not files:
        raise EOFError
    with os.fdopen(files[0], "rb") as file:
        view = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY))
    parts = []
    while view:
        (size,) = LENGTH.unpack_from(view)
        parts.append(view[LENGTH.size :][:size])
        view = view[LENGTH.size + size :]
    return pickle.loads(parts[0], buffers=parts[1:])
