"""Decode the frames of a video with PyAV, in worker threads, from a file that is read in blocks.

A frame is found through the file's index: decoding begins at the last key frame before it. Frames are numbered in display
order, which differs from the order of the index only between two key frames.
"""

from __future__ import annotations

import io
import threading
from collections.abc import Callable, Iterator
from itertools import chain, pairwise
from typing import TYPE_CHECKING, Any, TypeVar

import anyio.from_thread
import numpy as np
from numpy.typing import NDArray

from one_async.errors import ConfigurationError, FileDamaged, OneError, shown
from one_async.recordings.chunks import BLOCK_SIZE, ChunkReader

if TYPE_CHECKING:
    from av import Packet, VideoFrame
    from av.container import InputContainer
    from av.video.stream import VideoStream

T = TypeVar("T")
__all__ = ["Decoder", "load_av"]

#: The number of following frames that a decoder may need to complete a frame.
_REORDERED = 16


def load_av() -> Any:
    """Return the module `av`. Raise ConfigurationError if it is not installed."""
    try:
        import av
    except ImportError as error:
        raise ConfigurationError("videos need PyAV: pip install 'one-async[video]'") from error
    if not hasattr(av.stream.Stream, "index_entries"):
        raise ConfigurationError(
            f"videos need PyAV 17 or later, not {av.__version__}: pip install 'one-async[video]'"
        )
    return av


class _BlockFile:
    """A file object for PyAV; its blocks are fetched by a `ChunkReader` on its event loop."""

    def __init__(self, reader: ChunkReader) -> None:
        self._reader, self._at, self._size = reader, 0, int(reader.layout.bounds[-1])
        self._block: tuple[int, bytes] = (-1, b"")
        self.error: BaseException | None = None
        """The error of a read, since PyAV does not pass on every kind of exception."""

    def read(self, size: int = -1) -> bytes:
        number, start = divmod(self._at, BLOCK_SIZE)
        if self._at >= self._size:
            return b""
        if self._block[0] != number:
            try:
                block = anyio.from_thread.run(self._reader.get, number).values
            except BaseException as error:
                self.error = error
                raise OSError("a block could not be read") from None
            self._block = (number, block.tobytes())
        data = self._block[1][start : start + size if size >= 0 else None]
        self._at += len(data)
        return data

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        return self._at

    def tell(self) -> int:
        return self._at

    def seekable(self) -> bool:
        return True


