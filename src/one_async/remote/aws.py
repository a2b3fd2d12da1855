"""Download files from S3 buckets by key, for scripts that used ``one.remote.aws``. Needs the extra ``one-async[s3]``.

Datasets do not need it: `ONE` fetches them from the locations in the database.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path, PurePath
from urllib.parse import urlsplit

from one_async._bridge import LoopThread
from one_async.errors import ConfigurationError, InputError
from one_async.settings import resolve
from one_async.sync import AlyxClient
from one_async.transfer.bucket import Bucket, below
from one_async.transfer.items import S3Keys

__all__ = [
    "REGION_NAME", "REPO_DEFAULT", "S3_BUCKET_IBL", "get_s3_allen", "get_s3_from_alyx", "get_s3_public", "get_s3_virtual_host",
    "s3_download_file", "s3_download_folder", "url2uri",
]  # fmt: skip

REPO_DEFAULT = "aws_cortexlab"
S3_BUCKET_IBL = "ibl-brain-wide-map-public"
REGION_NAME = "us-east-1"


def get_s3_public() -> tuple[Bucket, str]:
    """Return access to IBL's public bucket, and the bucket's name.

    Examples:
        >>> from one_async.remote.aws import get_s3_public
        >>> access, bucket = get_s3_public()
        >>> bucket
        'ibl-brain-wide-map-public'
    """
    return Bucket(REGION_NAME), S3_BUCKET_IBL


def get_s3_allen() -> tuple[Bucket, str]:
    """Return access to the Allen Institute's public bucket of cell atlases, and the bucket's name.

    Examples:
        >>> from one_async.remote.aws import get_s3_allen
        >>> access, bucket = get_s3_allen()
        >>> bucket
        'allen-brain-cell-atlas'
    """
    return Bucket("us-west-2"), "allen-brain-cell-atlas"


def get_s3_from_alyx(alyx: AlyxClient, repo_name: str = REPO_DEFAULT) -> tuple[Bucket, str]:
    """Return access to the bucket of one of the database's repositories, with its keys, and the bucket's name.

    Raises NotFound for an unknown repository, ConfigurationError for one without a bucket.
    """
    details = alyx.rest("data-repository", "read", id=repo_name).get("json") or {}
    if not details.get("bucket_name"):
        raise ConfigurationError(
            f"the database has no bucket for the repository {repo_name!r}", setting="bucket_name"
        )
    return Bucket(details.get("region_name") or REGION_NAME, S3Keys.of(details)), details["bucket_name"]


def s3_download_file(
    source: str | PurePath,
    destination: str | Path,
    s3: Bucket | None = None,
    bucket_name: str | None = None,
    overwrite: bool = False,
) -> Path:
    """Download one object of a bucket to a path and return the path; a file of the right size is not downloaded again.

    `s3` is the access returned by `get_s3_from_alyx`; without `s3` and `bucket_name`, the bucket is IBL's public one. With
    `overwrite`, the object is always downloaded. Raises NotFound, LoginError, ServerUnreachable or TransferError.
    """
    key, target = _key(source), Path(destination)

    async def download() -> Path:
        bucket, name = _with_endpoint(s3), bucket_name or S3_BUCKET_IBL
        sizes = await bucket.sizes(name, key)
        if key not in sizes:
            raise InputError.of("source", key, "the key of one file; s3_download_folder takes a folder")
        _remove([target], overwrite)
        return (await bucket.download(name, {key: target}, sizes))[0]

    return LoopThread.shared().run(download)


def s3_download_folder(
    source: str | PurePath,
    destination: str | Path,
    s3: Bucket | None = None,
    bucket_name: str = S3_BUCKET_IBL,
    overwrite: bool = False,
) -> list[Path]:
    """Download all objects below a folder of a bucket to a folder and return their paths; see `s3_download_file`."""
    key, target = _key(source), Path(destination)

    async def download() -> list[Path]:
        bucket = _with_endpoint(s3)
        sizes = await bucket.sizes(bucket_name, key)
        files = {one: below(target, key, one) for one in sizes}
        _remove(files.values(), overwrite)
        return await bucket.download(bucket_name, files, sizes)

    return LoopThread.shared().run(download)


def get_s3_virtual_host(uri: str, region: str = REGION_NAME) -> str:
    """Return the web address of a bucket or of one of its objects, given as ``s3://bucket/key`` or ``bucket/key``.

    Examples:
        >>> from one_async.remote.aws import get_s3_virtual_host
        >>> get_s3_virtual_host("s3://ibl-brain-wide-map-public/info.txt", region="us-east-1")
        'https://ibl-brain-wide-map-public.s3.us-east-1.amazonaws.com/info.txt'
    """
    bucket, slash, key = uri.removeprefix("s3://").strip("/").partition("/")
    if not bucket or not region or "://" in uri.removeprefix("s3://"):
        raise InputError.of("uri", uri, "s3://bucket/key")
    return f"https://{bucket}.s3.{region}.amazonaws.com{slash}{key}"


def url2uri(data_path: str, return_location: bool = False) -> str | tuple[str, str]:
    """Return the ``s3://`` address of an object from its web address; with `return_location` also the bucket's region.

    Examples:
        >>> from one_async.remote.aws import url2uri
        >>> url2uri("https://ibl-brain-wide-map-public.s3.us-east-1.amazonaws.com/info.txt")
        's3://ibl-brain-wide-map-public/info.txt'
    """
    parts = urlsplit(data_path)
    bucket, _, host = (parts.hostname or "").partition(".s3.")
    if not host.endswith("amazonaws.com"):
        raise InputError.of("data_path", data_path, "https://bucket.s3.region.amazonaws.com/key")
    uri = f"s3://{bucket}{parts.path}"
    return (uri, host.partition(".")[0]) if return_location else uri


def _key(source: str | PurePath) -> str:
    key = source.as_posix() if isinstance(source, PurePath) else source
    if not isinstance(key, str) or not key.strip("/"):
        raise InputError.of(
            "source", source, "a key within the bucket, such as 'atlas/dorsal_cortex_50.nrrd'"
        )
    return key.strip("/")


def _with_endpoint(s3: Bucket | None) -> Bucket:
    bucket = s3 or get_s3_public()[0]
    return replace(bucket, endpoint=bucket.endpoint or resolve().s3_endpoint)


def _remove(files: Iterable[Path], overwrite: bool) -> None:
    for path in files if overwrite else ():
        path.unlink(missing_ok=True)
