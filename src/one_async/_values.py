"""Validated settings from one source: arguments, the environment or a file."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, NoReturn
from urllib.parse import unquote, urlsplit, urlunsplit

from pydantic import (
    BaseModel,
    BeforeValidator,
    ByteSize,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    model_validator,
)
from pydantic_settings import BaseSettings, SettingsConfigDict

from one_async._addresses import normal_url, without_login
from one_async._token_file import TokenFile
from one_async.errors import ConfigurationError, InputError
from one_async.types import Mode

SECRETS = ("password", "token", "data_server_password")


def _text(value: object) -> object:
    return (value.strip() or None) if isinstance(value, str) else value


def _folder(value: object) -> object:
    value = _text(value)
    if isinstance(value, str) and re.match("s3:/", value, re.IGNORECASE):
        raise ValueError("a folder of this machine; cache_dir alone may be the address of a bucket")
    try:
        folder = Path(value).expanduser().absolute() if isinstance(value, str | os.PathLike) else value
    except RuntimeError:
        raise ValueError("there is no home folder for ~") from None
    if isinstance(folder, Path) and folder.is_file():
        raise ValueError("a folder, not a file")
    return folder


def _no_bool(value: object) -> object:
    if isinstance(value, bool):
        raise ValueError("seconds above 0")
    return value


def _secret(value: object) -> object:
    # ONE-api takes a token also as the server's answer, {"token": "…"}.
    return next(iter(value.values()), None) if isinstance(value, Mapping) else _text(value)


def _duration(value: object) -> object:
    value = _text(value)
    try:
        return timedelta(seconds=float(value)) if isinstance(value, str) else value
    except (ValueError, OverflowError):
        return value  # hh:mm:ss or PT1H, for pydantic to read or refuse


def _address(value: object) -> object:
    value = _text(value)
    if isinstance(value, str):
        # ValueError for unmatched brackets here, and for an invalid port below.
        parts = urlsplit(value)
        if parts.scheme.lower() not in ("http", "https") or not parts.hostname or parts.port == 0:
            raise ValueError("it must be an http or https address")
        if "@" in parts.netloc:
            raise ValueError("it must not hold a user name or password")
    return value


def split_login(values: object) -> object:
    """Move the user name and password from a data server's address to their own settings."""
    url = values.get("data_server") if isinstance(values, Mapping) else None
    if not isinstance(url, str) or not isinstance(values, Mapping):
        return values
    try:
        parts = urlsplit(url.strip())
    except ValueError:
        return values
    login, at, server = parts.netloc.rpartition("@")
    if not at or parts.scheme.lower() not in ("http", "https"):
        return values
    name, _, password = login.partition(":")
    found = {"data_server_login": unquote(name), "data_server_password": unquote(password)}
    login_settings = {key: value for key, value in found.items() if value and not values.get(key)}
    return {**values, **login_settings, "data_server": urlunsplit(parts._replace(netloc=server))}


def split_bucket(values: object) -> object:
    """Move the address of a bucket, which may stand for the cache folder, to its own setting."""
    if not isinstance(values, Mapping):
        return values
    others = {name: value for name, value in values.items() if name != "cache_bucket"}
    given = others.get("cache_dir")
    text = given.as_posix() if isinstance(given, Path) else given
    if isinstance(text, str) and re.match(r"\s*s3:/", text, re.IGNORECASE):
        return {**others, "cache_dir": None, "cache_bucket": text}
    return others


def _bucket(value: object) -> object:
    """Return the address of a bucket's folder in its usual form."""
    if not isinstance(value, str):
        return value
    # A Path has one slash after the colon.
    found = re.fullmatch(r"s3:/+([a-z0-9][a-z0-9._-]{2,62})((?:/.*)?)", value.strip(), re.IGNORECASE)
    folder = found[2].strip("/") if found else ""
    if not found or re.search(r"[\x00-\x1f\x7f\\]|(^|/)\.{0,2}/|(^|/)\.{1,2}$", folder):
        raise ValueError("a folder, or an address such as s3://bucket/folder, without keys")
    return f"s3://{found[1]}/{folder}".rstrip("/")


