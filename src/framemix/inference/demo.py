"""A local web page for a model: it shows the input and the prediction for a video.

Nothing leaves the machine: there is no telemetry, and no font or script from elsewhere.
"""

import os
import sys
import time
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from framemix.datasets.sample.actions import ACTIONS, ActionVideo
from framemix.datasets.sample.faces import FaceVideo
from framemix.errors import FramemixError
from framemix.inference.analyser import TOP, Analyser, short_name
from framemix.inference.guard import (
    KEPT,
    LARGEST_UPLOAD,
    Guard,
    delete_older,
    is_open,
    offline,
    private_folder,
)
from framemix.jobs.lifeline import cleaning_up
from framemix.jobs.terminal import leave_line, print_text
from framemix.models.extras import load_extra
from framemix.text.names import printable
from framemix.video.containers import SUFFIXES

# Otherwise an earlier video's film, once it is ready, would replace a later video's answer, and
# Gradio would meanwhile ignore another event of the same kind. What it cancels, it shows as errors.
ONE_BY_ONE: dict[str, Any] = {
    "concurrency_id": "video",
    "concurrency_limit": 1,
    "trigger_mode": "always_last",
    "api_visibility": "private",
}
SWEEP = 60  # seconds between two searches for old uploads
INTRODUCTION = """# framemix
Drop a video, record one, or click a clip below: the page shows what the model predicts, what it
sees, and what its prediction depends on. Research code, not a safety device."""

PICTURES = {
    "timeline": "Second by second",
    "mixed": "Mixed frames, as the network sees them",
    "attention": "What the prediction depends on",
}
# Gradio would shrink wide pictures to a phone's width: they scroll instead.
STYLE = """#timeline .image-frame, #attention .image-frame {display: block; overflow-x: auto}
#timeline img, #attention img {min-width: 40rem; max-width: none; width: 100%}"""


def serve(
    model: Path, clips: Sequence[Path], *, host: str, port: int, window: float | None
) -> None:
    """Serve the page until Ctrl-C. Raises ModelError for the model, or without the extra `demo`."""
    with cleaning_up(), private_folder() as folder:
        uploads = folder / "uploads"
        uploads.mkdir()
        gradio = _gradio(uploads)
        analyse = Analyser(model, window, uploads)
        offered = clips or list(_rendered(folder, analyse.classifier.classes))
        page = _page(gradio, analyse, offered)
        try:
            url = _launch(page, gradio, host, port, uploads)
            print_text(f"serving {printable(str(model))} at {url}; Ctrl-C ends it")
            if is_open(host):
                print_text(f"warning: --host {host}: anyone on the network can use the page")
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
            css=STYLE,
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
        gradio.Markdown(analyse.description, elem_id="model")
        with gradio.Row():
            with gradio.Column():
                with gradio.Tab("File"):
                    video = gradio.File(label="Video", file_types=list(SUFFIXES), elem_id="video")
                with gradio.Tab("Webcam"):
                    camera = gradio.Video(
                        sources=["webcam"],
                        label="Record",
                        webcam_options=gradio.WebcamOptions(mirror=False),
                        elem_id="webcam",
                    )
                buttons = [gradio.Button(short_name(clip), size="sm") for clip in clips]
            with gradio.Column():
                message = gradio.Markdown(elem_id="message")
                classes = gradio.Label(
                    label="Mean of all windows", num_top_classes=TOP, elem_id="classes"
                )
                # A label would cover the classes, which are on the video.
                player = gradio.Video(show_label=False, interactive=False, elem_id="player")
        pictures = []
        for name, label in PICTURES.items():
            gradio.Markdown(f"### {label}")
            pictures.append(
                gradio.Image(
                    show_label=False, interactive=False, buttons=[], format="png", elem_id=name
                )
            )
        outputs = [message, classes, player, *pictures]
        video.upload(analyse.predictions, video, outputs, **ONE_BY_ONE)
        camera.stop_recording(analyse.recorded, camera, outputs, **ONE_BY_ONE, preprocess=False)
        for clip, button in zip(clips, buttons, strict=True):
            button.click(partial(analyse.predictions, clip), None, outputs, **ONE_BY_ONE)
    return page


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
