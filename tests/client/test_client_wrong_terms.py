"""Search terms of wrong types: each is refused by name before a request, or converted."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from decimal import Decimal
from enum import Enum
from functools import partial
from types import MappingProxyType
from typing import Any
from urllib.parse import parse_qs
from uuid import UUID

import numpy as np
import pandas as pd
import polars as pl
import pytest

from one_async import ONE
from one_async.emulator import Emulator
from one_async.errors import InputError, OneError
from one_async.queries.terms import OWN_TERMS, TABLE_TERMS
from one_async.tables.catalogue import Catalogue
from one_async.tables.disk import save_tables

from .conftest import login

#: Some of the searches find nothing on purpose.
pytestmark = pytest.mark.filterwarnings("ignore::one_async.errors.EmptySearchWarning")

ID = "d23a44ef-1402-4ed7-97f5-47e9a7a504d9"
CLASSES = {
    "int": ["number", "n_trials", "n_correct_trials", "experiment_number", "atlas_id"],
    "float": ["performance_gte", "performance_lte"],
    "qc": ["qc", "dataset_qc_lte"],
    "id": ["id", "session", "parent_session", "chronic_insertion"],
    "bool": ["histology"],
    "any": ["auto_datetime", "start_time", "end_time"],
    "joined": ["extended_qc", "json"],
    "date_range": ["date_range"],
    "django": ["django"],
    "part": ["dataset"],
}  # fmt: skip
CLASS = {name: kind for kind, names in CLASSES.items() for name in names}
#: Terms that have another name in requests, and those that are written as a django filter.
ASKED = {"laboratory": "lab", "project": "projects"}
ASKED_INSERTIONS = {**ASKED, "project": "project", "projects": "project", "number": "experiment_number"}
PAIRS = {"id", "session", "parent_session", "chronic_insertion", "dataset"}
OTHER_NAME = {"lab": "laboratory", "project": "projects", "date": "date_range"}


class Place(str, Enum):  # noqa: UP042 - its text differs from that of StrEnum
    X = "x"


DAY = "2024-01-02"
MIDNIGHT = f"{DAY}T00:00:00"
#: Each kind, and the text that it stands for in the classes of terms that accept it.
KINDS: dict[str, tuple[Callable[[], Any], dict[str, str]]] = {
    "1.5": (lambda: 1.5, {"float any joined": "1.5"}),
    "list of None": (lambda: [None], {"date_range": "1677-09-22,2262-04-11"}),
    "list with None": (lambda: ["x", None], {"django": "x,None"}),
    "object": (object, {}),
    "bytes": (lambda: b"5", {}),
    "bytes of an id": (lambda: UUID(ID).bytes, {}),
    "bytearray": (lambda: bytearray(b"12"), {}),
    "memoryview": (lambda: memoryview(b"12"), {}),
    "True": (lambda: True, {"bool any joined": "True"}),
    "list of bool": (lambda: [False], {"bool any joined": "False"}),
    "NaN": (lambda: math.nan, {}),
    "infinite": (lambda: math.inf, {}),
    "list of NaN": (lambda: [math.nan], {}),
    "Decimal NaN": (lambda: Decimal("NaN"), {}),
    "complex": (lambda: 1 + 2j, {}),
    "10**30": (lambda: 10**30, {"float": "1e+30", "any joined": str(10**30)}),
    "10**400": (lambda: 10**400, {"any joined": str(10**400)}),
    "10**5000": (lambda: 10**5000, {}),
    "nested list": (lambda: [["x"]], {}),
    "nested array": (lambda: np.array([[1.0, 2.0]]), {}),
    "dict": (lambda: {"x": 1}, {}),
    "mapping": (lambda: MappingProxyType({"2024-01-01": 1, "2024-01-02": 2}), {}),
    "frame": (lambda: pl.DataFrame({"x": ["x"]}), {}),
    "pandas frame": (lambda: pd.DataFrame({"x": ["x"]}), {}),
    "class": (lambda: str, {}),
    "int64": (lambda: np.int64(5), {"int any joined": "5", "float": "5.0"}),
    "float64": (lambda: np.float64(10.0), {"int": "10", "float any joined": "10.0", "qc": "PASS"}),
    "float32 NaN": (lambda: np.float32("nan"), {}),
    "numpy bool": (lambda: np.bool_(True), {"bool any joined": "True"}),
    "numpy text": (lambda: np.str_("x"), {"text any joined part": "x"}),
    "numpy bytes": (lambda: np.bytes_(b"2024-01-01"), {}),
    "0-d array": (lambda: np.array(5), {"int any joined": "5", "float": "5.0"}),
    "array": (lambda: np.array(["x", "x"]), {"text any": "x", "django joined": "x,x"}),
    "series": (lambda: pl.Series(["x", "x"]), {"text any": "x", "django joined": "x,x"}),
    "series with null": (lambda: pl.Series(["x", None]), {"django": "x,None"}),
    "pandas series": (lambda: pd.Series([ID, float("nan")]), {}),
    "day of numpy": (lambda: np.datetime64(DAY), {"date_range": f"{DAY},{DAY}", "any joined": MIDNIGHT}),
    "ns of numpy": (lambda: np.datetime64(DAY, "ns"), {"date_range": f"{DAY},{DAY}", "any joined": MIDNIGHT}),
    "NaT": (lambda: np.datetime64("NaT"), {}),
    "pandas NaT": (lambda: pd.NaT, {}),
    "array of one number": (lambda: np.array([5]), {"int any joined": "5", "float": "5.0"}),
    "enumeration": (lambda: Place.X, {"text any joined part": "x"}),
    "set of a day": (lambda: {DAY}, {"text any joined": DAY}),
    "huge text": (lambda: "x" * 100_000, {}),
    "list of huge text": (lambda: ["x" * 100_000], {}),
    "surrogate": (lambda: "\ud800", {}),
    "empty": (lambda: "", {}),
    "no members": (list, {}),
}  # fmt: skip


def meaning_of(kind: str, term: str) -> str | None:
    """Return the text that a kind stands for in a term; None if the term does not accept it."""
    wanted = CLASS.get(OTHER_NAME.get(term, term), "text")
    return next((text for classes, text in KINDS[kind][1].items() if wanted in classes.split()), None)


@pytest.fixture(scope="module")
def remote(recorded_emulator: Emulator, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ONE]:
    folder = tmp_path_factory.mktemp("remote")
    with ONE(**login(recorded_emulator), cache_dir=folder, mode="remote", cache_rest=None) as one:
        one.alyx.schema()
        yield one


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ONE]:
    folder = tmp_path_factory.mktemp("local")
    sessions = {"eid": [ID], "lab": ["x"], "subject": ["x"], "date": ["2024-01-02"], "number": [5],
                "task_protocol": ["x"], "projects": ["x"]}  # fmt: skip
    datasets = {
        "did": [str(UUID(int=1))],
        "eid": [ID],
        "rel_path": ["alf/probe00/x"],
        "exists": [True],
        "qc": ["PASS"],
    }
    insertions = {"pid": [str(UUID(int=2))], "eid": [ID], "name": ["probe00"], "model": ["x"], "serial": ["x"],
                  "chronic_insertion": [ID]}  # fmt: skip
    tables = Catalogue.from_frames(
        sessions=pl.DataFrame(sessions).with_columns(pl.col("date").str.to_date()),
        datasets=pl.DataFrame(datasets),
        insertions=pl.DataFrame(insertions),
    )
    save_tables(tables, folder, clobber=True)
    with ONE(cache_dir=folder, mode="local") as one:
        yield one


METHODS = {"sessions": "search", "insertions": "search_insertions"}


def refusal(call: Callable[[], Any]) -> InputError | None:
    """Make a call and return its InputError, if any; a server's own error of the value does not matter here."""
    try:
        call()
    except InputError as error:
        return error
    except OneError:
        pass
    return None


