"""Settings: defaults < file < environment (``ONE_*``) < arguments. Resolving writes nothing and never prompts.

The environment describes one database, that of ``ONE_BASE_URL``: if an argument names another one, the environment's
login, token and folders are ignored, so that no token goes to a server that is not its own. Without ``ONE_BASE_URL``,
its login and token belong to the default database. A data server's login goes to the data server that the same or a
weaker source names.

Existing ONE-api configuration is used: its parameter files, tokens included, are read and never changed.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ByteSize, ConfigDict, Field, SecretStr, ValidationError, model_validator

from one_async import _display, _settings_files
from one_async._addresses import OPEN_ALYX, normal_url, without_login
from one_async._display import Printer
from one_async._merging import default_cache_dir, merged_settings
from one_async._token_file import TokenFile
from one_async._values import SECRETS, Login, OfDatabase, Values, blame, checked, environment, split_login
from one_async._warnings import warn
from one_async.errors import ConfigurationError, InputError, OfflineError, OneWarning
from one_async.types import Mode

__all__ = [
    "OPEN_ALYX",
    "Settings",
    "TokenFile",
    "databases",
    "default_database",
    "delete",
    "get_cache_dir",
    "get_params_dir",
    "resolve",
    "save",
    "setup",
]

_DAY = timedelta(hours=24)
#: The default maximum size of an answer; Alyx's largest pages have about 25 MB.
_LARGEST = ByteSize(256 * 1024**2)


class Settings(BaseModel):
    """The resolved settings of a client; frozen.

    Its repr, logs and pickles hold no secrets. The login of unpickled settings is resolved anew where they are loaded.

    Examples:
        >>> one.settings.base_url == one.alyx.base_url, one.settings.offline
        (True, False)
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    base_url: str | None = Field(default=None, description="address of the database; None: offline")
    username: str | None = Field(default=None, description="user of the database")
    password: SecretStr | None = Field(default=None, repr=False, description="password of the user")
    token: SecretStr | None = Field(
        default=None, repr=False, description="token of the user, instead of a password"
    )
    mode: Mode = Field(
        default="remote", description="where answers come from: local, remote, auto or refresh"
    )
    cache_dir: Path = Field(description="folder of data files")
    cache_bucket: str | None = Field(default=None, description="address from which cache_dir gets its files")
    tables_dir: Path = Field(description="folder of cache tables")
    rest_cache_dir: Path | None = Field(default=None, description="folder of stored REST answers, if set")
    default_expiry: timedelta = Field(default=_DAY, description="maximum age of a stored REST answer")
    cache_expiry: timedelta = Field(default=_DAY, description="time between checks for newer tables")
    data_server: str | None = Field(default=None, description="address below which data files are")
    data_server_login: str | None = Field(default=None, description="user of the data server")
    data_server_password: SecretStr | None = Field(
        default=None, repr=False, description="password of that user"
    )
    s3_endpoint: str | None = Field(default=None, description="address of S3 buckets that are not Amazon's")
    max_response_size: ByteSize = Field(default=_LARGEST, description="bytes of a REST answer, decoded")
    timeout: float | None = Field(default=None, description="seconds to wait for the next bytes of an answer")
    progress: bool | None = Field(
        default=None, description="whether progress is shown; None: on terminals and in notebooks"
    )
    keyring: bool = Field(default=False, description="whether the password may come from the keyring")

    _split_login = model_validator(mode="before")(split_login)

    @property
    def offline(self) -> bool:
        """Whether no database is configured."""
        return self.base_url is None

    def require(self, name: str) -> Any:
        """Return a setting; a secret as text.

        Raises:
            ConfigurationError: it is not set; the text names the setting, the argument and the variable.
            OfflineError: ``base_url`` is not set.

        Examples:
            >>> one.settings.require("username")
            'demo'
        """
        value = getattr(self, name)
        if value is None:
            kind = OfflineError if name == "base_url" else ConfigurationError
            where = "" if self.offline else f" for {self.base_url}"
            raise kind(_missing(name) + where, setting=name)
        return value.get_secret_value() if isinstance(value, SecretStr) else value

    def secret(self, name: str) -> str | None:
        """Return a secret as text, None if it is not set.

        Examples:
            >>> one.settings.secret("token") is None
            True
        """
        value = getattr(self, name)
        return value.get_secret_value() if value else None

    def _fields(self) -> dict[str, str]:
        """Return the settings as texts; for secrets, only whether they are set."""
        values = {
            name: "set, not shown" if name in SECRETS and value is not None else without_login(value)
            for name, value in self
        }
        return {name: _display.plain_text(value) for name, value in values.items() if value is not None}

    def _repr_html_(self) -> str:
        return _display.card("Settings", self._fields())

    def _repr_pretty_(self, printer: Printer, cycle: bool) -> None:
        lines = ["Settings", *_display.field_lines(self._fields())]
        _display.pretty(lines, printer, cycle)

    def __reduce__(self) -> tuple[Any, ...]:
        kept = {name: value for name, value in self if name not in SECRETS}
        return (_from_pickle, (kept,))


