"""Videos of the seeded world: small H.264 in MP4, written without a codec library.

A frame is 144 x 128 pixels, grey, and shows its number: square ``k`` is bright where bit ``k`` of the number is set. The
16 squares of 16 x 16 pixels (macroblocks) are at odd columns of odd rows, the lowest bit first, row by row. Every 64th
frame is a key frame; the frames between contain only the squares that changed.

The stream is of the baseline profile (ITU-T H.264, 2021): intra macroblocks of one constant each, predicted from the
neighbours above and to the left, which are never squares and so always grey; all others are skipped.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from functools import lru_cache

__all__ = ["BITS", "GROUP", "HEIGHT", "WIDTH", "mp4_bytes"]

COLUMNS, ROWS = 9, 8
WIDTH, HEIGHT = 16 * COLUMNS, 16 * ROWS
GROUP = 64
#: The macroblocks that show a frame's number, lowest bit first.
BITS = [COLUMNS * row + column for row in range(1, ROWS, 2) for column in range(1, COLUMNS, 2)]
LEVEL, QUANTISER = 7, 51


def _ue(number: int) -> str:
    """Return an unsigned Exp-Golomb code as binary digits."""
    digits = f"{number + 1:b}"
    return "0" * (len(digits) - 1) + digits


def _se(number: int) -> str:
    """Return a signed Exp-Golomb code as binary digits."""
    return _ue(2 * number - 1 if number > 0 else -2 * number)


def _unit(head: int, digits: str) -> bytes:
    """Return a NAL unit: its header, and the payload with stop bit and emulation prevention."""
    digits += "1"
    digits += "0" * (-len(digits) % 8)
    out, zeros = bytearray([head]), 0
    for byte in int(digits, 2).to_bytes(len(digits) // 8, "big"):
        if zeros >= 2 and byte <= 3:
            out.append(3)
            zeros = 0
        out.append(byte)
        zeros = zeros + 1 if byte == 0 else 0
    return bytes(out)


@lru_cache(maxsize=1)
def _parameters() -> tuple[bytes, bytes]:
    """Return the sequence and the picture parameter set."""
    sequence = f"{66:08b}{0xC0:08b}{30:08b}"
    # id, log2_max_frame_num - 4, order of output is that of decoding, one reference, no gaps
    sequence += _ue(0) + _ue(4) + _ue(2) + _ue(1) + "0" + _ue(COLUMNS - 1) + _ue(ROWS - 1)
    sequence += "1" + "1" + "0" + "0"  # frames only, direct_8x8, no cropping, no VUI
    picture = _ue(0) + _ue(0) + "0" + "0" + _ue(0) + _ue(0) + _ue(0) + "0" + "00"
    picture += _se(0) + _se(0) + _se(0) + "1" + "0" + "0"  # the deblocking filter is controlled by each slice
    return _unit(0x67, sequence), _unit(0x68, picture)


def _block(kind: int, level: int = 0) -> str:
    """Return an intra macroblock: the mean of its neighbours (or another prediction) plus a constant.

    ``kind`` is its type: 1 vertical, 2 horizontal, 3 mean, and 5 more in a frame of differences. A level of 0 adds nothing.
    """
    residual = (
        "1" if level == 0 else "000101" + "0" * (2 * level - 4 if level > 0 else -2 * level - 3) + "1" + "1"
    )
    return _ue(kind) + _ue(0) + _se(0) + residual


def _header(kind: int, number: int, marks: str) -> str:
    """Return a slice header of one frame: kind 7 is a key frame, 5 a frame of differences."""
    return _ue(0) + _ue(kind) + _ue(0) + f"{number:08b}" + marks + _se(QUANTISER - 26) + _ue(1)


def _key(number: int) -> bytes:
    """Return a key frame. Neighbours of squares are predicted from the side that is grey."""
    shown = {place: LEVEL if number >> bit & 1 else -LEVEL for bit, place in enumerate(BITS)}
    digits = _header(7, 0, _ue(0) + "00")
    for place in range(ROWS * COLUMNS):
        row, column = divmod(place, COLUMNS)
        kind = 1 if row % 2 and not column % 2 else 2 if column % 2 and row and not row % 2 else 3
        digits += _block(kind, shown.get(place, 0))
    return _sample(_unit(0x65, digits))


def _difference(position: int) -> bytes:
    """Return the frame at a position of its group: only the squares that differ from the frame before."""
    digits, last = _header(5, position, "00" + "0"), -1
    lowest = (position & -position).bit_length() - 1
    for bit, place in enumerate(BITS[: lowest + 1]):
        digits += _ue(place - last - 1) + _block(8, LEVEL if bit == lowest else -LEVEL)
        last = place
    return _sample(_unit(0x41, digits + _ue(COLUMNS * ROWS - 1 - last)))


def _sample(unit: bytes) -> bytes:
    return struct.pack(">I", len(unit)) + unit


@lru_cache(maxsize=1)
def _differences() -> list[bytes]:
    """Return the frames of a group after its key frame, which are the same in every group."""
    return [_difference(position) for position in range(1, GROUP)]


# ---- the container ----


def _box(name: str, *parts: bytes) -> bytes:
    body = b"".join(parts)
    return struct.pack(">I4s", 8 + len(body), name.encode()) + body


def _full(name: str, flags: int, *parts: bytes) -> bytes:
    """Return a box with version 0 and flags."""
    return _box(name, struct.pack(">I", flags), *parts)


def _table(name: str, rows: Sequence[tuple[int, ...]]) -> bytes:
    numbers = [number for row in rows for number in row]
    return _full(name, 0, struct.pack(f">{1 + len(numbers)}I", len(rows), *numbers))


MATRIX = struct.pack(">9I", 0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000)


def mp4_bytes(n_frames: int, rate: int) -> bytes:
    """Return a video of this many frames (at least 1, at most 65,536), ``rate`` of them a second."""
    firsts = range(0, n_frames, GROUP)
    groups = [[_key(first), *_differences()[: n_frames - first - 1]] for first in firsts]
    head = _box("ftyp", b"isom", struct.pack(">I", 512), b"isomiso2avc1mp41")
    places = [0] * len(groups)
    start = len(head) + len(_movie(groups, places, n_frames, rate)) + 8
    for number, group in enumerate(groups):
        places[number] = start
        start += sum(map(len, group))
    data = b"".join(sample for group in groups for sample in group)
    return head + _movie(groups, places, n_frames, rate) + _box("mdat", data)


def _movie(groups: list[list[bytes]], places: list[int], n_frames: int, rate: int) -> bytes:
    """Return the description of the video; a group is a chunk, whose place in the file is given."""
    scale = 1000 * rate
    length = 1000 * n_frames
    sizes = [len(sample) for group in groups for sample in group]
    keys = [(1 + GROUP * number,) for number in range(len(groups))]
    chunks = [(1, len(groups[0]), 1)]
    if len(groups[-1]) != len(groups[0]):
        chunks.append((len(groups), len(groups[-1]), 1))
    samples = _box(
        "stbl",
        _full("stsd", 0, struct.pack(">I", 1), _codec()),
        _table("stts", [(n_frames, 1000)]),
        _table("stss", keys),
        _table("stsc", chunks),
        _full("stsz", 0, struct.pack(f">{2 + n_frames}I", 0, n_frames, *sizes)),
        _table("stco", [(place,) for place in places]),
    )
    source = _box("dinf", _full("dref", 0, struct.pack(">I", 1), _full("url ", 1)))
    media = _box(
        "mdia",
        _full("mdhd", 0, struct.pack(">4I2H", 0, 0, scale, length, 0x55C4, 0)),
        _full("hdlr", 0, struct.pack(">I4s3I", 0, b"vide", 0, 0, 0), b"video\0"),
        _box("minf", _full("vmhd", 1, bytes(8)), source, samples),
    )
    track = struct.pack(">5I8x4H", 0, 0, 1, 0, length, 0, 0, 0, 0) + MATRIX
    track += struct.pack(">2I", WIDTH << 16, HEIGHT << 16)
    movie = struct.pack(">4I", 0, 0, scale, length) + struct.pack(">IH10x", 0x10000, 0x100) + MATRIX
    return _box(
        "moov",
        _full("mvhd", 0, movie + bytes(24) + struct.pack(">I", 2)),
        _box("trak", _full("tkhd", 3, track), media),
    )


def _codec() -> bytes:
    """Return the sample entry with both parameter sets."""
    sequence, picture = _parameters()
    sets = b"".join(
        (b"\xe1", struct.pack(">H", len(sequence)), sequence, b"\1", struct.pack(">H", len(picture)), picture)
    )
    config = _box("avcC", bytes([1, *sequence[1:4], 0xFF]), sets)
    entry = struct.pack(">6xH16x2H2I4xH32s2H", 1, WIDTH, HEIGHT, 72 << 16, 72 << 16, 1, b"", 24, 0xFFFF)
    return _box("avc1", entry, config)
