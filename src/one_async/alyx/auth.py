"""The token: obtained, stored, added to requests and renewed. It belongs to one user of one server."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import anyio
import anyio.to_thread

from one_async._addresses import OPEN_ALYX
from one_async._concurrency import SingleFlight
from one_async._observer import resending
from one_async.alyx.responses import check_status, detail_of, json_of
from one_async.alyx.retrying import Retry, Timeouts
from one_async.errors import AnswerError, ConfigurationError, InputError, LoginError
from one_async.types import TokenStore

if TYPE_CHECKING:
    import httpx

#: Exchanges a user name and password for a token. Raises LoginError if the server refuses them.
RequestToken = Callable[[str, str], Awaitable[str]]
#: Statuses with which a server refuses a user or token.
REFUSED = frozenset({401, 403})


def is_token(text: str) -> bool:
    """Return whether a text is valid in an Authorization header."""
    return bool(text) and text.isascii() and text.isprintable() and " " not in text


class Credentials:
    """The user and token of one server. They belong to one event loop, whose tasks share one lock."""

    def __init__(
        self,
        base_url: str,
        username: str | None = None,
        password: str | None = None,
        token: str | None = None,
        store: TokenStore | None = None,
    ) -> None:
        token = None if token is None else token.strip()
        if token is not None and not is_token(token):
            raise InputError(
                "token= contains characters that are not valid in a token (it is not shown here)",
                argument="token",
            )
        self.base_url = base_url
        self.user = username
        self.token: str | None = token
        self._password = password
        self._given_token = token
        self._store = store
        self._store_checked = token is not None
        self._lock = anyio.Lock()
        self._flights: SingleFlight[str] = SingleFlight()
        self._refusal: LoginError | None = None

    def __repr__(self) -> str:
        return f"Credentials({self.base_url!r}, user={self.user!r})"

    def __reduce__(self) -> tuple[object, ...]:
        return (Credentials, (self.base_url, self.user))  # no secrets, in no pickle

    def rebind(self) -> None:
        """Bind locks to the running event loop."""
        self._lock, self._flights = anyio.Lock(), SingleFlight()

    async def identify(self) -> str:
        """Return a key for the user's stored answers, without a request; reads the token store once.

        A token without user name is identified by its digest, since only the server knows its user.
        """
        if not self._store_checked:
            async with self._lock:
                await self._check_store()
        if self._given_token is not None:
            return (
                "token " + hashlib.sha256(f"one_async cache user\0{self._given_token}".encode()).hexdigest()
            )
        return f"user {self.user}" if self.user else "nobody"

    async def obtain(self, request_token: RequestToken) -> str:
        """Return the current token, the stored one, or a new one for the password."""
        if self.token is not None:
            return self.token
        return await self._flights.share("obtain", lambda: self._obtain(request_token))

    async def _obtain(self, request_token: RequestToken) -> str:
        async with self._lock:
            await self._check_store()
            if self.token is None:
                await self._login(request_token)
            return self._require_token()

    async def renew(self, refused: str, request_token: RequestToken) -> str:
        """Return a token to replace the refused one. Tasks that were refused at the same time log in once."""
        return await self._flights.share(("renew", refused), lambda: self._renew(refused, request_token))

    async def _renew(self, refused: str, request_token: RequestToken) -> str:
        async with self._lock:
            if self.token == refused:
                self.token = None
                if not (self.user and self._password):
                    await self._delete_stored(refused)
                    raise self.missing(f"{self.base_url} does not accept the token (any more)")
                await self._login(request_token)
            return self._require_token()

    async def login(
        self, password: str | None, force: bool, request_token: RequestToken, *, keep: bool = True
    ) -> None:
        """Log in now, with a new password if one is passed. Without ``force``, an existing token is kept.

        With ``keep`` False, tokens are no longer saved in the store.
        """
        async with self._lock:
            if password is not None:
                self._password, self._refusal = password, None
            await self._check_store()
            if not keep:
                self._store = None
            if force or self.token is None:
                await self._login(request_token)

    async def logout(self) -> None:
        """Delete token, password and user, also from the token store."""
        async with self._lock:
            await self._delete_stored()
            self.user = self.token = self._password = self._given_token = None
            self._store_checked = True

    def missing(self, reason: str = "") -> LoginError:
        """Return a LoginError that lists the ways to log in, and where an account comes from."""
        reason = reason or f"no credentials for {self.base_url}"
        where = (
            f"is registered at {OPEN_ALYX}" if self.base_url == OPEN_ALYX else "is made by its administrators"
        )
        return LoginError(
            f"{reason}: run `one-async login --url {self.base_url}` once, or pass username= and password=, or token=, or "
            "set ONE_USERNAME and ONE_PASSWORD, or ONE_TOKEN, with ONE_BASE_URL of their database. "
            f"An account of this database {where}",
            url=self.base_url,
        )

    async def _login(self, request_token: RequestToken) -> None:
        if not (self.user and self._password):
            raise self.missing()
        if self._refusal is not None:  # a wrong password is sent once, however many tasks need the token
            raise copy.copy(self._refusal)
        try:
            self.token = await request_token(self.user, self._password)
        except LoginError as refusal:
            self._refusal = refusal
            raise
        self._given_token = None if self._given_token is None else self.token
        if self._store is not None:
            with anyio.CancelScope(shield=True):  # a token that was received is saved for later processes
                await anyio.to_thread.run_sync(self._store.save, self.base_url, self.user, self.token)

    async def _check_store(self) -> None:
        if self._store_checked:
            return
        if self._store is not None:
            found = await anyio.to_thread.run_sync(self._store.load, self.base_url, self.user)
            if found is not None and is_token(found[1]):
                self.user, self.token = found
        self._store_checked = True  # last, since loading may be cancelled

    async def _delete_stored(self, refused: str | None = None) -> None:
        """Delete the stored token; with ``refused`` only if it is this one, which may have been passed by the user."""
        if self._store is None or not self.user:
            return
        if refused is not None:
            found = await anyio.to_thread.run_sync(self._store.load, self.base_url, self.user)
            if found is not None and found[1] != refused:
                return
        await anyio.to_thread.run_sync(self._store.delete, self.base_url, self.user)

    def _require_token(self) -> str:
        if self.token is None:
            raise ConfigurationError("the user was logged out during this request")
        return self.token


class Login:
    """Add the token to requests to its own server. Renew it once if the server rejects it."""

    def __init__(
        self,
        inner: httpx.AsyncBaseTransport | Retry,
        base_url: str,
        credentials: Credentials,
        timeouts: Timeouts,
    ) -> None:
        self.inner, self.credentials, self._timeouts = inner, credentials, timeouts
        self._origin = origin(base_url)
        self._address = f"{base_url}/auth-token"

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if origin(request.url) != self._origin:
            raise InputError.of(
                "url", str(request.url), f"addresses of {self._origin}, to which the token belongs"
            )
        token = await self.credentials.obtain(self.request_token)
        response = await self._send(request, token)
        if is_invalid_token(response.status_code, response.content):
            token = await self.credentials.renew(token, self.request_token)
            with resending(1):
                response = await self._send(request, token)
        if response.status_code in REFUSED:
            detail = detail_of(response.content)
            if is_invalid_token(response.status_code, response.content):
                raise self.credentials.missing(f"{self._origin} does not accept its own token")
            raise LoginError(
                f"{request.method} {request.url.path}: {detail}",
                url=str(request.url),
                status=response.status_code,
                detail=detail,
            )
        return response

    async def _send(self, request: httpx.Request, token: str) -> httpx.Response:
        request.headers["Authorization"] = f"Token {token}"
        return await self.inner.handle_async_request(request)

    async def request_token(self, username: str, password: str) -> str:
        """Exchange a user name and password for a token. Raises LoginError; Alyx refuses them with 400."""
        import httpx  # not at the top: it takes a while, and the session has imported it

        request = httpx.Request(
            "POST",
            self._address,
            json={"username": username, "password": password},
            headers={"Accept": "application/json"},
            extensions={"timeout": self._timeouts.for_read(self._timeouts.login), "repeatable": True},
        )
        with resending(0):  # it may be requested while another request is sent again
            response = await self.inner.handle_async_request(request)
        if response.status_code in (400, 401, 403):
            text = f"{self._origin} refused the login of {username!r}: {detail_of(response.content)}"
            raise LoginError(text, url=self._address, status=response.status_code)
        check_status(request.method, str(request.url), response.status_code, response.content)
        answer = json_of(request, response)
        token = answer.get("token") if isinstance(answer, dict) else None
        if not isinstance(token, str) or not is_token(token):
            raise AnswerError(f"{self._address} answered without a token", url=self._address)
        return token


def origin(url: str | httpx.URL) -> str:
    """Return scheme, host and port of an address; a token belongs to one origin."""
    import httpx

    parts = httpx.URL(url)
    port = parts.port or {"http": 80, "https": 443}.get(parts.scheme)
    return f"{parts.scheme}://{parts.host}:{port}"


def is_invalid_token(status: int, content: bytes) -> bool:
    """Return whether the server rejected the token as unknown. Alyx uses status 403, other set-ups of its framework 401."""
    return status in REFUSED and b"Invalid token" in content[:1000]
