"""The steps of a row, run in the clients' environment: ``python steps.py WAY ROW URL CACHE_DIR``.

WAY is ``one-api`` (ONE-api itself), ``compat`` (`one_async` in place of the package ``one``) or ``instance`` (ONE-api is imported
by the client, which is handed an instance of ours). Prints one line of JSON: the steps with their outcome and a digest of values.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import sys
import warnings
from collections.abc import Iterator
from typing import Any

os.environ.update(MPLBACKEND="Agg", QT_QPA_PLATFORM="offscreen", TQDM_DISABLE="1")


def digest(value: Any) -> str:
    """Return a hash of the values and types of arrays, frames, mappings and objects of these; members in order of their names."""
    seen = hashlib.md5(usedforsecurity=False)
    for part in _parts(value):
        seen.update(part)
    return seen.hexdigest()


def _parts(value: Any) -> Iterator[bytes]:
    import numpy as np

    if hasattr(value, "columns"):
        value = {name: np.asarray(value[name]) for name in value.columns}
    if hasattr(value, "items") and not hasattr(value, "to_numpy"):
        for key in sorted(value, key=str):
            yield str(key).encode()
            yield from _parts(value[key])
    elif isinstance(value, list | tuple):
        for one in value:
            yield from _parts(one)
    elif isinstance(value, set | frozenset):
        yield repr(sorted(map(str, value))).encode()
    elif value is None or isinstance(value, str | bool | int | float | os.PathLike):
        yield str(value).encode()
    else:
        array = np.asarray(value)
        yield f"{array.dtype} {array.shape}".encode()
        yield array.tobytes() if array.dtype != object else repr([str(v) for v in array.ravel()]).encode()


def client(way: str, url: str, cache_dir: str) -> Any:
    """Return the ONE instance under test."""
    login = {"username": "demo", "password": "demo", "silent": True}
    if way == "one-api":
        from one.api import ONE

        one = ONE(base_url=url, cache_dir=cache_dir, cache_rest=None, **login)
        one.alyx._par = one.alyx._par.set("HTTP_DATA_SERVER", f"{url}/data")
        return one
    if way == "compat":
        import one_async.compat

        one_async.compat.install()
        from one.api import ONE
    else:
        from one_async.api import ONE
    return ONE(base_url=url, cache_dir=cache_dir, data_server=f"{url}/data", **login)


def without_download() -> None:
    """Replace the Allen atlas, whose volumes are downloaded, by its table of regions: no step looks into volumes."""
    from types import SimpleNamespace

    import brainbox.io.one
    from iblatlas.regions import BrainRegions

    brainbox.io.one.AllenAtlas = lambda *args, **kwargs: SimpleNamespace(regions=BrainRegions())


def main() -> None:
    """Run the steps of a row and print their outcomes."""
    way, row, url, cache_dir = sys.argv[1:]
    warnings.simplefilter("ignore")
    out: dict[str, Any] = {}
    with contextlib.redirect_stdout(sys.stderr):
        one = client(way, url, cache_dir)
        import github_rows
        import pypi_rows

        if row != "modules":
            without_download()
        for name, step in (pypi_rows.ROWS | github_rows.ROWS)[row](one):
            try:
                out[name] = {"ok": True, "digest": digest(step())}
            except Exception as error:
                text = str(error).replace(cache_dir, "…").replace(url, "…")
                out[name] = {"ok": False, "error": f"{type(error).__name__}: {text[:200]}"}
    print(json.dumps(out))


if __name__ == "__main__":
    main()
