"""The token: get it, keep it, renew it once. No HTTP here: how to ask the server is handed in."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Awaitable, Callable

import anyio
import anyio.to_thread

from one_async._concurrency import SingleFlight
from one_async.errors import ConfigurationError, InputError, LoginError
from one_async.types import TokenStore

#: Exchange a user name and password for a token; raises LoginError if the server refuses them.
Ask = Callable[[str, str], Awaitable[str]]


def is_token(text: str) -> bool:
    """Return whether a text can stand in an Authorization header."""
    return bool(text) and text.isascii() and text.isprintable() and " " not in text


class Credentials:
    """Who the user is on one server, and the token that proves it. One event loop's; one lock for all its tasks."""

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
                "token= holds characters that no token has (it is not shown here)", argument="token"
            )
        self.base_url = base_url
        self.user = username
        self.token: str | None = token
        self._password = password
        self._given = token
        self._store = store
        self._looked = token is not None
        self._lock = anyio.Lock()
        self._flights: SingleFlight[str] = SingleFlight()
        self._refusal: LoginError | None = None

    def __repr__(self) -> str:
        return f"Credentials({self.base_url!r}, user={self.user!r})"

    def __reduce__(self) -> tuple[object, ...]:
        return (Credentials, (self.base_url, self.user))  # no secrets, in no pickle

    def rebind(self) -> None:
        """Belong to the event loop that is running now."""
        self._lock, self._flights = anyio.Lock(), SingleFlight()

    async def identify(self) -> str:
        """Return what tells this user's answers from others', before any request; looks into the token store once.

        Of a bare token it is a digest, since only the server knows whose it is.
        """
        if not self._looked:
            async with self._lock:
                await self._look()
        if self._given is not None:
            return "token " + hashlib.sha256(f"one_async cache user\0{self._given}".encode()).hexdigest()
        return f"user {self.user}" if self.user else "nobody"

    async def obtain(self, ask: Ask) -> str:
        """Return the token: the one at hand, the stored one, or a new one for the password."""
        if self.token is not None:
            return self.token
        return await self._flights.share("obtain", lambda: self._obtain(ask))

    async def _obtain(self, ask: Ask) -> str:
        async with self._lock:
            await self._look()
            if self.token is None:
                await self._login(ask)
            return self._sure()

    async def renew(self, refused: str, ask: Ask) -> str:
        """Return another token than the refused one; tasks that were refused together log in once."""
        return await self._flights.share(("renew", refused), lambda: self._renew(refused, ask))

    async def _renew(self, refused: str, ask: Ask) -> str:
        async with self._lock:
            if self.token == refused:
                self.token = None
                if not (self.user and self._password):
                    await self._forget_stored()
                    raise self.missing(f"{self.base_url} does not accept the token (any more)")
                await self._login(ask)
            return self._sure()

    async def login(self, password: str | None, force: bool, ask: Ask, *, keep: bool = True) -> None:
        """Log in now, with a new password if one is given; does nothing if a token is at hand and not ``force``.

        ``keep`` False: from now on no token goes into the store.
        """
        async with self._lock:
            if password is not None:
                self._password, self._refusal = password, None
            await self._look()
            if not keep:
                self._store = None
            if force or self.token is None:
                await self._login(ask)

    async def logout(self) -> None:
        """Forget token, password and user, here and in the token store."""
        async with self._lock:
            await self._forget_stored()
            self.user = self.token = self._password = self._given = None
            self._looked = True

    def missing(self, reason: str = "") -> LoginError:
        """Return what to set, and how."""
        reason = reason or f"no credentials for {self.base_url}"
        return LoginError(
            f"{reason}: give username= and password=, or token=, or set the environment variables ONE_USERNAME "
            "and ONE_PASSWORD, or ONE_TOKEN, with their database's ONE_BASE_URL; "
            "accounts are registered with the database that is asked",
            url=self.base_url,
        )

    async def _login(self, ask: Ask) -> None:
        if not (self.user and self._password):
            raise self.missing()
        if self._refusal is not None:  # a wrong password is asked once, however many tasks want it
            raise copy.copy(self._refusal)
        try:
            self.token = await ask(self.user, self._password)
        except LoginError as refusal:
            self._refusal = refusal
            raise
        self._given = None if self._given is None else self.token
        if self._store is not None:
            with anyio.CancelScope(shield=True):  # the token is there: the next process needs it too
                await anyio.to_thread.run_sync(self._store.save, self.base_url, self.user, self.token)

    async def _look(self) -> None:
        if self._looked:
            return
        if self._store is not None:
            found = await anyio.to_thread.run_sync(self._store.load, self.base_url, self.user)
            if found is not None and is_token(found[1]):
                self.user, self.token = found
        self._looked = True  # not before: whoever looks may be cancelled

    async def _forget_stored(self) -> None:
        if self._store is not None and self.user:
            await anyio.to_thread.run_sync(self._store.delete, self.base_url, self.user)

    def _sure(self) -> str:
        if self.token is None:
            raise ConfigurationError("logged out meanwhile")
        return self.token
