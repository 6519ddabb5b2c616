"""Reports the start and end of an alarm to a command or a URL, without delaying the watching."""

import json
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from http.client import HTTPException
from queue import SimpleQueue
from threading import Thread
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

from framemix.errors import FramemixError, without_password
from framemix.inference.alarm import Alarm
from framemix.jobs.terminal import print_text
from framemix.text.names import printable

# Seconds: that a command, or an answer, may take, and that the last ones may when watching ends.
COMMAND_TIME, WEBHOOK_TIME, LAST_TIME = 60.0, 10.0, 5.0

Message = dict[str, str | float]
# Passes a message on; returns what went wrong, in a few words, else None.
Send = Callable[[Message], str | None]


def alarm_message(alarm: Alarm, watched: str, source: str, seconds: float) -> Message:
    """Return the message for an alarm that has just changed, at `seconds` of the source.

    A source's user and password are left out: they are none of the receiver's.
    """
    return {
        "alarm": "on" if alarm.active else "off",
        "class": watched,
        "smoothed": round(alarm.level or 0.0, 6),
        "seconds": round(seconds, 3),
        "source": without_password(source),
        "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
    }


def command_sender(command: str) -> Send:
    """Return what runs a shell command for each message, whose values are in its environment.

    They are called FRAMEMIX_ALARM, FRAMEMIX_CLASS and so on. Raises FramemixError for no command.
    """
    if not command.strip():
        raise FramemixError(f"--exec {command!r}: allowed: a command")
    return partial(_run, command)


def webhook_sender(url: str) -> Send:
    """Return what posts each message to a URL as JSON. Raises FramemixError for no such URL."""
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:  # of the port
        usable = False
    if (
        not usable
        or "@" in parts.netloc
        or not url.isascii()
        or not url.isprintable()
        or " " in url
    ):
        raise FramemixError(
            f"--webhook {url}: allowed: http://HOST/PATH or https://HOST/PATH, without a password"
        )
    return partial(_post, url)


@contextmanager
def messenger(name: str, send: Send) -> Iterator[Callable[[Message], None]]:
    """Yield a function that takes a message and returns at once; they are sent one by one.

    A failure is a line on stderr, which begins with `name`. In the end, the last ones have a few
    seconds left.
    """
    waiting: SimpleQueue[Message | None] = SimpleQueue()

    def work() -> None:
        while (message := waiting.get()) is not None:
            if reason := send(message):
                print_text(f"{name}: alarm {message['alarm']}: {printable(reason)}", error=True)

    # A daemon: a command that hangs does not keep the program from ending.
    thread = Thread(target=work, daemon=True)
    thread.start()
    try:
        yield waiting.put
    finally:
        waiting.put(None)
        thread.join(LAST_TIME)
        if thread.is_alive():
            print_text(f"{name}: has not ended after {LAST_TIME:g} s; left as it is", error=True)


def _run(command: str, message: Message) -> str | None:
    values = {f"FRAMEMIX_{key.upper()}": printable(f"{value}") for key, value in message.items()}
    try:
        process = subprocess.Popen(
            command,
            shell=True,
            env={**os.environ, **values},
            stdin=subprocess.DEVNULL,
            stdout=2,  # stdout is for what is watched
            start_new_session=True,  # Ctrl-C is not meant for it
        )
    except OSError as error:
        return f"{error.strerror}"
    try:
        code = process.wait(COMMAND_TIME)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        return f"took more than {COMMAND_TIME:g} s, and was killed"
    return f"exit code {code}" if code else None


class _NoRedirect(HTTPRedirectHandler):
    """Refuses: a POST that is sent elsewhere would become a GET without its message."""

    def redirect_request(self, *_: Any) -> None:
        """Return no other request."""


def _post(url: str, message: Message) -> str | None:
    body = json.dumps(message).encode()
    request = Request(url, body, {"Content-Type": "application/json"})
    try:
        with build_opener(_NoRedirect).open(request, timeout=WEBHOOK_TIME):
            return None
    except HTTPError as error:
        return f"HTTP {error.code} {error.reason}"
    except (OSError, HTTPException) as error:
        return f"{getattr(error, 'reason', error)}"
