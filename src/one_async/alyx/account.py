"""Login and logout of a REST client's user."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio

from one_async._boundary import public
from one_async._concurrency import RunningCalls
from one_async.alyx.auth import Credentials
from one_async.types import TokenStore

if TYPE_CHECKING:
    from one_async.alyx.transports import Session


@public(traced="alyx", ended_by_closing=True)
class Account:
    """The user of a REST client, and the methods that log in and out."""

    _base_url: str
    _calls: RunningCalls
    _credentials: Credentials
    _token_store: TokenStore

    if TYPE_CHECKING:  # defined by the client

        async def _opened(self) -> Session: ...
        async def clear_rest_cache(self) -> None: ...

    @property
    def user(self) -> str | None:
        """The user's name; None until the token store is read, or for a token without a user name.

        Examples:
            >>> sessions = await one.alyx.rest("sessions", "list", subject="SU_101")
            >>> one.alyx.user
            'demo'
        """
        return self._credentials.user

    @property
    def is_logged_in(self) -> bool:
        """Whether the client has a token. The first request reads the token store.

        Examples:
            >>> await one.alyx.authenticate()
            >>> one.alyx.is_logged_in
            True
        """
        return self._credentials.token is not None

    async def authenticate(
        self,
        username: str | None = None,
        password: str | None = None,
        cache_token: bool = True,
        force: bool = False,
        token: str | None = None,
    ) -> None:
        """Log in now. Without arguments, the known credentials are used if there is no token yet, or with ``force``.

        With ``cache_token`` False the token is not stored for later sessions. Users do not see each other's stored
        answers. Raises LoginError if the server refuses the login, ServerUnreachable if it does not answer.

        Examples:
            >>> await one.alyx.authenticate("demo", "demo", force=True)
        """
        if token is not None or (username is not None and username != self.user):
            session = await self._opened()
            store = self._token_store if cache_token else None
            self._credentials = Credentials(self._base_url, username, password, token, store)
            await session.switch(self._credentials)
            password = None
        if token is None:
            stack = await (await self._opened()).stack()
            await self._credentials.login(password, force, stack.login.request_token, keep=cache_token)

    async def logout(self) -> None:
        """Delete token, password and user, also from the token store, and the user's stored answers.

        Examples:
            >>> from one_async import AsyncAlyxClient
            >>> async with AsyncAlyxClient() as alyx:
            ...     await alyx.authenticate()
            ...     await alyx.logout()
            >>> alyx.is_logged_in
            False
        """
        with anyio.CancelScope(shield=True):  # completely or not at all
            await self.clear_rest_cache()
            await self._credentials.logout()
            await (await self._opened()).switch(self._credentials)
