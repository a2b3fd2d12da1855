"""Files of S3 buckets that no record describes: known by their keys, judged by their sizes."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import anyio.to_thread

from one_async.errors import LoginError, NotFound, ServerUnreachable, UnsafePath
from one_async.transfer.fetch import fetch
from one_async.transfer.plan import Item, S3Keys, S3Location, Source
from one_async.transfer.s3 import open_store

__all__ = ["Bucket"]


@dataclass(frozen=True)
class Bucket:
    """How a bucket is read: without keys, unsigned."""

    region: str = "us-east-1"
    keys: S3Keys | None = field(default=None, repr=False)
    endpoint: str | None = None

    async def download(self, bucket: str, files: dict[str, Path], sizes: dict[str, int]) -> list[Path]:
        """Fetch objects, by key, to places of their own; those that are there in the right size stay as they are."""
        items: dict[Path, list[Item]] = {}
        for key, path in files.items():
            place = S3Location(bucket, key, self.region, self.endpoint, self.keys)
            item = Item(place.url, path.name, (Source(place.url, None, place),), sizes[key])
            items.setdefault(path.parent, []).append(item)
        for folder, some in items.items():
            await fetch(some, root=folder, streams=cast("Any", None))  # no source of these is asked over HTTP
        return list(files.values())

    async def sizes(self, bucket: str, prefix: str) -> dict[str, int]:
        """Return the sizes in bytes of the objects below a folder, or of the one object of that name, by key.

        Raises NotFound where there is none.
        """
        place = S3Location(bucket, prefix.strip("/"), self.region, self.endpoint, self.keys)
        found = await anyio.to_thread.run_sync(_sizes, place, abandon_on_cancel=True)
        if not found:
            raise NotFound(f"{place.url} is not there", url=place.url)
        return found


def _sizes(place: S3Location) -> dict[str, int]:
    store = open_store(place)  # says what to install
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
    except Exception as error:  # its text may quote the request, and so the key's name
        raise ServerUnreachable(
            f"{place.url} could not be had ({type(error).__name__})", url=place.url
        ) from None


def below(folder: Path, root: str, key: str) -> Path:
    """Return where an object goes: below the folder as it is below its root. Raises UnsafePath for one that would not."""
    parts = key.removeprefix(root.strip("/")).strip("/").split("/")
    if any(part in ("", ".", "..") or "\\" in part for part in parts):
        raise UnsafePath(f"{key!r} is not written below {folder}", path=key)
    return folder.joinpath(*parts)
