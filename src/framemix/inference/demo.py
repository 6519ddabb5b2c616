"""A local web page for a model: it shows the input and the prediction for a video.

Nothing leaves the machine: there is no telemetry, and no font or script from elsewhere.
"""

import os
import sys
import time
from collections.abc import Iterator, Sequence
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from PIL import Image

from framemix.datasets.sample.actions import ACTIONS, ActionVideo
from framemix.datasets.sample.faces import FaceVideo
from framemix.errors import FramemixError, ModelError, VideoError
from framemix.explain.explanation import explain_clip
from framemix.explain.pictures import draw_explanation
from framemix.inference.classifier import Probabilities
from framemix.inference.clips import MixedClip, isolated_clips
from framemix.inference.guard import (
    KEPT,
    LARGEST_UPLOAD,
    Guard,
    delete_older,
    is_open,
    offline,
    private_folder,
)
from framemix.inference.loading import live_sliding, say_caveat
from framemix.inference.prediction import Prediction, predict_clips
from framemix.inference.timeline import draw_timeline
from framemix.inference.torch_classifier import classifier_of
from framemix.jobs.isolation import Limits, isolated
from framemix.jobs.lifeline import cleaning_up
from framemix.jobs.terminal import leave_line, say
from framemix.models import load_model
from framemix.models.extras import load_extra
from framemix.models.input import to_rgb
from framemix.pictures.lettering import save_picture
from framemix.text.names import literal, printable
from framemix.video.containers import SUFFIXES
from framemix.video.reading import describe

LONGEST_VIDEO = 600.0  # seconds
LIMITS = Limits(seconds=60, memory_mb=2048, names=(None, None))
SWEEP = 60  # seconds between two searches for old uploads
INTRODUCTION = """# framemix
Drop a video, or click a clip below it: what the model says of it, what it sees of it, and what of
that its answer draws on. Research code, not a safety device."""

PICTURES = {
    "timeline": "Second by second",
    "mixed": "Mixed frames, as the network sees them",
    "attention": "What its answer draws on",
}

Answer = tuple[str, dict[str, float] | None, Any, Any, Any]


class Analyser:
    """Computes, for one model, everything that the page shows about a video file."""

    def __init__(self, model: Path, window: float | None) -> None:
        self.model = load_model(model)
        say_caveat(model, self.model.trained_on)
        self.classifier = classifier_of(self.model, model, "cpu")
        self.sliding = live_sliding(self.model.trained_on, window, step=1.0)

    def __call__(self, video: str | Path | None) -> Answer:
        """Return message, probabilities, and pictures of timeline, mixed frames and attention."""
        if video is None:
            return "", None, None, None, None
        path = Path(video)
        try:
            return self._answer(path)
        except FramemixError as error:
            reason = str(error).replace(str(path), path.name)
            what = "model" if isinstance(error, ModelError) else "video"
            return f"**This {what} cannot be used:** {literal(reason)}", None, None, None, None

    def _answer(self, path: Path) -> Answer:
        seconds = isolated(describe, path, LIMITS).seconds
        if seconds > LONGEST_VIDEO:
            raise VideoError(path, f"{seconds:.0f} s long; allowed: at most {LONGEST_VIDEO:g} s")
        clips = isolated_clips(path, self.classifier.mix, self.sliding, LIMITS)
        predictions: list[Prediction] = []
        most = None  # the clip with the highest probability, which alone is kept
        for clip, said in predict_clips(self.classifier, clips):
            predictions.append(said)
            probability = said.probabilities[self._label(said.probabilities)]
            if most is None or probability > most[0]:
                most = probability, clip
        assert most is not None
        return self._shown(path, predictions, most[1])

    def _label(self, probabilities: Probabilities) -> int:
        """Return the class to show: drowsy if the model has it, else the likeliest."""
        classes = self.classifier.classes
        return classes.index("drowsy") if "drowsy" in classes else int(probabilities.argmax())

    def _shown(self, path: Path, predictions: list[Prediction], telling: MixedClip) -> Answer:
        classes = self.classifier.classes
        mean = np.stack([said.probabilities for said in predictions]).mean(axis=0)  # (K,)
        said = self.classifier.probabilities(telling.mixed[None])[0]
        explanation = explain_clip(self.model, telling.mixed, classes[self._label(said)])
        windows = "1 window" if len(predictions) == 1 else f"{len(predictions)} windows"
        return (
            f"**{literal(path.name)}**, {windows}; below, {telling.start:.1f} to "
            f"{telling.end:.1f} s, where {literal(explanation.class_name)} is likeliest",
            dict(zip(classes, mean.tolist(), strict=True)),
            _picture(draw_timeline(predictions, classes)),
            _strip(telling),
            _picture(draw_explanation(explanation)),
        )


