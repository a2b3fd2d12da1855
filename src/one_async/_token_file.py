"""Where tokens are written to disk: a file for each server and user, readable by its owner only."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

from one_async._addresses import normal_url
from one_async._settings_files import (
    config_dir,
    file_name,
    one_api_databases,
    one_api_tokens,
    own_databases,
    read_json,
    write_json,
)
from one_async.errors import ConfigurationError
from one_async.files.atomic import sweep_temporary

__all__ = ["TokenFile"]


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
