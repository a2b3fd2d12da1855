"""Files of S3 buckets that no record of a database describes: identified by their keys."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, cast

import anyio.to_thread

from one_async.errors import LoginError, NotFound, ServerUnreachable, UnsafePath
from one_async.transfer.fetch import fetch
from one_async.transfer.items import FileSource, Item, S3Keys, S3Location
from one_async.transfer.s3 import open_store

__all__ = ["Bucket", "Version", "folder_of", "versions"]


class Version(NamedTuple):
    """The size in bytes of an object, and the tag that S3 gives its content."""

    size: int
    tag: str | None


def folder_of(address: str, endpoint: str | None) -> S3Location:
    """Return the location of ``s3://bucket/folder``. Region and keys are those of the environment."""
    bucket, _, folder = address.removeprefix("s3://").partition("/")
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or "us-east-1"
    return S3Location(bucket, folder, region, endpoint)


async def versions(folder: S3Location, names: Sequence[str]) -> dict[str, Version]:
    """Return the versions of those objects of a folder that exist.

    Raises LoginError if none may be read, ServerUnreachable, or ConfigurationError if the extra is not installed.
    """
    return await anyio.to_thread.run_sync(_versions, folder, names, abandon_on_cancel=True)


def _versions(folder: S3Location, names: Sequence[str]) -> dict[str, Version]:
    store = open_store(folder)  # raises ConfigurationError if obstore is missing
    import obstore
    from obstore import exceptions

    found: dict[str, Version] = {}
    refused = False
    for name in names:
        try:
            head = obstore.head(store, (folder / name).key)
            found[name] = Version(head["size"], head["e_tag"])
        except FileNotFoundError:
            continue
        except (exceptions.UnauthenticatedError, exceptions.PermissionDeniedError):
            refused = True  # as S3 answers for absent objects too, where the bucket may not be listed
        except Exception as error:  # its text may quote the request and thus an access key
            text = f"{folder.url} could not be read ({type(error).__name__})"
            raise ServerUnreachable(text, url=folder.url) from None
    if refused and not found:
        raise LoginError(
            f"{folder.url} may not be read {_with_keys()}, or has no such files: {', '.join(names)}",
            url=folder.url,
        )
    return found


def _with_keys() -> str:
    if os.environ.get("AWS_ACCESS_KEY_ID"):
        return "with the keys of AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
    return "without keys, which AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY may hold"


@dataclass(frozen=True)
class Bucket:
    """Access to S3 buckets; requests are unsigned without keys."""

    region: str = "us-east-1"
    keys: S3Keys | None = field(default=None, repr=False)
    endpoint: str | None = None

    async def download(self, bucket: str, files: dict[str, Path], sizes: dict[str, int]) -> list[Path]:
        """Fetch objects, given by key, to the paths given; skip those whose files have the right size."""
        items: dict[Path, list[Item]] = {}
        for key, path in files.items():
            place = S3Location(bucket, key, self.region, self.endpoint, self.keys)
            item = Item(place.url, path.name, (FileSource(place.url, None, place),), sizes[key])
            items.setdefault(path.parent, []).append(item)
        for folder, some in items.items():
            await fetch(some, root=folder, streams=cast("Any", None))  # S3 sources need no HTTP client
        return list(files.values())

    async def sizes(self, bucket: str, prefix: str) -> dict[str, int]:
        """Return the sizes in bytes, by key, of the object of that name or else of all objects below that folder.

        Raises NotFound if there are none.
        """
        place = S3Location(bucket, prefix.strip("/"), self.region, self.endpoint, self.keys)
        found = await anyio.to_thread.run_sync(_sizes, place, abandon_on_cancel=True)
        if not found:
            raise NotFound(f"{place.url} does not exist", url=place.url)
        return found


def _sizes(place: S3Location) -> dict[str, int]:
    store = open_store(place)  # raises ConfigurationError if obstore is missing
    import obstore
    from obstore import exceptions

    try:
        try:
            return {place.key: obstore.head(store, place.key)["size"]}
        except FileNotFoundError:
            pages = obstore.list(store, prefix=f"{place.key}/")
            return {
                one["path"]: one["size"] for page in pages for one in page if not one["path"].endswith("/")
            }
    except (exceptions.UnauthenticatedError, exceptions.PermissionDeniedError):
        raise LoginError(f"{place.url} may not be read with these keys", url=place.url) from None
    except Exception as error:  # its text may quote the request and thus an access key
        raise ServerUnreachable(
            f"{place.url} could not be listed ({type(error).__name__})", url=place.url
        ) from None


def below(folder: Path, root: str, key: str) -> Path:
    """Return the path below a folder of an object below a root. Raises UnsafePath if it would leave the folder."""
    parts = key.removeprefix(root.strip("/")).strip("/").split("/")
    if any(part in ("", ".", "..") or "\\" in part for part in parts):
        raise UnsafePath(f"{key!r} cannot be written below {folder}", path=key)
    return folder.joinpath(*parts)
