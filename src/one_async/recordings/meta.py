"""The ``.meta`` file of SpikeGLX: sampling rate, channels, and volts per unit.

See "Metadata guide" of SpikeGLX's documentation. Probes of the first generation have a gain for each channel in their imro
table, those of the second generation have one gain.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from one_async.errors import FileDamaged, shown

__all__ = ["Meta", "parse_meta", "read_meta"]

#: By types of probes with one gain for all channels: that gain, and the largest integer, where the file does not name them.
#: imec's table of probe features gives the first probes 2.0 (types 21 and 24: NP2000, NP2010, PRB2_*) a gain of 80 and 14 bits;
#: later ones (NP2003 and following) 100 and 12 bits. Some readers choose 100 for all part numbers but NP2000 and NP2010,
#: which makes the voltages of probes sold as PRB2_* too small by a fifth.
_ONE_GAIN = {21: (80.0, 8192), 24: (80.0, 8192)} | dict.fromkeys(
    (2003, 2004, 2005, 2006, 2013, 2014, 2020, 2021, 3010, 3011, 3020, 3021, 3022), (100.0, 2048)
)
#: The largest integer of probes of the first generation, whose files may not name it.
_MAX_INT = 512


@dataclass(frozen=True)
class Meta:
    """The data of a ``.meta`` file."""

    n_channels: int
    n_sync: int
    """The number of synchronisation channels, which are the last ones."""
    sample_rate: float
    sample2volts: NDArray[np.float32]
    """Volts per unit, by channel; 1 for synchronisation channels."""
    fields: Mapping[str, str]


def read_meta(file: Path) -> Meta:
    """Parse a ``.meta`` file. Raise FileDamaged if it does not describe a recording of a probe."""
    try:
        return parse_meta(file.read_text("utf-8", "replace"))
    except (KeyError, ValueError, IndexError, ArithmeticError) as error:
        raise FileDamaged(
            f"{file} does not describe a recording of a probe ({type(error).__name__}: {shown(error)})",
            path=str(file),
        ) from None


def parse_meta(text: str) -> Meta:
    """Parse the text of a ``.meta`` file. Raise KeyError or ValueError if it does not describe a recording of a probe."""
    lines = (line.partition("=") for line in text.splitlines())
    fields = {name.strip().removeprefix("~"): value.strip() for name, _, value in lines if name.strip()}
    n_channels, rate = int(fields["nSavedChans"]), float(fields["imSampRate"])
    n_ap, n_lf, n_sync = _counts(fields["snsApLfSy"])
    if n_ap + n_lf + n_sync != n_channels or min(n_ap, n_lf, n_sync) < 0:
        raise ValueError(f"nSavedChans={n_channels} and snsApLfSy={fields['snsApLfSy']}")
    if not (math.isfinite(rate) and rate > 0):
        raise ValueError(f"imSampRate={rate}")
    _, largest = _ONE_GAIN.get(_kind(fields), (0.0, _MAX_INT))
    volts = float(fields["imAiRangeMax"]) / int(fields.get("imMaxInt") or largest)
    scale = np.ones(n_channels, np.float32)
    scale[: n_ap + n_lf] = volts / _gains(fields, n_ap, n_lf)
    return Meta(n_channels, n_sync, rate, scale, fields)


def _counts(text: str) -> tuple[int, int, int]:
    ap, lf, sync = (int(part) for part in text.split(","))
    return ap, lf, sync


def _kind(fields: Mapping[str, str]) -> int:
    return int(fields.get("imDatPrb_type") or 0)


def _gains(fields: Mapping[str, str], n_ap: int, n_lf: int) -> NDArray[Any]:
    """Return the gains of the channels that are saved and measure voltages."""
    if _kind(fields) in _ONE_GAIN:
        gain, _ = _ONE_GAIN[_kind(fields)]
        return np.full(n_ap + n_lf, float(fields.get("imChan0apGain") or gain))
    # Rows are (channel bank reference gain-of-ap gain-of-lf …); a header without blanks precedes them.
    rows = [row.split() for row in re.findall(r"\(([^()]*)\)", fields["imroTbl"]) if " " in row]
    ap, lf = ([float(row[column]) for row in rows] for column in (3, 4))
    acquired_ap, acquired_lf, _ = _counts(fields.get("acqApLfSy") or f"{n_ap},{n_lf},0")
    gains = np.array([*(ap[i] for i in range(acquired_ap)), *(lf[i] for i in range(acquired_lf))])
    saved = _saved(fields.get("snsSaveChanSubset") or "all", len(gains))
    if len(saved) != n_ap + n_lf or not (gains[saved] > 0).all():
        raise ValueError("imroTbl does not fit the saved channels")
    return gains[saved]


def _saved(text: str, count: int) -> list[int]:
    """Return a mask of the acquired voltage channels that are saved."""
    if text == "all":
        return list(range(count))
    saved: list[int] = []
    for part in text.split(","):
        first, _, last = part.partition(":")
        saved += range(int(first), min(int(last or first), count - 1) + 1)
    return [channel for channel in saved if channel < count]
