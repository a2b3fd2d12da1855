"""The REST client, and downloads by address."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from one_async.compat.adapters import absent
from one_async.settings import resolve
from one_async.webclient import AlyxClient, no_cache

__all__ = [
    "AlyxClient", "dataset_record_to_url", "file_record_to_url", "http_download_file", "http_download_file_list", "no_cache",
    "update_url_params",
]  # fmt: skip

_SCHEMA = "AlyxClient.describe_endpoint describes an endpoint, AlyxClient.schema all of them"
_ABSENT = ("RestScheme", "RestSchemeCoreApi", "RestSchemeOpenApi", "validate_endpoint_action")
__getattr__ = absent(__name__, dict.fromkeys(_ABSENT, _SCHEMA))


def http_download_file(
    full_link_to_file: Any,
    chunks: Sequence[int] | None = None,
    *,
    username: str = "",
    password: str = "",
    target_dir: Any = "",
    **options: Any,
) -> Any:
    """Download a file from any server, by default to the folder Downloads; `options` are those of `AlyxClient.download_file`."""
    server: dict[str, Any] = {}
    if username:
        parts = urlsplit(full_link_to_file if isinstance(full_link_to_file, str) else full_link_to_file[0])
        server["data_server"] = f"{parts.scheme}://{parts.netloc}"
        server.update(data_server_login=username, data_server_password=password)
    options["target_dir"] = target_dir or Path.home() / "Downloads"
    with AlyxClient(cache_rest=None, settings=resolve(**server)) as client:
        return client.download_file(full_link_to_file, chunks=chunks, **options)


def http_download_file_list(links_to_file_list: Sequence[str], **kwargs: Any) -> list[Any]:
    """Download files from one server; `kwargs` are those of `http_download_file`."""
    links = list(links_to_file_list)
    return list(http_download_file(links, **kwargs)) if links else []


def update_url_params(url: str, params: Mapping[str, Any]) -> str:
    """Return an address with parameters added or replaced; parameters without a value are removed."""
    parts = urlsplit(url)
    return parts._replace(query=urlencode(dict(parse_qsl(parts.query)) | dict(params), doseq=True)).geturl()


def file_record_to_url(file_records: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the addresses of file records that have one."""
    return [record["data_url"] for record in file_records if record.get("data_url")]


def dataset_record_to_url(dataset_record: Mapping[str, Any] | Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the addresses of the files of one or several records of the endpoint datasets."""
    records = [dataset_record] if isinstance(dataset_record, Mapping) else dataset_record
    return [url for record in records for url in file_record_to_url(record["file_records"])]
