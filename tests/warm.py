"""Python processes that need not import torch first: each is forked from one that has.

They are processes of their own, with their own arguments, folder, environment, terminal, signals.
Tests of how a process starts, or of what it imports, or that it is like any other, use subprocess.
"""

import atexit
import errno
import gc
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import traceback
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import IO, Any

ROOT = Path(__file__).resolve().parents[1]
PATHS = os.pathsep.join([str(ROOT / "src"), str(ROOT)])
# For DVC alone: it takes hold of a process's terminal. Most of its commands import all of these.
DVC = ("dvc.cli.parser", "dvc.repo", "dvc.dvcfile", "dvc.lock", "networkx", "scmrepo.git")
# Lightning imports omegaconf where there is one, as each training begins.
FRAMEMIX = ("framemix.cli", "framemix.training.run", "omegaconf")
COMMAND = ("-c", "from framemix.cli import main; main()")  # `framemix`
LONGEST_JOB = 2**17  # bytes of one packet
SESSION = "FRAMEMIX_TESTS"  # the variable with the number of the process that ends last


class WarmProcess:
    """Such a process, with the methods of subprocess.Popen that tests need."""

    def __init__(self, connection: socket.socket, printed: tuple[IO[str], ...]) -> None:
        self._connection = connection
        self._printed = printed
        self.pid = int(connection.recv(32))
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """Return the exit code, or None while the process runs."""
        return self._ended_within(0)

    def wait(self, timeout: float | None = None) -> int:
        """Return the exit code once the process has ended; raise TimeoutExpired."""
        code = self._ended_within(timeout)
        if code is None:
            raise subprocess.TimeoutExpired(str(self.pid), timeout or 0)
        return code

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """Wait, and return what it wrote to standard output and error."""
        self.wait(timeout)
        out, errors = self._printed
        with out, errors:
            out.seek(0)
            errors.seek(0)
            return out.read(), errors.read()

    def written(self) -> str:
        """Return what it has written to standard output so far."""
        file = self._printed[0].fileno()
        # Not read as a file: the process writes where the file, which it shares, was left.
        return os.pread(file, os.fstat(file).st_size, 0).decode()

    def send_signal(self, number: int) -> None:
        """Send the process a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def _ended_within(self, seconds: float | None) -> int | None:
        if self.returncode is None and select.select([self._connection], [], [], seconds)[0]:
            self.returncode = int(self._connection.recv(32))
            self._connection.close()
        return self.returncode


def start(
    arguments: Sequence[str | Path],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    joined: bool = False,
    imports: tuple[str, ...] = FRAMEMIX,
) -> WarmProcess:
    """Start `python` with these arguments: -c and code, -m and a module, or a script.

    It has nothing to read. With `joined`, what it writes to standard error is among the output.
    `imports` are the modules that it need not import.
    """
    # The process closes them.
    out, errors = tempfile.TemporaryFile("w+"), tempfile.TemporaryFile("w+")  # noqa: SIM115
    with Path(os.devnull).open() as nothing:
        files = [nothing.fileno(), out.fileno(), (out if joined else errors).fileno()]
        ours = _fork(imports, arguments, cwd, env, files, on_terminal=False)
        return WarmProcess(ours, (out, errors))


def start_on(
    terminal: int, arguments: Sequence[str], cwd: Path, env: Mapping[str, str]
) -> WarmProcess:
    """Start `python` with these arguments as the process to which that terminal belongs."""
    files = [terminal] * 3
    return WarmProcess(_fork(FRAMEMIX, arguments, cwd, env, files, on_terminal=True), ())


def run(
    arguments: Sequence[str | Path],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    joined: bool = False,
    imports: tuple[str, ...] = FRAMEMIX,
) -> subprocess.CompletedProcess[str]:
    """Start `python` so, and wait for its end."""
    process = start(arguments, cwd=cwd, env=env, joined=joined, imports=imports)
    out, errors = process.communicate()
    return subprocess.CompletedProcess(list(arguments), process.wait(), out, errors)


def stand_in() -> None:
    """Be the process that is asked for with this one's arguments, as to its output and its end."""
    ours = _fork(FRAMEMIX, sys.argv[1:], None, None, [0, 1, 2], on_terminal=False)
    code = WarmProcess(ours, ()).wait()
    if code < 0:
        os.kill(os.getpid(), -code)
    sys.exit(code)


