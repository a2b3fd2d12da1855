"""one_async: an async-first client, with blocking wrappers, for Alyx databases and ALF data.

>>> from one_async import ONE
>>> one = ONE(base_url="http://127.0.0.1:8000", username="demo", password="demo")  # doctest: +SKIP
>>> trials = one.load_object(one.search(lab="cortexlab")[0], "trials")  # doctest: +SKIP

Inside an event loop, `AsyncONE` has the same methods to await. Names are loaded on first use, so that the package is quick
to import.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from one_async.alf.path import ALFPath
    from one_async.alf.spec import QC
    from one_async.alyx.caching import no_cache
    from one_async.alyx.client import AsyncAlyxClient
    from one_async.client import AsyncONE
    from one_async.errors import OneError, OneWarning
    from one_async.files.objects import ALFObject
    from one_async.settings import Settings
    from one_async.sync import ONE, AlyxClient

__version__ = "0.1.0"

_WHERE = {
    "ALFObject": "files.objects",
    "ALFPath": "alf.path",
    "AlyxClient": "sync",
    "AsyncAlyxClient": "alyx.client",
    "AsyncONE": "client",
    "ONE": "sync",
    "OneError": "errors",
    "OneWarning": "errors",
    "QC": "alf.spec",
    "Settings": "settings",
    "no_cache": "alyx.caching",
}

__all__ = [
    "ONE",
    "QC",
    "ALFObject",
    "ALFPath",
    "AlyxClient",
    "AsyncAlyxClient",
    "AsyncONE",
    "OneError",
    "OneWarning",
    "Settings",
    "no_cache",
]


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_WHERE[name]}"), name)
    globals()[name] = value
    return value


def load_ipython_extension(ipython: Any) -> None:
    """Complete the values of arguments, such as labs and subjects, in IPython and Jupyter; ``%load_ext one_async``."""
    from one_async.completion.matcher import install

    install(ipython)


def unload_ipython_extension(ipython: Any) -> None:
    """Stop completing the values of arguments; ``%unload_ext one_async``."""
    from one_async.completion.matcher import remove

    remove(ipython)


def __dir__() -> list[str]:
    return sorted({*globals(), *_WHERE})
