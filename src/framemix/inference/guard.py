"""Protects the demo: who may use it, how much they may send, and where it is stored.

The page itself is built elsewhere.
"""

import fcntl
import os
import shutil
import socket
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cache
from ipaddress import ip_address
from pathlib import Path
from threading import Event
from typing import Any
from urllib.parse import urlsplit

LARGEST_UPLOAD = 200 * 2**20  # bytes, of one file
MOST_UPLOADS = 5 * LARGEST_UPLOAD  # bytes, of all files that are kept
LARGEST_REQUEST = 2**20  # bytes, of any other request, and of the parts around an uploaded file
KEPT = 600  # seconds that an upload stays on the disk
# Gradio's scripts are inline; nothing may be loaded from elsewhere.
POLICY = "default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:; frame-ancestors 'none'"
OWN = ("localhost", "127.0.0.1", "::1")
EVERYWHERE = ("0.0.0.0", "::")
PREFIX, LOCK = "framemix-demo-", ".lock"
REACHING_OUT = ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto")

Refusal = tuple[int, str]  # status and reason

_is_offline = Event()


class Guard:
    """Refuses requests that the page must not answer, and uploads for which `folder` has no room.

    A page of another site may let its own name point here (DNS rebinding), or send a form; the
    request then has that site's name. Every response forbids the browser to load from elsewhere.
    """

    def __init__(self, app: Any, *, host: str, folder: Path) -> None:
        self.app, self.host, self.folder = app, host, folder
        self._coming = 0  # bytes of uploads in progress

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer a request (the interface of ASGI)."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
        elif scope["type"] == "http":
            await self._answer(scope, receive, _with_policy(send))
        else:  # the page has no websockets
            await send({"type": "websocket.close"})

    async def _answer(self, scope: Any, receive: Any, send: Any) -> None:
        headers = {name.decode(): value.decode("latin-1") for name, value in scope["headers"]}
        is_upload = scope["path"].endswith("/upload")
        refusal = self._of_a_stranger(headers) or self._too_large(headers, is_upload)
        if refusal is not None:
            await _refuse(send, *refusal)
            return
        length = _length(headers) if is_upload else 0
        self._coming += length
        try:
            await self.app(scope, receive, send)
        finally:
            self._coming -= length

    def _of_a_stranger(self, headers: Mapping[str, str]) -> Refusal | None:
        named = {"Host": f"//{headers.get('host', '')}"}
        if "origin" in headers:
            named["Origin"] = headers["origin"]
        for header, url in named.items():
            name = _hostname(url)
            if not self._is_own(name):
                allowed = ", ".join(dict.fromkeys((self.host, *OWN)))
                return 403, f"{header}: {name or 'none'}: not this page's; allowed: {allowed}"
        return None

    def _is_own(self, name: str) -> bool:
        if name in (self.host, *OWN):
            return True
        # No other site can point an address, or this machine's name on its network, to this page.
        return self.host in EVERYWHERE and (
            _is_address(name) or name == socket.gethostname().lower()
        )

    def _too_large(self, headers: Mapping[str, str], is_upload: bool) -> Refusal | None:
        if "transfer-encoding" in headers:
            return 411, "a request without its length; allowed: one with Content-Length"
        length = _length(headers)
        most = LARGEST_REQUEST + (LARGEST_UPLOAD if is_upload else 0)
        if length > most:
            return 413, f"{_megabytes(length)}; allowed: at most {_megabytes(most)}"
        if is_upload and _bytes_in(self.folder) + self._coming + length > MOST_UPLOADS:
            return 413, (
                f"there is no room: uploads fill {_megabytes(MOST_UPLOADS)} at most; "
                f"try again in {KEPT // 60} minutes"
            )
        return None


@contextmanager
def private_folder() -> Iterator[Path]:
    """Provide a folder that no other user can read; it is deleted when the context ends.

    Folders of processes that were killed are deleted first: nobody holds their locks.
    """
    for lock in Path(tempfile.gettempdir()).glob(f"{PREFIX}*/{LOCK}"):
        _delete_abandoned(lock.parent)
    # The server's threads may be writing as it ends; the next start deletes files that they leave.
    with tempfile.TemporaryDirectory(prefix=PREFIX, ignore_cleanup_errors=True) as name:
        new = Path(name, f"{LOCK}.new")
        with new.open("w") as held:
            fcntl.flock(held, fcntl.LOCK_EX)
            new.rename(new.with_name(LOCK))  # only when it is locked, so that nobody finds it free
            yield Path(name)


def delete_older(folder: Path, seconds: float) -> None:
    """Delete the files below a folder that were last written `seconds` ago or earlier."""
    latest = time.time() - seconds
    for file, found in _files_in(folder):
        if found.st_mtime < latest:
            file.unlink(missing_ok=True)


@contextmanager
def offline() -> Iterator[None]:
    """Raise PermissionError where this process connects or looks up a name.

    Otherwise Gradio would fetch any URL that a request has in place of a file.
    """
    _watch_sockets()
    _is_offline.set()
    try:
        yield
    finally:
        _is_offline.clear()


def is_open(host: str) -> bool:
    """Return whether other machines can reach a server at an address or name."""
    return not ip_address(host).is_loopback if _is_address(host) else host != "localhost"


@cache
def _watch_sockets() -> None:
    def refuse(event: str, arguments: tuple[Any, ...]) -> None:
        if event in REACHING_OUT and _is_offline.is_set():
            raise PermissionError(f"{event}: the demo asks nothing of another place")

    sys.addaudithook(refuse)  # for ever: Python cannot remove a hook


def _delete_abandoned(folder: Path) -> None:
    if folder.is_symlink() or folder.stat().st_uid != os.getuid():
        return
    with suppress(BlockingIOError), (folder / LOCK).open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(folder)


def _with_policy(send: Any) -> Any:
    async def guarded(message: Any) -> None:
        if message["type"] == "http.response.start":
            policy = (b"content-security-policy", POLICY.encode())
            message["headers"] = [*message["headers"], policy]
        await send(message)

    return guarded


async def _refuse(send: Any, status: int, reason: str) -> None:
    kind = (b"content-type", b"text/plain; charset=utf-8")
    await send({"type": "http.response.start", "status": status, "headers": [kind]})
    await send({"type": "http.response.body", "body": reason.encode()})


def _hostname(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


def _length(headers: Mapping[str, str]) -> int:
    return int(headers.get("content-length", 0))


def _files_in(folder: Path) -> Iterator[tuple[Path, os.stat_result]]:
    for below, _, names in os.walk(folder):
        for file in (Path(below, name) for name in names):
            with suppress(FileNotFoundError):  # it was moved meanwhile
                yield file, file.stat()


def _bytes_in(folder: Path) -> int:
    return sum(found.st_size for _, found in _files_in(folder))


def _megabytes(number: int) -> str:
    return f"{number / 2**20:.0f} MB"