def without_password(url: str) -> str:
    """Return the address of a shared cache without its password."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return url.partition(":")[0]
    login, at, host = parts.netloc.rpartition("@")
    query = "&".join(part for part in parts.query.split("&") if not part.lower().startswith("password="))
    return urlunsplit(parts._replace(netloc=f"{login.partition(':')[0]}{at}{host}".lstrip("@"), query=query))


def without_secrets(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return a client's arguments without passwords, tokens and hooks, for a pickle."""
    split = split_login(arguments)
    assert isinstance(split, Mapping)
    kept = {name: value for name, value in split.items() if name not in SECRETS}
    if isinstance(kept.get("cache_storage"), str):
        kept["cache_storage"] = without_password(kept["cache_storage"])
    kept.pop("event_hooks", None)  # functions of this process
    if not isinstance(kept.get("token_store"), TokenFile):  # another store may hold tokens in memory
        kept.pop("token_store", None)
    return kept


Text = Annotated[str | None, BeforeValidator(_text)]
Address = Annotated[str | None, BeforeValidator(_address)]
Folder = Annotated[Path | None, BeforeValidator(_folder)]
Bucket = Annotated[str | None, BeforeValidator(_bucket)]
Duration = Annotated[timedelta | None, BeforeValidator(_duration)]
Size = Annotated[Annotated[ByteSize, Field(gt=0)] | None, BeforeValidator(_text)]
Secret = Annotated[SecretStr | None, BeforeValidator(_secret), Field(repr=False)]


#: Seconds above 0.
Seconds = Annotated[Annotated[float, Field(gt=0, allow_inf_nan=False)] | None, BeforeValidator(_text)]


class Login(BaseModel):
    """The settings that name a user or are secret."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    username: Text = None
    password: Secret = None
    token: Secret = None
    data_server_login: Text = None
    data_server_password: Secret = None


class OfDatabase(Login):
    """The settings that belong to one database."""

    cache_dir: Folder = None
    cache_bucket: Bucket = None
    tables_dir: Folder = None
    rest_cache_dir: Folder = None
    data_server: Address = None
    s3_endpoint: Address = None


class Values(OfDatabase):
    """The settings of one source; None for those that it does not set."""

    base_url: Annotated[str | None, BeforeValidator(lambda url: normal_url(url) if _text(url) else None)] = (
        None
    )
    mode: Annotated[Mode | None, BeforeValidator(_text)] = None
    default_expiry: Duration = None
    cache_expiry: Duration = None
    max_response_size: Size = None
    timeout: Annotated[Seconds, BeforeValidator(_no_bool)] = None
    keyring: bool | None = None
    progress: bool | None = None

    _split_login = model_validator(mode="before")(split_login)
    _split_bucket = model_validator(mode="before")(split_bucket)

    def non_empty(self) -> dict[str, Any]:
        """Return the settings that are set, by name."""
        return {name: value for name, value in self if value is not None}


class Environment(Values, BaseSettings):
    model_config = SettingsConfigDict(env_prefix="ONE_", env_ignore_empty=True, extra="ignore", frozen=True)


def checked(kind: type[Values], values: dict[str, Any]) -> Values:
    """Validate arguments. Raises InputError, which never shows a secret."""
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        if isinstance(own := error.errors()[0].get("ctx", {}).get("error"), InputError):
            raise own from None
        name = _name(error)
        value = values.get(name)
        has_keys = isinstance(value, str | Path) and re.match("s3:.*@", str(value).strip(), re.I)
        is_hidden = name in SECRETS or (name == "cache_dir" and has_keys)
        shown = "…" if is_hidden else without_login(value)
        accepted = "a path" if "path" in error.errors()[0]["type"] else _reason(error)
        raise InputError.of(name, shown, accepted.removeprefix("Input should be ")) from None


def environment() -> Values:
    try:
        return Environment()
    except ValidationError as error:
        blame(f"environment variable ONE_{_name(error).upper()}", error)


def blame(where: str, error: ValidationError) -> NoReturn:
    raise ConfigurationError(f"{where}: {_reason(error)}") from None


def _name(error: ValidationError) -> str:
    """Return the name of the setting that was given."""
    return str(error.errors()[0]["loc"][0]).replace("cache_bucket", "cache_dir")


def _reason(error: ValidationError) -> str:
    return error.errors()[0]["msg"].removeprefix("Value error, ")
