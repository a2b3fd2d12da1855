"""Settings under the names of ONE-api's parameters, for software that reads these."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from one_async.settings import Settings

__all__ = ["Parameters"]

_NAMES = {
    "ALYX_URL": "base_url",
    "ALYX_LOGIN": "username",
    "HTTP_DATA_SERVER": "data_server",
    "HTTP_DATA_SERVER_LOGIN": "data_server_login",
    "HTTP_DATA_SERVER_PWD": "data_server_password",
    "CACHE_DIR": "cache_dir",
}


class Parameters:
    """The settings of a database under ONE-api's names, such as ``CACHE_DIR``; read-only. No text of it shows a password."""

    _settings: Settings

    def __init__(self, settings: Settings) -> None:
        """Read from resolved settings."""
        self.__dict__["_settings"] = settings

    def __getattr__(self, name: str) -> str | None:
        """Return a parameter as text, None if it is not set."""
        if name not in _NAMES:
            raise AttributeError(f"no parameter {name!r}; there are: {', '.join(_NAMES)}")
        field = _NAMES[name]
        value = self._settings.secret(field) if field.endswith("password") else getattr(self._settings, field)
        return None if value is None else str(value)

    def __setattr__(self, name: str, value: object) -> None:
        """Raise AttributeError: parameters are read-only."""
        raise AttributeError(f"{name} is read-only; make a client with other arguments, or run ONE.setup")

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *_NAMES]

    def __repr__(self) -> str:
        return f"Parameters({self.as_dict()})"

    def as_dict(self) -> dict[str, str | None]:
        """Return the parameters, without passwords, by name."""
        return {name: getattr(self, name) for name in _NAMES if not name.endswith("PWD")}
