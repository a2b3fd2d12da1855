"""Settings under ONE-api's names. They are read-only: `setup` and the environment variables ``ONE_*`` change them."""

from functools import partial
from pathlib import Path
from typing import Any

from one_async import settings
from one_async._addresses import OPEN_ALYX
from one_async._parameters import Parameters
from one_async.compat.adapters import absent

__all__ = [
    "CACHE_DIR_DEFAULT", "check_cache_conflict", "default", "delete_params", "get", "get_cache_dir", "get_default_client",
    "get_params_dir", "setup",
]  # fmt: skip

CACHE_DIR_DEFAULT = str(Path.home() / "Downloads" / "ONE")
__getattr__ = absent(__name__, {"save": "one_async.settings.setup saves settings, without secrets"})
get_params_dir = settings.get_params_dir
delete_params = settings.delete


def get(client: str | None = None, silent: bool = False, username: str | None = None) -> Parameters:
    """Return the settings of a database; default: the default database. `silent` has no effect, since nothing prompts."""
    return Parameters(settings.resolve(base_url=client, username=username))


default = partial(get, OPEN_ALYX)


def setup(client: str | None = None, silent: bool = False, **options: Any) -> Parameters:
    """Save settings of a database and return them; see `one_async.settings.setup`."""
    return Parameters(settings.setup(client, **options))


def get_default_client(include_schema: bool = True) -> str:
    """Return the address of the default database."""
    url = settings.default_database()
    return url if include_schema else url.partition("://")[2]


def get_cache_dir(client: str | None = None) -> Path:
    """Return the cache folder of a database, and create it."""
    folder = settings.get_cache_dir(client)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def check_cache_conflict(cache_dir: str | Path) -> None:
    """Raise AssertionError, as ONE-api does, if the folder is the cache folder of a database."""
    if Path(cache_dir) in settings.databases().values():
        raise AssertionError(f"{cache_dir} is the cache folder of another database")