def wrong(error: InputError | None, term: str) -> str | None:
    """Return what is wrong with a refusal, if anything."""
    if error is None:
        return "it is not refused"
    if len(str(error)) >= 500 or "x" * 400 in str(error):
        return "the error is too long"
    names = {term, OTHER_NAME.get(term, term), "eid" if term == "session" else term}
    return None if getattr(error, "argument", None) in names else f"the error does not name it: {error}"


def asked_for(emulator: Emulator, endpoint: str, term: str) -> list[str]:
    """Return the values of a term in the requests."""
    key = (ASKED_INSERTIONS if endpoint == "insertions" else ASKED).get(term, term)
    key = "django" if term in PAIRS else key
    queries = [parse_qs(one.query) for one in list(emulator.requests) if one.path.strip("/") == endpoint]
    return [text for query in queries for text in query.get(key, ())]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("endpoint", METHODS)
def test_remote_terms(recorded_emulator: Emulator, remote: ONE, endpoint: str, kind: str) -> None:
    make, search, failures = KINDS[kind][0], getattr(remote, METHODS[endpoint]), {}
    for term in sorted({*remote.search_terms("remote", endpoint), *OWN_TERMS[endpoint], "lab"}):
        name, meaning = OTHER_NAME.get(term, term), meaning_of(kind, term)
        recorded_emulator.requests.reset()
        error = refusal(partial(search, **{term: make()}))
        asked = asked_for(recorded_emulator, endpoint, name)
        if meaning is None:
            is_unknown = name == "session" and error is None  # no session has such a name
            found = (not is_unknown and wrong(error, term)) or (f"{asked} was asked for" if asked else None)
        elif name == "date_range" and endpoint == "insertions":
            first, last = meaning.split(",")
            asked = asked_for(recorded_emulator, endpoint, "django")
            field = "session__start_time__date"
            found = None if asked == [f"{field}__gte,{first},{field}__lte,{last}"] else str(error or asked)
        else:
            wanted = f"datasets__name__icontains,{meaning}" if name == "dataset" else meaning
            found = None if asked and set(asked) == {wanted} else str(error or asked)
        if found:
            failures[term] = found[:200]
    assert not failures, "\n".join(f"{term}: {found}" for term, found in failures.items())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("endpoint", METHODS)
