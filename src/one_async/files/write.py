"""Write ALF files to the local disk, each one atomically."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

from one_async.alf.path import ALFPath
from one_async.alf.spec import to_alf
from one_async.errors import ALFInvalid, InputError
from one_async.files.atomic import write_whole
from one_async.files.find import AnyPath
from one_async.files.frames import check_dimensions

__all__ = ["save_metadata", "save_object_npy"]


def save_object_npy(
    alfpath: AnyPath,
    dico: Mapping[str, Any],
    object: str,
    parts: str | Iterable[str] | None = None,
    namespace: str | None = None,
    timescale: str | Iterable[str] | None = None,
) -> list[ALFPath]:
    """Write the arrays of an object to a folder, one ``.npy`` per key; the key is the attribute name.

    ``parts`` are extra parts of the names. Return the files written. Raises InputError before anything is written if the
    numbers of rows differ, a key cannot be an attribute, or an array contains Python objects.
    """
    import numpy as np

    if check_dimensions(dico):
        shapes = ", ".join(f"{key} {np.shape(value)}" for key, value in dico.items())
        raise InputError.of("dico", shapes, "arrays with the same number of rows")
    extra = parts if parts is None or isinstance(parts, str) else list(parts)
    scales = timescale if timescale is None or isinstance(timescale, str) else list(timescale)
    arrays = {}
    for key, value in dico.items():
        array = np.asarray(value)
        if array.dtype.hasobject:
            raise InputError.of(f"dico[{key!r}]", f"array of {array.dtype}", "arrays without Python objects")
        name = to_alf(object, key, "npy", extra=extra, namespace=namespace, timescale=scales)
        arrays[ALFPath(alfpath) / name] = array
    for file, array in arrays.items():
        write_whole(file, partial(np.save, arr=array, allow_pickle=False))
    return list(arrays)


def save_metadata(file_alf: AnyPath, dico: Mapping[str, Any]) -> ALFPath:
    """Write the metadata of a dataset to ``<stem>.metadata.json`` next to it, and return that path.

    ``columns`` are names for the array's columns, ``rows`` for its rows, ``unit`` is its unit. Raises ALFInvalid if the name
    is not a dataset name, InputError for values that JSON cannot represent.
    """
    file = ALFPath(file_alf)
    if not file.is_dataset():
        raise ALFInvalid(f"{file} is not an ALF dataset", path=str(file))
    try:
        text = json.dumps(dict(dico), indent=1)
    except (TypeError, ValueError) as error:
        raise InputError(f"dico cannot be written as JSON: {error}", argument="dico") from error
    target = file.parent / f"{file.stem}.metadata.json"
    write_whole(target, lambda stream: stream.write(text.encode()))
    return target
