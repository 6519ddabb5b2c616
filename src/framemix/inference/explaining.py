"""From a model and a video to a picture and a film of the parts on which a prediction depends."""

from pathlib import Path

from framemix.explain.explanation import Explanation, explain_clip
from framemix.explain.pictures import draw_explanation
from framemix.inference.clips import USUAL_LIMITS, MixedClip, isolated_clips
from framemix.inference.film import write_film
from framemix.inference.loading import say_caveat, sliding_for
from framemix.inference.prediction import likeliest
from framemix.inference.torch_classifier import classifier_of
from framemix.models import load_model
from framemix.pictures.lettering import save_picture


def explain_video(
    model: Path,
    video: Path,
    class_name: str | None,
    *,
    window: float | None,
    step: float,
    picture: Path,
    film: Path,
) -> tuple[MixedClip, Explanation]:
    """Write the picture and the film; return the clip that they explain, and the explanation.

    Where windows slide over the video, the clip is the one in which `class_name`, or else any
    class, has the highest probability. Raises ModelError and VideoError.
    """
    trained = load_model(model)
    say_caveat(model, trained.trained_on)
    classifier = classifier_of(trained, model, "cpu")
    sliding = sliding_for(trained.trained_on, window, step)
    clips = isolated_clips(video, classifier.mix, sliding, USUAL_LIMITS)
    clip = likeliest(classifier, clips, class_name)
    explanation = explain_clip(trained, clip.mixed, class_name)
    save_picture(draw_explanation(explanation), picture)
    write_film(video, film, explanation, classifier.mix, None if clip.whole else clip)
    return clip, explanation
