"""Checks that pydantic lacks, and pydantic's errors in one line.

The line names the wrong key, its value, and what is allowed.
"""

import json
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_args, get_origin

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails, PydanticCustomError, PydanticKnownError

from framemix.errors import DatasetError

Model = TypeVar("Model", bound=BaseModel)

# Parts of pydantic's location that name a type of a union, not a key.
UNION_BRANCH = re.compile(r"literal\[|constrained|function-|bool$|int$|float$|str$|none$|[A-Z]")
# The key that chooses the branch of a union; pydantic puts its value into the location.
TAG = "architecture"
# Plain words for errors that pydantic words in terms of Python.
PLAIN = {
    "bool_parsing": "true or false",
    "bool_type": "true or false",
    "dict_type": "a mapping",
    "list_type": "a list",
    "model_attributes_type": "a mapping",
    "string_type": "text",
    "tuple_type": "a list",
}


class Settings(BaseModel):
    """Settings: unknown keys and numbers that are not finite are refused, values never change."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


def _integer(value: Any) -> Any:
    if type(value) is not int:
        raise PydanticKnownError("int_type")
    return value


# For a Literal of integers, which would accept any equal value: false for 0, 10.0 for 10.
Integer = BeforeValidator(_integer)


def _folder(value: Path) -> Path:
    if value == Path():
        raise PydanticCustomError("folder", "a folder's path")
    return value


# A path that is not empty: the empty path would be the whole project.
Folder = Annotated[Path, AfterValidator(_folder)]


def named(line: str, key: Callable[[str], str] = str) -> str:
    """Return `line` with `key(name)` in place of each {name}."""
    return re.sub(r"\{([\w.]+)\}", lambda found: key(found[1]), line)


def misfit(line: str) -> PydanticCustomError:
    """Return the error that a validator raises for values that do not fit together.

    `line` has each key in braces, so that `describe_error` can put the section in front of it.
    """
    return PydanticCustomError("misfit", "{text}", {"text": named(line), "line": line})


def require_at_most(key: str, value: float, limit: str, most: float) -> None:
    """Raise a `misfit` where the value of the setting `key` exceeds that of the setting `limit`."""
    if value > most:
        raise misfit(f"{{{key}}} = {value:.10g}: allowed: at most {{{limit}}} = {most:.10g}")


def describe_error(error: ValidationError, model: type[BaseModel]) -> str:
    """Return one line about `error`, from validating `model`: the entry that helps a user most."""
    first, *others = _most_telling([_of_tag(detail) for detail in error.errors()], model)
    key = _key(first, model)
    if first["type"] == "misfit":
        return named(first["ctx"]["line"], lambda name: f"{key}.{name}" if key else name)
    if first["type"] == "value_error":
        return first["msg"].removeprefix("Value error, ")
    if first["type"] == "json_invalid":
        return f"{key}: {first['msg']}" if key else first["msg"]
    if first["type"] == "missing":
        return f"{key}: missing; allowed: {_present(first)}"
    if first["type"] in ("extra_forbidden", "invalid_key"):
        return f"{key}: unknown key; allowed: {_keys_at(model, first['loc'][:-1])}"
    # A union reports once for each of its branches: any of them is allowed.
    same = [first, *(other for other in others if _key(other, model) == key)]
    allowed = dict.fromkeys(_allowed(detail, model) for detail in same)
    return f"{key or 'content'} = {shown(first['input'])}: allowed: {' or '.join(allowed)}"


def read_json(path: Path, model: type[Model]) -> Model:
    """Return what a stage wrote to `path`. Raises DatasetError, naming the file."""
    if not path.is_file():
        raise DatasetError(f"{path}: no such file; run the stage that writes it")
    try:
        return model.model_validate_json(path.read_text(encoding="utf-8"))
    except ValidationError as error:
        raise DatasetError(f"{path}: {describe_error(error, model)}") from None


def shown(value: Any) -> str:
    """Return a value as YAML writes it, in one line; text in quotes."""
    if isinstance(value, str):
        return repr(value)
    if isinstance(value, float) and not math.isfinite(value):
        return re.sub("inf|nan", r".\g<0>", str(value))
    return json.dumps(value, ensure_ascii=False, default=repr)


def _of_tag(detail: ErrorDetails) -> ErrorDetails:
    """Return an error about a union as an error about the key that chooses its branch."""
    location = (*detail["loc"], TAG)
    if detail["type"] == "union_tag_not_found":
        return {**detail, "type": "missing", "loc": location}
    if detail["type"] == "union_tag_invalid":
        tags = {"expected": detail["ctx"]["expected_tags"]}
        tag = detail["input"][TAG]
        return {**detail, "type": "literal_error", "loc": location, "input": tag, "ctx": tags}
    return detail


def _most_telling(errors: list[ErrorDetails], model: type[BaseModel]) -> list[ErrorDetails]:
    """Put the most helpful error first: a key inside a union's value, an unknown key (a typo)."""
    key = _key(errors[0], model)
    inner = [error for error in errors if _key(error, model).startswith(f"{key}.")] or errors
    if inner[0]["type"] == "missing":
        return sorted(inner, key=lambda error: error["type"] != "extra_forbidden")
    return inner


