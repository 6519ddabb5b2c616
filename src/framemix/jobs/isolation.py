"""Runs a function on a file in a subprocess, because decoders hang, crash and eat memory.

Each thread keeps one subprocess for all its files, so that a file costs a message, not the start of
a process. The subprocess dies with its thread.
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

# More malloc arenas, or threads of numpy, would take address space for every core of the machine.
# To look for pydantic's plugins among all installed packages takes an eighth of a start.
FRUGAL = {
    "MALLOC_ARENA_MAX": "2",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "PYDANTIC_DISABLE_PLUGINS": "__all__",
}
# Dask's workers set this: malloc would then return memory after each frame, to page it in again.
WASTEFUL = "MALLOC_TRIM_THRESHOLD_"
SERVE = "from framemix.jobs.isolation import serve; serve({fd}, {parent}, {memory_mb})"

LENGTH = struct.Struct("=Q")
ULIMIT = "`ulimit -v`"  # what a shell lets each of its processes map, in kilobytes

_of_thread = threading.local()
# In this process: a number for each iteration.
_numbers = count()
# In the subprocess: iterations in progress, by their number and the count of items so far.
_begun: dict[tuple[int, int], Iterator[Any]] = {}


@dataclass(frozen=True)
class Limits:
    """Limits of the work on one file: seconds, and megabytes of memory.

    `names` are the settings of the two; None for a limit that no user can set.
    """

    seconds: float
    memory_mb: int
    names: tuple[str | None, str | None] = ("runtime.decode_timeout", "runtime.decode_memory_mb")


def isolated(work: Callable[[Path], Result], file: Path, limits: Limits) -> Result:
    """Return `work(file)`, done in this thread's subprocess; its exceptions are raised here.

    `work` and its result must pickle. Raises VideoError when the subprocess exceeds a limit or
    dies. That is only blamed on the file when it happens in a new subprocess, because an earlier
    file may have damaged an old one. Raises FramemixError where the file cannot be at fault: the
    subprocess does not start, or this process itself is allowed less memory than the limit.
    """
    # An interrupt may come at any point: the thread gets the subprocess back once it has answered.
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
    """Yield the items of `begin(file)`, in batches from this thread's subprocess (see `isolated`).

    `limits` apply to each batch. The subprocess continues after the last batch, unless it has done
    other work meanwhile: then it begins the iteration again and skips the items that were yielded.
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
    """Return up to `batch` items after the first `done`."""
    items = _begun.pop((number, done), None)
    _begun.clear()
    if items is None:
        items = islice(begin(file), done, None)
    taken = list(islice(items, batch))
    _begun[number, done + len(taken)] = items
    return taken


class _BrokenError(Exception):
    """The subprocess is gone, with the reason."""


class _ConfinedError(_BrokenError):
    """The subprocess is gone, maybe because this process itself may use too little memory."""


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
                stdout=2,  # lines that C libraries print are no output of the stage
                process_group=0,
            )
        _send(self.channel, work)
        self.memory_mb: int | None = None  # that it may use; None until it is ready

    def run(self, work: Callable[[Path], Result], file: Path) -> Result:
        """Return `work(file)` or raise its exception; then wait for the thread's next file.

        Raises _BrokenError.
        """
        try:
            if self.memory_mb is None:  # without a time limit: loading libraries is not decoding
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
            self.end()  # a late answer would be read as the next file's
            raise
        if isinstance(error, MemoryError):
            self.end()  # returns its memory
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
        """Kill the subprocess and its children; return how it ended, if it had ended before."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.channel.close()
        code = self.process.wait()
        return signal.Signals(-code).name if code < 0 else f"exit code {code}"


def serve(fd: int, parent: int, memory_mb: int) -> None:
    """Be the subprocess: answer requests from the socket `fd` until its other end closes."""
    # The kernel has to kill it: a decoder that hangs may block all threads of Python.
    die_with(parent)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    channel = socket.socket(fileno=fd)
    with suppress(EOFError, ConnectionError):  # the other end may close at any point
        _receive(channel)  # imports the libraries of the work, which do not count for memory_mb
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
    """Let this process map so many more megabytes, or fewer where it may not; return how many."""
    mapped = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    limit, own = mapped + megabytes * 2**20, resource.getrlimit(resource.RLIMIT_AS)[0]
    if own != resource.RLIM_INFINITY and own < limit:
        return (own - mapped) // 2**20
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    return megabytes


def _send(channel: socket.socket, message: Any) -> None:
    """Send a pickled message as a file in memory, so that large arrays are copied once only."""
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
    """Return the next message; its arrays are not copied. Raises EOFError if the sender is gone."""
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
