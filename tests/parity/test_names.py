"""Every public name of ONE-api is in the table of names, and what the table says is so."""

from __future__ import annotations

from collections import Counter

import names
import pytest
from report import PAGE, page
from runner import interpreter


@pytest.fixture(scope="module")
def places() -> list[names.Place]:
    """Give the place of each public name of ONE-api, asked of ONE-api itself."""
    return [names.place(name) for name in names.names_of_one_api(interpreter())]


def test_every_name_has_its_place(places: list[names.Place]) -> None:
    assert len(places) >= 250
    assert set(names.NAMES) <= {place.theirs for place in places}  # no line for a name that is none


def test_names_that_the_table_calls_here_are_here(places: list[names.Place]) -> None:
    absent = [place for place in places if place.verdict in names.HERE and not names.is_here(place.ours)]
    assert not absent


def test_nearly_every_reading_name_is_here(places: list[names.Place]) -> None:
    reading = [place for place in places if place.verdict not in ("internal", "writing")]
    here = [place for place in reading if place.verdict in names.HERE]
    print(Counter(place.verdict for place in places), f"{len(here)} of {len(reading)} reading names are here")
    assert len(here) >= 0.98 * len(reading)


def test_what_differs_has_a_reason(places: list[names.Place]) -> None:
    assert not [
        place.theirs
        for place in places
        if place.verdict in ("better", "not here", "internal") and not place.why
    ]


def test_the_page_is_up_to_date(places: list[names.Place]) -> None:
    """``python tests/parity/report.py`` writes it."""
    assert PAGE.read_text("utf-8") == page(places)
