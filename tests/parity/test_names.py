"""The table of names has every public name of ONE-api, and its verdicts are true."""

from __future__ import annotations

from collections import Counter

import names
import pytest
from report import PAGE, page
from runner import interpreter


@pytest.fixture(scope="module")
def places() -> list[names.Place]:
    """Return the place of each public name that ONE-api's own interpreter lists."""
    return [names.place(name) for name in names.names_of_one_api(interpreter())]


def test_every_name_has_a_place(places: list[names.Place]) -> None:
    assert len(places) >= 250
    assert set(names.NAMES) <= {place.theirs for place in places}  # every line of NAMES is a name of ONE-api


def test_names_with_a_place_here_exist(places: list[names.Place]) -> None:
    absent = [place for place in places if place.verdict in names.HERE and not names.is_here(place.ours)]
    assert not absent


def test_nearly_every_reading_name_exists_here(places: list[names.Place]) -> None:
    reading = [place for place in places if place.verdict not in ("internal", "writing")]
    here = [place for place in reading if place.verdict in names.HERE]
    print(Counter(place.verdict for place in places), f"{len(here)} of {len(reading)} reading names are here")
    assert len(here) >= 0.98 * len(reading)


def test_names_that_differ_have_a_reason(places: list[names.Place]) -> None:
    assert not [
        place.theirs
        for place in places
        if place.verdict in ("better", "not here", "internal") and not place.why
    ]


def test_the_page_is_up_to_date(places: list[names.Place]) -> None:
    """``python tests/parity/report.py`` writes the page."""
    assert PAGE.read_text("utf-8") == page(places)


#: Differences of parameters by ONE-api's name, and why.
OTHER: dict[str, dict[str, str]] = {
    "one.api.One.load_cache": {"clobber": "of a folder, tables are read anew in any case; as in OneAlyx, it asks the server"},
    **{
        f"one.alf.path.{name}": {"path": "the path itself; of the class, the first argument by position"}
        for name in (
            "PureALFPath.is_session_path", "PureALFPath.is_valid_alf", "PureALFPath.with_padded_sequence", "ALFPath.is_valid_alf",
        )
    },
}  # fmt: skip


def differences(theirs: list[names.Parameter], ours: list[names.Parameter]) -> dict[str, str]:
    """Return, by parameter of ONE-api, why a call that uses it would not work the same here."""
    known = {name: (kind, default) for name, kind, default in ours}
    rest = {kind for _, kind, _ in ours if kind.startswith("VAR_")}
    found: dict[str, str] = {}
    order = [name for name, kind, _ in ours if kind.startswith("POSITIONAL")]
    for place, (name, kind, default) in enumerate(theirs):
        if kind.startswith("VAR_"):
            continue
        if name not in known:
            if "VAR_KEYWORD" not in rest:
                found[name] = "missing"
        elif order[place : place + 1] != [name] and kind == "POSITIONAL_OR_KEYWORD":
            found[name] = "not at its place"
        elif default is not None and known[name][1] != default and known[name][0] != "POSITIONAL_ONLY":
            found[name] = f"{default} there, {known[name][1]} here"
    return found


def test_parameters_are_those_of_one_api(places: list[names.Place]) -> None:
    """Functions, methods and constructors accept ONE-api's parameters: by keyword, by position, with the same defaults."""
    named = [place for place in places if place.verdict in ("same", "better") and place.ours]
    kept = {place.theirs: place.ours for place in named if not place.theirs.startswith("ONE 2.")}
    met = {}
    for name, parameters in names.signatures_of_one_api(interpreter(), list(kept)).items():
        try:
            ours = names.signature_here(str(kept[name]))
        except (
            TypeError,
            ValueError,
            AttributeError,
        ):  # a property, or inherited from a class that is not written in Python
            continue
        if found := differences(parameters, ours):
            met[name] = found
    unknown = {name: found for name, found in met.items() if set(found) - set(OTHER.get(name, ()))}
    assert not unknown
    assert set(OTHER) <= set(met)
