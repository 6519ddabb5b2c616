"""Names in pictures: drawn literally, with code points for letters that no installed font has."""

from collections.abc import Sequence
from contextlib import nullcontext
from functools import cache
from pathlib import Path
from typing import BinaryIO

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, fontManager
from matplotlib.ft2font import FT2Font
from matplotlib.text import Text
from numpy.typing import NDArray
from PIL import ImageFont

from framemix.jobs.atomic import replacing
from framemix.text.names import code_point, printable

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont
DPI = 120
WEIGHTS = range(300, 501)  # of upright letters that are neither thin nor bold


def legible(name: str) -> str:
    """Return a name for a figure, with \\u65e5 and the like for letters that no font can draw."""
    shown = printable(name)
    return "".join(letter if _font_of(letter) else code_point(letter) for letter in shown)


def save_picture(figure: Figure, target: Path | BinaryIO) -> None:
    """Write a PNG in which no text is read as a formula; equal figures give equal bytes."""
    for text in figure.findobj(Text):
        assert isinstance(text, Text)
        text.set_parse_math(False)
        fonts = {font for letter in text.get_text() if (font := _font_of(letter))}
        more = [_installed()[font] for font in sorted(fonts - {_usual()})]
        text.set_fontfamily([*text.get_fontfamily(), *more])
    _lay_out(figure)
    with replacing(target) if isinstance(target, Path) else nullcontext(target) as partial:
        # Otherwise matplotlib would write its version into the file.
        figure.savefig(partial, dpi=DPI, format="png", metadata={"Software": None})


def _lay_out(figure: Figure) -> None:
    """Fix where the axes are; otherwise matplotlib would draw all twice, once for the layout."""
    if layout := figure.get_layout_engine():
        figure.set_dpi(DPI)
        layout.execute(figure)
        figure.set_layout_engine(None)


def lettered(lines: Sequence[str], size: int) -> tuple[str, Font]:
    """Return lines for Pillow, and the font of `size` pixels that has most of their letters.

    Letters that the font lacks are replaced by their code points.
    """
    names = [printable(line) for line in lines]
    letters = "".join(names)
    if letters.isascii():
        return "\n".join(names), ImageFont.load_default(size)
    fonts = {_usual(), *(font for letter in letters if (font := _font_of(letter)))}
    most = max(sorted(fonts), key=lambda font: sum(_has(font, letter) for letter in letters))
    drawn = ["".join(c if _has(most, c) else code_point(c) for c in name) for name in names]
    return "\n".join(drawn), ImageFont.truetype(most, size)


@cache
def _font_of(letter: str) -> str | None:
    """Return the file of a font that has the letter: the usual font, or another installed one."""
    if _has(_usual(), letter):
        return _usual()
    found = (font for font in _installed() if _has(font, letter) and _is_found(font))
    return next(found, None)


def _has(font: str, letter: str) -> bool:
    return ord(letter) in _charmap(font)


@cache
def _charmap(font: str) -> NDArray[np.uint32]:
    return np.fromiter(FT2Font(font).get_charmap(), np.uint32)


@cache
def _is_found(font: str) -> bool:
    """Return whether matplotlib, which selects fonts by name, finds this file by its name."""
    return bool(findfont(FontProperties(family=_installed()[font])) == font)


@cache
def _usual() -> str:
    return str(findfont(FontProperties()))


@cache
def _installed() -> dict[str, str]:
    """Return the names of the installed upright fonts by their files.

    Matplotlib's own are left out: they hold formulas, or draw a box for every letter.
    """
    upright = (font for font in fontManager.ttflist if font.style == "normal")
    names = {font.fname: font.name for font in upright if font.weight in WEIGHTS}
    return {f: names[f] for f in sorted(names) if not f.startswith(mpl.get_data_path())}