def _from_pickle(values: dict[str, Any]) -> Settings:
    return Settings(**values)


def _missing(name: str) -> str:
    ways = [f"pass {name}=", f"set the environment variable ONE_{name.upper()}"]
    if name == "password":
        ways.append("keep it in the keyring (ONE_KEYRING=1)")
    elif name not in SECRETS:
        ways.append("run ONE.setup(...)")
    return f"{name} is not set: {', '.join(ways[:-1])} or {ways[-1]}"


def resolved_again(settings: Settings) -> Settings:
    """Resolve unpickled settings again, to find their login on this machine."""
    if settings.base_url is None:
        return settings
    known = {name: value for name, value in settings if name not in SECRETS and value is not None}
    return resolve(**known)


def resolve(
    *,
    base_url: str | None = None,
    username: str | None = None,
    password: str | SecretStr | None = None,
    token: str | SecretStr | Mapping[str, str] | None = None,
    cache_dir: str | os.PathLike[str] | None = None,
    tables_dir: str | os.PathLike[str] | None = None,
    mode: Mode | None = None,
    rest_cache_dir: str | os.PathLike[str] | None = None,
    default_expiry: timedelta | None = None,
    cache_expiry: timedelta | None = None,
    data_server: str | None = None,
    data_server_login: str | None = None,
    data_server_password: str | SecretStr | None = None,
    s3_endpoint: str | None = None,
    max_response_size: int | str | None = None,
    timeout: float | None = None,
    progress: bool | None = None,
    keyring: bool | None = None,
) -> Settings:
    """Return the settings for these arguments; reads the environment and files, writes nothing.

    The database is the one named by ``base_url``, else the one that ``cache_dir`` was set up for, else that
    of ``ONE_BASE_URL``, else the default one, else the public Open Alyx. A ``cache_dir`` of no database,
    given without a login, means offline, in local mode unless ``mode`` is given. So does one that is the address of a
    bucket's folder, ``s3://…``: then the tables and files there are fetched into a folder below the platform's cache folder.

    Raises:
        InputError: an invalid argument.
        ConfigurationError: an invalid environment variable or file, which the error names.

    Examples:
        >>> from one_async.settings import resolve
        >>> resolve(base_url="https://alyx.example.org", timeout=10).timeout
        10.0
    """
    given = checked(Values, {name: value for name, value in locals().items() if value is not None})
    around = environment()
    url = _database(given, around)
    bucket = _bucket(given, around)
    sources = [given.non_empty(), _applicable(around, url, bucket).non_empty(), *_files(url)]
    merged = merged_settings(url, sources)
    if bucket and given.mode not in (None, "local"):
        raise InputError.of("mode", given.mode, f"'local', the only mode in which {bucket} is read")
    if url is None:
        merged["mode"] = given.mode or "local"
    elif merged.get("keyring") and not merged.get("password") and not merged.get("token"):
        merged["password"] = _from_keyring(url, merged.get("username"))
    return Settings(**merged)


