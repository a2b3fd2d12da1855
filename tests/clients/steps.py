"""The steps of a row, run in the clients' environment: ``python steps.py WAY ROW URL CACHE_DIR``.

WAY is ``one-api`` (ONE-api itself), ``compat`` (`one_async` in place of the package ``one``) or ``instance`` (the client imports
ONE-api and gets an instance of ours). Prints one line of JSON: the steps with their outcome and a digest of values.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import sys
import warnings
from collections.abc import Iterator
from typing import Any

os.environ.update(MPLBACKEND="Agg", QT_QPA_PLATFORM="offscreen", TQDM_DISABLE="1")


def digest(value: Any) -> str:
    """Return a hash of the values and types of arrays, frames, mappings and objects of these; members are sorted by name."""
    seen = hashlib.md5(usedforsecurity=False)
    for part in _parts(value):
        seen.update(part)
    return seen.hexdigest()


def _parts(value: Any) -> Iterator[bytes]:
    import numpy as np

    if hasattr(value, "columns"):
        value = {name: np.asarray(value[name]) for name in value.columns}
    if hasattr(value, "items") and not hasattr(value, "dtype"):
        for key in sorted(value, key=str):
            yield str(key).encode()
            yield from _parts(value[key])
    elif hasattr(value, "dtype"):
        array = np.asarray(value)
        yield f"{array.dtype} {array.shape}".encode()
        if array.dtype == object:
            for one in array.ravel():
                yield from _parts(one)
        else:
            yield array.tobytes()
    elif hasattr(value, "__len__") and not isinstance(value, str | bytes):
        for one in sorted(map(str, value)) if isinstance(value, set | frozenset) else value:
            yield from _parts(one)
    else:
        yield re.sub(" at 0x[0-9a-f]+", "", _without_places(str(value))).encode()


def _without_places(text: str) -> str:
    """Return a text without this run's addresses and folders."""
    _, _, url, cache_dir = sys.argv[1:]
    return text.replace(cache_dir, "…").replace(url, "…")


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
    """Replace the Allen atlas by iblatlas's empty test atlas, since the real one downloads its volumes."""
    import iblatlas.atlas

    class EmptyAtlas(iblatlas.atlas.AllenAtlas):  # type: ignore[misc]
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(mock=True)

    iblatlas.atlas.AllenAtlas = EmptyAtlas


def main() -> None:
    """Run the steps of a row and print their outcomes."""
    way, row, url, cache_dir = sys.argv[1:]
    warnings.simplefilter("ignore")
    out: dict[str, Any] = {}
    with contextlib.redirect_stdout(sys.stderr):
        one = client(way, url, cache_dir)
        import github_rows
        import numpy as np
        import pypi_rows

        if row != "modules":  # before any module imports the atlas
            without_download()
        for name, step in (pypi_rows.ROWS | github_rows.ROWS)[row](one):
            np.random.seed(0)
            try:
                out[name] = {"ok": True, "digest": digest(step())}
            except Exception as error:
                text = _without_places(str(error))[:200]
                out[name] = {"ok": False, "error": f"{type(error).__name__}: {text}"}
    print(json.dumps(out))


if __name__ == "__main__":
    main()