def serve(
    model: Path, clips: Sequence[Path], *, host: str, port: int, window: float | None
) -> None:
    """Serve the page until Ctrl-C. Raises ModelError for the model, or without the extra `demo`."""
    with cleaning_up(), private_folder() as folder:
        uploads = folder / "uploads"
        gradio = _gradio(uploads)
        analyse = Analyser(model, window)
        offered = clips or list(_rendered(folder, analyse.classifier.classes))
        page = _page(gradio, analyse, offered)
        try:
            url = _launch(page, gradio, host, port, uploads)
            say(f"serving {printable(str(model))} at {url}; Ctrl-C ends it")
            if is_open(host):
                say(f"warning: --host {host}: anyone on the network can use the page")
            with offline():
                while True:
                    time.sleep(SWEEP)
                    delete_older(uploads, KEPT)
        except KeyboardInterrupt:
            leave_line(sys.stdout)
        finally:
            # Otherwise the server's threads would keep the process alive.
            page.close(verbose=False)


def _launch(page: Any, gradio: Any, host: str, port: int, uploads: Path) -> str:
    """Serve the page in other threads, and return its address."""
    guard = {"host": host.lower(), "folder": uploads}
    try:
        _, url, _ = page.launch(
            server_name=f"[{host}]" if ":" in host else host,
            server_port=port or None,
            share=False,
            quiet=True,
            prevent_thread_lock=True,
            max_file_size=LARGEST_UPLOAD,
            theme=gradio.themes.Default(font=["system-ui", "sans-serif"], font_mono=["monospace"]),
            app_kwargs={"middleware": [(Guard, (), guard)], "docs_url": None, "redoc_url": None},
            footer_links=[],
            ssr_mode=False,
            enable_monitoring=False,
            mcp_server=False,
            pwa=False,
        )
    except OSError as error:
        raise FramemixError(
            f"--host {host} --port {port}: the page cannot be served there; "
            f"allowed: an address of this machine, and a port of it that is free"
        ) from error
    return str(url)


def _gradio(uploads: Path) -> Any:
    # Before the import, which reads them. Gradio requests its own page, which no proxy can reach.
    os.environ |= {
        "GRADIO_ANALYTICS_ENABLED": "False",
        "GRADIO_TEMP_DIR": str(uploads),
        "no_proxy": "*",
    }
    return load_extra("gradio", extra="demo", what="demo")


def _page(gradio: Any, analyse: Analyser, clips: Sequence[Path]) -> Any:
    with gradio.Blocks(title="framemix", analytics_enabled=False) as page:
        gradio.Markdown(INTRODUCTION)
        with gradio.Row():
            with gradio.Column():
                video = gradio.File(label="Video", file_types=list(SUFFIXES), elem_id="video")
                buttons = [gradio.Button(_label(clip), size="sm") for clip in clips]
            with gradio.Column():
                message = gradio.Markdown(elem_id="message")
                classes = gradio.Label(
                    label="Mean of all windows", num_top_classes=5, elem_id="classes"
                )
        pictures = []
        for name, label in PICTURES.items():
            gradio.Markdown(f"### {label}")
            pictures.append(
                gradio.Image(
                    show_label=False, interactive=False, buttons=[], format="png", elem_id=name
                )
            )
        outputs = [message, classes, *pictures]
        video.upload(analyse, video, outputs, api_visibility="private")
        for clip, button in zip(clips, buttons, strict=True):
            button.click(partial(analyse, clip), None, outputs, api_visibility="private")
    return page


def _label(clip: Path) -> str:
    return printable(f"{clip.parent.name}/{clip.name}")


def _rendered(folder: Path, classes: Sequence[str]) -> Iterator[Path]:
    """Render videos of the sample: drivers for a drowsiness model, else actions of the model."""
    if "drowsy" in classes:
        for name, state in (("alert", 0), ("drowsy", 10)):
            path = folder / "driver" / f"{name}.mp4"
            path.parent.mkdir(exist_ok=True)
            FaceVideo(seed=0, subject=2, state=state, seconds=15).write(path)
            yield path
        return
    for action in [name for name in ACTIONS if name in classes][:3] or list(ACTIONS)[:3]:
        path = folder / "action" / f"{action}.avi"
        path.parent.mkdir(exist_ok=True)
        ActionVideo(seed=0, action=action, group=1, clip=1, shortest=150).write(path)
        yield path


def _strip(clip: MixedClip) -> Image.Image:
    """Return the clip's frames side by side."""
    frames = to_rgb(torch.from_numpy(clip.mixed[None]))[0].numpy()
    return Image.fromarray(np.concatenate(list(frames), axis=1))


def _picture(figure: Figure) -> Image.Image:
    file = BytesIO()
    save_picture(figure, file)
    return Image.open(file)