class Decoder:
    """Decodes frames by number. All methods except `blocks` run in worker threads, one at a time."""

    def __init__(self, reader: ChunkReader, pixels: str) -> None:
        self._av = load_av()
        self._name, self._file, self._pixels = reader.layout.name, _BlockFile(reader), pixels
        self._is_strict = True
        """Whether missing data are an error. They are normal if frames depend on the key frame before the last one."""
        self._lock = threading.Lock()  # a thread continues for a while after its task was cancelled
        self._container: InputContainer | None = None
        self._frames: Iterator[VideoFrame] = iter(())
        self._next = -1
        with self._lock:
            stream = self._run(self._open)
            self.count, self.fps = len(self._places), float(stream.average_rate or stream.guessed_rate or 0)
            self.height, self.width = stream.height, stream.width

    def groups(self, numbers: NDArray[np.intp]) -> Iterator[tuple[int, int]]:
        """Group frames with ascending numbers by the key frame before them; yield the positions of each group."""
        keys = np.searchsorted(self._keys, numbers, side="right")
        ends = [*(np.flatnonzero(np.diff(keys)) + 1).tolist(), len(numbers)]
        return pairwise([0, *ends] if len(numbers) else [])

    def blocks(self, first: int, last: int) -> range:
        """Return the blocks of the file that are needed to decode these frames."""
        places = slice(self._key_before(first), last + _REORDERED)
        ends = self._places[places] + self._sizes[places]
        return range(int(self._places[places].min()) // BLOCK_SIZE, (int(ends.max()) - 1) // BLOCK_SIZE + 1)

    def decode(self, numbers: NDArray[np.intp], out: NDArray[np.uint8]) -> None:
        """Write the frames with these numbers, ascending, to ``out``."""
        with self._lock:
            for row, number in zip(out, numbers.tolist(), strict=True):
                anyio.from_thread.check_cancelled()
                self._run(self._decode_one, number, row)

    def _close(self) -> None:
        if self._container is not None:
            self._container.close()
        self._container, self._frames, self._next = None, iter(()), -1

    def _run(self, function: Callable[..., T], *args: Any) -> T:
        """Call a function; after an error, the next call opens the file again."""
        self._file.error = None
        try:
            return function(*args)
        except BaseException as error:
            self._close()
            if self._file.error is not None:
                anyio.from_thread.check_cancelled()
                raise self._file.error from None
            if isinstance(error, OneError) or not isinstance(error, Exception):
                raise
            where = f"frame {args[0]} cannot be decoded" if args else "the file is not a video"
            raise FileDamaged(f"{self._name}: {where} ({type(error).__name__}: {shown(error)})") from None

    def _open(self) -> VideoStream:
        """Open the file and read its index, unless that was done before."""
        if self._container is not None:
            return self._container.streams.video[0]
        self._file.seek(0)
        self._container = self._av.open(self._file, "r", buffer_size=1 << 16, metadata_errors="replace")
        stream = self._container.streams.video[0]
        stream.codec_context.thread_count = 1  # so that no thread outlives a recording
        if self._is_strict:  # damaged data raise an error instead of producing a reconstructed picture
            stream.codec_context.options = {"err_detect": "explode"}
        self._converter = self._av.video.reformatter.VideoReformatter()
        entries = list(stream.index_entries)
        if not entries or any(entry.is_discard for entry in entries) or not entries[0].is_keyframe:
            raise FileDamaged(
                f"{self._name}: the file has no index of all its frames; "
                "fetch it with load_dataset(..., download_only=True)"
            )
        self._places = np.array([entry.pos for entry in entries])
        self._sizes = np.array([entry.size for entry in entries])
        self._times = np.array([entry.timestamp for entry in entries])
        self._keys = np.flatnonzero([entry.is_keyframe for entry in entries])
        return stream

    def _key_before(self, number: int) -> int:
        return int(self._keys[np.searchsorted(self._keys, number, side="right") - 1])

    def _decode_one(self, number: int, out: NDArray[np.uint8]) -> None:
        self._open()
        if not self._key_before(number) <= self._next <= number:
            self._start_before(number)
        while True:
            frame = next(self._frames, None)
            if frame is None:
                raise EOFError("the file has no data of it")
            self._next += 1
            if self._next > number:
                break
        out[...] = self._converter.reformat(frame, format=self._pixels).to_ndarray()

    def _start_before(self, number: int) -> None:
        """Start decoding at the last key frame from which a frame can be decoded."""
        key = self._key_before(number)
        while not self._start_at(key, number) and key:
            key = self._key_before(key - 1)

    def _start_at(self, key: int, number: int) -> bool:
        """Start decoding at a key frame; return whether a frame can be decoded from there.

        Frames that follow a key frame in the file may be displayed before it. They also need the previous key frame, and are
        skipped here.
        """
        container = self._container
        assert container is not None
        stream = container.streams.video[0]
        following = self._keys[self._keys > key]
        # The last time before the next key frame: a key frame's time in the index may be before its display time.
        container.seek(
            int(self._times[(following[0] if len(following) else len(self._times)) - 1]), stream=stream
        )
        packets = container.demux(stream)
        head = [next(packets)]
        begun = np.flatnonzero(self._places == head[0].pos)  # may be the key frame before
        if not len(begun) or begun[0] > key:
            raise LookupError(f"the index leads to byte {head[0].pos} instead of {self._places[key]}")
        shown_at, earlier = _shown_at(head[0]), 0
        for packet in packets:
            if not packet.size or _shown_at(packet) > shown_at:
                head.append(packet)
                break
            earlier += 1
        is_open = earlier or (stream.codec.name == "h264" and not _refreshes(bytes(head[0])))
        if is_open and self._is_strict:
            self._is_strict = False
            self._close()
            self._open()
            return self._start_at(key, number)
        self._frames = (frame for packet in chain(head, packets) for frame in packet.decode())
        self._next = int(begun[0]) + earlier
        return self._next <= number


def _refreshes(data: bytes) -> bool:
    """Return whether no frame after a key frame of H.264 needs one before it: whether one of its units is of type 5."""
    at = 0
    while at + 4 < len(data):
        if data[at + 4] & 31 == 5:
            return True
        at += 4 + int.from_bytes(data[at : at + 4], "big")
    return False


def _shown_at(packet: Packet[Any]) -> int:
    time = packet.dts if packet.pts is None else packet.pts
    return 0 if time is None else time
