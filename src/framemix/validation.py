"""Turns what pydantic finds into one line: which key, which value, what is allowed."""

import re
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

# Parts of a location that name a type of a union, not a key.
UNION_BRANCH = re.compile(r"literal\[|constrained|function-|int$|float$|str$|none$|[A-Z]")
# What pydantic says in terms of Python.
PLAIN = {
    "bool_parsing": "true or false",
    "bool_type": "true or false",
    "list_type": "a list",
    "path_type": "a path",
    "tuple_type": "a list",
}


def explain(error: ValidationError, model: type[BaseModel]) -> str:
    """Return the most telling thing wrong in `error`, found while validating `model`."""
    first, *others = _most_telling(error.errors())
    key = _key(first)
    if first["type"] == "value_error":
        return first["msg"].removeprefix("Value error, ")
    if first["type"] == "missing":
        return f"{key}: missing; allowed: every key present, null where it may be"
    if first["type"] in ("extra_forbidden", "invalid_key"):
        return f"{key}: unknown key; allowed: {_keys_at(model, first['loc'][:-1])}"
    # A union reports once for each of its branches: any of them is allowed.
    same = [first, *(other for other in others if _key(other) == key)]
    allowed = dict.fromkeys(_allowed(detail, model) for detail in same)
    return f"{key or 'content'} = {first['input']!r}: allowed: {' or '.join(allowed)}"


def _most_telling(errors: list[ErrorDetails]) -> list[ErrorDetails]:
    """Put first what helps most: a key inside of a union's value, an unknown key (a typo)."""
    key = _key(errors[0])
    inner = [error for error in errors if _key(error).startswith(f"{key}.")] or errors
    if inner[0]["type"] == "missing":
        return sorted(inner, key=lambda error: error["type"] != "extra_forbidden")
    return inner


def _key(detail: ErrorDetails) -> str:
    *parts, last = [str(part) for part in detail["loc"]] or [""]
    keys = [part for part in parts if not UNION_BRANCH.match(part)]
    # What is unknown or missing is a key, whatever it looks like.
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


def _keys_at(model: Any, location: tuple[int | str, ...]) -> str:
    """Return the keys that are known at `location`."""
    for part in location:
        names = {field.alias or name: field for name, field in model.model_fields.items()}
        if part in names:
            annotation = names[str(part)].annotation
            branches = [annotation, *getattr(annotation, "__args__", ())]
            model = next((b for b in branches if hasattr(b, "model_fields")), model)
    return ", ".join(field.alias or name for name, field in model.model_fields.items())
