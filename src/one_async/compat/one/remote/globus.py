"""Transfers between Globus endpoints, which one_async has not: any public name can be imported, none can be used."""

from __future__ import annotations

from typing import Any

from one_async.compat.absent import absent


def __getattr__(name: str) -> Any:
    if name.startswith("_"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = absent(f"one.remote.globus.{name}", "ONE.download fetches files over HTTP or from S3")
    globals()[name] = value
    return value
