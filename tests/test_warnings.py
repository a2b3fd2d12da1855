"""Warnings of many sessions: one of each kind, at the caller's line, after the progress bar is cleared."""

from __future__ import annotations

import inspect
import re
import warnings
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

import anyio
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from one_async import ONE, AsyncONE
from one_async._boundary import Given, PublicCall
from one_async._warnings import GATHERING, Gathering, warn, warnings_name
from one_async.errors import ALFError, ALFWarning, EmptySearchWarning, TablesWarning
from one_async.tables.build import make_parquet_db

COUNT = 40


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write sessions that have only a wheel, with two attributes of different lengths."""
    root = tmp_path_factory.mktemp("warnings")
    for number in range(COUNT):
        day = date(2020, 1, 1) + timedelta(days=number)
        place = root / f"lab/Subjects/mouse/{day}/001/alf"
        place.mkdir(parents=True)
        np.save(place / "wheel.position.npy", np.zeros(3 + number))
        np.save(place / "wheel.times.npy", np.zeros(2))
    make_parquet_db(root)
    return root


@pytest.fixture
def one(folder: Path) -> Iterator[ONE]:
    with ONE(cache_dir=folder, mode="local", silent=True) as client:
        yield client


def caught(found: list[warnings.WarningMessage]) -> list[str]:
    assert all(one.category is ALFWarning for one in found)
    return [str(one.message) for one in found]


def line_of_caller() -> int:
    frame = inspect.currentframe()
    assert frame is not None
    assert frame.f_back is not None
    return frame.f_back.f_lineno


def test_one_warning_for_all_sessions_has_the_line_of_the_call(one: ONE) -> None:
    eids = one.search()
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        line = line_of_caller() + 1
        objects = one.load_object(eids, "wheel")
    [text] = caught(found)
    assert len(objects) == COUNT
    assert (found[0].filename, found[0].lineno) == (__file__, line)
    assert f"in {COUNT} sessions: " in text
    assert text.endswith(f" and {COUNT - 3} more")
    assert len(re.findall(r"mouse 2020-\d\d-\d\d", text)) == 3


def test_a_warning_of_a_single_session_names_it(one: ONE) -> None:
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        one.load_object(one.search(date="2020-01-01")[0], "wheel")
    [text] = caught(found)
    assert re.search(r"number of rows: .*; session mouse 2020-01-01", text)


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_the_warning_has_the_line_of_the_await(folder: Path, backend: str) -> None:
    async def work() -> int:
        async with AsyncONE(cache_dir=folder, mode="local", silent=True) as client:
            eids = await client.search()
            line = line_of_caller() + 1
            await client.load_object(eids, "wheel")
            return line

    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        line = anyio.run(work, backend=backend)
    assert [(one.filename, one.lineno) for one in found] == [(__file__, line)]
    assert f"in {COUNT} sessions" in caught(found)[0]


def test_missing_datasets_of_all_sessions_warn_once(one: ONE) -> None:
    """Missing datasets warn once for all sessions of the call, a path with a wildcard once."""
    eids = one.search()[:5]
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        one.load_datasets(eids, ["wheel.position.npy", "wheel.nothing.npy"], assert_present=False)
    [text] = caught(found)
    assert "wheel.nothing.npy" in text
    assert "in 5 sessions" in text


def test_each_item_of_an_iteration_warns(one: ONE) -> None:
    eids = one.search()[:4]
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        assert len(list(one.iter_objects(eids, "wheel"))) == 4
    dates = {match for text in caught(found) for match in re.findall(r"2020-\d\d-\d\d", text)}
    assert len(dates) >= 3


def test_a_filter_turns_the_warning_into_an_error(one: ONE) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ALFWarning, match="number of rows"):
            one.load_object(one.search(), "wheel")
        with pytest.raises(ALFError, match="nothing"):  # only the error is raised, not the warning before it
            _fail()


def _fail() -> None:
    with PublicCall("a call", Given()):
        warn("unusual")
        raise ALFError("nothing is there")


def test_the_progress_bar_is_cleared_before_the_warning(folder: Path) -> None:
    lines: list[str] = []
    with ONE(cache_dir=folder, mode="local", progress=True) as client:
        eids = client.search()
        display = client._here._context.display
        assert display is not None
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            warnings.showwarning = lambda *_, **__: lines.append(display.line)
            client.load_object(eids, "wheel")
    assert lines == [""]


TEXTS = st.sampled_from(["a 1", "a 22", "a 333", "b"])


@given(st.lists(st.tuples(TEXTS, st.sampled_from(["s1", "s2", "s3", "s4"]))))
def test_warnings_that_differ_in_numbers_are_merged(issued: list[tuple[str, str]]) -> None:
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        with PublicCall("a call", Given()):
            for text, session in issued:
                with PublicCall("a call", Given()), warnings_name(session):  # of a nested call
                    warn(text)
            assert not found
    texts = caught(found)
    for kind in "ab":
        of_session: dict[str, set[str]] = {}
        for text, session in issued:
            if text[0] == kind:
                of_session.setdefault(session, set()).add(text)
        mine = [text for text in texts if text[0] == kind]
        assert len(mine) == max(map(len, of_session.values()), default=0)  # each of a session's own is issued
        assert all(sum(name in text for text in mine) for name in of_session) or len(of_session) == 4
        counts = [int((re.findall(r"in (\d) sessions", text) or ["1"])[0]) for text in mine]
        assert sum(counts) == sum(map(len, of_session.values()))


@given(st.lists(st.tuples(TEXTS, st.sampled_from([ALFWarning, TablesWarning]))))
def test_warnings_without_a_session_are_all_issued(issued: list[tuple[str, type[Warning]]]) -> None:
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        with PublicCall("a call", Given()), warnings_name("s1"):
            for text, category in issued:
                warn(text, category)
    expected = {(text + "; session s1" * (category is ALFWarning), category) for text, category in issued}
    assert sorted((str(one.message), one.category.__name__) for one in found) == sorted(
        (text, category.__name__) for text, category in expected
    )


def test_an_empty_search_warns_at_the_line_of_the_call(one: ONE) -> None:
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        line = line_of_caller() + 1
        assert one.search(subject="nobody") == []
    assert [(one.category, one.filename, one.lineno) for one in found] == [
        (EmptySearchWarning, __file__, line)
    ]


def test_a_blocking_call_passes_its_warnings_to_an_outer_call(one: ONE) -> None:
    """So that a list which is read in the background for completion shows no warnings."""
    for is_over in (False, True):
        outer = Gathering()
        outer.is_over = is_over
        token = GATHERING.set(outer)
        try:
            with warnings.catch_warnings(record=True) as shown:
                warnings.simplefilter("always")
                one.search(subject="nobody")
        finally:
            GATHERING.reset(token)
        assert [category for category, _, _ in outer] == ([] if is_over else [EmptySearchWarning])
        assert len(shown) == is_over


def test_a_task_that_outlives_the_call_warns_at_once() -> None:
    async def work() -> None:
        go_on = anyio.Event()

        async def late() -> None:
            await go_on.wait()
            warn("late")

        async with anyio.create_task_group() as group:
            with PublicCall("a call", Given()):
                group.start_soon(late)
            go_on.set()

    with pytest.warns(ALFWarning, match="late"):
        anyio.run(work)
