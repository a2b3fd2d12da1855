"""List the keywords of the public functions of the package `one`, as `inspect` reads them: ``python keywords.py [compat]``.

Without an argument, in ONE-api's environment, those of ONE-api. With ``compat``, in ours, those of our stand-in for the names
that are read from standard input as a JSON list. Prints one JSON object: by dotted name of a function, method or class its
keywords in their order, where ``**`` stands for any others; null for a name that is not there, a text for one without a use.
"""

from __future__ import annotations

import importlib
import inspect
import json
import sys

MODULES = (
    "one.api", "one.webclient", "one.converters", "one.alf.io", "one.alf.path", "one.alf.spec", "one.alf.cache",
    "one.params", "one.util", "one.registration", "one.remote.aws",
)  # fmt: skip
TAKES_KEYWORDS = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


def keywords(function):
    """Return the keywords of a function. Those that a wrapper names stand for the first of the wrapped function."""
    if inspect.isclass(function) and str(function.__doc__).startswith("Not in one_async: "):
        return function.__doc__
    names = []
    while True:
        inner = getattr(function, "__wrapped__", None)
        if "__signature__" in getattr(function, "__dict__", {}) and not inspect.isclass(function):
            inner = None
        try:
            parameters = list(
                inspect.signature(function, follow_wrapped=inspect.isclass(function)).parameters.values()
            )
        except (TypeError, ValueError):  # of no Python function
            parameters = []
        own = [
            one.name for one in parameters if one.kind in TAKES_KEYWORDS and one.name not in ("self", "cls")
        ]
        names += own[len(names) :]
        if inner is None:
            has_more = any(one.kind is inspect.Parameter.VAR_KEYWORD for one in parameters)
            return [*names, "**"] if has_more else names
        function = inner


def of_module(title):
    """Return the functions, classes and methods that a module defines."""
    found = {}
    for name, value in sorted(vars(importlib.import_module(title)).items()):
        if name.startswith("_") or getattr(value, "__module__", None) != title or not callable(value):
            continue
        found[f"{title}.{name}"] = value
        if inspect.isclass(value):
            members = [
                part for part in vars(value) if not part.startswith("_") and callable(getattr(value, part))
            ]
            found.update({f"{title}.{name}.{part}": getattr(value, part) for part in members})
    return found


def find(dotted):
    """Follow a dotted name, through the longest module."""
    parts = dotted.split(".")
    for end in range(len(parts) - 1, 0, -1):
        try:
            value = importlib.import_module(".".join(parts[:end]))
        except ImportError:
            continue
        for part in parts[end:]:
            value = getattr(value, part)
        return value
    raise LookupError(dotted)


def main():
    """Print the keywords of both."""
    if sys.argv[1:] != ["compat"]:
        members = {dotted: value for title in MODULES for dotted, value in of_module(title).items()}
        print(json.dumps({dotted: keywords(value) for dotted, value in members.items()}))
        return
    import one_async.compat

    one_async.compat.install()
    found = {}
    for dotted in json.load(sys.stdin):
        try:
            found[dotted] = keywords(find(dotted))
        except AttributeError:
            found[dotted] = None
    print(json.dumps(found))


if __name__ == "__main__":
    main()
