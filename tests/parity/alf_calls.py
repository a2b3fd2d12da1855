"""Call functions of one_async.alf or of ONE-api's one.alf: ``python alf_calls.py one.alf cases.json answers.json``.

The script imports only the package that its first argument names, so that either interpreter can run it.
"""

from __future__ import annotations

import importlib
import json
import pathlib
import re
import sys
import uuid
from operator import attrgetter

BAD_INPUT = (ValueError, TypeError, KeyError)


def encode(value):
    """Convert an answer to JSON, with its kind of path, sequence or enum."""
    if isinstance(value, pathlib.PurePath):
        disk = "disk" if isinstance(value, pathlib.Path) else "pure"
        flavour = "windows" if isinstance(value, pathlib.PureWindowsPath) else "posix"
        alf = "alf" if hasattr(value, "alf_parts") else "plain"
        return {"path": value.as_posix(), "kind": [disk, flavour, alf]}
    if isinstance(value, re.Pattern):
        return {"pattern": value.pattern}
    if isinstance(value, dict):
        return {"dict": [[key, encode(item)] for key, item in value.items()]}
    if isinstance(value, list | tuple):
        return {type(value).__name__: [encode(item) for item in value]}
    if hasattr(value, "name") and isinstance(value, int):
        return {"enum": value.name}
    return value


def decode(value, package):
    """Return the argument that a JSON value stands for."""
    if isinstance(value, dict) and "make" in value:
        kind, text = value["make"], value["text"]
        if kind == "UUID":
            return uuid.UUID(text)
        if kind == "bytes":
            return bytes.fromhex(text)
        if kind == "tuple":
            return tuple(text)
        return getattr(package if kind.endswith("ALFPath") else pathlib, kind)(text)
    return value


def kind_of(error):
    if type(error).__name__ == "ALFInvalid":
        return "not ALF"
    return "bad input" if isinstance(error, BAD_INPUT) else f"crash: {type(error).__name__}"


def answer(case, root):
    spec, path = importlib.import_module(f"{root}.spec"), importlib.import_module(f"{root}.path")
    module, name = case["call"].split(".", 1)
    try:
        arguments = [decode(value, path) for value in case.get("args", [])]
        keywords = {key: decode(value, path) for key, value in case.get("kwargs", {}).items()}
        if module == "method":
            found = getattr(arguments[0], name)
            found = found(*arguments[1:], **keywords) if callable(found) else found
        else:
            found = attrgetter(name)({"spec": spec, "path": path}[module])(*arguments, **keywords)
        return {"value": encode(found)}
    except Exception as error:
        return {"error": kind_of(error)}


if __name__ == "__main__":
    _, root, cases_file, answers_file = sys.argv
    cases = json.loads(pathlib.Path(cases_file).read_text(encoding="utf-8"))
    answers = [answer(case, root) for case in cases]
    pathlib.Path(answers_file).write_text(json.dumps(answers), encoding="utf-8")
