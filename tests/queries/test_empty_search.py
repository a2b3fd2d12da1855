"""The warning about an empty search: correct, without names that exist, and only where it is possible."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from datetime import date
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from client.faces import Face, opened
from modes.conftest import login
from one_async.emulator import Emulator
from one_async.errors import EmptySearchWarning, closest
from one_async.queries.empty_search import reasons_at_server, reasons_in_tables, text_of_reasons
from one_async.tables import query
from one_async.tables.catalogue import Catalogue
from tables_data import datasets_frame, sessions_frame

NAMES = st.sampled_from(
    ["cortexlab", "cortxlab", "CORTEXLAB", "a.b", "a+b", "KS005", "ks05", "ibl_main", "x" * 300, "(", ","]
) | st.text("aks05._", min_size=1, max_size=6)
#: Terms with values: some are in the tables, some are similar to one in them, and some are neither.
TERMS = st.fixed_dictionaries(
    {},
    optional={
        "laboratory": NAMES | st.lists(NAMES, min_size=1, max_size=5),
        "subject": NAMES,
        "projects": NAMES,
        "task_protocol": NAMES,
        "datasets": st.sampled_from(["spikes.times", "spikes.times.npy", "spikes.tims.npy", "_ibl_wheel.*"])
        | st.lists(NAMES, min_size=1, max_size=2),
        "number": st.integers(0, 5),
        "date_range": st.dates(date(2019, 12, 1), date(2020, 2, 1)) | st.just([None, "2019"]),
        "dataset_qc_lte": st.sampled_from(["PASS", "FAIL"]),
    },
)


@cache
def tables() -> Catalogue:
    sessions = sessions_frame()
    odd = sessions.head(2).with_columns(pl.lit("a+b").alias("subject"), eid=pl.col("eid").str.to_uppercase())
    sessions = pl.concat([sessions, odd])
    return Catalogue.from_frames(sessions, datasets_frame(sessions))


def named(text: str) -> list[str]:
    """Return the names that a text suggests in place of the given ones."""
    offers = re.findall(r"(?:did you mean |there (?:is|are) )(.*?)(?:[?]|[.](?= |$))", text)
    return [name for offer in offers for name in re.findall(r"'((?:[^'\\]|\\.)*)'", offer)]


@settings(max_examples=150, deadline=None)
@given(TERMS, st.booleans())
def test_a_reason_never_offers_what_was_asked_for(terms: dict[str, Any], wildcards: bool) -> None:
    def reasons(asked: dict[str, Any]) -> list[str]:
        return reasons_in_tables(tables(), "sessions", asked, wildcards=wildcards)

    def finds(asked: dict[str, Any]) -> bool | None:
        try:
            return bool(query.search(tables(), wildcards=wildcards, **asked))
        except ValueError:  # not a regular expression
            return None

    if finds(terms) is not False:
        return
    text = text_of_reasons(reasons(terms)) or ""
    assert len(text) < 500
    alone = {name: finds({name: value}) for name, value in terms.items()}
    absent = [name for name, found in alone.items() if found is False]
    for name in absent:
        asked = set(terms[name]) if isinstance(terms[name], list) else {terms[name]}
        assert asked.isdisjoint(named(text_of_reasons(reasons({name: terms[name]})) or ""))
    # A term is named if and only if it finds nothing alone.
    if absent or all(alone.values()):
        assert len(reasons(terms)) == max(len(absent), 1)
        assert ("each of the terms" in text) == (not absent)
    else:  # one is not a regular expression, which the search did not reach
        assert not text


@given(st.text(max_size=8), st.sets(st.text(max_size=8), max_size=8))
def test_the_nearest_name_is_another_one_that_is_there(asked: str, names: set[str]) -> None:
    near = next(iter(closest(asked, names)), None)
    assert near is None or (near in names and near != asked)
    if {name.casefold() for name in names - {asked, ""}} & {asked.casefold()}:
        assert near is not None
        assert near.casefold() == asked.casefold()


@pytest.mark.anyio
@pytest.mark.parametrize(
    "name", ["spikes.tims.npy", "_ibl_trial.table.pqt", "spike.times.csv", "trials.choise.npy"]
)
@pytest.mark.parametrize("pattern", ["*{}.*", "{}*.*", "*{}*.npy", None])
async def test_the_server_takes_the_file_name_that_is_offered(name: str, pattern: str | None) -> None:
    types = ["spikes.times", "_ibl_trials.table", "trials.choice", "clusters.uuids"]
    rows = [{"name": one, "filename_pattern": pattern and pattern.format(one)} for one in types]

    class Server:
        request_counts = (0,)

        async def page(self, endpoint: str, limit: int, offset: int) -> SimpleNamespace:
            return SimpleNamespace(rows=rows, last=True)

    async def reason(asked: str) -> str:
        return " ".join(await reasons_at_server(Server(), "sessions", {"datasets": asked}))  # type: ignore[arg-type]

    [offered] = named(await reason(name))
    assert await reason(offered) == ""
    assert await reason("clusters.uuids.npy") == ""


def test_an_empty_name_is_not_offered() -> None:
    sessions = sessions_frame().with_columns(task_protocol=pl.lit(""), lab=pl.lit("alone"))
    catalogue = Catalogue.from_frames(sessions, datasets_frame(sessions))
    for term in ("task_protocol", "laboratory"):
        said = text_of_reasons(reasons_in_tables(catalogue, "sessions", {term: "nonsense"}, wildcards=True))
        assert said is not None
        assert "''" not in said


def test_no_warning_for_tables_without_that_information() -> None:
    partial = tables().with_meta(raw={"sessions": {"partial": True}})
    assert reasons_in_tables(tables(), "sessions", {"subject": "x"}, wildcards=True)
    for unknowing in (Catalogue.empty(), partial):
        assert reasons_in_tables(unknowing, "sessions", {"subject": "x"}, wildcards=True) == []


@pytest.fixture(scope="module", params=["blocking", "trio"])
def one(
    request: pytest.FixtureRequest, recorded_emulator: Emulator, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Face]:
    recorded_emulator.start()
    with opened(
        request.param, cache_dir=tmp_path_factory.mktemp("empty"), silent=True, **login(recorded_emulator)
    ) as face:
        face.ask("refresh_cache", "refresh")
        yield face


REMOTE = [
    ("search", {"lab": "cortxlab"}, "no lab 'cortxlab'; did you mean 'cortexlab'?"),
    ("search", {"lab": ["x", "y"]}, "no lab 'x' or 'y'; there are 'cortexlab', 'riverlab', 'summitlab'."),
    ("search", {"subject": "KS14"}, "no subject 'KS14'; did you mean 'KS014'?"),
    ("search", {"users": "alcie"}, "no user 'alcie'; did you mean 'alice'?"),
    ("search", {"projects": "ibl_riverlob"}, "no project 'ibl_riverlob'; did you mean 'ibl_riverlab'?"),
    (
        "search",
        {"dataset_types": "spikes.time"},
        "no dataset type 'spikes.time'; did you mean 'spikes.times'?",
    ),
    (
        "search",
        {"datasets": "spikes.times"},
        "datasets='spikes.times' is no file name of a dataset type; did you mean dataset_types='spikes.times'?",
    ),
    ("search", {"date": "2025"}, "no session is from 2025-01-01 to 2025-12-31; the latest is of 2024-12-31."),
    (
        "search",
        {"date": ["2024-02-01", "2024-01-01"]},
        "the range begins on 2024-02-01, after its end on 2024-01-01.",
    ),
    ("search_insertions", {"subject": "ks014"}, "no subject 'ks014'; did you mean 'KS014'?"),
    ("search_insertions", {"session": "2020-01-01_1_nobody"}, "none of the sessions is known"),
    ("search", {"number": 99}, "no session has number=99."),
    ("search", {"number": [98, 99], "date": ["2020-01-01", None]}, None),  # one request for each number
    ("search", {"number": 99, "date": ["2020-01-01", None]}, None),  # the only request was for the latest day
    ("search", {"number": 99, "dataset_qc_lte": "PASS"}, "no session has number=99."),
    ("search", {"task_protocol": "nonsense"}, "no task protocol 'nonsense'."),
    ("search", {"task_protocol": "nonsense", "number": 1}, "no task protocol 'nonsense'."),
    ("search", {"task_protocol": ["nonsense", "more"]}, "no task protocol 'nonsense' or 'more'."),
    ("search_insertions", {"number": 99}, "no insertion has number=99."),
    ("search_insertions", {"name": "probe99"}, "no insertion named 'probe99'."),
    ("search_insertions", {"name": "probe99", "dataset_qc_lte": "PASS"}, "no insertion named 'probe99'."),
    ("search_insertions", {"serial": "0"}, "no insertion with the serial number '0'."),
    ("search_insertions", {"model": "nonsense"}, "no insertion with the model 'nonsense'."),
    ("search_insertions", {"dataset": "nonsense"}, "no insertion has dataset='nonsense'."),
    ("search_insertions", {"name": "probe00", "number": 99}, None),  # the only request was for the name
]
LOCAL = [
    ("search", {"lab": "cortxlab"}, "no lab 'cortxlab'; did you mean 'cortexlab'?"),
    (
        "search",
        {"datasets": "spikes.times"},
        "no dataset is named 'spikes.times'; did you mean 'spikes.times.npy'?",
    ),
    (
        "search",
        {"date": ["2030", None]},
        "no session is of 2030-01-01 or later; the sessions are from 2018-11-05 to 2024-12-31.",
    ),
    (
        "search",
        {"date": [None, "2010"]},
        "no session is of 2010-12-31 or earlier; the sessions are from 2018-11-05 to 2024-12-31.",
    ),
    ("search", {"number": 99}, "no session has number=99; the numbers are from 1 to 3."),
    ("search", {"task_protocol": "nonsense"}, "no task protocol 'nonsense'."),
    (
        "search",
        {"date": ["2020-01-01T12:00", "2020-01-01T13:00"]},
        "the range contains no midnight; a session counts as at midnight of its day.",
    ),
    (
        "search",
        {"lab": "cortexlab", "subject": "RV_1085"},
        "each of the terms matches sessions alone, but no session matches all of them.",
    ),
]


@pytest.mark.parametrize(
    ("mode", "method", "terms", "text"),
    [("remote", *row) for row in REMOTE] + [("local", *row) for row in LOCAL],
    ids=lambda value: value if isinstance(value, str) and len(value) < 20 else "",
)
def test_one_warning_and_at_most_one_request(
    one: Face, recorded_emulator: Emulator, mode: str, method: str, terms: dict[str, Any], text: str
) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        one.ask("alyx.clear_rest_cache")
        recorded_emulator.requests.reset()
        found = one.ask(method, True, query_type=mode, **terms)
        expected = [] if text is None else [text]
        assert [str(one.message) for one in caught] == expected
        assert [one.category for one in caught] == [EmptySearchWarning] * len(expected)
    assert not found[0]
    lists = [terms[name] for name in ("lab", "number", "task_protocol") if isinstance(terms.get(name), list)]
    own = max([1, *map(len, lists)])
    assert lists_requested(recorded_emulator) <= (0 if mode == "local" else own + 1)


def lists_requested(emulator: Emulator) -> int:
    lists = ("sessions", "insertions", "labs", "subjects", "users", "projects", "dataset-types")
    return sum(emulator.requests.count(f"/{name}") for name in lists)


def test_no_warning_without_information_or_with_results(one: Face, recorded_emulator: Emulator) -> None:
    """Warnings are errors in these tests. Callers that check for new sessions, or watch, expect empty answers."""
    for method in ("search", "search_insertions"):
        assert one.ask(method, lab="cortexlab")
        assert one.ask(method, query_type="remote", lab=["cortexlab", "nonsense"])
        assert not one.ask(method, query_type="remote", django="session__lab__name,nonsense"
                           if method == "search_insertions" else "lab__name,nonsense", lab="nonsense")  # fmt: skip
        assert not one.ask(method, query_type="remote", lab="cortexlab", atlas_acronym="nonsense", number=1)
    assert not one.ask("search", query_type="remote", date=[date.today(), None])
    assert one.items("watch", every=None, lab="nonsense") == []


def test_the_server_that_is_away_makes_no_search_fail(recorded_emulator: Emulator, tmp_path: Path) -> None:
    with opened("blocking", cache_dir=tmp_path, silent=True, **login(recorded_emulator)) as one:
        one.ask("search_terms")  # the schema
        recorded_emulator.faults.add("/labs", status=500)
        try:
            assert one.ask("search", query_type="remote", lab="nonsense") == []
        finally:
            recorded_emulator.faults.clear()


def test_the_warning_suggests_a_query_to_the_server(one: Face) -> None:
    text = "no lab 'cortxlab'; did you mean 'cortexlab'\\? The cache tables were asked; query_type='remote' asks the"
    with pytest.warns(EmptySearchWarning, match=text):
        one.ask("search", lab="cortxlab", query_type="auto")


@pytest.mark.parametrize("action", ["error", "ignore"])
def test_it_is_filtered_by_its_class(one: Face, action: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings(action, category=EmptySearchWarning)  # type: ignore[arg-type]
        if action == "ignore":
            assert one.ask("search", lab="cortxlab", query_type="local") == []
        else:
            with pytest.raises(EmptySearchWarning):
                one.ask("search", lab="cortxlab", query_type="local")
