"""What the page of the demo shows of a video: predictions, pictures, and the video with classes."""

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from einops import rearrange
from matplotlib.figure import Figure
from PIL import Image

from framemix.errors import FramemixError, ModelError, VideoError
from framemix.explain.explanation import explain_clip
from framemix.explain.pictures import draw_explanation
from framemix.inference.classifier import Probabilities
from framemix.inference.clips import MixedClip, isolated_clips
from framemix.inference.loading import live_sliding, say_caveat
from framemix.inference.overlay import annotate
from framemix.inference.prediction import ClipPrediction, predict_clips
from framemix.inference.timeline import draw_timeline
from framemix.inference.torch_classifier import classifier_of
from framemix.jobs.isolation import Limits, isolated
from framemix.models import load_model
from framemix.models.input import to_rgb
from framemix.models.trained_on import caveat
from framemix.pictures.lettering import save_picture
from framemix.text.names import literal, printable
from framemix.video.reading import describe

LONGEST_VIDEO = 600.0  # seconds
LIMITS = Limits(seconds=60, memory_mb=2048, names=(None, None))
TOP = 5  # classes that are shown
NAMED = 10  # at most so many classes of a model are named
PLAYER_ROWS = 480  # pixels; larger videos are shown smaller
ON_A_ROW = 4  # mixed frames, so that a phone shows them large enough

# Message, probabilities, player, and pictures of timeline, mixed frames and attention.
Shown = tuple[str, dict[str, float] | None, str | None, Any, Any, Any]


class Analyser:
    """Computes, for one model, everything that the page shows about a video file.

    The video with its predictions on it is written to `films`.
    """

    def __init__(self, model: Path, window: float | None, films: Path) -> None:
        self.path, self.films = model, films
        self.model = load_model(model)
        say_caveat(model, self.model.trained_on)
        self.classifier = classifier_of(self.model, model, "cpu")
        self.sliding = live_sliding(self.model.trained_on, window, step=1.0)

    @property
    def description(self) -> str:
        """The model's name, its classes, and what it was trained on, in Markdown."""
        known, classes = self.model.trained_on, self.classifier.classes
        of = ", ".join(classes) if len(classes) <= NAMED else f"{len(classes)} classes"
        lines = [f"**{literal(short_name(self.path))}** ({literal(of)})"]
        if known is None:
            lines.append("What it was trained on is not recorded.")
        else:
            lines.append(f"Trained on {literal(known.summary)}.")
            lines += filter(None, [caveat(known)])
        return "  \n".join(lines)

    def predictions(self, video: str | Path | None) -> Iterator[Shown]:
        """Yield what the page shows; then, which takes longer, the same with a video to play."""
        if video is None:
            yield "", None, None, None, None, None
            return
        path = Path(video)
        try:
            message, classes, predictions, pictures = self._predict(path)
            yield message, classes, None, *pictures
            yield message, classes, self._film(path, predictions), *pictures
        except FramemixError as error:
            reason = str(error).replace(str(path), path.name)
            what = "model" if isinstance(error, ModelError) else "video"
            message = f"**This {what} cannot be used:** {literal(reason)}"
            yield message, None, None, None, None, None

    def recorded(self, video: Mapping[str, Any] | None) -> Iterator[Shown]:
        """Yield the same for a video of the webcam, as the page sends it.

        Gradio would first remove the sound, for which it needs a program that may be missing; it
        then does not check either that the file was uploaded here.
        """
        path = Path(video["path"]) if video else None
        is_own = path is not None and path.resolve().is_relative_to(self.films.resolve())
        yield from self.predictions(path if is_own else None)

    def _film(self, path: Path, predictions: Sequence[ClipPrediction]) -> str:
        film = Path(tempfile.mkdtemp(dir=self.films), f"{path.stem}.mp4")
        classes = self.classifier.classes
        annotate(path, film, predictions, classes, TOP, LIMITS, most_rows=PLAYER_ROWS)
        return str(film)

    def _predict(
        self, path: Path
    ) -> tuple[str, dict[str, float], list[ClipPrediction], tuple[Any, Any, Any]]:
        seconds = isolated(describe, path, LIMITS).seconds
        if seconds > LONGEST_VIDEO:
            raise VideoError(path, f"{seconds:.0f} s long; allowed: at most {LONGEST_VIDEO:g} s")
        clips = isolated_clips(path, self.classifier.mix, self.sliding, LIMITS)
        predictions: list[ClipPrediction] = []
        most = None  # the clip with the highest probability, which alone is kept
        for clip, prediction in predict_clips(self.classifier, clips):
            predictions.append(prediction)
            probability = prediction.probabilities[self._label(prediction.probabilities)]
            if most is None or probability > most[0]:
                most = probability, clip
        assert most is not None
        message, classes, pictures = self._shown(path, predictions, most[1])
        return message, classes, predictions, pictures

    def _label(self, probabilities: Probabilities) -> int:
        """Return the class to show: drowsy if the model has it, else the likeliest."""
        classes = self.classifier.classes
        return classes.index("drowsy") if "drowsy" in classes else int(probabilities.argmax())

    def _shown(
        self, path: Path, predictions: list[ClipPrediction], likely: MixedClip
    ) -> tuple[str, dict[str, float], tuple[Any, Any, Any]]:
        classes = self.classifier.classes
        mean = np.stack([each.probabilities for each in predictions]).mean(axis=0)  # (K,)
        probabilities = self.classifier.probabilities(likely.mixed[None])[0]
        explanation = explain_clip(self.model, likely.mixed, classes[self._label(probabilities)])
        windows = "1 window" if len(predictions) == 1 else f"{len(predictions)} windows"
        return (
            f"**{literal(path.name)}**, {windows}; below, {likely.start:.1f} to "
            f"{likely.end:.1f} s, where {literal(explanation.class_name)} is likeliest",
            dict(zip(classes, mean.tolist(), strict=True)),
            (
                _picture(draw_timeline(predictions, classes)),
                _grid(likely),
                _picture(draw_explanation(explanation)),
            ),
        )


def short_name(path: Path) -> str:
    """Return a file's name with its folder's, which is enough and names no other folder."""
    return printable(f"{path.parent.name}/{path.name}")


def _grid(clip: MixedClip) -> Image.Image:
    """Return the clip's frames in rows."""
    frames = to_rgb(torch.from_numpy(clip.mixed[None]))[0].numpy()
    lacking = -len(frames) % ON_A_ROW
    filled = np.concatenate([frames, np.full((lacking, *frames.shape[1:]), 255, np.uint8)])
    return Image.fromarray(rearrange(filled, "(r c) h w k -> (r h) (c w) k", c=ON_A_ROW))


def _picture(figure: Figure) -> Image.Image:
    file = BytesIO()
    save_picture(figure, file)
    return Image.open(file)