def _bucket(given: Values, around: Values) -> str | None:
    """Return the address of the bucket that stands for the cache folder, if one does."""
    if given.base_url or given.cache_dir:
        return given.cache_bucket
    return given.cache_bucket or around.cache_bucket


def _files(url: str | None) -> list[dict[str, Any]]:
    """Return a database's settings from our file and from ONE-api's."""
    if url is None:
        return []
    found = []
    for databases, name in (
        (_settings_files.own_databases(), str(_settings_files.own_file(url))),
        (_settings_files.one_api_databases(), f"ONE-api's parameters of {url}"),
    ):
        try:
            values = Values.model_validate(databases.get(url, {}))
        except ValidationError as error:
            blame(f"{error.errors()[0]['loc'][0]} in {name}", error)
        found.append(values.non_empty())
    return found


def _database(given: Values, around: Values) -> str | None:
    """Return the address of the selected database, None for offline use."""
    if given.base_url:
        return given.base_url
    if _bucket(given, around):
        return None
    if given.cache_dir and (owner := _owner_of(given.cache_dir)):
        return owner
    if around.base_url:
        return around.base_url
    if given.cache_dir and not (given.username or given.password or given.token):
        return None
    return default_database()


def _owner_of(folder: Path) -> str | None:
    wanted = os.path.normpath(folder)
    known = [url for url, theirs in databases().items() if os.path.normpath(theirs) == wanted]
    default = default_database()
    return default if default in known else next(iter(known), None)


def _applicable(around: Values, url: str | None, bucket: str | None) -> Values:
    """Return the environment's settings that apply to a database, or to a bucket.

    All of them apply to the environment's own database. If the environment names none, its login belongs to the default one.
    """
    ignored: type[Login] | None
    if url is None and bucket:
        ignored = Login
    elif around.base_url is None and url is not None:
        ignored = None if url == default_database() else Login
    else:
        ignored = None if url is not None and around.base_url == url else OfDatabase
    return around.model_copy(update=dict.fromkeys(ignored.model_fields if ignored else ()))


def _from_keyring(url: str, username: str | None) -> SecretStr | None:
    try:
        import keyring
        from keyring.errors import KeyringError
    except ImportError:
        raise ConfigurationError(
            "ONE_KEYRING asks for the keyring, which is not installed: pip install 'one-async[keyring]'"
        ) from None
    try:
        found = keyring.get_password(url, username) if username else None
    except (KeyringError, RuntimeError, OSError):
        return None
    return SecretStr(found) if found else None


def databases() -> dict[str, Path]:
    """Return the cache folder of each database that was set up, here or with ONE-api, by address."""
    found = _settings_files.one_api_databases()
    for url, own in _settings_files.own_databases().items():
        found[url] = {**found.get(url, {}), **{name: value for name, value in own.items() if value}}
    return {
        url: Path(values.get("cache_dir") or default_cache_dir(url)).expanduser()
        for url, values in found.items()
    }


def default_database() -> str:
    """Return the address of the default database."""
    return _settings_files.own_default() or _settings_files.one_api_default() or OPEN_ALYX


def get_cache_dir(base_url: str | None = None) -> Path:
    """Return the cache folder of a database, by default of the default one, without creating it."""
    return resolve(base_url=base_url).cache_dir


def get_params_dir() -> Path:
    """Return the folder of our own settings files."""
    return _settings_files.config_dir()


