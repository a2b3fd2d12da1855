"""Merging of settings from several sources, and the source to which each secret belongs."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

from one_async import _settings_files
from one_async._addresses import OPEN_ALYX, OPEN_DATA
from one_async.errors import InputError


def merged_settings(url: str | None, sources: list[dict[str, Any]]) -> dict[str, Any]:
    """Merge the sources, which are listed from strongest to weakest."""
    merged: dict[str, Any] = {}
    for source in reversed(sources):
        if not source.keys().isdisjoint(("cache_dir", "cache_bucket")):
            merged.pop("cache_dir", None)
            merged.pop("cache_bucket", None)
        merged.update(source)
    merged["base_url"] = url
    if bucket := merged.get("cache_bucket"):
        _set_bucket_folder(merged, bucket)
    merged.setdefault("cache_dir", default_cache_dir(url))
    merged["tables_dir"] = _tables_dir(sources) or merged["cache_dir"]
    if url == OPEN_ALYX:
        merged.setdefault("data_server", OPEN_DATA)
    _keep_owner(merged, sources)
    return merged


def _set_bucket_folder(merged: dict[str, Any], bucket: str) -> None:
    """Set the folder of a bucket's files. The endpoint may come from the variables of Amazon's own tools."""
    if merged["base_url"] is not None:
        accepted = "a folder, where a database is named: buckets are read in local mode, without a database"
        raise InputError.of("cache_dir", bucket, accepted)
    for name in ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"):
        if endpoint := os.environ.get(name):
            merged.setdefault("s3_endpoint", endpoint)
    merged["cache_dir"] = _settings_files.bucket_dir(bucket, merged.get("s3_endpoint"))


def _tables_dir(sources: list[dict[str, Any]]) -> Path | None:
    """Return the tables folder, unless its source is weaker than that of the cache folder: then it belongs to another one."""
    for source in sources:
        if folder := source.get("tables_dir") or source.get("cache_dir"):
            return Path(folder)
        if "cache_bucket" in source:
            return None
    return None


def _keep_owner(merged: dict[str, Any], sources: list[dict[str, Any]]) -> None:
    """Drop secrets that belong to another user than the merged one.

    A password takes precedence over a token from a weaker source. Only the server knows the user of a token, so sources
    weaker than the token's do not name its user. Secrets belong to the user that their own source names.
    """
    first = {name: i for name in ("token", "password") for i in _positions(sources, name)[:1]}
    if "token" in first and first.get("password", first["token"]) < first["token"]:
        del first["token"]
    if "token" in first:
        users = [sources[i]["username"] for i in _positions(sources, "username") if i <= first["token"]]
        merged["username"] = users[0] if users else None
    user = merged.get("username")
    for name in ("token", "password"):
        known = name in first and sources[first[name]].get("username", user) == user
        if not known or (name == "password" and user is None and "token" in first):
            merged.pop(name, None)
    _keep_data_server(merged, sources)


def _keep_data_server(merged: dict[str, Any], sources: list[dict[str, Any]]) -> None:
    """Drop the data server's login and password if their source refers to another data server."""
    for name, with_it in (
        ("data_server_login", ("data_server",)),
        ("data_server_password", ("data_server", "data_server_login")),
    ):
        for i in _positions(sources, name)[:1]:
            weaker: dict[str, Any] = {}
            for source in reversed(sources[i:]):
                weaker.update(source)
            for other in with_it:
                default = OPEN_DATA if other == "data_server" and merged["base_url"] == OPEN_ALYX else None
                if _same_server(merged.get(other)) != _same_server(weaker.get(other, default)):
                    merged.pop(name, None)


def _same_server(url: str | None) -> str | None:
    return url and url.rstrip("/").casefold()


def _positions(sources: list[dict[str, Any]], name: str) -> list[int]:
    return [i for i, source in enumerate(sources) if name in source]


def default_cache_dir(url: str | None) -> Path:
    """Return the folder in which ONE-api stores the data of a database that was never set up."""
    home = _settings_files.home() or Path(tempfile.gettempdir())
    return home / "Downloads" / "ONE" / _settings_files.one_api_key(url or OPEN_ALYX)
