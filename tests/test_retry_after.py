"""The field Retry-After is parsed in one place, and invalid ones are harmless."""

from __future__ import annotations

import time
from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from one_async._parse_retry_after import retry_after


def test_retry_after_is_seconds_or_a_date() -> None:
    assert retry_after("7") == 7
    assert retry_after(" 0.5 ") == 0.5
    assert 55 < (retry_after(formatdate(time.time() + 60, usegmt=True)) or 0) < 61
    assert 55 < (retry_after(formatdate(time.time() + 60)) or 0) < 61  # a date without a zone is UTC
    assert retry_after("9" * 5000) == float("inf")


@pytest.mark.parametrize(
    "text",
    [
        None, "", "soon", "0", "-7", "-0.0", "²", "٣", "nan", "inf", "-inf", "1e9", "+5", "0x10", "7;", "7, 8",
        "Mon, 01 Jan 999999999999 00:00:00 GMT", "Mon, 01 Jan 0000 00:00:00 GMT", "Mon, 99 Foo 2024 99:99:99 GMT",
        "Fri, 31 Dec 9999 23:59:59 -9999", "Mon, 01 Jan 2001 00:00:00 GMT", "\x00", "\ud800",
    ],
)  # fmt: skip
def test_fields_without_a_wait_are_none(text: str | None) -> None:
    found = retry_after(text)
    assert found is None or found > 1e9  # the largest date is in the year 9999


@given(
    st.text()
    | st.from_regex(r"[+-]?[0-9]{1,30}(\.[0-9]*)?")
    | st.from_regex(r"\w{3}, \d+ \w{3} \d+ [\d:]+ .*")
)
def test_any_text_is_a_positive_wait_or_none(text: str) -> None:
    found = retry_after(text)
    assert found is None or found > 0
