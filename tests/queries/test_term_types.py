"""The keywords of searches: the types have the names of the table of terms and of the server, and Jupyter completes them."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from client.faces import opened
from modes.conftest import login
from one_async import ONE, QC, ALFObject, AsyncONE
from one_async.emulator import Emulator
from one_async.errors import InputError
from one_async.queries.terms import OTHER_NAMES, OWN_TERMS, TABLE_TERMS, complete_all
from one_async.types import InsertionTerms, SessionTerms

KINDS: dict[str, Any] = {"sessions": SessionTerms, "insertions": InsertionTerms}
ID = "d23a44ef-1402-4ed7-97f5-47e9a7a504d9"
#: Values that each type accepts, and some that it does not.
SAMPLES: dict[str, tuple[list[Any], list[Any]]] = {
    "Texts": (["a", ["a", "b"], ("a",), None], [1.5, [1], True]),
    "Numbers": ([1, "1", [1, 2], ["3"]], [1.5, "x", [None]]),
    "Ids": ([ID, UUID(ID), [ID, UUID(ID)]], [1, 2.5, object()]),
    "Levels": (["PASS", 10, [QC.PASS, "FAIL"]], ["nonsense", 1.5]),
    "Dates": (["2024", date(2024, 1, 1), [None, "2024-01"]], [1, object()]),
    "str | int | None": (["PASS", 10], ["nonsense", 1.5]),
    "float | str | None": ([70, 70.5, "70"], ["x", True]),
    "bool | str | None": ([True, "false"], ["x", 7]),
    "str | None": (["a"], [["a"], 1]),
}


@pytest.mark.parametrize("endpoint", KINDS)
def test_the_names_are_those_of_the_table_and_of_the_server(
    recorded_emulator: Emulator, tmp_path: Path, endpoint: str
) -> None:
    recorded_emulator.start()
    with opened("blocking", cache_dir=tmp_path, silent=True, **login(recorded_emulator)) as one:
        at_server = one.ask("search_terms", "remote", endpoint)
    own = {*TABLE_TERMS[endpoint], *OWN_TERMS[endpoint], *OTHER_NAMES}
    assert set(KINDS[endpoint].__annotations__) == own | set(at_server)


@pytest.mark.parametrize("endpoint", KINDS)
def test_the_types_are_what_the_terms_accept(endpoint: str) -> None:
    hints: Mapping[str, Any] = KINDS[endpoint].__annotations__
    for name, hint in hints.items():
        text = hint if isinstance(hint, str) else hint.__forward_arg__
        if (
            text == "object" or name == "session"
        ):  # any date that the server parses; any identifier of sessions
            continue
        good, bad = SAMPLES[text]
        for value in good:
            complete_all({name: value}, tuple(hints))
        for value in bad:
            with pytest.raises(InputError):
                complete_all({name: value}, tuple(hints))


METHODS: list[tuple[str, Any]] = [
    ("search", SessionTerms), ("watch", SessionTerms), ("search_insertions", InsertionTerms),
    ("eid2pid", InsertionTerms), ("quality", InsertionTerms),
]  # fmt: skip


@pytest.mark.parametrize("face", [ONE, AsyncONE])
@pytest.mark.parametrize(("name", "kind"), METHODS)
def test_signatures_show_them(face: type, name: str, kind: Any) -> None:
    parameters = inspect.signature(getattr(face, name)).parameters
    shown = {one for one, each in parameters.items() if each.kind is inspect.Parameter.KEYWORD_ONLY}
    assert shown >= set(kind.__annotations__)
    assert list(parameters.values())[-1].kind is inspect.Parameter.VAR_KEYWORD  # other filters of the server


@pytest.mark.filterwarnings("ignore")  # IPython's own warnings
@pytest.mark.parametrize("with_jedi", [True, False])
def test_ipython_completes_them(tmp_path: Path, with_jedi: bool) -> None:
    pytest.importorskip("IPython")
    pytest.importorskip("jedi")
    from IPython.core.completer import provisionalcompleter
    from IPython.core.interactiveshell import InteractiveShell

    one = ONE(cache_dir=tmp_path)
    trials = ALFObject(choice=[1], contrastLeft=[0.5])
    names = {"one": one, "again": AsyncONE(cache_dir=tmp_path), "trials": trials, "tables": one._cache}
    shell = InteractiveShell(user_ns=names)
    shell.Completer.use_jedi = with_jedi
    wanted = {
        "trials['c": {"choice", "contrastLeft"},
        "tables['": {"sessions", "datasets", "_meta"},
        "one.search(la": {"lab=", "laboratory="},
        "one.search(subject='x', dataset": {"datasets=", "dataset_types=", "dataset_qc_lte="},
        "await again.search_insertions(chr": {"chronic_insertion="},
        "for one in one.watch(nick": {"nickname="},
    }
    for text, completions in list(wanted.items())[: 4 if with_jedi else None]:
        with provisionalcompleter():
            assert {one.text for one in shell.Completer.completions(text, len(text))} >= completions, text
