"""A copy of the project in a folder of its own, where tests run the real pipeline."""

import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml

from framemix.project.profiles import apply_profile
from tests import warm
from tests.once import once
from tests.terminal import Shown, on_terminal

ROOT = Path(__file__).resolve().parents[1]
# `python`, `dvc` and `framemix` in commands are those that the tests run with.
ENVIRONMENT = {
    **{k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "FRAMEMIX_SCRATCH")},
    "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
    "GIT_AUTHOR_NAME": "test",
    "GIT_AUTHOR_EMAIL": "test@example.org",
    "GIT_COMMITTER_NAME": "test",
    "GIT_COMMITTER_EMAIL": "test@example.org",
}
# Stages that DVC starts with this one's `python` are warm.
PROGRAMS = Path(__file__).with_name("programs")
WARM_ENVIRONMENT = {
    **ENVIRONMENT,
    "PATH": os.pathsep.join([str(PROGRAMS), ENVIRONMENT["PATH"]]),
}
WARM = {"dvc": (["-m", "dvc"], warm.DVC), "framemix": (warm.COMMAND, warm.FRAMEMIX)}
SHELL = frozenset("&|;<>$*")  # a command without these needs no shell


class EndedEarlyError(AssertionError):
    """A run was over before it could be killed."""


class Project:
    """A checkout with a Git history, in the test profile where none else is asked for."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @classmethod
    def fresh(cls, folder: Path, profile: str | None = "test") -> "Project":
        """Copy what Git tracks here, uncommitted changes included, as a new repository."""
        listed = subprocess.run(
            ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            cwd=ROOT,
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        for name in filter(None, listed.split("\0")):
            if (ROOT / name).is_file() and name != "dvc.lock":
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, folder / name)
        project = cls(folder)
        if profile:
            apply_profile(ROOT / f"profiles/{profile}.yaml", folder / "params.yaml")
        project.run("git init -q && git add -A && git commit -qm start")
        return project

    def copy(self, folder: Path) -> "Project":
        """Return another project with the same files, outputs and cache."""
        subprocess.run(["cp", "-a", self.folder, folder], check=True)
        return Project(folder)

    def run(self, command: str, *, fails: bool = False) -> str:
        """Run a shell command in the project and return what it printed.

        DVC, framemix and the stages that DVC starts are started warm.
        """
        program, *arguments = shlex.split(command)
        if program in WARM and SHELL.isdisjoint(command):
            python, imports = WARM[program]
            how: dict[str, Any] = {"cwd": self.folder, "env": WARM_ENVIRONMENT, "joined": True}
            done = warm.run([*python, *arguments], imports=imports, **how)
        else:
            done = subprocess.run(
                command,
                cwd=self.folder,
                shell=True,
                env=WARM_ENVIRONMENT,
                text=True,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
            )
        assert (done.returncode != 0) == fails, f"{command}: {done.returncode}\n{done.stdout}"
        return done.stdout

    def show(self, command: str, **how: Any) -> Shown:
        """Run a command in the project on a terminal of 80 columns; framemix is started warm."""
        program, *arguments = shlex.split(command)
        ours = [sys.executable, *warm.COMMAND, *arguments]
        words = ours if program == "framemix" else ["sh", "-c", command]
        return on_terminal(words, self.folder, env=ENVIRONMENT, **how)

    def run_until(self, command: str, text: str) -> None:
        """Run a command that does not end by itself, until it has printed a line with `text`."""
        running = subprocess.Popen(
            command,
            cwd=self.folder,
            shell=True,
            env=ENVIRONMENT,
            text=True,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        assert running.stdout is not None
        try:
            assert any(text in line for line in running.stdout), f"{command}: ended without {text}"
        finally:
            os.killpg(running.pid, 9)
            running.wait()

    def set(self, **values: object) -> None:
        """Change values of params.yaml, given as section__key=value."""
        params = yaml.safe_load((self.folder / "params.yaml").read_text())
        for path, value in values.items():
            *sections, key = path.split("__")
            section = params
            for name in sections:
                section = section[name]
            section[key] = value
        (self.folder / "params.yaml").write_text(yaml.safe_dump(params))

    def kill_repro(self, when: Callable[[], bool], *, group: bool, stages: str = "") -> None:
        """Start `dvc repro`, SIGKILL it (or its process group) once `when()`, await the rest."""
        dvc = subprocess.Popen(
            ["dvc", "repro", *stages.split()],
            cwd=self.folder,
            env=ENVIRONMENT,
            start_new_session=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        while not when():
            if dvc.poll() is not None:
                raise EndedEarlyError("dvc repro ended before it could be killed")
            time.sleep(0.005)
        (os.killpg if group else os.kill)(dvc.pid, 9)
        dvc.wait()
        deadline = time.monotonic() + 60
        while self._processes():
            assert time.monotonic() < deadline, f"still running: {self._processes()}"
            time.sleep(0.1)
        lock = self.folder / "dvc.lock"
        if lock.exists() and "schema:" not in lock.read_text():  # killed as DVC wrote it
            lock.unlink()  # as in docs/troubleshooting.md

    def await_queue(self) -> None:
        """Wait until all queued experiments have succeeded."""
        deadline = time.monotonic() + 600
        while re.search("Running|Queued", status := self.run("dvc queue status")):
            assert time.monotonic() < deadline, status
            time.sleep(2)
        assert "Failed" not in status, status

    def _processes(self) -> list[psutil.Process]:
        def here(process: psutil.Process) -> bool:
            try:
                return Path(process.cwd()) == self.folder.resolve()
            except (psutil.Error, OSError):
                return False

        return [process for process in psutil.process_iter() if here(process)]

    def outputs(self, lock_file: str = "dvc.lock") -> dict[str, str]:
        """Return the hash of every output by its path, without those that hold times."""
        lock = yaml.safe_load((self.folder / lock_file).read_text())
        return {
            out["path"]: out["md5"]
            for stage in lock["stages"].values()
            for out in stage["outs"]
            if not out["path"].endswith(("timing.json", "table1.md", ".html"))
        }


def finished_pipeline(temporary: pytest.TempPathFactory) -> Project:
    """Return the pipeline after one `dvc repro`, which all test processes of a session share.

    Tests that change something copy it.
    """
    return once(temporary, _first_run)[0]


def shown_pipeline(temporary: pytest.TempPathFactory) -> Shown:
    """Return what that run showed on a terminal."""
    return once(temporary, _first_run)[1]


def _first_run(temporary: pytest.TempPathFactory) -> tuple[Project, Shown]:
    project = Project.fresh(temporary.mktemp("finished"))
    shown = project.show("dvc repro")
    assert shown.code == 0, shown.text
    return project, shown


def stages_run(output: str) -> list[str]:
    """Return the names of the stages that a `dvc` command ran."""
    return [line.split("'")[1] for line in output.splitlines() if line.startswith("Running stage")]
