"""A pseudo-terminal on which tests run commands, and what a person would see on it."""

import fcntl
import os
import re
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from select import select

import pyte

from tests import warm
from tests.warm import WarmProcess, start_on

FRAMEMIX = [sys.executable, *warm.COMMAND]
CTRL_C = b"\x03"
# Wider than anything that is printed: a line that a terminal would break stays one line here.
UNBROKEN = 300
LINES = 1000
TERMINAL = {"TERM": "xterm-256color"}
SIZES = ("COLUMNS", "LINES")  # the terminal itself says how wide it is


@dataclass(frozen=True)
class Shown:
    """What is on the screen when a command has ended, its exit code, and all that it wrote."""

    lines: list[str]
    code: int
    cursor_is_visible: bool
    written: bytes

    @property
    def text(self) -> str:
        """The lines of the screen."""
        return "\n".join(self.lines)


def on_terminal(
    command: list[str],
    folder: Path,
    *,
    columns: int = 80,
    env: Mapping[str, str] | None = None,
    ctrl_c_after: str | None = None,
    longest: float = 300.0,
) -> Shown:
    """Run a command on a terminal of that width; press Ctrl-C once it has written that pattern.

    It fails where the command takes `longest` seconds. A Python program is started warm.
    """
    main, side = os.openpty()
    fcntl.ioctl(side, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    known = {**os.environ, **TERMINAL, **(env or {})}
    running = _start(command, folder, {k: v for k, v in known.items() if k not in SIZES}, side)
    os.close(side)
    written, pressed = b"", ctrl_c_after is None
    deadline = time.monotonic() + longest
    try:
        while data := _read(main, deadline, written):
            written += data
            if not pressed and re.search(ctrl_c_after or "", written.decode(errors="ignore")):
                os.write(main, CTRL_C)
                pressed = True
        code = running.wait(timeout=10)
    finally:
        os.close(main)
        if running.poll() is None:
            os.killpg(running.pid, signal.SIGKILL)
            running.wait()
    assert pressed, f"never written:\n{written[-2000:]!r}"
    screen = pyte.Screen(UNBROKEN, LINES)
    pyte.ByteStream(screen).feed(written)
    screen.lines = 1 + max(screen.buffer, default=-1)  # those below hold nothing, and take long
    lines = [line.rstrip() for line in screen.display]
    while lines and not lines[-1]:
        lines.pop()
    return Shown(lines, code, not screen.cursor.hidden, written)


def _start(
    command: list[str], folder: Path, env: Mapping[str, str], side: int
) -> subprocess.Popen[bytes] | WarmProcess:
    program, *arguments = command
    if program == sys.executable:
        return start_on(side, arguments, folder, env)
    return subprocess.Popen(command, cwd=folder, env=env, preexec_fn=lambda: _log_in(side))


def _log_in(side: int) -> None:
    os.login_tty(side)
    # A shell that runs the tests in the background has it ignored.
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def _read(main: int, deadline: float, written: bytes) -> bytes:
    """Return what comes next, nothing when the last process has closed the terminal."""
    ready, _, _ = select([main], [], [], max(0.0, deadline - time.monotonic()))
    assert ready, f"the command did not end:\n{written[-2000:]!r}"
    try:
        return os.read(main, 2**16)
    except OSError:  # EIO
        return b""


def assert_readable(shown: Shown, columns: int = 80) -> None:
    """Fail where a person would see a traceback, a line that is broken, or no cursor."""
    assert "Traceback" not in shown.text, shown.text
    assert shown.cursor_is_visible
    assert [line for line in shown.lines if len(line) > columns] == []
