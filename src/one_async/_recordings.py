"""Raw recordings for blocking callers."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from one_async._bridge import Blocking
from one_async._loop import LoopThread
from one_async.client import AsyncONE

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from one_async.recordings.ephys import AsyncRawEphys

__all__ = ["RawEphys", "opens_recording"]


class RawEphys:
    """The raw samples of a band of a probe, of which only the chunks that are needed are fetched.

    Slices are in seconds (floats) or samples (ints), and give integers as stored, of shape (samples, channels)::

        raw = one.raw_ephys(pid, band="ap")
        volts = raw[10.0:10.5, raw.channels] * raw.sample2volts[raw.channels]

    The methods and properties are those of `AsyncRawEphys`.
    """

    def __init__(self, one: Blocking[AsyncONE], arguments: tuple[tuple[Any, ...], dict[str, Any]]) -> None:
        self._one, self._arguments = one, arguments
        self._opened: tuple[AsyncONE, AsyncRawEphys] | None = None
        self._run(_itself)

    def _run(self, work: Callable[[AsyncRawEphys], Any]) -> Any:
        """Await work on the loop thread, on a recording that belongs to the client there."""
        thread = LoopThread.shared()

        async def call() -> Any:
            client = await self._one._client(thread)
            if self._opened is None or self._opened[0] is not client:
                args, kwargs = self._arguments
                self._opened = (client, await client.raw_ephys(*args, **kwargs))
            with client._calls.call():
                return await work(self._opened[1])

        return thread.run(call)

    @property
    def _raw(self) -> AsyncRawEphys:
        assert self._opened is not None
        return self._opened[1]

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self._raw, name)

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *vars(self._raw), "shape", "ndim", "dtype", "duration"})

    def __repr__(self) -> str:
        return repr(self._raw)

    def __len__(self) -> int:
        return len(self._raw)

    __iter__ = None

    def __reduce__(self) -> tuple[Any, ...]:
        return (RawEphys, (self._one, self._arguments))

    def __getitem__(self, key: Any) -> NDArray[Any]:
        """Return samples: ``raw[10.0:10.5]``, ``raw[300_000:315_000, :384]``; see `AsyncRawEphys.read`."""
        from one_async.recordings.selection import split_key

        return self.read(*split_key(key))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        import numpy as np

        return np.asarray(self[:], dtype)

    def read(self, samples: Any = slice(None), channels: Any = slice(None)) -> NDArray[Any]:
        """Return samples as numpy's indexing of the whole array would; see `AsyncRawEphys.read`."""
        found: NDArray[Any] = self._run(lambda raw: raw.read(samples, channels))
        return found

    def snippets(self, times: Any, before: float, after: float, channels: Any = slice(None)) -> NDArray[Any]:
        """Return the samples around many times, of shape (times, samples, channels); see `AsyncRawEphys.snippets`."""
        found: NDArray[Any] = self._run(lambda raw: raw.snippets(times, before, after, channels))
        return found


async def _itself(raw: AsyncRawEphys) -> AsyncRawEphys:
    return raw


def opens_recording(method: Callable[..., Any]) -> Callable[..., RawEphys]:
    """Return the blocking version of a method that opens a recording, with its signature and docstring."""

    @functools.wraps(method)
    def call(self: Blocking[AsyncONE], /, *args: Any, **kwargs: Any) -> RawEphys:
        return RawEphys(self, (args, kwargs))

    return call
