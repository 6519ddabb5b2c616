"""The commands for a trained model: predict, watch, explain, export, demo.

Modules that compute are imported when a command runs, so that `--help` does not wait for them.
"""

import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from framemix.errors import FramemixError
from framemix.inference.alarm import HALF_LIFE
from framemix.jobs.terminal import leave_line, print_error, print_text
from framemix.text.names import printable

if TYPE_CHECKING:
    from framemix.inference.alarm import Alarm
    from framemix.inference.baseline import Baseline
    from framemix.inference.listeners import Listener
    from framemix.inference.live import LivePrediction
    from framemix.inference.prediction import Result
    from framemix.jobs.isolation import Limits

Model = Annotated[
    Path, typer.Argument(help="model.safetensors, or the .onnx file that `export` wrote.")
]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")]
LONGEST = 86400.0  # seconds: a day
MaybeWindow = Annotated[
    float | None,
    typer.Option(
        help="Seconds of the window that slides over longer videos. Default: as long as the clips "
        "that the model was trained on, over videos 1.5 times as long or longer.",
        min=0.04,
        max=LONGEST,
    ),
]
LiveWindow = Annotated[
    float | None,
    typer.Option(
        help="Seconds of a window. Default: as long as the clips that the model was trained on, "
        "or 5 if that is not known.",
        min=0.04,
        max=LONGEST,
    ),
]
LiveStep = Annotated[
    float, typer.Option(help="Seconds from prediction to prediction.", min=0.04, max=LONGEST)
]
AlarmClass = Annotated[
    str | None,
    typer.Option(help="The class to watch for. Default: drowsy, where the model has it."),
]
AlarmOn = Annotated[
    float | None,
    typer.Option(
        help="Smoothed probability that starts the alarm. Default: as `calibrate` found, else 0.7."
    ),
]
AlarmOff = Annotated[
    float | None,
    typer.Option(help="Smoothed probability that ends it. Default: 4/7 of --on, such as 0.4."),
]
OfBaseline = Annotated[
    str | None,
    typer.Option(
        help="Seconds from the source's start, or a video, in which this driver is alert: lowers "
        "the driver's false alarms. For a calibrated model."
    ),
]
HalfLife = Annotated[
    float, typer.Option(help="Seconds in which smoothing follows half of a change.", min=0)
]
AlarmCommand = Annotated[
    str | None,
    typer.Option(
        "--exec",
        help="A shell command to run when the alarm starts and ends: FRAMEMIX_ALARM is then on or "
        "off in its environment.",
    ),
]
AlarmWebhook = Annotated[
    str | None, typer.Option(help="A URL to post to, as JSON, when the alarm starts and ends.")
]
STEP = 1.0  # seconds from window to window
Timeout = Annotated[
    float,
    typer.Option(
        help="Seconds that decoding a video, or 16 windows of it, may take.",
        min=0.0001,
        max=LONGEST,
    ),
]


def predict(
    model: Model,
    videos: Annotated[
        list[str], typer.Argument(help="Files, folders, or quoted patterns such as 'a/**/*.avi'.")
    ],
    top: Annotated[int, typer.Option(help="How many classes to show.", min=1)] = 3,
    window: MaybeWindow = None,
    step: Annotated[
        float, typer.Option(help="Seconds from window to window.", min=0.04, max=LONGEST)
    ] = 1.0,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    csv: Annotated[bool, typer.Option("--csv", help="Print CSV.")] = False,
    plot: Annotated[
        Path | None, typer.Option(help="Draw one video's timeline to this .png.")
    ] = None,
    annotate: Annotated[
        Path | None, typer.Option(help="Write one video, its classes on it, to this .mp4.")
    ] = None,
    timeout: Timeout = 600.0,
    device: Device = "auto",
) -> None:
    """Predict what videos show: classes and probabilities, of whole videos or as a timeline.

    A video that cannot be used is reported in one line and the rest is processed; the exit code is
    then 1.
    """
    from framemix.inference.clips import USUAL_LIMITS
    from framemix.inference.loading import load_classifier, sliding_for
    from framemix.inference.output import windows_note
    from framemix.inference.prediction import Result, predict_videos
    from framemix.inference.videos import search_videos
    from framemix.jobs.isolation import Limits

    if json and csv:
        raise FramemixError("--json and --csv: allowed: one of them")
    found = search_videos(videos)
    files = [video for video, problem in found.items() if problem is None]
    _check_pictures(plot, annotate, model, list(found))
    classifier = load_classifier(model, device)
    sliding = sliding_for(classifier.trained_on, window, step)
    limits = Limits(timeout, USUAL_LIMITS.memory_mb, ("--timeout", None))
    unusable = [Result(video, error=str(problem)) for video, problem in found.items() if problem]
    results = [*predict_videos(classifier, files, sliding, limits), *unusable]
    _print_results(results, classifier.classes, top, json=json, csv=csv)
    if note := windows_note(results, sliding):
        print_text(note, error=True)
    if (plot or annotate) and results[0].error is None:
        _picture(results[0], classifier.classes, top, plot, annotate, limits)
    _end_with([result.error for result in results if result.error is not None])


