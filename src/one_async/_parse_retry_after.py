"""The header field Retry-After, with which servers demand a pause before a request is repeated. Pure."""

from __future__ import annotations

import email.utils
import re
import time
from datetime import UTC

__all__ = ["retry_after"]

_SECONDS = re.compile(r"[0-9]+(?:\.[0-9]+)?")


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
