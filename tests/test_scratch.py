"""What users may rely on in the scratch folder: finished work is kept, and only what still fits."""

import errno
import fcntl
import os
import shutil
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from threading import Thread
from typing import IO, Any

import pytest

from framemix.errors import DatasetError, FramemixError
from framemix.jobs import scratch
from framemix.jobs.cluster import Cluster, map_tasks
from framemix.jobs.execution import finished
from framemix.jobs.scratch import Unit, link, locked, scratch_root
from tests.listing import execution

# Another run: holds the lock for a moment, and writes a file just before it lets go.
HOLD = """
import fcntl, sys, time
lock = open(sys.argv[1], "w")
fcntl.flock(lock, fcntl.LOCK_EX)
print("held", flush=True)
time.sleep(0.4)
open(sys.argv[2], "w").close()
"""

# Another run of the same stage with other settings: none of the first run's units are among its.
OTHER = """
import sys
from functools import partial
from pathlib import Path
from framemix.jobs.execution import finished
from tests.listing import execution
from tests.test_scratch import a_unit, write_one
unit = a_unit(make=partial(write_one, "other"), settings={"size": 4})
with finished([unit], execution(Path(sys.argv[1]), workers=1), label="other"):
    pass
"""


def write_one(name: str, folder: Path) -> None:
    """What a unit does here; at module level, so that workers find it."""
    (folder / name).write_text(name)


def a_unit(make: Any = None, **changes: Any) -> Unit:
    values = {"settings": {"size": 3}, "files": [], "code": "v1"} | changes
    return Unit(make=make or partial(write_one, "out"), **values)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    monkeypatch.delenv("FRAMEMIX_SCRATCH", raising=False)
    folder = tmp_path / "checkout"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


# Where it is


def test_by_default_scratch_is_in_the_checkout(checkout):
    assert scratch_root(None) == checkout / ".scratch"


def test_the_configured_folder_wins_over_the_default(checkout, tmp_path):
    assert scratch_root(tmp_path / "big") == tmp_path / "big"
    assert scratch_root(Path("big")) == checkout / "big"


def test_the_environment_wins_over_the_configured_folder(checkout, tmp_path, monkeypatch):
    monkeypatch.setenv("FRAMEMIX_SCRATCH", str(tmp_path / "fast"))
    assert scratch_root(tmp_path / "big") == tmp_path / "fast"


@pytest.mark.parametrize("inside", [".dvc/tmp/exps/tmpabc", ".dvc/tmp/exps/tmpabc/sub/project"])
def test_an_experiment_in_a_temporary_copy_shares_its_checkouts_scratch(
    checkout, monkeypatch, inside
):
    (checkout / inside).mkdir(parents=True)
    monkeypatch.chdir(checkout / inside)
    assert scratch_root(None) == checkout / ".scratch"


# A unit of work


def test_a_finished_unit_is_not_made_again(tmp_path):
    made = []

    def make(folder: Path) -> None:
        made.append(folder)
        (folder / "out").touch()

    for _ in range(3):
        done = a_unit(make=make).finish(tmp_path)
    assert len(made) == 1
    assert done.parent == tmp_path


def test_a_unit_whose_output_was_deleted_is_made_again(tmp_path):
    done = a_unit().finish(tmp_path)
    (done / "out").unlink()
    assert names(a_unit().finish(tmp_path)) == ["out"]


def test_a_unit_of_which_one_output_was_deleted_is_made_again_as_a_whole(tmp_path):
    def make(folder: Path) -> None:
        for name in ("model", "history"):
            (folder / name).write_text(name)

    unit = a_unit(make=make, whole=lambda folder: len(names(folder)) == 2)
    done = unit.finish(tmp_path)
    (done / "model").unlink()
    (done / "history").write_text("old")
    assert names(unit.finish(tmp_path)) == ["history", "model"]
    assert (done / "history").read_text() == "history"


def test_a_unit_appears_only_when_it_is_whole(tmp_path):
    def fail(folder: Path) -> None:
        (folder / "half").touch()
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        a_unit(make=fail).finish(tmp_path)
    assert [path.suffix for path in tmp_path.iterdir() if path.is_dir()] == [".partial"]


@pytest.mark.parametrize("resume", [False, True])
def test_half_made_work_is_continued_with_resume_and_discarded_without(tmp_path, resume):
    def start(folder: Path) -> None:
        (folder / "half").touch()
        raise KeyboardInterrupt

    found = []
    with pytest.raises(KeyboardInterrupt):
        a_unit(make=start, resume=resume).finish(tmp_path)
    done = a_unit(make=lambda f: found.extend(names(f)), resume=resume).finish(tmp_path)
    assert found == (["half"] if resume else [])
    assert names(done) == found


def test_who_assists_works_in_the_same_folder_and_not_at_all_on_what_is_finished(tmp_path):
    assisted = []
    unit = a_unit(make=assisted.append)
    done = unit.assist(tmp_path)
    assert assisted == [done.with_name(f"{done.name}.partial")]
    assert a_unit().finish(tmp_path) == done
    assert unit.assist(tmp_path) == done
    assert len(assisted) == 1