def save(settings: Settings, *, make_default: bool | None = None) -> None:
    """Save the settings of a database, without secrets, in our own file.

    The first saved database becomes the default one unless ``make_default`` is False.

    Raises:
        OfflineError: the settings have no database.
        ConfigurationError: the file cannot be written.
    """
    url = settings.require("base_url")
    kept = settings.model_dump(mode="json", exclude=set(SECRETS), exclude_defaults=True)
    if kept["tables_dir"] == kept["cache_dir"]:
        del kept["tables_dir"]
    first = _settings_files.own_default() is None and _settings_files.one_api_default() is None
    try:
        _settings_files.write_json(_settings_files.own_file(url), kept)
        if make_default or (make_default is None and first):
            _settings_files.write_json(get_params_dir() / "default.json", {"base_url": url})
    except OSError as error:
        raise ConfigurationError(
            f"settings cannot be written to {get_params_dir()} ({error.strerror}); set ONE_CONFIG_DIR to a "
            "folder that can be, or pass arguments or set ONE_* variables instead"
        ) from None


#: Prompts for a setting, given its name and its default, and returns the answer.
Ask = Callable[[str, str | None], str]


def setup(
    base_url: str | None = None,
    *,
    username: str | None = None,
    cache_dir: str | os.PathLike[str] | None = None,
    tables_dir: str | os.PathLike[str] | None = None,
    data_server: str | None = None,
    data_server_login: str | None = None,
    keyring: bool | None = None,
    make_default: bool | None = None,
    ask: Ask | None = None,
    silent: bool = True,
) -> Settings:
    """Save settings for a database in our own file and return its resolved settings.

    Settings that are not given stay as they were set up before, here or with ONE-api. ``ask`` prompts for those that
    are neither given nor set up. Secrets are never written. ``silent`` is accepted for compatibility with ONE-api and has
    no effect: nothing prompts without ``ask``.

    Examples:
        >>> from one_async import ONE
        >>> settings = ONE.setup("https://alyx.example.org", username="anna", cache_dir=data_dir)
        >>> settings.base_url, settings.username
        ('https://alyx.example.org', 'anna')
    """
    if base_url is None:
        base_url = default_database()
        if ask is not None and not databases():
            base_url = ask("base_url", base_url) or base_url
    base_url = normal_url(base_url)
    before = databases()
    if ask is not None:
        known = {name for source in _files(base_url) for name in source}
        if username is None and "username" not in known:
            username = ask("username", None) or None
        if cache_dir is None and "cache_dir" not in known:
            cache_dir = ask("cache_dir", str(default_cache_dir(base_url))) or None
    given = {name: value for name, value in locals().items() if name in Values.model_fields}
    values = checked(Values, {name: value for name, value in given.items() if value is not None}).non_empty()
    # Settings of the environment and secrets are not saved.
    kept = merged_settings(base_url, [values, *_files(base_url)])
    settings = Settings(**{name: value for name, value in kept.items() if name not in SECRETS})
    _warn_of_sharing(settings, before)
    save(settings, make_default=make_default)
    return resolve(base_url=base_url)


def _warn_of_sharing(settings: Settings, before: dict[str, Path]) -> None:
    others = [
        url for url, folder in before.items() if url != settings.base_url and folder == settings.cache_dir
    ]
    if others:
        warn(
            f"{settings.cache_dir} is also the cache folder of {', '.join(others)}; their tables would "
            "replace each other",
            OneWarning,
        )


def delete(base_url: str | None = None) -> None:
    """Delete our own files of a database, including tokens; those of all databases if none is named.

    ONE-api's files stay, so a database that was set up with ONE-api remains known.
    """
    folder = get_params_dir()
    default = folder / "default.json"
    doomed = [folder / "databases", folder / "tokens", default]
    if base_url is not None:
        base_url = normal_url(base_url)
        doomed = [_settings_files.own_file(base_url), folder / "tokens" / _settings_files.file_name(base_url)]
        doomed += [default] if _settings_files.own_default() == base_url else []
    for path in doomed:
        try:
            if path.is_dir():
                shutil.rmtree(path)
            elif path.exists():
                path.unlink(missing_ok=True)
        except OSError as error:
            raise ConfigurationError(f"{path} cannot be deleted ({error.strerror})") from None
