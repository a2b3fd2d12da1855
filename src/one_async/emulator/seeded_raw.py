"""The raw recordings of the seeded world's probes: a few seconds of both bands, compressed as mtscomp does.

A band is three files: ``.cbin`` (chunks of one second, each the differences in time of its samples, channel by channel,
compressed with zlib), ``.ch`` (the place of each chunk, as JSON) and ``.meta`` (the settings in SpikeGLX's form). All
samples are integers and computed with integers: a pattern and a slow drift on every channel, and in the band of action
potentials the spikes of a sorted probe, at the samples of its sorting.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, lru_cache
from itertools import pairwise
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from one_async.emulator.seeded_arrays import CLOCK_OFFSET, CLOCK_RATE, SITES, SPIKE_RATE
from one_async.emulator.seeded_files import Files, Probe, npy_bytes, sorting_of

__all__ = ["RATES", "SECONDS", "Raw", "raw_files"]

Band = Literal["ap", "lf"]
Samples = NDArray[np.int16]
SECONDS = 3.2
RATES: dict[Band, int] = {"ap": SPIKE_RATE, "lf": 2_500}
CHANNELS = SITES + 1
PERIOD = 32
# The shape of a spike on its largest channel, in 1/64 of its amplitude
SPIKE = np.array([-2, -6, -18, -40, -64, -50, -26, -4, 10, 18, 20, 17, 12, 8, 5, 3, 2, 1], dtype=np.int32)
SPREAD = 4
SYNC_BIT = 64
#: For each model: range of the converter (V), its largest number, gain of both bands.
SCALES = {"3A": (0.6, 512, 500, 250), "3B2": (0.6, 512, 500, 250), "NP2.1": (0.5, 8192, 80, 80)}


@dataclass(frozen=True)
class Raw:
    """The parameters of a probe's raw recording: ``stem`` is the start of its files' names, ``seconds`` the session's length."""

    stem: str
    model: str
    serial: str
    seed: int
    seconds: int
    sorting: Probe | None


def raw_files(raw: Raw, band: Band) -> Files:
    """Return the three files of a band: name to bytes."""
    return _raw_files(raw, band)


def sync_files(raw: Raw) -> Files:
    """Return the synchronisation of a probe's clock with the session's: in seconds, and in samples of the probe."""
    own = np.arange(0.0, raw.seconds + 10.0, 10.0)
    pairs = np.round(np.stack([own, CLOCK_OFFSET + CLOCK_RATE * own], axis=1), 9)
    samples = pairs * [RATES["ap"], 1]
    return {f"{raw.stem}.sync.npy": npy_bytes(pairs), f"{raw.stem}.timestamps.npy": npy_bytes(samples)}


@lru_cache(maxsize=4)
def _raw_files(raw: Raw, band: Band) -> Files:
    rate = RATES[band]
    total = int(SECONDS * rate)
    bounds = [*range(0, total, rate), total]
    plain, packed = (hashlib.sha1(usedforsecurity=False) for _ in range(2))
    parts, offsets = [], [0]
    for samples in _chunks(raw, band, bounds):
        plain.update(samples.data)
        steps = samples.copy()
        steps[1:] -= samples[:-1]
        part = _compressed(np.ascontiguousarray(steps.T).view(np.uint8).ravel())
        packed.update(part)
        parts.append(part)
        offsets.append(offsets[-1] + len(part))
    header = {
        "algorithm": "zlib",
        "chunk_bounds": bounds,
        "chunk_offsets": offsets,
        "chunk_order": "F",
        "comp_level": -1,
        "do_spatial_diff": False,
        "do_time_diff": True,
        "dtype": "int16",
        "n_channels": CHANNELS,
        "sample_rate": float(rate),
        "sha1_compressed": packed.hexdigest(),
        "sha1_uncompressed": plain.hexdigest(),
        "shape": [total, CHANNELS],
        "version": "1.0",
    }
    meta = _meta(raw, band, total, plain.hexdigest().upper())
    return {
        f"{raw.stem}.{band}.cbin": b"".join(parts),
        f"{raw.stem}.{band}.ch": json.dumps(header, indent=2, sort_keys=True).encode(),
        f"{raw.stem}.{band}.meta": "".join(f"{key}={value}\n" for key, value in meta.items()).encode(),
    }


# ---- compression: zlib's own output depends on its version, and the md5s in records must not ----

DISTANCE = 2 * PERIOD
LONGEST, SHORTEST = 258, 3


