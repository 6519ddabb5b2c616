"""Packages that only some networks and commands need, and that may not be installed."""

from importlib import import_module
from typing import Any

from framemix.errors import ModelError, one_line


def load_extra(package: str, *, extra: str, what: str) -> Any:
    """Import a package of an extra, which `what` needs.

    Raises ModelError, which states whether the package is not installed or cannot be loaded.
    """
    try:
        return import_module(package)
    except ImportError as error:
        if isinstance(error, ModuleNotFoundError) and error.name == package:
            raise ModelError(
                f"{what}: needs packages that are not installed; "
                f"run in the checkout: pip install '.[{extra}]'"
            ) from None
        raise ModelError(f"{what}: {package} cannot be loaded: {one_line(error)}") from error