def _present(missing: ErrorDetails) -> str:
    """Return what must be present: every key of a mapping, or more values of a list."""
    inside_list = isinstance(missing["loc"][-1], int)
    return "a longer list" if inside_list else "every key present, null where it may be"


def _key(detail: ErrorDetails, model: type[BaseModel]) -> str:
    *parts, last = _follow(detail["loc"], model)[0] or [""]
    keys = [part for part in parts if not UNION_BRANCH.match(part)]
    # An unknown or missing part is always a key, even where it looks like a type.
    if detail["type"] in ("extra_forbidden", "missing") or not UNION_BRANCH.match(last):
        keys.append(last)
    return ".".join(keys)


def _allowed(detail: ErrorDetails, model: type[BaseModel]) -> str:
    kind, context = detail["type"], detail.get("ctx", {})
    if kind == "literal_error":
        return str(context["expected"])
    if kind == "model_type":
        return f"a mapping of {_keys_at(model, detail['loc'])}"
    if kind == "too_short":
        return f"{context['min_length']} or more values"
    if kind == "too_long":
        return f"at most {context['max_length']} values"
    if kind == "string_pattern_mismatch":
        return f"text like {context['pattern']}"
    message = detail["msg"].removeprefix("Input should be ").split(",")[0]
    message = message.replace("a valid integer", "an integer").replace("a valid ", "a ")
    return PLAIN.get(kind, message)


def _keys_at(model: type[BaseModel], location: tuple[int | str, ...]) -> str:
    """Return the known keys of the settings at `location`."""
    types = _follow(location, model)[1]
    return ", ".join(dict.fromkeys(name for kind in types for name in _fields(kind)))


def _follow(
    location: tuple[int | str, ...], model: type[BaseModel]
) -> tuple[list[str], list[type[BaseModel]]]:
    """Return the keys of `location`, without the tags of unions, and the settings types there."""
    keys: list[str] = []
    at: Any = model
    for part in map(str, location):
        types = _models_in(at)
        if get_origin(at) is dict:
            keys, at = [*keys, part], get_args(at)[1]
        elif chosen := [kind for kind in types if part in _tags(kind)]:
            at = chosen[0]
        else:
            keys.append(part)
            at = next(
                (_fields(kind)[part].annotation for kind in types if part in _fields(kind)), at
            )
    return keys, _models_in(at)


def _fields(model: type[BaseModel]) -> dict[str, FieldInfo]:
    return {field.alias or name: field for name, field in model.model_fields.items()}


def _tags(model: type[BaseModel]) -> tuple[Any, ...]:
    return get_args(model.model_fields[TAG].annotation) if TAG in model.model_fields else ()


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if hasattr(annotation, "model_fields"):
        return [annotation]
    return [model for part in get_args(annotation) for model in _models_in(part)]
