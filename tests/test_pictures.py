"""What users may rely on in pictures: names are drawn as they are, whatever strangers call a class.

A picture comes at the end of hours of training.
"""

import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, fontManager
from matplotlib.ft2font import FT2Font
from PIL import Image

from framemix.evaluation.figures import confusion_matrix, mixed_frames
from framemix.explain.explanation import Explanation
from framemix.explain.pictures import draw_explanation
from framemix.inference.overlay import write_lines
from framemix.inference.prediction import ClipPrediction
from framemix.inference.timeline import MOST_LINES, draw_timeline
from framemix.pictures.lettering import legible, save_picture

NOWHERE = "\U0010fffd"  # a letter that no font has
NAMES = (
    *("Ba$$in", "_background", "日本", "$\\frac{$", "^x_y{", "<b>&%", "two\nlines\x1b[2J"),
    NOWHERE,
)


@pytest.fixture(autouse=True)
def no_warnings() -> Iterator[None]:
    """As a terminal would show them: of letters without a picture, of names left out."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def timeline(names: tuple[str, ...]) -> Figure:
    return draw_timeline([ClipPrediction(0.0, 1.0, np.full(len(names), 0.5, np.float32))], names)


def explained(name: str) -> Figure:
    clip = np.zeros((1, 8, 8, 3), np.uint8)
    return draw_explanation(Explanation(clip, name, 0.5, "Grad-CAM", torch.ones(1, 2, 2), None))


PICTURES: dict[str, Callable[[str, Path], None]] = {
    "confusion": lambda name, path: confusion_matrix(
        np.ones((2, 2), np.int64), [name, "b"], "title", path
    ),
    "mixed frames": lambda name, path: mixed_frames(
        {name: np.zeros((1, 8, 8, 3), np.uint8)}, "how", path
    ),
    "explanation": lambda name, path: save_picture(explained(name), path),
    "timeline": lambda name, path: save_picture(timeline((name, "b")), path),
    "caption": lambda name, path: Image.fromarray(
        write_lines(np.zeros((80, 400, 3), np.uint8), [name])
    ).save(path),
}


def drawn(kind: str, name: str, folder: Path) -> np.ndarray:
    PICTURES[kind](name, folder / "picture.png")
    return np.asarray(Image.open(folder / "picture.png"))


@pytest.mark.parametrize("kind", PICTURES)
def test_every_name_is_drawn(kind: str, tmp_path: Path) -> None:
    pictures = [drawn(kind, name, tmp_path) for name in NAMES]
    assert all(picture.std() > 0 for picture in pictures)
    assert len({picture.tobytes() for picture in pictures}) == len(NAMES)


@pytest.mark.parametrize("kind", PICTURES)
def test_no_name_is_read_as_a_formula(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def parse(*_: object, **__: object) -> None:
        raise AssertionError("a formula")

    monkeypatch.setattr("matplotlib.mathtext.MathTextParser.parse", parse)
    PICTURES[kind]("from $x_1$ to $y$", tmp_path / "picture.png")


@pytest.mark.parametrize("kind", PICTURES)
def test_a_letter_that_no_font_has_is_its_code_point(kind: str, tmp_path: Path) -> None:
    # With another letter beyond ASCII, for which the caption takes the same font.
    letter, code = (drawn(kind, f"ß{n}", tmp_path) for n in (NOWHERE, r"\U0010fffd"))
    assert np.array_equal(letter, code)


def test_a_figure_with_a_layout_is_drawn_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn_axes: list[Axes] = []
    draw = Axes.draw

    def counted(axes: Axes, *with_what: Any) -> None:
        drawn_axes.append(axes)
        draw(axes, *with_what)

    monkeypatch.setattr(Axes, "draw", counted)
    figure = timeline(("a", "b"))
    save_picture(figure, tmp_path / "picture.png")
    assert drawn_axes == figure.axes


def test_a_timeline_names_each_line_that_it_draws() -> None:
    names = NAMES[:MOST_LINES]
    legend = timeline(names).axes[0].get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == [legible(name) for name in names]


def test_a_letter_of_a_font_on_this_machine_is_drawn_with_it(tmp_path: Path) -> None:
    usual = FT2Font(findfont(FontProperties()))
    fonts = [
        entry.fname
        for entry in fontManager.ttflist
        if entry.style == "normal" and entry.weight == 400
        if entry.name != usual.family_name and not entry.fname.startswith(mpl.get_data_path())
    ]
    beyond = {code for font in fonts for code in FT2Font(font).get_charmap()}
    found = sorted(code for code in beyond - set(usual.get_charmap()) if chr(code).isalpha())
    if not found:
        pytest.skip("no font here has a letter that matplotlib's has not")
    letter = chr(found[0])
    assert legible(f"a{letter}") == f"a{letter}"
    for draw in PICTURES.values():  # without a warning
        draw(f"a{letter}", tmp_path / "picture.png")