def test_settings_code_and_content_of_files_each_decide_the_unit(tmp_path):
    file, other = tmp_path / "a.avi", tmp_path / "b.avi"
    file.write_bytes(b"one")
    other.write_bytes(b"one")

    def name(**changes: Any) -> str:
        return a_unit(**({"files": [file]} | changes)).finish(tmp_path / "units").name

    first = name()
    names = {
        "settings": name(settings={"size": 4}),
        "code": name(code="v2"),
        "file name": name(files=[other]),
        "no file": name(files=[]),
        "two files": name(files=[file, other]),
        "other order": name(files=[other, file]),
    }
    file.write_bytes(b"two")
    names["content"] = name()
    assert len({first, *names.values()}) == 1 + len(names)
    file.write_bytes(b"one")
    assert name() == first


def test_neither_the_date_nor_the_place_of_a_file_decides_the_unit(tmp_path):
    file = tmp_path / "a.avi"
    file.write_bytes(b"one")
    first = a_unit(files=[file]).finish(tmp_path / "units")
    (tmp_path / "moved").mkdir()
    moved = shutil.move(file, tmp_path / "moved/a.avi")
    os.utime(moved, (1, 1))
    assert a_unit(files=[moved]).finish(tmp_path / "units") == first


@pytest.mark.parametrize("place", [0, 4000, -1])
def test_a_change_in_a_very_large_file_is_seen(tmp_path, monkeypatch, place):
    monkeypatch.setattr(scratch, "FULLY_HASHED_BYTES", 1000)
    monkeypatch.setattr(scratch, "END_BYTES", 100)
    file, content = tmp_path / "long.avi", bytearray(8000)
    file.write_bytes(content)
    os.utime(file, ns=(0, 0))
    first = a_unit(files=[file]).finish(tmp_path / "units")
    content[place] = 1
    file.write_bytes(content)
    if place in (0, -1):
        os.utime(file, ns=(0, 0))  # the ends are read; the middle is told by the date
    assert a_unit(files=[file]).finish(tmp_path / "units") != first


def test_a_very_large_file_that_has_grown_is_seen_whatever_its_date(tmp_path, monkeypatch):
    monkeypatch.setattr(scratch, "FULLY_HASHED_BYTES", 1000)
    monkeypatch.setattr(scratch, "END_BYTES", 100)
    file, units = tmp_path / "long.avi", set()
    for size in (8000, 9000):
        file.write_bytes(bytes(size))
        os.utime(file, ns=(0, 0))
        units.add(a_unit(files=[file]).finish(tmp_path / "units"))
    assert len(units) == 2


def test_a_file_that_is_gone_makes_another_unit(tmp_path):
    file = tmp_path / "a.avi"
    file.write_bytes(b"one")
    units = [a_unit(files=[file]).finish(tmp_path / "units")]
    file.unlink()
    units.append(a_unit(files=[file]).finish(tmp_path / "units"))
    assert units[0] != units[1]


def test_work_on_a_file_that_changed_meanwhile_is_done_again_under_its_new_content(tmp_path):
    file, seen = tmp_path / "a.avi", []
    file.write_bytes(b"one")

    def make(folder: Path) -> None:
        seen.append(file.read_bytes())
        (folder / "out").write_bytes(seen[-1])
        if len(seen) == 1:
            file.write_bytes(b"two, longer")

    done = a_unit(make=make, files=[file]).finish(tmp_path / "units")
    assert seen == [b"one", b"two, longer"]
    assert (done / "out").read_bytes() == b"two, longer"
    file.write_bytes(b"one")
    assert a_unit(make=make, files=[file]).finish(tmp_path / "units") != done
    assert len(seen) == 3


def test_a_file_that_another_took_the_place_of_is_seen_whatever_its_date(tmp_path):
    file, seen = tmp_path / "a.avi", []
    for name, content in (("a.avi", b"one"), ("new.avi", b"two")):
        (tmp_path / name).write_bytes(content)
        os.utime(tmp_path / name, ns=(0, 0))

    def make(folder: Path) -> None:
        seen.append(file.read_bytes())
        (folder / "out").touch()
        if len(seen) == 1:
            (tmp_path / "new.avi").replace(file)

    a_unit(make=make, files=[file]).finish(tmp_path / "units")
    assert seen == [b"one", b"two"]


def test_a_file_that_never_stops_changing_is_an_error_that_names_it(tmp_path):
    file = tmp_path / "recording.avi"
    file.write_bytes(b"x")

    def make(folder: Path) -> None:
        (folder / "out").touch()
        file.write_bytes(file.read_bytes() + b"x")

    with pytest.raises(FramemixError, match=r"recording\.avi: changes while it is read; wait"):
        a_unit(make=make, files=[file]).finish(tmp_path / "units")


# The units of a stage


