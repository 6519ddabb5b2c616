"""Writes the values of a profile into params.yaml, whose comments stay."""

import json
from collections.abc import Iterator, Mapping
from io import StringIO
from pathlib import Path
from typing import Any

from pydantic_core import to_jsonable_python
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq

from framemix.jobs.atomic import write_text
from framemix.project.params import PARAMS, PLAIN, parse_params, read_yaml


def apply_profile(profile: Path, target: Path = PARAMS) -> list[str]:
    """Write the values of `profile` into `target` (see `apply_values`)."""
    return apply_values(read_yaml(PLAIN, profile), target, profile)


def apply_values(values: Mapping[str, Any], target: Path, source: Path) -> list[str]:
    """Write values into `target`, keeping its comments; errors name their `source`.

    Returns a line for each value that changed. Raises ParamsError, with `target` untouched,
    for an unknown key or a bad value.
    """
    editor = YAML()
    editor.preserve_quotes = True
    editor.width = 100
    editor.indent(mapping=2, sequence=4, offset=2)
    # Otherwise ruamel would write nothing for null.
    editor.representer.add_representer(
        type(None), lambda writer, _: writer.represent_scalar("tag:yaml.org,2002:null", "null")
    )
    params = read_yaml(editor, target)
    changes = list(_merge(params, values, ()))
    text = StringIO()
    editor.dump(params, text)
    parse_params(PLAIN.load(text.getvalue()), source)
    write_text(target, text.getvalue())
    return changes


def _merge(base: Any, overlay: Mapping[str, Any], path: tuple[str, ...]) -> Iterator[str]:
    """Put `overlay` into `base` key by key, yielding what changes; sections merge."""
    for key, value in overlay.items():
        old = base.get(key)
        if isinstance(value, Mapping) and isinstance(old, Mapping):
            yield from _merge(old, value, (*path, key))
        elif key not in base or old != value:
            yield f"{'.'.join(map(str, (*path, key)))}: {_flat(old)} -> {_flat(value)}"
            if isinstance(value, list) and isinstance(old, list):
                # In place: if the list has a line per value, as after `dvc exp run -S`, ruamel
                # keeps the key's comment in the list.
                old[:] = value
            else:
                base[key] = _flow(value)


def _flow(value: Any) -> Any:
    """Return lists and small mappings in the one-line style that params.yaml uses."""
    if isinstance(value, list):
        sequence = CommentedSeq(value)
        sequence.fa.set_flow_style()
        return sequence
    if isinstance(value, Mapping):
        mapping = CommentedMap(value)
        mapping.fa.set_flow_style()
        return mapping
    return value


def _flat(value: Any) -> str:
    return json.dumps(to_jsonable_python(value, fallback=str))
