"""Objects of S3 as streams with HTTP statuses, so that resuming and verification are the same for both.

Needs the extra ``one-async[s3]`` (obstore). Its blocking calls run in threads, since its own coroutines require
asyncio.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any, cast

import anyio.to_thread

from one_async.errors import ConfigurationError, ServerUnreachable
from one_async.transfer.items import S3Location
from one_async.transfer.web import Opener
from one_async.types import ByteStream

__all__ = ["open_store", "over_s3"]

_CHUNK = 1 << 20


def over_s3(place: S3Location, *, stall: float = 30.0) -> Opener:
    """Return the opener for an S3 object: signed with keys, unsigned for public buckets.

    Raises ConfigurationError if the extra is not installed.
    """
    store = open_store(place, stall)

    @asynccontextmanager
    async def open_at(offset: int) -> AsyncIterator[ByteStream]:
        yield await anyio.to_thread.run_sync(partial(_get, store, place, offset), abandon_on_cancel=True)

    return open_at


@dataclass(frozen=True)
class _S3Stream:
    """An answer of S3 with the corresponding HTTP status (a ByteStream)."""

    url: str
    status: int
    headers: Mapping[str, str]
    stream: Any = None

    async def chunks(self) -> AsyncIterator[bytes]:
        pieces = iter(self.stream or ())
        while True:
            piece = await anyio.to_thread.run_sync(partial(_next, pieces, self.url), abandon_on_cancel=True)
            if piece is None:
                return
            yield piece


def _next(pieces: Any, url: str) -> bytes | None:
    try:
        piece = next(pieces, None)
    except Exception as error:
        raise ServerUnreachable(f"{url}: the connection broke ({type(error).__name__})", url=url) from None
    return None if piece is None else bytes(piece)


def _get(store: Any, place: S3Location, offset: int) -> _S3Stream:
    import obstore
    from obstore import exceptions

    try:
        if offset:
            size = obstore.head(store, place.key)["size"]
            if offset >= size:
                return _S3Stream(place.url, 416, {"content-range": f"bytes */{size}"})
        answer = obstore.get(store, place.key, options={"range": {"offset": offset}} if offset else None)
    except FileNotFoundError:
        return _S3Stream(place.url, 404, {})
    except exceptions.UnauthenticatedError:
        return _S3Stream(place.url, 401, {})
    except exceptions.PermissionDeniedError:
        return _S3Stream(place.url, 403, {})
    except Exception as error:
        # Only the kind is named: the text of these errors may quote the request and thus an access key.
        raise ServerUnreachable(
            f"{place.url} could not be fetched ({type(error).__name__})", url=place.url
        ) from None
    start, stop = answer.range
    fields = {
        "content-length": str(stop - start),
        "content-range": f"bytes {start}-{stop - 1}/{answer.meta['size']}",
    }
    return _S3Stream(place.url, 206 if offset else 200, fields, answer.stream(min_chunk_size=_CHUNK))


def open_store(place: S3Location, stall: float = 30.0) -> Any:
    """Return obstore's client of a bucket. Raises ConfigurationError if the extra is not installed."""
    try:
        from obstore import store
    except ImportError as error:
        raise ConfigurationError(
            f"{place.url} is on S3, which needs obstore: pip install 'one-async[s3]'"
        ) from error
    settings: dict[str, Any] = {"region": place.region}
    if place.keys:
        settings |= {"access_key_id": place.keys.access, "secret_access_key": place.keys.secret}
        if place.keys.session:
            settings["session_token"] = place.keys.session
    elif "public" in place.bucket.casefold() or not os.environ.get("AWS_ACCESS_KEY_ID"):
        settings["skip_signature"] = True
    if place.endpoint:
        settings |= {"endpoint": place.endpoint, "virtual_hosted_style_request": False}
    return store.S3Store(
        place.bucket,
        config=cast("Any", settings),
        client_options={
            "allow_http": bool(place.endpoint and place.endpoint.startswith("http://")),
            "connect_timeout": timedelta(seconds=min(stall, 10.0)),
            "read_timeout": timedelta(seconds=stall),
            "timeout": timedelta(days=1),
        },
        retry_config={"max_retries": 0, "retry_timeout": timedelta(seconds=stall)},
    )