def _reversed(code: int, bits: int) -> int:
    """Return a Huffman code with its first bit lowest, as a deflate stream is packed."""
    return int(f"{code:0{bits}b}"[::-1], 2)


@cache
def _codes() -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
    """Return the fixed codes (RFC 1951, section 3.2.6) of 256 literals, then of copies of 0 to 258 bytes from `DISTANCE`."""
    codes = [_reversed(0x30 + n, 8) if n < 144 else _reversed(0x190 + n - 144, 9) for n in range(256)]
    sizes = [8] * 144 + [9] * 112
    symbols = {LONGEST: (285, 0, 0)}
    first = SHORTEST
    for symbol in range(257, 285):
        extra = max(0, (symbol - 261) // 4)
        symbols |= {first + n: (symbol, extra, n) for n in range(1 << extra) if first + n < LONGEST}
        first += 1 << extra
    # Distances of 49 to 64 are code 11 with four more bits
    distance = _reversed(11, 5) | (DISTANCE - 49) << 5
    for length in range(LONGEST + 1):
        symbol, extra, rest = symbols.get(length, (256, 0, 0))
        bits = 7 if symbol < 280 else 8
        code = _reversed(symbol - 256 if symbol < 280 else 0xC0 + symbol - 280, bits)
        codes.append(code | rest << bits | distance << bits + extra)
        sizes.append(bits + extra + 9)
    return np.array(codes, dtype=np.uint32), np.array(sizes, dtype=np.uint32)


def _tokens(data: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Return the indices into `_codes` for these bytes: what repeats after `DISTANCE` is copied, the rest are literals."""
    same = np.zeros(len(data) + 1, dtype=bool)
    np.equal(data[DISTANCE:], data[:-DISTANCE], out=same[DISTANCE:-1])
    edges = np.flatnonzero(same[1:] != same[:-1]) + 1
    starts, lengths = edges[::2], edges[1::2] - edges[::2]
    counts = -(-lengths // LONGEST)
    number = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    places = np.repeat(starts, counts) + LONGEST * number
    sizes = np.minimum(np.repeat(starts + lengths, counts) - places, LONGEST)
    literal = np.concatenate(
        [np.flatnonzero(~same[:-1]), *(places[sizes == n] + k for n in (1, 2) for k in range(n))]
    )
    places, sizes = places[sizes >= SHORTEST], sizes[sizes >= SHORTEST]
    order = np.argsort(np.concatenate([literal, places]), kind="stable")
    return np.concatenate([data[literal].astype(np.int64), 256 + sizes])[order]


def _compressed(data: NDArray[np.uint8]) -> bytes:
    """Return a zlib stream (RFC 1950) of one block with fixed codes."""
    codes, sizes = _codes()
    tokens = _tokens(data)
    # One block, the last, with fixed codes; at its end the symbol 256, seven bits of 0
    values = np.concatenate([np.array([0b011], np.uint32), codes[tokens], np.array([0], np.uint32)])
    widths = np.concatenate([np.array([3], np.uint32), sizes[tokens], np.array([7], np.uint32)]).astype(
        np.int64
    )
    place = np.arange(widths.sum()) - np.repeat(np.cumsum(widths) - widths, widths)
    bits = (np.repeat(values, widths) >> place.astype(np.uint32) & 1).astype(np.uint8)
    packed = np.packbits(bits, bitorder="little").tobytes()
    return b"\x78\x01" + packed + zlib.adler32(data.data).to_bytes(4, "big")


# ---- samples ----


def _chunks(raw: Raw, band: Band, bounds: list[int]) -> Iterator[Samples]:
    """Generate the samples of each chunk, (n, channels)."""
    channel = np.arange(CHANNELS)
    step = np.arange(PERIOD)[:, None]
    size = 9 if band == "ap" else 120
    pattern = ((step * (3 + 2 * (channel % 7)) + raw.seed + 11 * channel) % PERIOD * size // PERIOD).astype(
        "<i2"
    )
    pattern[:, SITES] = 0
    events = _spikes(raw) if band == "ap" else []
    for start, end in pairwise(bounds):
        number = np.arange(start, end)
        drift = (np.abs(number // PERIOD % 256 - 128) - 64).astype("<i2")
        samples = pattern[number % PERIOD]
        samples[:, :SITES] += drift[:, None]
        # A pulse each second, which lasts for half of it
        samples[:, SITES] = np.where(number * 2 // RATES[band] % 2, SYNC_BIT, 0)
        for at, peak, height in events:
            _add_spike(samples, at - start, peak, height)
        yield samples


def _spikes(raw: Raw) -> list[tuple[int, int, int]]:
    """Return the sample, the largest channel and the height of each spike in the recording."""
    if raw.sorting is None:
        return []
    made = sorting_of(raw.sorting)
    samples, owner, amps = (made["spikes"][name] for name in ("samples", "clusters", "amps"))
    held = (samples >= 0) & (samples < SECONDS * RATES["ap"])
    peaks = made["clusters"]["channels"][owner[held]]
    span, largest, gain, _ = SCALES[raw.model]
    heights = np.round(amps[held] * gain * largest / span).astype(int)
    return list(zip(samples[held].tolist(), peaks.tolist(), heights.tolist(), strict=True))


def _add_spike(samples: Samples, at: int, peak: int, height: int) -> None:
    """Add a spike whose trough is at sample ``at``, as far as it is in these samples."""
    first = at - int(SPIKE.argmin())
    begin, end = max(first, 0), min(first + len(SPIKE), len(samples))
    if begin >= end:
        return
    near = np.arange(max(peak - SPREAD, 0), min(peak + SPREAD + 1, SITES))
    heights = height >> np.abs(near - peak)
    shape = SPIKE[begin - first : end - first, None] * heights // 64
    samples[begin:end, near[0] : near[-1] + 1] += shape.astype("<i2")


def _meta(raw: Raw, band: Band, total: int, sha1: str) -> dict[str, Any]:
    """Return the settings of a band by SpikeGLX's names, with what readers need: version, range, gains, places of sites."""
    span, largest, *_ = SCALES[raw.model]
    groups = f"{SITES},0,1" if band == "ap" else f"0,{SITES},1"
    first = 0 if band == "ap" else SITES
    meta: dict[str, Any] = {
        "acqApLfSy": f"{SITES},{SITES},1",
        "appVersion": "20190327",
        "fileCreateTime": "2023-01-01T10:00:00",
        "fileName": f"D:/data/{raw.stem}.{band}.bin",
        "fileSHA1": sha1,
        "fileSizeBytes": total * CHANNELS * 2,
        "fileTimeSecs": total / RATES[band],
        "firstSample": 0,
        "gateMode": "Immediate",
        "imAiRangeMax": span,
        "imAiRangeMin": -span,
        "imSampRate": RATES[band],
        "nSavedChans": CHANNELS,
        "snsApLfSy": groups,
        "snsSaveChanSubset": f"{first}:{first + SITES - 1},{2 * SITES}",
        "typeThis": "imec",
    }
    kind: dict[str, dict[str, Any]] = {
        "3A": {"typeEnabled": "imec", "imProbeOpt": 3, "imProbeSN": raw.serial},
        "3B2": {"imDatPrb_type": 0, "imDatPrb_pn": "PRB_1_4_0480_1"},
        "NP2.1": {"imDatPrb_type": 21, "imDatPrb_pn": "NP2000", "imMaxInt": largest},
    }
    meta |= kind[raw.model]
    if raw.model != "3A":
        meta |= {"imDatPrb_port": 1, "imDatPrb_slot": 2, "imDatPrb_sn": raw.serial}
    name = band.upper()
    order = "".join(f"({name}{n};{n + first}:{n})" for n in range(SITES))
    rows = 640 if raw.model == "NP2.1" else 480
    sites = "".join(f"(0:{n % 2}:{n // 2}:1)" for n in range(SITES))
    meta["~imroTbl"] = _imro_table(raw)
    meta["~snsChanMap"] = f"({SITES},{SITES},1){order}(SY0;{2 * SITES}:{SITES})"
    meta["~snsShankMap"] = f"(1,2,{rows}){sites}"
    return dict(sorted(meta.items(), key=lambda item: item[0].lower()))


def _imro_table(raw: Raw) -> str:
    """Return each channel's settings: bank, reference, and gains or, on a probe 2.0, the site."""
    heads = {"3A": f"({raw.serial},3,{SITES})", "3B2": f"(0,{SITES})", "NP2.1": f"(21,{SITES})"}
    rows = {"3A": "({n} 0 0 500 250)", "3B2": "({n} 0 0 500 250 1)", "NP2.1": "({n} 1 0 {n})"}
    return heads[raw.model] + "".join(rows[raw.model].format(n=n) for n in range(SITES))
