"""Register sessions and files."""

from __future__ import annotations

from typing import Any

from one_async.api import ONE
from one_async.registration import RegistrationClient as _Registration
from one_async.registration import get_dataset_type

__all__ = ["ONE", "RegistrationClient", "get_dataset_type"]


class RegistrationClient:
    """The methods of ``one.registration`` of a client, as ONE-api's class has them."""

    ensure_ISO8601 = staticmethod(_Registration.ensure_ISO8601)  # noqa: N815 - ONE-api's name

    def __init__(self, one: ONE | None = None) -> None:
        """Register at the database of a client, by default of a new one."""
        self.one = one or ONE()

    def __getattr__(self, name: str) -> Any:
        """Return a method of ``one.registration``."""
        if name.startswith("_") or name == "one":
            raise AttributeError(name)
        return getattr(self.one.registration, name)
