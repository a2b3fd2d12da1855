"""The files of settings: our own, and ONE-api's parameter files, which are only read.

Ours, below the configuration folder::

    databases/NAME.json    settings of one database, no secrets
    default.json           the default database
    tokens/NAME/USER.json  one token each; see `_token_file.py`

Files are replaced atomically, so that concurrent readers see either the old or the new content.

ONE-api's, in ``~/.one`` (``%APPDATA%/.one`` on Windows): ``.caches`` maps the key of each database to its
cache folder and names the default; ``.KEY`` holds the parameters and tokens of a database. A key is an
address without its protocol, so two addresses can share one: the address in the file determines its database.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import sys
import tempfile
import time
import unicodedata
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from one_async._addresses import OPEN_DATA, normal_url
from one_async.errors import ConfigurationError
from one_async.files.atomic import sweep_temporary, write_whole

# A path below which nothing exists and nothing can be written, for users without a home: settings and tokens must not be
# read from a folder that others can write to, such as the one for temporary files.
_NOWHERE = Path(os.devnull)


def config_dir() -> Path:
    """Return our configuration folder: ``ONE_CONFIG_DIR``, or the platform's default."""
    if chosen := os.environ.get("ONE_CONFIG_DIR", "").strip():
        return Path(chosen).expanduser().absolute()
    import platformdirs

    try:
        folder = Path(platformdirs.user_config_dir("one_async", appauthor=False))
    except RuntimeError:
        return _NOWHERE
    return folder if folder.is_absolute() else _NOWHERE


def bucket_dir(address: str, endpoint: str | None) -> Path:
    """Return the folder, below the platform's cache folder, of files that were fetched from a bucket's address."""
    import platformdirs

    try:
        folder = Path(platformdirs.user_cache_dir("one_async", appauthor=False))
    except RuntimeError:
        folder = Path(tempfile.gettempdir(), "one_async")
    name = address.removeprefix("s3://")
    return folder / "buckets" / file_name(f"{endpoint}/{name}" if endpoint else name)


def home() -> Path | None:
    """Return the home folder; None if the user has none, as in some containers."""
    try:
        return Path.home()
    except RuntimeError:
        return None


def one_api_dir() -> Path:
    """Return the folder of ONE-api's parameter files, by the rule of iblutil.io.params."""
    if sys.platform in ("win32", "cygwin") and (roaming := os.environ.get("APPDATA")):
        return Path(roaming, ".one")
    return (home() or _NOWHERE) / ".one"


def one_api_key(url: str) -> str:
    """Return the name that ONE-api gives a database: its address as a file name (one.params)."""
    text = re.sub("^https?://", "", unicodedata.normalize("NFKC", url)).strip("/")
    return re.sub(r"[-\s]+", "-", re.sub(r"[^.\w\s-]", "_", text.lower()))


def file_name(text: str) -> str:
    """Return a readable file name for any text, unique in any file system."""
    readable = re.sub(r"[^a-z0-9.-]+", "_", re.sub("^https?://", "", text.lower())).strip("._")[:80]
    return f"{readable}-{hashlib.sha256(text.encode('utf-8', 'surrogatepass')).hexdigest()[:12]}"


def read_json(path: Path) -> dict[str, Any]:
    """Return the JSON object in a file; an empty one if there is no readable file.

    Raises:
        ConfigurationError: it is damaged, even after a wait for a writer to finish.
    """
    for pause in (0.01, 0.05, 0.2, None):
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
            if isinstance(found, dict):
                return found
        except OSError:
            return {}
        except ValueError:
            pass
        # ONE-api writes in place: a reader may see the file between truncation and writing.
        if pause is not None:
            time.sleep(pause)
    raise ConfigurationError(f"{path} is damaged (no JSON object); repair it or delete it", path=str(path))


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Replace a file atomically, readable by its owner only. Raises OSError and leaves no temporary file.

    Also removes temporary files of killed processes beside it.
    """
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    sweep_temporary(path.parent, unnamed=True)
    text = json.dumps(content, indent=2) + "\n"
    write_whole(path, lambda file: file.write(text.encode()), mode=0o600)


def own_file(base_url: str) -> Path:
    """Return the file of a database's settings."""
    return config_dir() / "databases" / f"{file_name(base_url)}.json"


def own_databases() -> dict[str, dict[str, Any]]:
    """Return the settings of each database in our files, by address."""
    found = {}
    with contextlib.suppress(OSError):
        for path in sorted((config_dir() / "databases").glob("[!.]*.json")):
            content = read_json(path)
            if isinstance(url := content.pop("base_url", None), str):
                found[normal_url(url)] = content
    return found


def own_default() -> str | None:
    """Return the address of the default database in our files."""
    url = read_json(config_dir() / "default.json").get("base_url")
    return normal_url(url) if isinstance(url, str) and url else None


def _one_api_files() -> Iterator[tuple[str, str, str | None, dict[str, Any]]]:
    """Yield (key, address, cache folder, parameters) of each database in ONE-api's files."""
    folder = one_api_dir()
    cache_map = read_json(folder / ".caches").get("CLIENT_MAP")
    for key, cache_dir in (cache_map if isinstance(cache_map, dict) else {}).items():
        parameters = read_json(folder / f".{key}")
        url = parameters.get("ALYX_URL")
        if isinstance(url, str) and url:
            yield key, normal_url(url), cache_dir if isinstance(cache_dir, str) else None, parameters


def one_api_databases() -> dict[str, dict[str, Any]]:
    """Return the settings of each database in ONE-api's files, by address, under our names."""
    found = {}
    for _, url, cache_dir, parameters in _one_api_files():
        values = {
            "username": parameters.get("ALYX_LOGIN"),
            "password": parameters.get("ALYX_PWD"),
            "cache_dir": cache_dir,
            "data_server": parameters.get("HTTP_DATA_SERVER"),
            "data_server_login": parameters.get("HTTP_DATA_SERVER_LOGIN"),
            "data_server_password": parameters.get("HTTP_DATA_SERVER_PWD"),
        }
        if "openalyx" in url and "public" not in (values["data_server"] or ""):
            # Files of older versions name a folder that does not contain this database's files.
            values["data_server"] = OPEN_DATA
        found[url] = {name: value for name, value in values.items() if value}
    return found


def one_api_default() -> str | None:
    """Return the address of the default database in ONE-api's files."""
    wanted = read_json(one_api_dir() / ".caches").get("DEFAULT")
    return next((url for key, url, *_ in _one_api_files() if key == wanted), None)


def one_api_tokens(base_url: str) -> dict[str, str]:
    """Return the tokens in ONE-api's files for exactly this server, by user."""
    parameters = read_json(one_api_dir() / f".{one_api_key(base_url)}")
    url, tokens = parameters.get("ALYX_URL"), parameters.get("TOKEN")
    if not isinstance(url, str) or not isinstance(tokens, dict) or normal_url(url) != base_url:
        return {}
    found = {}
    for user, token in tokens.items():
        text = next(iter(token.values()), None) if isinstance(token, dict) else token
        if isinstance(text, str) and text:
            found[user] = text
    return found
