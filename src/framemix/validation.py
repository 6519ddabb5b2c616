"""Turns what pydantic finds into one line: which key, which value, what is allowed."""

import re
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

# Parts of a location that name a type of a union, not a key.
UNION_BRANCH = re.compile(r"literal\[|constrained|function-|int$|float$|str$|none$|[A-Z]")


def explain(error: ValidationError, model: type[BaseModel]) -> str:
    """Return the first thing wrong in `error`, found while validating `model`."""
    first, *others = error.errors()
    key = _key(first)
    if first["type"] == "value_error":
        return first["msg"].removeprefix("Value error, ")
    if first["type"] == "missing":
        return f"{key}: missing"
    if first["type"] == "extra_forbidden":
        return f"{key}: unknown key; allowed: {', '.join(_siblings(model, first))}"
    # A union reports once for each of its branches: any of them is allowed.
    allowed = [_allowed(first), *(_allowed(other) for other in others if _key(other) == key)]
    return f"{key} = {first['input']!r}: allowed: {' or '.join(dict.fromkeys(allowed))}"


def _key(detail: ErrorDetails) -> str:
    parts = [str(part) for part in detail["loc"]]
    return ".".join(part for part in parts if not UNION_BRANCH.match(part))


def _allowed(detail: ErrorDetails) -> str:
    if detail["type"] == "literal_error":
        return str(detail["ctx"]["expected"])
    message = detail["msg"].removeprefix("Input should be ")
    return message.removeprefix("a valid ").split(",")[0]


def _siblings(model: Any, detail: ErrorDetails) -> list[str]:
    """Return the keys that are known where the unknown one stands."""
    for part in detail["loc"][:-1]:
        names = {field.alias or name: field for name, field in model.model_fields.items()}
        if part in names:
            annotation = names[str(part)].annotation
            branches = [annotation, *getattr(annotation, "__args__", ())]
            model = next((b for b in branches if hasattr(b, "model_fields")), model)
    return [field.alias or name for name, field in model.model_fields.items()]
