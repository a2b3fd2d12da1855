"""The data server: files with byte ranges (RFC 9110, section 14)."""

from __future__ import annotations

import re

from starlette.requests import Request
from starlette.responses import Response

__all__ = ["data_file"]


def data_file(request: Request, body: bytes | None, ignore_range: bool = False) -> Response:
    """Answer a request for a file: 200, 206 with the part asked for, 404, 405 or 416."""
    if request.method not in ("GET", "HEAD"):
        return Response("Method Not Allowed", 405, {"allow": "GET, HEAD"}, media_type="text/plain")
    if body is None:
        return Response("Not Found", 404, media_type="text/plain")
    headers = {"accept-ranges": "bytes", "content-type": "application/octet-stream"}
    asked = None if ignore_range or request.method == "HEAD" else request.headers.get("range")
    match = re.fullmatch(r"bytes=(\d*)-(\d*)", asked or "")
    if match is None or match.group(1) == match.group(2) == "":
        return Response(body, 200, headers)
    first, last = match.groups()
    size = len(body)
    if first:
        start, stop = int(first), min(int(last) + 1 if last else size, size)
    else:
        start, stop = max(size - int(last), 0), size
    if start >= size or start >= stop:
        return Response(b"", 416, headers | {"content-range": f"bytes */{size}"})
    return Response(body[start:stop], 206, headers | {"content-range": f"bytes {start}-{stop - 1}/{size}"})