def watch(
    model: Model,
    source: Annotated[
        str, typer.Argument(help="A camera (0 or /dev/video0), a stream's URL, or a file.")
    ],
    window: LiveWindow = None,
    step: LiveStep = STEP,
    alarm: AlarmClass = None,
    on: AlarmOn = None,
    off: AlarmOff = None,
    half_life: HalfLife = HALF_LIFE,
    baseline: OfBaseline = None,
    json: Annotated[bool, typer.Option("--json", help="Print a JSON object a window.")] = False,
    log: Annotated[Path | None, typer.Option(help="Append a row per window to this .csv.")] = None,
    command: AlarmCommand = None,
    webhook: AlarmWebhook = None,
    as_fast_as_possible: Annotated[
        bool, typer.Option("--as-fast-as-possible", help="Do not wait for a file's frames.")
    ] = False,
    device: Device = "auto",
) -> None:
    """Predict a live video, once a second, and raise an alarm. Ctrl-C ends it.

    Latency is the time from a window's last frame to its prediction. A file is played at its speed
    and ends the command; a camera or a stream that ends is opened again. The exit code is 0 after
    Ctrl-C or a file's end, 1 after an error.
    """
    from framemix.inference.alarm import usual_alarm, watched_class
    from framemix.inference.baseline import baseline_of
    from framemix.inference.listeners import alarm_senders, live_listeners
    from framemix.inference.live import watch as watch_source
    from framemix.inference.loading import live_sliding, load_classifier
    from framemix.inference.output_paths import check_output_path
    from framemix.video.live import source_of

    source = source_of(source)
    senders = alarm_senders(command, webhook)
    if log is not None:
        check_output_path(log, ".csv", [model, Path(source)])
    classifier = load_classifier(model, device)
    classes, watched = classifier.classes, watched_class(alarm, classifier.classes)
    bell = usual_alarm(classifier.calibration, watched, on=on, off=off, half_life=half_life)
    sliding = live_sliding(classifier.trained_on, window, step)
    own = None if baseline is None else baseline_of(baseline, classifier, watched, sliding)
    windows = watch_source(classifier, source, sliding, as_fast_as_possible=as_fast_as_possible)
    with live_listeners(
        classes, watched, source, as_json=json, log=log, senders=senders
    ) as listeners:
        summary = _report_live(windows, classes, watched, bell, own, listeners)
        print_text(summary, error=json)  # stdout has JSON alone
    if own is not None and own.divisor is None:
        print_text("note: the baseline was not over, so the alarm was silent", error=True)


def export(
    model: Annotated[Path, typer.Argument(help="model.safetensors.")],
    videos: Annotated[
        list[str] | None, typer.Argument(help="Videos for the comparison; default: noise.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Default: model.onnx beside the model.")
    ] = None,
) -> None:
    """Write a model as ONNX, compare it with PyTorch on clips, and print the difference."""
    from framemix.inference.export import export_onnx
    from framemix.inference.output_paths import check_output_path
    from framemix.inference.videos import require_videos

    target, files = output or model.with_suffix(".onnx"), require_videos(videos or [])
    check_output_path(target, ".onnx", [model, *files])
    check = export_onnx(model, target, files)
    clips = "clips" if videos else "clips of noise"
    print_text(
        f"{printable(str(target))}: at most {check.difference:.1e} from PyTorch's probabilities "
        f"on {check.clips} {clips}"
    )


