"""How both sides of a comparison make calls and write answers as JSON.

The module imports neither package, so that either interpreter can run it. Values keep what matters of their type: ids are
``{"uuid": …}``, paths are relative to the client's folder, arrays have kind, size and shape, frames their columns, and errors a
kind rather than a class, since no class is in both packages.
"""

from __future__ import annotations

import datetime
import hashlib
import json
import math
import pathlib
import uuid

BAD_INPUT = {"ValueError", "TypeError", "KeyError", "AssertionError", "AttributeError", "IndexError"}
DAMAGED = {
    "FileDamaged",
    "ArrowInvalid",
    "UnpicklingError",
    "EmptyDataError",
    "ParserError",
    "JSONDecodeError",
}
MULTIPLE = ("ALFMultipleCollectionsFound", "ALFMultipleObjectsFound", "ALFMultipleRevisionsFound")


def revive(value, cache=""):
    """Return the argument that a JSON value stands for; `$CACHE` is the client's folder."""
    if isinstance(value, list):
        return [revive(item, cache) for item in value]
    if isinstance(value, str):
        return value.replace("$CACHE", str(cache)) if "$CACHE" in value else value
    if not isinstance(value, dict):
        return value
    if len(value) == 1:
        (kind, text), makers = next(iter(value.items())), {
            "$uuid": uuid.UUID, "$date": datetime.date.fromisoformat, "$datetime": datetime.datetime.fromisoformat,
            "$path": lambda text: pathlib.Path(revive(text, cache)), "$tuple": lambda items: tuple(revive(items, cache)),
            "$timedelta": lambda seconds: datetime.timedelta(seconds=seconds),
        }  # fmt: skip
        if kind in makers:
            return makers[kind](text)
    return {key: revive(item, cache) for key, item in value.items()}


def follow(root, dotted):
    """Return the value at a dotted name below an object."""
    for name in dotted.split("."):
        root = getattr(root, name)
    return root


def kind_of(error):
    """Return the kind of an error, which has the same name for both packages."""
    names = [cls.__name__ for cls in type(error).__mro__]
    for name in MULTIPLE:
        if name in names:
            return name
    if names[0] in DAMAGED:
        return "damaged file"
    status = getattr(getattr(error, "response", None), "status_code", None) or getattr(error, "status", None)
    if (
        status == 404
        or names[0] == "ALFError"
        or {"ALFObjectNotFound", "NotFound", "FileNotFoundError"} & set(names)
    ):
        return "not found"
    if status in (401, 403):
        return "login"
    if status in (400, 500) or BAD_INPUT & set(names):
        return "bad input"
    return names[0]


class Writer:
    """Write answers as JSON values; paths below `root` are relative to it."""

    def __init__(self, root, *aliases):
        self.roots = [pathlib.Path(one).as_posix() for one in (root, *aliases)]

    def answer(self, function):
        """Call a function and return its value, or the kind of its error, as JSON text."""
        try:
            return json.dumps({"value": self.plain(function())}, sort_keys=True)
        except Exception as error:
            text = f"{type(error).__name__}: {error}"[:300]
            return json.dumps({"error": kind_of(error), "text": text})

    def plain(self, value):
        """Return the JSON value of an answer."""
        kind = type(value).__name__
        if value is None or isinstance(value, bool | str):
            return value
        if hasattr(value, "item") and hasattr(value, "dtype") and getattr(value, "shape", None) == ():
            return self.plain(value.item())
        if kind in ("NAType", "NaTType"):
            return None
        if hasattr(value, "__int__") and isinstance(value, int):
            return value.name if hasattr(value, "name") else int(value)
        if isinstance(value, float):
            return None if math.isnan(value) else value
        return self.composed(value, kind)

    def composed(self, value, kind):
        if isinstance(value, uuid.UUID):
            return {"uuid": str(value)}
        if isinstance(value, datetime.datetime | datetime.date | datetime.timedelta):
            return {type(value).__mro__[-2].__name__ if kind == "Timestamp" else kind: str(value)}
        if isinstance(value, pathlib.PurePath):
            return {"path": self.relative(value.as_posix())}
        if kind == "DataFrame":
            return {"frame": self.frame(value)}
        if kind == "Series":
            return self.series(value)
        if kind == "ndarray":
            return self.array(value)
        if kind in ("_PaginatedResponse", "LazyId"):  # lists that are registered as mappings
            return [self.plain(item) for item in value]
        if hasattr(value, "keys") and hasattr(value, "__getitem__"):
            return {str(key): self.plain(value[key]) for key in value}
        if isinstance(value, set | frozenset):
            return sorted(map(str, value))
        if hasattr(value, "__iter__") and not isinstance(value, bytes):
            return [self.plain(item) for item in value]
        return {"other": kind}

    def relative(self, text):
        for root in self.roots:
            if text == root or text.startswith(root + "/"):
                return text[len(root) + 1 :] or "."
        return text

    def array(self, value):
        """Convert an array to its kind, item size, shape, and values or a digest of many values."""
        if value.dtype.kind in "OUST":
            return {"array": "text", "shape": list(value.shape), "values": self.plain(value.tolist())}
        if value.size <= 20 and value.dtype.kind != "V":
            values = self.plain(value.astype(str).tolist() if value.dtype.kind in "mM" else value.tolist())
        else:
            values = hashlib.sha256(value.tobytes()).hexdigest()
        return {"array": value.dtype.str.lstrip("<|="), "shape": list(value.shape), "values": values}

    def frame(self, value):
        """Convert a frame of either library; the index becomes columns unless it has no name."""
        if hasattr(value, "iter_rows"):
            return {name: [self.cell(item) for item in value[name].to_list()] for name in value.columns}
        names = list(value.index.names)
        if names != [None]:
            value = value.reset_index()
            value = value.rename(columns={"id": "did" if "rel_path" in value or "eid" in names else "eid"})
        return {str(name): [self.cell(item) for item in value[name].tolist()] for name in value.columns}

    def cell(self, item):
        """Convert one cell: ids, dates and times to text, whole numbers to int whatever type holds them."""
        if isinstance(item, uuid.UUID | datetime.date):
            return str(item)
        if isinstance(item, float) and item.is_integer():
            return int(item)
        return self.plain(item)

    def series(self, value):
        if hasattr(value, "to_frame") and hasattr(value, "index"):
            return {str(name): self.cell(item) for name, item in value.items()}
        return [self.cell(item) for item in value]
