"""Files that persist between runs: our own, and ONE-api's parameter files, which are only read.

Ours, below the configuration folder::

    databases/NAME.json    settings of one database, no secrets
    default.json           the default database
    tokens/NAME/USER.json  one token each, readable by its owner only

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
from urllib.parse import urlsplit, urlunsplit

from one_async.errors import ConfigurationError, InputError
from one_async.files.atomic import sweep_temporary, write_whole

OPEN_ALYX = "https://openalyx.internationalbrainlab.org"
OPEN_DATA = "https://ibl.flatironinstitute.org/public"
# A path below which nothing exists and nothing can be written, for users without a home: settings and tokens must not be
# read from a folder that others can write to, such as the one for temporary files.
_NOWHERE = Path(os.devnull)


def normal_url(url: str) -> str:
    """Return a server's address in normal form: no final slash or default port, scheme and host in lower case.

    Raises:
        InputError: not an http or https address, or one with a password.
    """
    text = url.strip() if isinstance(url, str) else ""
    if text and "://" not in text:
        text = f"https://{text}"
    accepted = "the address of a server, such as https://alyx.example.org"
    try:
        parts = urlsplit(text)
        known = parts.scheme.lower() in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        raise InputError.of("base_url", without_login(url), accepted) from None
    if "@" in parts.netloc:
        raise InputError("base_url must not hold a user name or password; give username= and password=")
    if not known or parts.query or parts.fragment or re.search(r"\s", text):
        raise InputError.of("base_url", without_login(url), accepted)
    scheme, server = parts.scheme.lower(), parts.netloc.lower()
    server = server.removesuffix(":80" if scheme == "http" else ":443").removesuffix(":")
    return urlunsplit((scheme, server, parts.path.rstrip("/"), "", ""))


def without_login(url: object) -> object:
    """Return an address, even an invalid one, without user name and password, for display."""
    return re.sub(r"^([^@]*?://|)[^/?#]*@", r"\1…@", url, flags=re.DOTALL) if isinstance(url, str) else url


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


class TokenFile:
    """Storage of tokens, one file for each server and user; implements ``types.TokenStore``.

    If a file cannot be written, the token is not stored, without an error. ONE-api's tokens are found, too, but its
    files are never changed: a token deleted here is marked as deleted in our own folder.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder

    def __repr__(self) -> str:
        return f"TokenFile({str(self.folder)!r})"

    @property
    def folder(self) -> Path:
        """The folder of the tokens."""
        return self._folder if self._folder is not None else config_dir() / "tokens"

    def load(self, base_url: str, username: str | None = None) -> tuple[str, str] | None:
        """Return (username, token), by default of the default or only user; None if there is none."""
        base_url = normal_url(base_url)
        if username is None:
            username = self._usual_user(base_url)
            if username is None:
                return None
        own = self._own(base_url, username)
        token = one_api_tokens(base_url).get(username) if own is None else own
        return (username, token) if token else None

    def save(self, base_url: str, username: str, token: str) -> None:
        """Store a token, readable by its owner only; do nothing if it cannot be written."""
        base_url = normal_url(base_url)
        content = {"base_url": base_url, "username": username, "token": token}
        with contextlib.suppress(OSError):
            write_json(self._path(base_url, username), content)

    def delete(self, base_url: str, username: str) -> None:
        """Delete a token."""
        base_url = normal_url(base_url)
        if username in one_api_tokens(base_url):
            self.save(base_url, username, "")
            return
        with contextlib.suppress(OSError):
            self._path(base_url, username).unlink(missing_ok=True)
            sweep_temporary(self._path(base_url, username).parent, unnamed=True)

    def _path(self, base_url: str, username: str) -> Path:
        return self.folder / file_name(base_url) / f"{file_name(username)}.json"

    def _own(self, base_url: str, username: str) -> str | None:
        """Return our token, empty if it was deleted; None if there is no file of it."""
        return _token_in(self._path(base_url, username), base_url, username)

    def _usual_user(self, base_url: str) -> str | None:
        for databases in (own_databases(), one_api_databases()):
            if user := databases.get(base_url, {}).get("username"):
                return str(user)
        users = dict(one_api_tokens(base_url))
        with contextlib.suppress(OSError):
            for path in sorted((self.folder / file_name(base_url)).glob("[!.]*.json")):
                user = _read_token(path).get("username")
                if isinstance(user, str):
                    users[user] = _token_in(path, base_url, user) or ""
        known = [user for user, token in users.items() if token]
        return known[0] if len(known) == 1 else None


def _read_token(path: Path) -> dict[str, Any]:
    try:
        return read_json(path)
    except ConfigurationError:
        # A damaged token file counts as none: the next login replaces it.
        return {}


def _token_in(path: Path, base_url: str, username: str) -> str | None:
    content = _read_token(path)
    if content.get("base_url") != base_url or content.get("username") != username:
        return None
    token = content.get("token")
    return token if isinstance(token, str) else None
