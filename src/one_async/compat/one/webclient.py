"""The REST client, and downloads by address."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from one_async.compat.absent import absent
from one_async.settings import resolve
from one_async.webclient import AlyxClient, no_cache

__all__ = [
    "AlyxClient", "RestScheme", "RestSchemeCoreApi", "RestSchemeOpenApi", "dataset_record_to_url", "file_record_to_url",
    "http_download_file", "http_download_file_list", "no_cache", "update_url_params", "validate_endpoint_action",
]  # fmt: skip

_SCHEMA = "AlyxClient.describe_endpoint describes an endpoint, AlyxClient.schema all of them"
RestScheme = absent("one.webclient.RestScheme", _SCHEMA)
RestSchemeCoreApi = absent("one.webclient.RestSchemeCoreApi", _SCHEMA)
RestSchemeOpenApi = absent("one.webclient.RestSchemeOpenApi", _SCHEMA)
validate_endpoint_action = absent("one.webclient.validate_endpoint_action", _SCHEMA)


def http_download_file(
    full_link_to_file: str,
    chunks: Sequence[int] | None = None,
    *,
    clobber: bool = False,
    silent: bool = True,
    username: str = "",
    password: str = "",
    target_dir: str | Path = "",
    return_md5: bool = False,
    headers: Mapping[str, str] | None = None,
) -> Any:
    """Download a file and return its path, with its md5 if `return_md5`; see `AlyxClient.download_file`."""
    return http_download_file_list(
        [full_link_to_file],
        chunks=chunks,
        clobber=clobber,
        username=username,
        password=password,
        target_dir=target_dir,
        return_md5=return_md5,
        headers=headers,
    )[0]


def http_download_file_list(
    links_to_file_list: Sequence[str],
    *,
    silent: bool = True,
    username: str = "",
    password: str = "",
    target_dir: str | Path = "",
    return_md5: bool = False,
    **options: Any,
) -> list[Any]:
    """Download files of one server; options are those of `AlyxClient.download_file`."""
    if not links_to_file_list:
        return []
    server: dict[str, Any] = {}
    if username:
        parts = urlsplit(links_to_file_list[0])
        server["data_server"] = f"{parts.scheme}://{parts.netloc}"
        server.update(data_server_login=username, data_server_password=password)
    options["target_dir"] = Path(target_dir or Path.home() / "Downloads")
    with AlyxClient(cache_rest=None, settings=resolve(**server)) as client:
        if return_md5:
            return client.download_file(list(links_to_file_list), return_md5=True, **options)
        return client.download_file(list(links_to_file_list), **options)


def update_url_params(url: str, params: Mapping[str, Any]) -> str:
    """Return an address with more parameters, or with other values of those it has."""
    parts = urlsplit(url)
    query = {**dict(parse_qsl(parts.query, keep_blank_values=True)), **params}
    return parts._replace(query=urlencode(query, doseq=True)).geturl()


def file_record_to_url(file_records: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the addresses of file records that have one."""
    return [record["data_url"] for record in file_records if record.get("data_url")]


def dataset_record_to_url(dataset_record: Mapping[str, Any] | Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the addresses of the files of one or several records of the endpoint datasets."""
    records = [dataset_record] if isinstance(dataset_record, Mapping) else dataset_record
    return [url for record in records for url in file_record_to_url(record["file_records"])]
