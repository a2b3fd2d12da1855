"""Names of ONE-api that can be imported but not used."""

from __future__ import annotations

from typing import Any, NoReturn

from one_async.errors import OneError

__all__ = ["absent"]


def absent(name: str, instead: str) -> Any:
    """Return a class that can be imported and subclassed; a call of it raises OneError with what to use instead."""

    def refuse(cls: type, *args: object, **kwargs: object) -> NoReturn:
        raise OneError(f"{name} is not in one_async; {instead}", name=name)

    short = name.rpartition(".")[2]
    return type(short, (), {"__new__": refuse, "__doc__": f"Not in one_async: {instead}."})
