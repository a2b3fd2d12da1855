"""A stand-in for ONE-api's package, for software that imports ``one``.

>>> import one_async.compat
>>> one_async.compat.install()  # before anything imports one
>>> from one.api import ONE  # doctest: +SKIP

The modules of ``one`` are those of the folder ``one`` next to this file, which contain names of this package and thin
adapters. Names of ONE-api without a counterpart can be imported, but using them raises an error that names the replacement.
Private names are not available.
"""

import json
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

from one_async._foreign_errors import SUBSTITUTES, raise_also_as
from one_async.errors import ConfigurationError, NotFound, StatusError, Throttled

__all__ = ["install", "is_installed", "uninstall"]

_STATUS_ERRORS = (StatusError, NotFound, Throttled)
_FOLDER = Path(__file__).parent / "one"


def is_installed() -> bool:
    """Return whether ``import one`` imports this package's stand-in."""
    return getattr(sys.modules.get("one"), "__path__", None) == [str(_FOLDER)]


def install() -> None:
    """Make ``import one`` and its submodules import ours, in this process.

    Raises ConfigurationError if ONE-api itself has been imported, since its classes are then in use. Call this again in
    spawned processes.
    """
    if is_installed():
        return
    imported = sorted(name for name in sys.modules if name == "one" or name.startswith("one."))
    if imported:
        raise ConfigurationError(
            f"{imported[0]} is imported already, from {getattr(sys.modules[imported[0]], '__file__', None)}; call "
            "one_async.compat.install() before the first import of one, or of software that imports it"
        )
    spec = spec_from_file_location("one", _FOLDER / "__init__.py", submodule_search_locations=[str(_FOLDER)])
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules["one"] = module_from_spec(spec)
    spec.loader.exec_module(module)
    _add_http_errors()


def uninstall() -> None:
    """Remove the stand-in: the next ``import one`` imports ONE-api, if it is installed.

    Modules that have imported names of the stand-in keep them. Without a previous `install`, this has no effect.
    """
    if is_installed():
        for name in [name for name in sys.modules if name == "one" or name.startswith("one.")]:
            del sys.modules[name]
        for kind in _STATUS_ERRORS:
            SUBSTITUTES.pop(kind, None)


def _add_http_errors() -> None:
    """Make status errors instances of ``requests.HTTPError``, which users of ONE-api catch, if requests is installed."""
    try:
        import requests
    except ImportError:
        return

    def response(self: StatusError) -> requests.Response:
        made = requests.Response()
        made.status_code, made.url = self.status, self.url
        made._content = json.dumps(self.detail, default=str).encode()
        return made

    members = {"response": property(response), "errno": property(lambda self: self.status)}
    for kind in _STATUS_ERRORS:
        raise_also_as(kind, requests.HTTPError, **members)
