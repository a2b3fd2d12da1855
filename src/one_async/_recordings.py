"""Raw recordings and videos for blocking callers."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

from one_async._bridge import Blocking, wraps_async
from one_async._loop import LoopThread
from one_async.client import AsyncONE

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


__all__ = ["RawEphys", "Video", "opens_recording"]


T = TypeVar("T")


class _Opened(Generic[T]):
    """A recording for blocking callers. It is opened again if the client was replaced, as after a fork or `close`."""

    _method: ClassVar[str]
    _names: ClassVar[frozenset[str]]

    def __init__(self, one: Blocking[AsyncONE], arguments: tuple[tuple[Any, ...], dict[str, Any]]) -> None:
        self._one, self._arguments = one, arguments
        self._opened: tuple[AsyncONE, T] | None = None
        self._run(_itself)

    def _run(self, work: Callable[[T], Any]) -> Any:
        """Run a coroutine function on the loop thread, with the recording of the current client."""
        thread = LoopThread.shared()

        async def call() -> Any:
            client = await self._one._client(thread)
            if self._opened is None or self._opened[0] is not client:
                args, kwargs = self._arguments
                self._opened = (client, await getattr(client, self._method)(*args, **kwargs))
            return await work(self._opened[1])

        return thread.run(call)

    @property
    def _raw(self) -> T:
        assert self._opened is not None
        return self._opened[1]

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self._raw, name)

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *vars(self._raw), *self._names})

    def __repr__(self) -> str:
        return repr(self._raw)

    def __len__(self) -> int:
        return len(self._raw)  # type: ignore[arg-type]

    __iter__ = None

    def __reduce__(self) -> tuple[Any, ...]:
        return (type(self), (self._one, self._arguments))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        import numpy as np

        return np.asarray(self._run(lambda raw: raw.read()), dtype)  # type: ignore[attr-defined]


class RawEphys(_Opened[Any]):
    """The raw samples of a band of a probe. Only the chunks that are needed are fetched.

    Slices are in seconds (floats) or samples (ints) and return the stored integers, of shape (samples, channels)::

        raw = one.raw_ephys(pid, band="ap")
        volts = raw[10.0:10.5, raw.channels] * raw.sample2volts[raw.channels]

    The methods and properties are those of `AsyncRawEphys`.

    Examples:
        >>> raw = one.raw_ephys(pid, band="lf")
        >>> volts = raw[1.0:1.5, raw.channels] * raw.sample2volts[raw.channels]
        >>> volts.shape
        (1250, 384)
    """

    _method = "raw_ephys"
    _names = frozenset({"shape", "ndim", "dtype", "duration"})

    def __getitem__(self, key: Any) -> NDArray[Any]:
        """Return samples: ``raw[10.0:10.5]``, ``raw[300_000:315_000, :384]``; see `AsyncRawEphys.read`."""
        from one_async.recordings.selection import split_key

        return self.read(*split_key(key))

    def read(self, samples: Any = slice(None), channels: Any = slice(None)) -> NDArray[Any]:
        """Return samples as numpy's indexing of the whole array would; see `AsyncRawEphys.read`.

        Examples:
            >>> raw = one.raw_ephys(pid, band="lf")
            >>> raw.read(slice(1.0, 1.5), channels=[0, 1, 2]).shape
            (1250, 3)
        """
        found: NDArray[Any] = self._run(lambda raw: raw.read(samples, channels))
        return found

    def snippets(self, times: Any, before: float, after: float, channels: Any = slice(None)) -> NDArray[Any]:
        """Return the samples around many times, of shape (times, samples, channels); see `AsyncRawEphys.snippets`.

        Examples:
            >>> raw = one.raw_ephys(pid, band="lf")
            >>> raw.snippets([0.5, 1.0, 1.5], before=0.01, after=0.03, channels=slice(0, 10)).shape
            (3, 100, 10)
        """
        found: NDArray[Any] = self._run(lambda raw: raw.snippets(times, before, after, channels))
        return found


class Video(_Opened[Any]):
    """The frames of a camera. Only the parts of the file that are needed are fetched.

    Frames are arrays of uint8, of shape (frames, height, width, 3)::

        video = one.video(eid, "left")
        frames = video[100:200]
        first = video.at(trials.stimOn_times)

    The methods and properties are those of `AsyncVideo`.

    Examples:
        >>> video = one.video(eid, "left")
        >>> video.fps, video[10:15].shape
        (10.0, (5, 128, 144, 3))
    """

    _method = "video"
    _names = frozenset({"shape", "dtype"})

    def __getitem__(self, key: Any) -> NDArray[np.uint8]:
        """Return frames: ``video[100:200]``, ``video[-1]``; see `AsyncVideo.read`."""
        return self.read(key)

    def read(self, frames: Any = slice(None)) -> NDArray[np.uint8]:
        """Return frames as numpy's indexing of the whole video would; see `AsyncVideo.read`.

        Examples:
            >>> video = one.video(eid, "left", pixels="gray")
            >>> video.read([0, -1]).shape
            (2, 128, 144)
        """
        found: NDArray[np.uint8] = self._run(lambda video: video.read(frames))
        return found

    def at(self, times: Any) -> NDArray[np.uint8]:
        """Return the frames nearest to times in seconds; see `AsyncVideo.at`.

        Examples:
            >>> video = one.video(eid, "left", pixels="gray")
            >>> trials = one.load_object(eid, "trials")
            >>> video.at(trials.stimOn_times[:3]).shape
            (3, 128, 144)
        """
        found: NDArray[np.uint8] = self._run(lambda video: video.at(times))
        return found


async def _itself(opened: T) -> T:
    return opened


def opens_recording(
    method: Callable[..., Any], kind: Callable[[Blocking[AsyncONE], Any], T]
) -> Callable[..., T]:
    """Return the blocking version of a method that opens a recording, with its signature and docstring."""

    @wraps_async(method)
    def call(self: Blocking[AsyncONE], /, *args: Any, **kwargs: Any) -> T:
        return kind(self, (args, kwargs))

    return call
