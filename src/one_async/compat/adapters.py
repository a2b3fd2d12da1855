"""Stand-ins for names of ONE-api: our functions with its parameter names, or classes that report the replacement."""

import sys
from collections.abc import Callable, Mapping
from functools import wraps
from inspect import signature
from typing import Any, NoReturn

from one_async.errors import OneError

__all__ = ["absent", "renamed"]


def absent(module: str, instead: Mapping[str, str] | str) -> Callable[[str], Any]:
    """Return a module's ``__getattr__`` for names that can be imported and subclassed, but not used.

    `instead` is the advice for each name, or for all public names. Calling such a name raises a OneError with the advice.
    """

    def __getattr__(name: str) -> Any:  # noqa: N807 - a module's
        if name.startswith("_") if isinstance(instead, str) else name not in instead:
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        advice = instead if isinstance(instead, str) else instead[name]

        def refuse(cls: type, *args: object, **kwargs: object) -> NoReturn:
            raise OneError(f"{module}.{name} is not in one_async; {advice}", name=f"{module}.{name}")

        members = {"__new__": refuse, "__doc__": f"Not in one_async: {advice}.", "__module__": module}
        return vars(sys.modules[module]).setdefault(name, type(name, (), members))

    return __getattr__


def renamed(function: Callable[..., Any], ours: str, theirs: str) -> Any:
    """Return a function whose parameter `ours` is called `theirs`."""

    @wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        if theirs in kwargs:
            kwargs[ours] = kwargs.pop(theirs)
        return function(*args, **kwargs)

    known = signature(function)
    parameters = [one.replace(name=theirs) if one.name == ours else one for one in known.parameters.values()]
    call.__signature__ = known.replace(parameters=parameters)  # type: ignore[attr-defined]
    return call
