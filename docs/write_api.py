"""Writes the page of all that `import framemix` offers, from its docstrings (`make docs`)."""

import sys
from pathlib import Path

import pdoc
import pdoc.render

import framemix


def main(folder: Path) -> None:
    """Write framemix.html, and what leads there, into the folder."""
    # pdoc looks only at what is loaded, and framemix loads its names at their first use.
    vars(framemix).update({name: getattr(framemix, name) for name in framemix.__all__})
    pdoc.render.configure(docformat="markdown", search=False, show_source=False)
    pdoc.pdoc("framemix", "!framemix.", output_directory=folder)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