def test_local_terms(local: ONE, endpoint: str, kind: str) -> None:
    make, search, failures = KINDS[kind][0], getattr(local, METHODS[endpoint]), {}
    for term in sorted({*TABLE_TERMS[endpoint], "lab"} - {"json", "session", "chronic_insertion"}):
        name, meaning = OTHER_NAME.get(term, term), meaning_of(kind, term)
        error = refusal(partial(search, **{term: make()}))
        if meaning is None and kind.endswith("huge text") and error is None:
            found = "it has rows" if search(**{term: make()}) else None  # tables can be searched for any text
        elif meaning is None:
            found = wrong(error, term)
        else:
            same = meaning.split(",") if name == "date_range" else meaning
            rows = None if error else search(**{term: make()})
            found = str(error or rows) if rows != search(**{term: same}) else None
        if found:
            failures[term] = found[:200]
    assert not failures, "\n".join(f"{term}: {found}" for term, found in failures.items())


#: Values that no filter of `alyx.rest` accepts.
NO_FILTERS = [
    "list of None", "list with None", "object", "bytes", "bytearray", "memoryview", "NaN", "infinite", "list of NaN",
    "Decimal NaN", "complex", "10**5000", "nested list", "nested array", "dict", "mapping", "frame", "pandas frame",
    "class", "float32 NaN", "numpy bytes", "series with null", "pandas series", "NaT", "pandas NaT", "empty", "no members",
]  # fmt: skip


@pytest.mark.parametrize("kind", NO_FILTERS)
def test_filters_of_rest(recorded_emulator: Emulator, remote: ONE, kind: str) -> None:
    failures = {}
    for name in {*remote.search_terms("remote", "sessions"), "lab"} - {*OWN_TERMS["sessions"], "django"}:
        recorded_emulator.requests.reset()
        error = refusal(partial(remote.alyx.rest, "sessions", "list", **{name: KINDS[kind][0]()}))
        if found := wrong(error, name) or (list(recorded_emulator.requests) and "something was asked for"):
            failures[name] = found
    assert not failures


@pytest.mark.parametrize(
    "kind", ["int64", "float64", "numpy bool", "numpy text", "enumeration", "1.5", "True"]
)
def test_filters_of_rest_mean_what_they_are(recorded_emulator: Emulator, remote: ONE, kind: str) -> None:
    make = KINDS[kind][0]
    for name in ("narrative", "location", "histology", "number"):
        recorded_emulator.requests.reset()
        refusal(partial(remote.alyx.rest, "sessions", "list", **{name: [make()]}))
        assert asked_for(recorded_emulator, "sessions", name) == [meaning_of(kind, "start_time")]


@pytest.mark.parametrize("endpoint", METHODS)
def test_none_is_no_term(recorded_emulator: Emulator, remote: ONE, endpoint: str) -> None:
    search = getattr(remote, METHODS[endpoint])
    everything = search()
    assert search(**dict.fromkeys(remote.search_terms("remote", endpoint))) == everything


@pytest.mark.parametrize("length", [6, 500, 1500, 3500])
def test_ids_and_a_long_text_fit_request_lines(recorded_emulator: Emulator, remote: ONE, length: int) -> None:
    """The ids of a list are divided over as many requests as the length of the other terms requires."""
    ids = [str(UUID(int=number, version=4)) for number in range(200)]
    recorded_emulator.requests.reset()
    assert remote.search(id=ids, subject="é" * (length // 6)) == []
    asked = [one for one in recorded_emulator.requests if one.path.strip("/") == "sessions"]
    assert {one.status for one in asked} == {200}
    assert max(len(one.query) for one in asked) < 4000
    texts = " ".join(parse_qs(one.query)["django"][0] for one in asked)
    assert all(texts.count(one) == 1 for one in ids)
