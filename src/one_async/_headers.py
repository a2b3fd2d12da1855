"""Header fields that several parts read in the same way. Pure."""

from __future__ import annotations

import email.utils
import re
import time
from datetime import UTC

#: A number that fits 64 bits; the fields of HTTP have only ASCII digits.
_WHOLE = re.compile(r"[0-9]{1,18}")
_SECONDS = re.compile(r"[0-9]+(?:\.[0-9]+)?")


def whole_number(text: str | None) -> int | None:
    """Parse the number in a field such as Content-Length; return None for anything else."""
    return int(text) if text is not None and _WHOLE.fullmatch(text.strip()) else None


def retry_after(text: str | None) -> float | None:
    """Parse a Retry-After field, a number or a date (RFC 9110 section 10.2.3), to seconds.

    Return None if the field is absent, invalid or zero; the caller then chooses the pause.
    """
    text = (text or "").strip()
    if _SECONDS.fullmatch(text):
        seconds = float(text)
    else:
        try:
            moment = email.utils.parsedate_to_datetime(text)
            seconds = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() - time.time()
        except (ValueError, TypeError, OverflowError, OSError):
            return None
    return seconds if seconds > 0 else None
