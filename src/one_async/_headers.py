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
    """Return the number that a field such as Content-Length holds; None for anything else."""
    return int(text) if text is not None and _WHOLE.fullmatch(text.strip()) else None


def retry_after(text: str | None) -> float | None:
    """Return the seconds that a server asks to wait: a number or a date (RFC 9110 section 10.2.3).

    None means that the caller chooses how long to back off: the field is absent or not understood, or asks for no wait.
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