def test_units_come_back_in_order_and_those_no_longer_asked_for_are_deleted(tmp_path):
    folder = tmp_path / "stage"
    units = [a_unit(partial(write_one, str(i)), settings={"number": i}) for i in range(4)]
    with finished(units, execution(folder), label="test") as first:
        assert [names(done) for done in first] == [["0"], ["1"], ["2"], ["3"]]
        inode = first[2].stat().st_ino

    with finished(units[2:], execution(folder), label="test") as second:
        assert second == first[2:]
    assert sorted(path.name for path in folder.iterdir() if path.is_dir()) == sorted(
        done.name for done in first[2:]
    )
    assert first[2].stat().st_ino == inode


def test_what_is_finished_stays_until_its_run_has_put_it_in_place(tmp_path):
    folder = tmp_path / "stage"
    with finished([a_unit()], execution(folder), label="test") as (done,):
        other_run = subprocess.Popen(
            [sys.executable, "-c", OTHER, folder],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            stderr=subprocess.PIPE,
            text=True,
        )
        waiting = f"waiting for another run that holds {folder / 'stage.lock'}\n"
        assert other_run.stderr.readline() == waiting
        link(done / "out", tmp_path / "out")
    other_run.communicate()
    assert other_run.returncode == 0
    assert (tmp_path / "out").read_text() == "out"
    assert not done.exists()


def test_a_second_run_waits_for_the_lock_and_says_which(tmp_path, capsys):
    lock, done = tmp_path / "stage.lock", tmp_path / "done"
    other_run = subprocess.Popen([sys.executable, "-c", HOLD, lock, done], stdout=subprocess.PIPE)
    with other_run:
        assert other_run.stdout.readline() == b"held\n"
        with locked(lock):
            assert done.exists()
    assert capsys.readouterr().err == f"waiting for another run that holds {lock}\n"


def take(lock: Path) -> None:
    lock.with_name("asked").touch()
    with locked(lock):
        pass


def test_a_worker_that_waits_for_a_lock_says_so_where_its_run_is_looked_at(tmp_path, capsys):
    lock = tmp_path / "two\nlines.lock"

    def hold_until_asked(held: IO[str]) -> None:
        with held:
            fcntl.flock(held, fcntl.LOCK_EX)
            while not (tmp_path / "asked").exists():
                time.sleep(0.05)
            time.sleep(0.5)

    holder = Thread(target=hold_until_asked, args=[lock.open("w")])
    holder.start()
    assert list(map_tasks(take, [lock], cluster=Cluster(1), label="lock")) == [None]
    holder.join()
    waiting = f"waiting for another run that holds {tmp_path}/two\\nlines.lock"
    assert capsys.readouterr().err.splitlines()[0] == waiting


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOTSUP])
def test_a_file_system_without_locks_is_reported_in_a_line_that_helps(
    tmp_path, monkeypatch, number
):
    def refuse(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(DatasetError) as caught:
        a_unit().finish(tmp_path)
    line = str(caught.value)
    assert line.startswith(f"{tmp_path}/")
    assert f".lock: this file system has no locks ({os.strerror(number)}); put scratch on " in line
    assert line.endswith("another with FRAMEMIX_SCRATCH or runtime.scratch")
    assert "\n" not in line


def test_another_error_of_a_lock_is_not_reported_as_a_file_system_without_locks(
    tmp_path, monkeypatch
):
    def refuse(*_: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(OSError, match="Input/output error"), locked(tmp_path / "a.lock"):
        pass


# Links


def test_a_linked_output_is_the_same_file_and_takes_no_space(tmp_path):
    source = tmp_path / "shard.h5"
    source.write_bytes(b"clips")
    for _ in range(2):  # the second time over the first
        link(source, tmp_path / "out/a/shard.h5")
        assert (tmp_path / "out/a/shard.h5").samefile(source)


def test_between_file_systems_a_linked_output_is_a_copy(tmp_path):
    elsewhere = Path("/dev/shm")
    if not elsewhere.is_dir() or elsewhere.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("no second file system here")
    source = elsewhere / f"framemix-test-{os.getpid()}"
    try:
        source.write_bytes(b"clips")
        link(source, tmp_path / "out/shard.h5")
        assert (tmp_path / "out/shard.h5").read_bytes() == b"clips"
    finally:
        source.unlink()


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_and_a_full_quota_are_reported_alike(tmp_path, number):
    def fill(folder: Path) -> None:
        raise OSError(number, os.strerror(number))

    with pytest.raises(DatasetError, match=f"^{tmp_path}: no space left on this disk; make room"):
        a_unit(make=fill).finish(tmp_path)


def test_a_scratch_folder_that_cannot_be_made_is_one_line_that_names_the_setting(tmp_path):
    (tmp_path / "file").touch()
    message = "file: cannot be made .*FRAMEMIX_SCRATCH or runtime.scratch"
    with pytest.raises(DatasetError, match=message), locked(tmp_path / "file/a.lock"):
        pass
