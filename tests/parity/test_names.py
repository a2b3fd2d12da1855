"""Every public name of ONE-api is in the table of names, and what the table says is so."""

from __future__ import annotations

import inspect
from collections import Counter

import names
import pytest
from report import PAGE, page
from runner import interpreter

from one_async import AsyncAlyxClient, AsyncONE


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


#: Parameters that have another name here, or none, and why.
OTHER_PARAMETERS = {
    "AlyxClient.authenticate": {
        "cache_token": "the token is kept in a file of its own (0600), or where `token_store` says"
    },
    **{
        f"AlyxClient.{name}": {"rest_query": "`path_or_url`, given by position"}
        for name in ("get", "post", "put", "patch", "delete")
    },
    "AlyxClient.rest": {"url": "the first parameter is `endpoint` and, as in ONE-api, takes an address too"},
}


def test_methods_take_the_parameters_that_one_api_s_take() -> None:
    """So that calls with keywords go on as they are."""
    missing = {}
    for method, parameters in names.parameters_of_one_api(interpreter()).items():
        kind, _, name = method.partition(".")
        ours = getattr(AsyncAlyxClient if kind == "AlyxClient" else AsyncONE, name, None)
        if ours is not None:
            known = {*inspect.signature(ours).parameters, *OTHER_PARAMETERS.get(method, ())}
            if lacking := [parameter for parameter in parameters if parameter not in known]:
                missing[method] = lacking
    assert not missing
    constructor = {
        "mode",
        "wildcards",
        "cache_dir",
        "tables_dir",
        "base_url",
        "username",
        "password",
        "token",
        "cache_rest",
        "silent",
    }
    assert constructor <= set(inspect.signature(AsyncONE).parameters)
