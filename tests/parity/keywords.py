"""List the keywords of the public functions of the package `one`, as `inspect` reads them: ``python keywords.py [compat]``.

Without an argument the script runs in ONE-api's environment and lists ONE-api's functions. With ``compat`` it runs in ours and
looks up the names that it reads from standard input as a JSON list. It prints one JSON object: by dotted name of a function,
method or class its keywords in order, where ``**`` stands for any others; null for a missing name, a text for an unusable one.
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
    """Return the keywords of a function. The keywords that a wrapper names replace the first ones of the wrapped function."""
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
        except (TypeError, ValueError):  # not a Python function
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
    """Return the object of a dotted name, from the longest module that can be imported."""
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
    """Print the keywords of either package."""
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
