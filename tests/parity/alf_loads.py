"""Load every file and object of a folder and write the results as plain values.

``python alf_loads.py FOLDER ANSWERS`` loads them with ONE-api; the test calls :func:`plain` for one_async too.
"""

from __future__ import annotations

import logging
import math
import pathlib
import pickle
import sys
import uuid
import warnings

import numpy as np


def plain(value):
    """Convert values to types of Python alone; missing values become None."""
    if isinstance(value, pathlib.PurePath):
        return ("path", value.name)
    if type(value).__name__ == "DataFrame":
        return ("table", {str(name): plain(list(value[name]))[1] for name in value.columns})
    if type(value).__name__ == "Series":
        return ("column", plain(list(value))[1])
    if hasattr(value, "files") and hasattr(value, "zip"):  # an open archive
        return plain({name: value[name] for name in value.files})
    if isinstance(value, np.ndarray):
        return (
            "array",
            plain(value.tolist())[1] if value.dtype.kind not in "Mm" else value.astype(str).tolist(),
        )
    if isinstance(value, dict):
        return ("dict", {key: plain(item) for key, item in value.items()})
    if isinstance(value, list | tuple):
        return ("list", [plain(item)[1] for item in value])
    return ("value", scalar(value))


def scalar(value):
    if value is None or type(value).__name__ in ("NaTType", "NAType"):
        return None
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float):
        return None if math.isnan(value) else value
    if hasattr(value, "isoformat"):
        return str(value)[:19]
    return str(value) if isinstance(value, uuid.UUID) else value


def attempt(call, *arguments, **keywords):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return plain(call(*arguments, **keywords))
        except Exception as error:
            return ("error", type(error).__name__)


FILTERS = [
    {},
    {"object": "spikes"},
    {"object": "*i*"},
    {"object": ["spikes", "wh*"]},
    {"attribute": ["times", "t*s"]},
    {"namespace": None},
    {"namespace": "ibl"},
    {"timescale": None, "extension": "npy"},
    {"timescale": "*", "extra": "raw"},
    {"extra": ["raw", "x"]},
    {"extra": None},
    {"object": "^sp", "wildcards": False},
    {"object": ["^sp", ".*l$"], "attribute": "(times|position)$", "wildcards": False},
    {"colour": "red"},
]


def find_all(folder, filter_by, exists):
    """Return what each filter finds in each object's folder, and whether objects exist there."""
    found = {}
    for objects in sorted((folder / "objects").iterdir()):
        for number, filters in enumerate(FILTERS):
            found[f"{objects.name} filter {number}"] = attempt(filter_by, objects, **filters)
        for attributes in (None, "times", ["times", "amps"]):
            found[f"{objects.name} exists {attributes}"] = attempt(exists, objects, "spikes", attributes)
    return found


def load_all(folder, load_file, load_object):
    """Return the values of each file in ``files`` and of each object in ``objects``, by name."""
    found = {file.name: attempt(load_file, file) for file in sorted((folder / "files").iterdir())}
    for objects in sorted((folder / "objects").iterdir()):
        for short in (False, True):
            name = objects.name.split("-")[0]
            found[f"{objects.name} {short}"] = attempt(load_object, objects, name, short_keys=short)
    return found


if __name__ == "__main__":
    from one.alf.io import exists, filter_by, load_file_content, load_object

    logging.disable()
    given = pathlib.Path(sys.argv[1])
    answers = (load_all(given, load_file_content, load_object), find_all(given, filter_by, exists))
    pathlib.Path(sys.argv[2]).write_bytes(pickle.dumps(answers))