def explain(
    model: Annotated[Path, typer.Argument(help="model.safetensors.")],
    video: Annotated[Path, typer.Argument(help="A video file.")],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Writes OUTPUT.png and OUTPUT.mp4.")
    ] = Path("explained"),
    class_name: Annotated[
        str | None, typer.Option("--class", help="Which class to explain; default: the likeliest.")
    ] = None,
    window: MaybeWindow = None,
) -> None:
    """Show where a model looks: attention rollout of ViViT, Grad-CAM and links of the ResNets.

    OUTPUT.png shows the network's input and the parts on which the prediction depends, OUTPUT.mp4
    the video under them. If there are several windows, the one where the class is likeliest is
    explained.
    """
    from framemix.inference.explaining import explain_video
    from framemix.inference.output_paths import check_output_path
    from framemix.inference.videos import require_utf8

    require_utf8(str(video))
    if not output.name:
        raise FramemixError(f"--output {output}: allowed: a name, to which .png and .mp4 are added")
    picture, film = output.with_name(f"{output.name}.png"), output.with_name(f"{output.name}.mp4")
    for target in (picture, film):
        check_output_path(target, target.suffix, [model, video])
    clip, explanation = explain_video(
        model, video, class_name, window=window, step=STEP, picture=picture, film=film
    )
    print_text(
        f"{printable(explanation.class_name)} {explanation.probability:.1%} at {clip.start:.1f} to "
        f"{clip.end:.1f} s, {explanation.method}: {printable(str(picture))}, "
        f"{printable(str(film))}"
    )


def demo(
    model: Annotated[Path, typer.Argument(help="model.safetensors.")],
    clips: Annotated[
        list[str] | None,
        typer.Argument(help="Videos to offer for a click; without any, some that are rendered."),
    ] = None,
    host: Annotated[
        str, typer.Option(help="The address to serve at; another than this machine's opens it.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="0: any that is free.", min=0, max=65535)] = 7860,
    window: LiveWindow = None,
) -> None:
    """Serve a web page: drop a video, see classes, timeline, mixed frames and where it looks.

    Only this machine can open it, unless --host allows others. It fetches nothing from elsewhere.
    """
    from framemix.inference.demo import serve
    from framemix.inference.videos import require_videos

    serve(model, require_videos(clips or []), host=host, port=port, window=window)


def _check_pictures(
    plot: Path | None, annotate: Path | None, model: Path, videos: list[Path]
) -> None:
    """Raise FramemixError where there is no one video to picture, or it cannot be written there."""
    from framemix.inference.output_paths import check_output_path

    if (plot or annotate) and len(videos) > 1:
        raise FramemixError(f"--plot and --annotate: {len(videos)} videos; allowed: one")
    for target, suffix in ((plot, ".png"), (annotate, ".mp4")):
        if target:
            check_output_path(target, suffix, [model, *videos])


def _print_results(
    results: Sequence["Result"], classes: Sequence[str], top: int, *, json: bool, csv: bool
) -> None:
    from framemix.inference.output import as_csv, as_json, as_text

    if json or csv:
        write = as_json if json else as_csv
        print(write(results, classes, top))  # typer would take escapes out of names
    else:
        print_text(as_text(results, classes, top))


def _picture(
    result: "Result",
    classes: list[str],
    top: int,
    plot: Path | None,
    annotate: Path | None,
    limits: "Limits",
) -> None:
    """Draw a video's timeline, and write the video with its classes on it, where asked for."""
    from framemix.inference import overlay
    from framemix.inference.timeline import draw_timeline
    from framemix.pictures.lettering import save_picture

    if plot:
        save_picture(draw_timeline(result.predictions, classes), plot)
    if annotate:
        overlay.annotate(result.video, annotate, result.predictions, classes, top, limits)


def _report_live(
    windows: Iterable["LivePrediction"],
    classes: list[str],
    watched: str | None,
    bell: "Alarm",
    own: "Baseline | None",
    listeners: Sequence["Listener"],
) -> str:
    """Call each listener with each window until they or the user end it; return the summary.

    The alarm is silent while a driver's `own` baseline lasts.
    """
    from framemix.inference.output import live_summary

    milliseconds, skipped = Counter[int](), 0  # no list: it would grow for as long as it runs
    try:
        for seen in windows:
            milliseconds[round(1000 * seen.latency)] += 1
            skipped += seen.skipped
            if watched is not None:
                p = float(seen.probabilities[classes.index(watched)])
                adjusted = p if own is None else own.adjusted(p, seen.seconds)
                if adjusted is not None:
                    bell.update(adjusted, seen.seconds)
            for listen in listeners:
                listen(seen, bell)
    except KeyboardInterrupt:
        leave_line(sys.stdout)
    return live_summary(milliseconds, skipped)


def _end_with(errors: list[str]) -> None:
    """Report unusable videos, one line each; the exit code is 1 if there are any."""
    for error in errors:
        print_error(error)
    if errors:
        raise typer.Exit(1)
