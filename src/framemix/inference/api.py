"""What `import framemix` offers: ask a trained model about videos, and mix a video."""

# F frames, S segments, H x W pixels, C channels

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from pydantic import ValidationError

from framemix.errors import MixingError
from framemix.inference.classifier import Classifier
from framemix.inference.clips import USUAL_LIMITS, MixedClip, Sliding, isolated_clips
from framemix.inference.loading import load_classifier, sliding_for
from framemix.inference.output import best
from framemix.inference.prediction import predict_clips
from framemix.jobs.isolation import isolated
from framemix.mixing import Method, MixSettings, Pixels, mix_frames
from framemix.validation import describe_error
from framemix.video.fitting import Fit
from framemix.video.reading import describe


class Prediction(NamedTuple):
    """What a model predicts for a video, or for a window of it.

    `start` and `end` are in seconds; `probabilities` has that of each class, the likeliest first.
    """

    start: float
    end: float
    probabilities: dict[str, float]

    @property
    def likeliest(self) -> str:
        """The class with the highest probability."""
        return next(iter(self.probabilities))


@dataclass(frozen=True)
class Model:
    """A trained model, as `framemix.load` returns it."""

    classifier: Classifier

    @property
    def classes(self) -> list[str]:
        """The names of the classes, in the model's order."""
        return self.classifier.classes

    def predict(self, video: Path | str) -> Prediction:
        """Return the prediction for a whole video file, mixed into one clip as in training.

        The file is decoded in a subprocess, which may take ten minutes. Raises VideoError for a
        file that cannot be used, and ModelError where the outputs are no probabilities.

        >>> prediction = framemix.load("model.safetensors").predict("clip.mp4")
        >>> prediction.start, prediction.end
        (0.0, 6.0)
        >>> round(sum(prediction.probabilities.values()), 3)
        1.0
        """
        (prediction,) = self._predictions(video, None)
        return prediction

    def windows(
        self, video: Path | str, window: float | None = None, step: float = 1.0
    ) -> Iterator[Prediction]:
        """Yield the prediction for each `window` seconds of a video, each `step` seconds.

        A video that is no longer than the window is one clip. Without `window` it is as long as the
        clips that the model was trained on, and a video up to 1.5 times as long is one clip; so is
        each video where the model file does not state that length. Raises what `predict` does, and
        MixingError for a window or a step that is not above 0.

        >>> model = framemix.load("model.safetensors")
        >>> for start, end, probabilities in model.windows("clip.mp4", window=4):
        ...     print(f"{start:.0f} to {end:.0f} s: {len(probabilities)} classes")
        0 to 4 s: 3 classes
        1 to 5 s: 3 classes
        2 to 6 s: 3 classes
        """
        for name, seconds in (("window", window), ("step", step)):
            if seconds is not None and not 0 < seconds < float("inf"):
                raise MixingError(f"{name} = {seconds}: allowed: more than 0 seconds")
        return self._predictions(video, sliding_for(self.classifier.trained_on, window, step))

    def _predictions(self, video: Path | str, sliding: Sliding | None) -> Iterator[Prediction]:
        clips = _clips(video, self.classifier.mix, sliding)
        for _, found in predict_clips(self.classifier, clips):
            shares = best(self.classes, found.probabilities, len(self.classes))
            yield Prediction(found.start, found.end, dict(shares))


def load(path: Path | str, device: str = "auto") -> Model:
    """Read a trained model: a model.safetensors, or the .onnx file that `framemix export` wrote.

    `device` is auto, cpu, cuda or cuda:N; ONNX files are computed on the CPU. A note on stderr
    warns where the model has seen drawn videos alone. Raises ModelError, naming the file.

    >>> framemix.load("model.safetensors").classes
    ['Grow', 'Left', 'Right']
    """
    return Model(load_classifier(Path(path), device))


def mix(
    video: Path | str | Pixels,
    *,
    segments: int,
    method: Method,
    frames_per_segment: Literal["all"] | int = "all",
    size: tuple[int, int] | None = None,
    fit: Fit = "squeeze",
) -> Pixels:
    """Mix a whole video into `segments` frames, uint8 (S, H, W, 3) RGB (paper B, section 3).

    `video` is a file, whose frames are scaled to `size` = (H, W) as `fit` states, before they are
    mixed (without a size they keep their own), or an array uint8 (F, H, W, C), which keeps its own.
    `method` is none, average, linear, harmonic, last or rank_pool. Raises MixingError for what
    cannot be mixed like that, and VideoError for a file that cannot be used.

    >>> framemix.mix("clip.mp4", segments=8, method="linear", size=(120, 160)).shape
    (8, 120, 160, 3)
    >>> import numpy as np
    >>> framemix.mix(np.zeros((150, 24, 32, 3), np.uint8), segments=8, method="average").shape
    (8, 24, 32, 3)
    """
    how: dict[str, Any] = {
        "segments": segments,
        "method": method,
        "frames_per_segment": frames_per_segment,
    }
    if isinstance(video, np.ndarray):
        _check_array(video, size)
        _settings(how, video.shape[1:3], fit)
        return mix_frames(video, **how)
    if size is None:
        info = isolated(describe, _absolute(video), USUAL_LIMITS)
        size = info.height, info.width
    (clip,) = _clips(video, _settings(how, size, fit), None)
    return clip.mixed


def _clips(video: Path | str, mix: MixSettings, sliding: Sliding | None) -> Iterable[MixedClip]:
    return isolated_clips(_absolute(video), mix, sliding, USUAL_LIMITS, bar=False)


def _absolute(video: Path | str) -> Path:
    """Return its absolute path: the subprocess stays in the folder in which it was started."""
    return Path(video).absolute()


def _check_array(video: Pixels, size: tuple[int, int] | None) -> None:
    if video.dtype != np.uint8 or video.ndim != 4:
        raise MixingError(
            f"video = {video.dtype} {video.shape}: allowed: uint8 (frames, height, width, channels)"
        )
    if size is not None:
        raise MixingError(f"size = {size}: allowed for a video file; an array keeps its own")


def _settings(how: dict[str, Any], size: tuple[int, ...], fit: Fit) -> MixSettings:
    """Return checked settings. Raises MixingError, which names the argument."""
    whole = {"window": "all", "variants": 1, "pixel_format": "rgb24"}
    try:
        return MixSettings.model_validate({**how, **whole, "size": size, "fit": fit})
    except ValidationError as error:
        raise MixingError(describe_error(error, MixSettings)) from None
