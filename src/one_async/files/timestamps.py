"""Times of continuous recordings: one per sample, or a few points between which times are interpolated."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from one_async.alf.path import ALFPath
from one_async.errors import ALFInvalid, ALFObjectNotFound, InputError
from one_async.files.find import filter_by
from one_async.files.read import read_file

if TYPE_CHECKING:
    import numpy as np

__all__ = ["read_ts", "ts2vec"]


def ts2vec(ts: np.ndarray[Any, Any], n_samples: int) -> np.ndarray[Any, Any]:
    """Return the time of each of ``n_samples`` samples, shape (n_samples,), in the units of ``ts``.

    ``ts`` is either one time for each sample, shape (n,) or (n, 1), which is returned unchanged, or rows of
    (sample number, time), shape (k, 2), between which times are interpolated linearly. Raises InputError for other shapes.
    """
    import numpy as np

    if ts.ndim == 1:
        return ts
    if ts.ndim == 2 and ts.shape[1] == 1:
        return ts.reshape(-1)
    if ts.ndim != 2 or ts.shape[1] != 2:
        raise InputError.of("ts", f"array of shape {ts.shape}", "shape (n,), (n, 1) or (k, 2)")
    times: np.ndarray[Any, Any] = np.interp(np.arange(n_samples), ts[:, 0], ts[:, 1])
    return times


def read_ts(filename: str | os.PathLike[str]) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Read an ``.npy`` of a continuous recording and its times, from the ``times*`` file of its object.

    Return (times, values) of equal length. Raises ALFInvalid if the name is not a dataset name, ALFObjectNotFound if the
    folder has no such file or several.
    """
    file = ALFPath(filename)
    if not file.is_dataset():
        raise ALFInvalid(f"{file} is not an ALF dataset", path=str(file))
    found, _ = filter_by(file.parent, object=file.object, attribute="times*", extension=file.extension)
    if len(found) != 1:
        names = ", ".join(path.name for path in found) or "none"
        raise ALFObjectNotFound(
            f"{file} needs exactly one file of times of object {file.object!r} next to it; found: {names}"
        )
    values = read_file(file)
    return ts2vec(read_file(file.parent / found[0]), len(values)), values
