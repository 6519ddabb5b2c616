"""Keeps finished and unfinished work when a run is killed.

DVC deletes a stage's outputs before it runs, so work in progress is kept elsewhere:
`<scratch>/<stage>/<fingerprint>/` holds the outputs of one unit of work (a shard, a class, a
training run). The fingerprint covers everything that decides the outputs: settings, content of the
input files, code. Finished units are hard-linked into the stage's outputs.
"""

import errno
import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from framemix.errors import DatasetError
from framemix.jobs.atomic import disk_errors, replacing
from framemix.jobs.cluster import say_to_client
from framemix.text.names import printable

# Larger files are distinguished by size, date and both ends: reading 111 GB of long videos whole
# would take minutes, for a stage that needs seconds of them.
FULLY_HASHED_BYTES = 256 * 2**20
END_BYTES = 2**20
ATTEMPTS = 3
LOCKLESS = (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS)


def has_files(folder: Path) -> bool:
    """Return whether anything is in the folder."""
    return any(folder.iterdir())


@dataclass(frozen=True)
class Unit:
    """One unit of work: `make(folder)` fills an empty folder with its outputs.

    `settings`, the content of `files` and `code` decide the outputs, and nothing else does. With
    `resume`, `make` gets the folder as an interrupted run left it. `whole` returns whether all
    finished outputs still exist: someone may have deleted a damaged file.
    """

    make: Callable[[Path], None]
    settings: Mapping[str, Any]
    files: Sequence[Path]
    code: str
    resume: bool = False
    whole: Callable[[Path], bool] = has_files

    def finish(self, folder: Path) -> Path:
        """Return the unit's output folder in `folder`; make it unless it exists.

        It is made again when an input file has changed meanwhile, because the fingerprint may then
        belong to the old content. Raises DatasetError when a file keeps changing, or when the disk
        is full.
        """
        for _ in range(ATTEMPTS):
            before = [_stamp(file) for file in self.files]
            done = self._finish(folder)
            changed = [
                file
                for file, stamp in zip(self.files, before, strict=True)
                if stamp != _stamp(file)
            ]
            if not changed:
                return done
            shutil.rmtree(done)
        raise DatasetError(f"{changed[0]}: changes while it is read; wait until it is complete")

    def _finish(self, folder: Path) -> Path:
        done, partial = self._folders(folder)
        with locked(folder / f"{done.name}.lock"):
            if not self._is_whole(done):
                if not self.resume:
                    shutil.rmtree(partial, ignore_errors=True)
                partial.mkdir(parents=True, exist_ok=True)
                with disk_errors(folder):
                    self.make(partial)
                shutil.rmtree(done, ignore_errors=True)
                partial.rename(done)
        return done

    def assist(self, folder: Path) -> Path:
        """Work on the unit together with the process that is in `finish`; return the same folder.

        `make` gets that process's folder, which may be finished only after this returns.
        """
        done, partial = self._folders(folder)
        if not self._is_whole(done):
            self.make(partial)
        return done

    def _is_whole(self, done: Path) -> bool:
        return done.is_dir() and self.whole(done)

    def _folders(self, folder: Path) -> tuple[Path, Path]:
        """Return where the finished outputs are, and where they are made."""
        done = folder / _fingerprint(self.settings, self.files, self.code)
        return done, done.with_name(f"{done.name}.partial")


def scratch_root(configured: Path | None) -> Path:
    """Return the scratch folder: FRAMEMIX_SCRATCH, else `configured`, else .scratch.

    A relative path is in the checkout, not in the copies below .dvc/tmp where experiments run.
    """
    folder = os.environ.get("FRAMEMIX_SCRATCH") or configured or ".scratch"
    return checkout(Path.cwd()) / folder


def checkout(here: Path) -> Path:
    """Return the checkout that `here` is, or of which it is a copy for a queued experiment."""
    return copied_from(here) or here


def copied_from(here: Path) -> Path | None:
    """Return the checkout of which `here` is a copy for a queued experiment, else None."""
    copies = [parent for parent in here.parents if parent.parts[-3:] == (".dvc", "tmp", "exps")]
    return copies[0].parents[2] if copies else None


def link(source: Path, target: Path) -> None:
    """Make `target` a hard link to `source`, or a copy where the file systems differ."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with replacing(target) as partial:
        try:
            partial.hardlink_to(source)
        except OSError:
            shutil.copyfile(source, partial)


@contextmanager
def locked(file: Path) -> Iterator[None]:
    """Hold the lock `file`; print a line and wait while another process holds it.

    Raises DatasetError where the folder cannot be made or the file system has no locks.
    """
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DatasetError(
            f"{file.parent}: cannot be made ({error.strerror}); put scratch elsewhere with "
            f"FRAMEMIX_SCRATCH or runtime.scratch"
        ) from None
    with file.open("w") as lock:
        try:
            _lock(lock, file)
        except OSError as error:
            if error.errno not in LOCKLESS:
                raise
            raise DatasetError(
                f"{file}: this file system has no locks ({error.strerror}); put scratch on another "
                f"with FRAMEMIX_SCRATCH or runtime.scratch"
            ) from None
        yield


def _lock(lock: IO[str], file: Path) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        say_to_client(f"waiting for another run that holds {printable(str(file))}")
        fcntl.flock(lock, fcntl.LOCK_EX)


def _fingerprint(settings: Mapping[str, Any], files: Sequence[Path], code: str) -> str:
    """Return a name for the outputs that these settings, file contents and code lead to."""
    digest = hashlib.blake2b(digest_size=16)
    digest.update(json.dumps([settings, code], sort_keys=True, default=str).encode())
    for file in files:
        digest.update(f"\n{file.name} ".encode())
        try:
            digest.update(_content(file))
        except OSError as error:
            # A unit may list files that cannot be read; its outputs then record that.
            digest.update(f"unreadable {error.errno}".encode())
    return digest.hexdigest()


def _stamp(file: Path) -> tuple[int, int, int] | None:
    """Return values that change when a file does, None for a missing file."""
    try:
        stat = file.stat()
    except OSError:
        return None
    return stat.st_ino, stat.st_size, stat.st_mtime_ns


def _content(file: Path) -> bytes:
    stat = file.stat()
    with file.open("rb") as stream:
        if stat.st_size <= FULLY_HASHED_BYTES:
            return hashlib.file_digest(stream, "blake2b").digest()
        ends = hashlib.blake2b(stream.read(END_BYTES))
        stream.seek(-END_BYTES, os.SEEK_END)
        ends.update(stream.read(END_BYTES))
    ends.update(f"{stat.st_size} {stat.st_mtime_ns}".encode())
    return ends.digest()
