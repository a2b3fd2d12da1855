"""The sessions, counts and code of the page's filters, compared with plain frames."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from browse_world import HOSTILE, LABS, LEVELS, NAMES, PROJECTS, PROTOCOLS, SUBJECTS, Expected, make_tables
from hypothesis import given, settings
from hypothesis import strategies as st

from one_async.browse.filters import FACETS, Filters, Part, literal, parse_filters
from one_async.browse.search import FacetedSearch
from one_async.errors import InputError
from one_async.queries.terms import SESSION_TERMS, complete_all
from one_async.tables import query

TABLES = make_tables()
EXPECTED = Expected(TABLES)
SEARCH = FacetedSearch(TABLES)
EVERY = 10**6


class Client:
    """Evaluate the code that the page shows."""

    @staticmethod
    def search(**terms: Any) -> list[str]:
        complete = complete_all(terms, (*SESSION_TERMS, "lab"))
        return [str(eid) for eid in query.search(TABLES, **complete)]


def part(values: list[str]) -> st.SearchStrategy[Part]:
    """Draw values that occur and one that does not, parts of them, other letter case, and any text."""
    pieces = [value[at : at + size] for value in values for at in (0, 1, 3) for size in (1, 3, 40)]
    typed = st.sampled_from([*pieces, *map(str.upper, pieces)]) | st.text("aKs(.[|\\ü<", max_size=4)
    chosen = st.lists(st.sampled_from([*values, "no such value"]), max_size=3, unique=True)
    return st.builds(lambda one, text: Part(tuple(one), text.strip()), chosen, typed | st.just(""))


SINGLE = sorted({one for projects in PROJECTS for one in projects.split(",")})
DAYS = st.none() | st.dates(TABLES.session_frame["date"].min(), TABLES.session_frame["date"].max()).map(str)  # type: ignore[arg-type]
ANY = st.builds(
    Filters,
    *(part(values) | st.just(Part()) for values in (LABS, SUBJECTS, SINGLE, PROTOCOLS, NAMES)),
    DAYS, DAYS, st.none() | st.sampled_from(LEVELS),
)  # fmt: skip


@settings(max_examples=120, deadline=None)
@given(ANY)
def test_sessions_and_code_are_those_of_the_filters(filters: Filters) -> None:
    answer = SEARCH.answer(filters)
    eids = [row[0] for row in SEARCH.page(filters, 0, EVERY)]
    assert set(eids) == EXPECTED.eids(filters)
    assert answer["total"] == len(eids)
    assert eval(answer["code"], {"one": Client}) == eids
    assert [row[0] for row in answer["rows"]] == eids[: len(answer["rows"])]


@settings(max_examples=50, deadline=None)
@given(ANY)
def test_counts_are_those_of_the_other_filters(filters: Filters) -> None:
    answer = SEARCH.answer(filters)
    for name, facet in FACETS.items():
        of_others = EXPECTED.sessions.filter(
            EXPECTED.sessions["eid"].is_in(list(EXPECTED.eids(filters, name)))
        )
        values = of_others[facet.column].to_list()
        wanted = Counter(
            one for value in values for one in (set(value.split(",")) if name == "project" else {value})
        )
        typed = getattr(filters, name).typed.lower()
        shown = answer["facets"][name]
        assert dict(shown["chosen"]) == {value: wanted[value] for value in getattr(filters, name).chosen}
        rest = {value: number for value, number in wanted.items() if typed in value.lower()}
        assert dict(shown["values"]) == {
            value: n for value, n in rest.items() if value not in dict(shown["chosen"])
        }
    dated = EXPECTED.sessions.filter(EXPECTED.sessions["eid"].is_in(list(EXPECTED.eids(filters, "date"))))
    months = Counter(str(day)[:7] for day in dated["date"].drop_nulls())
    assert sum(answer["dates"]["counts"]) == sum(months.values())
    assert sorted(filter(None, answer["dates"]["counts"])) == sorted(months.values())


@settings(max_examples=50, deadline=None)
@given(ANY)
def test_counts_of_datasets_and_qc(filters: Filters) -> None:
    answer = SEARCH.answer(filters)
    shown = answer["facets"]["dataset"]
    for name, number in [*shown["values"], *shown["chosen"]]:
        every = EXPECTED.eids(filters) & EXPECTED.with_datasets(filters, [name])
        assert number == len(every), name
    left_out = {name for name in NAMES if name not in dict([*shown["values"], *shown["chosen"]])}
    for name in left_out:
        if filters.dataset.typed.lower() in name.lower():
            assert not EXPECTED.eids(filters) & EXPECTED.with_datasets(filters, [name])
    others = EXPECTED.eids(filters, "dataset")
    for level, number in answer["qc"]:
        assert number == len(others & EXPECTED.with_datasets(filters._replace(qc=level)))


@pytest.mark.parametrize(
    ("filters", "code"),
    [
        (Filters(), "one.search()"),
        (Filters(lab=Part(("wittenlab",))), 'one.search(lab="wittenlab")'),
        (Filters(lab=Part(("cortexlab",))), 'one.search(lab="^cortexlab$")'),
        (Filters(lab=Part(("cortexlab_b", "wittenlab"))), 'one.search(lab=["cortexlab_b", "wittenlab"])'),
        (Filters(lab=Part((), "witt")), 'one.search(lab="witt")'),
        (Filters(lab=Part((), "WITT")), 'one.search(lab="(?i:WITT)")'),
        (Filters(project=Part(("ibl",))), 'one.search(project="(?:^|,)ibl(?:,|$)")'),
        (Filters(project=Part(("practice",))), 'one.search(project="practice")'),
        (Filters(dataset=Part(("_ibl_trials.table.pqt",)), qc="PASS"),
         'one.search(datasets="_ibl_trials.table.pqt", dataset_qc_lte="PASS")'),
        (Filters(dataset=Part(("spikes.times.npy",))), 'one.search(datasets="spikes\\\\.times\\\\.npy")'),
        (Filters(start="2022-01-01"), 'one.search(date_range=["2022-01-01", None])'),
    ],
)  # fmt: skip
def test_code_is_the_simplest_correct_search(filters: Filters, code: str) -> None:
    assert SEARCH.answer(filters)["code"] == code


def test_code_for_a_client_of_a_database_searches_the_tables() -> None:
    search = FacetedSearch(TABLES, query_type="auto", client="await one")
    assert search.answer(Filters())["code"] == 'await one.search(query_type="auto")'


@settings(max_examples=40, deadline=None)
@given(ANY)
def test_code_without_wildcards_finds_the_shown_sessions(filters: Filters) -> None:
    search = FacetedSearch(TABLES, wildcards=False)
    found = search.answer(filters)

    class Plain:
        @staticmethod
        def search(**terms: Any) -> list[str]:
            complete = complete_all(terms, (*SESSION_TERMS, "lab"))
            return [str(eid) for eid in query.search(TABLES, wildcards=False, **complete)]

    assert "" not in dict(found["facets"]["lab"]["values"])
    assert eval(found["code"], {"one": Plain}) == [row[0] for row in search.page(filters, 0, EVERY)]


@given(st.text() | st.sampled_from([HOSTILE, '"', "'", "\\", "\u202e", "\ud800", "a\nb"]))
def test_code_for_any_text_evaluates_to_the_text(text: str) -> None:
    code = literal([text, None])
    assert eval(code) == [text, None]
    assert code.isprintable()


@pytest.mark.parametrize(
    ("name", "value"), [("from", "2024-02-30"), ("to", "x"), ("qc", "GOOD"), ("qc", "pass")]
)
def test_wrong_filters_are_refused(name: str, value: str) -> None:
    with pytest.raises(InputError):
        parse_filters([(name, value)])


def test_years_and_months_are_valid_dates() -> None:
    answer = SEARCH.answer(parse_filters([("from", "2022"), ("to", "2022-03")]))
    wanted = EXPECTED.eids(Filters(start="2022-01-01", end="2022-03-31"))
    assert answer["total"] == len(wanted) > 0


def test_tables_without_rows_are_shown() -> None:
    from one_async.tables.catalogue import Catalogue

    search = FacetedSearch(Catalogue.empty())
    for filters in (Filters(), Filters(lab=Part((), "x"), dataset=Part((), "y"), qc="PASS")):
        answer = search.answer(filters)
        assert answer["total"] == 0
        assert answer["rows"] == []
