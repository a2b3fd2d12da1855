"""Convert arguments, one value or several, from the types of numpy and table libraries to Python's. Pure."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterable, Mapping
from datetime import date
from decimal import Decimal
from pathlib import PurePath
from typing import Any, ForwardRef, TypeVar
from uuid import UUID

from one_async.errors import InputError

F = TypeVar("F", bound=Callable[..., Any])
#: Values that are not lists although some can be iterated over.
_SINGLE = (str, bytes, bytearray, memoryview, int, float, UUID, date, Mapping)


def as_list(value: Any) -> list[Any]:
    """Return a value as a list: the members of an iterable; a list of one for a scalar or a frame."""
    if getattr(value, "ndim", None) == 0:
        return [plain(value)]
    if isinstance(value, _SINGLE) or hasattr(value, "columns") or not isinstance(value, Iterable):
        return [value]
    return [plain(one) for one in value]


def plain(value: Any) -> Any:
    """Return a numpy scalar or zero-dimensional array as a Python value, NaT as None, anything else unchanged."""
    if getattr(value, "ndim", None) != 0 or not hasattr(value, "item"):
        return value
    if value.dtype.kind != "M":
        return value.item()
    moment = value.astype("datetime64[us]").item()  # other units become numbers
    return moment if moment is None or isinstance(moment, date) else value


def text_of(value: Any) -> str | None:
    """Return the text of a str, number, date, id or path; None for NaN, infinity, lone surrogates, and anything else.

    The text of a member of an enumeration is that of its value.
    """
    try:
        if isinstance(value, str):
            str.encode(value)
            return str.__str__(value)
        if isinstance(value, int):
            return str(value) if isinstance(value, bool) else int.__repr__(value)
        if isinstance(value, float | Decimal):
            text = float.__repr__(value) if isinstance(value, float) else str(value)
            return text if math.isfinite(value) else None
    except ValueError:  # a lone surrogate; too many digits; a signalling NaN
        return None
    if isinstance(value, date):
        return value.isoformat() if value == value else None
    return str(value) if isinstance(value, UUID | PurePath) else None


def has_keywords(terms: type) -> Callable[[F], F]:
    """Decorate a function whose keywords are the keys of a TypedDict, so that its signature shows them.

    Jupyter completes the names that a signature shows, and type checkers those of ``**terms: Unpack[...]``.
    """

    def decorate(function: F) -> F:
        signature = inspect.signature(function)
        *parameters, others = signature.parameters.values()
        hints = terms.__annotations__.items()
        shown = [
            inspect.Parameter(
                name,
                inspect.Parameter.KEYWORD_ONLY,
                default=None,
                annotation=hint.__forward_arg__ if isinstance(hint, ForwardRef) else hint,
            )
            for name, hint in hints
        ]
        function.__signature__ = signature.replace(parameters=[*parameters, *shown, others])  # type: ignore[attr-defined]
        return function

    return decorate


def check_details(details: object) -> None:
    """Raise InputError if the argument ``details`` of a search is a search term that was passed without its name."""
    if not isinstance(details, int) and type(details).__name__ != "bool":  # numpy's has the same name
        raise InputError.of(
            "details", details, "True or False; search terms are passed by name, such as lab='cortexlab'"
        )