def _fork(
    imports: tuple[str, ...],
    arguments: Sequence[str | Path],
    cwd: Path | None,
    env: Mapping[str, str] | None,
    files: list[int],
    *,
    on_terminal: bool,
) -> socket.socket:
    """Ask for a process with these standard files; return what reports its number and its end."""
    job = {
        "arguments": [str(argument) for argument in arguments],
        "cwd": str(cwd or Path.cwd()),
        "env": dict(os.environ if env is None else env),
        "on_terminal": on_terminal,
    }
    server = _server(imports)
    socket.send_fds(server, [json.dumps(job).encode()], files)
    return server


def _server(imports: tuple[str, ...]) -> socket.socket:
    """Return a connection to what forks the processes that need these imports."""
    while True:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            connection.connect(_address(imports))
        except ConnectionRefusedError:
            connection.close()
            _start_server(imports)
        else:
            return connection


def _address(imports: tuple[str, ...]) -> str:
    """Return the name of a socket, in no folder, that all test processes of a session share."""
    return f"\0framemix-tests-{os.environ[SESSION]}-{imports[0]}"


def _start_server(imports: tuple[str, ...]) -> None:
    """Start it, unless another test process just has. It ends with the session."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as door:
        try:
            door.bind(_address(imports))
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            return
        door.listen()
        # Not a Popen, which this process, where it ends first, would have to wait for.
        os.posix_spawn(
            sys.executable,
            [sys.executable, "-c", "from tests.warm import serve; serve()", *imports],
            {**os.environ, "PYTHONPATH": PATHS},
            file_actions=[(os.POSIX_SPAWN_DUP2, door.fileno(), 0)],
        )


def serve() -> None:
    """Fork a process for each job that comes through the socket at standard input."""
    for name in sys.argv[1:]:
        import_module(name)
    gc.freeze()
    door, end = socket.socket(fileno=0), os.pidfd_open(int(os.environ[SESSION]))
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while end not in select.select([door, end], [], [])[0]:
        connection, _ = door.accept()
        if os.fork() == 0:
            door.close()
            os.close(end)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            message, files, *_ = socket.recv_fds(connection, LONGEST_JOB, 3)
            _attend(connection, json.loads(message), files)
        connection.close()


def _attend(connection: socket.socket, job: dict[str, Any], files: list[int]) -> None:
    """Fork the process itself; report its number, and its exit code once it has ended."""
    pid = os.fork()
    if pid == 0:
        connection.close()
        _prepare(files, **job)
        os._exit(_exit_code_of(job["arguments"]))
    for file in files:
        os.close(file)
    connection.send(str(pid).encode())
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    connection.send(str(code).encode())
    os._exit(0)


def _prepare(
    files: list[int], arguments: list[str], cwd: str, env: dict[str, str], on_terminal: bool
) -> None:
    """Make this process what Python makes of a new one."""
    if on_terminal:
        os.login_tty(os.dup(files[0]))
    else:
        for number, file in enumerate(files):
            os.dup2(file, number)
    for file in files:
        if file > 2:
            os.close(file)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(env)
    tempfile.tempdir = None  # that of this environment is looked for
    encoding = env.get("PYTHONIOENCODING")
    sys.stdin = os.fdopen(0, encoding=encoding)
    sys.stdout = os.fdopen(1, "w", encoding=encoding)
    sys.stderr = os.fdopen(2, "w", buffering=1, encoding=encoding, errors="backslashreplace")


def _exit_code_of(arguments: list[str]) -> int:
    """Execute such a program; return early of Python, which would take torch apart first."""
    code: object = None
    try:
        _execute(arguments)
    except SystemExit as end:
        code = end.code
    except BaseException:
        traceback.print_exc()
        code = 1
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    if isinstance(code, str):
        print(code, file=sys.stderr)
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    return int(code or 0)  # type: ignore[call-overload]


def _execute(arguments: list[str]) -> None:
    """Do what `python` does with such arguments."""
    option, *others = arguments
    sys.path[:1] = [str(Path.cwd())]
    if option == "-m":
        sys.argv[:] = others
        runpy.run_module(others[0], run_name="__main__", alter_sys=True)
    elif option == "-c":
        sys.argv[:] = ["-c", *others[1:]]
        main = sys.modules["__main__"] = ModuleType("__main__")
        exec(compile(others[0], "<string>", "exec"), main.__dict__)
    else:
        sys.argv[:] = arguments
        sys.path[:1] = [str(Path(option).resolve().parent)]
        runpy.run_path(option, run_name="__main__")
