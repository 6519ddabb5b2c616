"""The commands that need a checkout: profile, use, pipeline, table2, folds, plan, doctor.

Modules that compute, decode or read DVC's experiments are imported when a command needs them, so
that other commands start fast.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from framemix.errors import ParamsError
from framemix.finetuning.task import Task
from framemix.jobs.atomic import write_text
from framemix.jobs.terminal import print_text
from framemix.project.paths import (
    DVC_CACHE,
    PROFILES,
    REPORTS,
    RLDD_TABLE,
    SAMPLE,
    STORES,
    VIDEOS,
)
from framemix.text.names import printable

if TYPE_CHECKING:
    from framemix.project.amounts import Places
    from framemix.project.params import Params


def profile(
    name: Annotated[
        str, typer.Argument(help="A name in profiles/, such as paper, or a YAML file.")
    ],
) -> None:
    """Write a profile's values into params.yaml; its comments and all other values stay.

    `dvc params diff` then shows the changes, and `git checkout params.yaml` undoes them.
    """
    from framemix.project.profiles import apply_profile

    changes = apply_profile(_profile_file(name))
    print_text("\n".join(changes) if changes else "params.yaml already has these values")


def use(
    path: Annotated[Path, typer.Argument(help="A folder of labelled videos, or a list of them.")],
    decode: Annotated[
        bool, typer.Option("--decode", help="Read every frame, so that lengths are exact.")
    ] = False,
    check: Annotated[
        bool, typer.Option("--check", help="Run a few clips through every stage.")
    ] = False,
) -> None:
    """Examine your own labelled videos, and write suitable settings into params.yaml.

    The next command then trains a model and writes its report.
    """
    from framemix.project.params import load_params
    from framemix.project.use import look, try_out, write_settings

    params = load_params()
    found = look(path, params, decode=decode)
    for line in write_settings(found):
        print_text(line)
    if check:
        print_text(try_out(found, load_params()))
    print_text("next: dvc repro your_videos/dvc.yaml")


def pipeline(
    name: Annotated[str, typer.Argument(help="A name in pipelines/, such as frame_mixup.")],
) -> None:
    """Activate a pipeline besides the main one.

    Makes NAME/dvc.yaml a link to pipelines/NAME.yaml and adds it to Git, which experiments need.
    """
    from framemix.project.pipelines import activate

    added = activate(name)
    print_text(f"run it: dvc repro {added}\nhide it again: git rm --cached {added} && rm {added}")


def table2(
    task: Annotated[
        Task,
        typer.Option(help="The fine-tuning task; paper A: UCF101's classes and drowsy."),
    ] = "drowsy_class",
) -> None:
    """Fill paper A's table 2, the four fine-tuning modes, from DVC's experiments.

    An experiment of any commit counts if its code, and all its settings but the
    mode, are the current ones. Prints the table, with commands for modes
    without an experiment, and writes reports/table2.md.
    """
    from framemix.project import experiments

    _report("table2.md", experiments.table2(experiments.Experiments.read(), task))


def folds() -> None:
    """Pool DVC's experiments over UTA-RLDD's five folds: every subject validates once.

    An experiment of any commit counts if its code, and all its settings but the
    fold, are the current ones. Prints the table, with commands for folds
    without an experiment, and writes reports/folds.md.
    """
    from framemix.project import experiments

    _report("folds.md", experiments.folds_table(experiments.Experiments.read()))


def plan() -> None:
    """Predict the disk and the time of each stage on this machine, before anything runs.

    It tries all stages for about a minute: a few videos, and a few training steps of each network
    at its real size. Nothing that it writes stays.
    """
    from framemix.project.params import load_params
    from framemix.project.plan import plan

    params = load_params()
    print_text(plan(params, _places(params)).text())


def doctor(
    decode: Annotated[
        bool, typer.Option("--decode", help="Decode every video to its end; takes hours.")
    ] = False,
    outputs: Annotated[
        bool, typer.Option("--outputs", help="Compare every output with dvc.lock, byte by byte.")
    ] = False,
) -> None:
    """Report problems of datasets, splits, weights and the disk, and how to solve them.

    The exit code is 0 when all is well, else 1.
    """
    from framemix.project.doctor import examine
    from framemix.project.params import load_params

    params = load_params()
    places = _places(params)
    findings = list(examine(params, places, decode=decode))
    if outputs:
        # Imported here, because DVC takes seconds to load.
        from framemix.project.outputs import examine_outputs

        findings += examine_outputs(places.scratch)
    for finding in findings:
        print_text(f"{'ok ' if finding.well else 'BAD'} {printable(finding.line)}")
    raise typer.Exit(0 if all(finding.well for finding in findings) else 1)


def _places(params: "Params") -> "Places":
    """Return the folders of this checkout."""
    from framemix.jobs.scratch import scratch_root
    from framemix.project.amounts import Places

    return Places(
        sample=SAMPLE,
        videos=VIDEOS,
        clips=RLDD_TABLE,
        store=STORES,
        cache=DVC_CACHE,
        scratch=scratch_root(params.runtime.scratch),
    )


def _report(name: str, text: str) -> None:
    REPORTS.mkdir(exist_ok=True)
    write_text(REPORTS / name, text)
    print_text(text)


def _profile_file(name: str) -> Path:
    named = PROFILES / f"{name}.yaml"
    for path in (named, Path(name)):
        if path.is_file():
            return path
    if not PROFILES.is_dir():
        raise ParamsError(f"{PROFILES}: no such folder; run this in the project's folder")
    known = ", ".join(sorted(path.stem for path in PROFILES.glob("*.yaml")))
    raise ParamsError(f"profile {name}: no such profile or file; allowed: {known}, or a YAML file")
