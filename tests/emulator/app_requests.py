"""Requests to an emulator in this process, without a server."""

from __future__ import annotations

from typing import Any

import httpx

from one_async.emulator.app import App


async def ask(app: App, method: str, target: str, **options: Any) -> httpx.Response:
    """Send a request as the administrator."""
    headers = {"authorization": f"Token {app.token('admin')}", **options.pop("headers", {})}
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), headers=headers) as client:
        return await client.request(method, f"https://alyx.test{target}", **options)
