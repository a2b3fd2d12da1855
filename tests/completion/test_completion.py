"""Values that IPython completes: those of the tables in memory, as literals that evaluate to them, without a request."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from client.faces import opened
from one_async import ONE, AsyncONE
from one_async.alf.path import ALFPath
from one_async.alf.spec import is_valid
from one_async.completion.matcher import IDENTIFIER, completions
from one_async.emulator import Emulator
from one_async.harvest.report import EndpointReport, HarvestReport
from one_async.tables.catalogue import Catalogue
from tables_data import datasets_frame, sessions_frame

pytest.importorskip("IPython")
from IPython.core.completer import provisionalcompleter
from IPython.core.interactiveshell import InteractiveShell

pytestmark = pytest.mark.filterwarnings("ignore")  # IPython's own warnings


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("completion")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(folder))
        patch.setenv("ONE_CONFIG_DIR", str(folder / "config"))
        patch.setenv("IPYTHONDIR", str(folder / "ipython"))
        yield folder


@pytest.fixture(scope="module")
def one(seeded_emulator: Emulator, home: Path) -> Iterator[ONE]:
    login = {"base_url": seeded_emulator.url, "username": "demo", "password": "demo"}
    with ONE(**login, cache_dir=home / "data", mode="auto", silent=True) as client:
        client.search()
        client.alyx.rest()
        yield client


@pytest.fixture(scope="module")
def shell(one: ONE) -> InteractiveShell:
    eids = one.search(datasets="spikes.times.npy")
    frame = one.search(subject=one.eid2ref(eids[0])["subject"], details=True)[1]
    names = {
        "one": one,
        "alyx": one.alyx,
        "eids": eids,
        "frame": frame,
        "again": one,
        "nothing": [],
        "lab": "x",
    }
    shell = InteractiveShell(user_ns=names)
    shell.run_line_magic("load_ext", "one_async")
    return shell


def completed(shell: InteractiveShell, source: str, after: str = "") -> list[str]:
    """Return the sources that our completions make from a source."""
    with provisionalcompleter():
        found = list(shell.Completer.completions(source + after, len(source)))
    ours = [one for one in found if one._origin == IDENTIFIER]
    return [source[: one.start] + one.text + after for one in ours]


def values(shell: InteractiveShell, source: str, after: str = "") -> list[Any]:
    """Return the last literal of each completed source, evaluated: what follows the last ``=``, ``,`` or ``(``."""
    made = []
    for text in completed(shell, source, after):
        call = ast.parse(f"{text})" if not text.endswith(")") else text, mode="eval").body
        while isinstance(call, ast.Await):
            call = call.value
        assert isinstance(call, ast.Call)
        node = call.keywords[-1].value if call.keywords else call.args[-1]
        made.append(ast.literal_eval(node))
    return made


def names_in(one: ONE, column: str) -> set[str]:
    return {name for name in one.sessions().collect()[column] if name}


@pytest.mark.parametrize("opening", ["", "'", '"', "'''", "r'"])
@pytest.mark.parametrize(
    ("term", "column"),
    [("lab", "lab"), ("laboratory", "lab"), ("subject", "subject"), ("sub", "subject"), ("task_protocol", "task_protocol")],
)  # fmt: skip
def test_terms_complete_the_values_of_their_columns(
    shell: InteractiveShell, one: ONE, opening: str, term: str, column: str
) -> None:
    assert set(values(shell, f"one.search({term}={opening}")) == names_in(one, column)
    first = sorted(names_in(one, column))[0]
    found = values(shell, f"one.search(number=1, {term}={opening}{first[:2]}")
    assert first in found
    assert all(name.startswith(first[:2]) for name in found)


def test_projects_are_completed_one_by_one(shell: InteractiveShell, one: ONE) -> None:
    expected = {name for names in names_in(one, "projects") for name in names.split(",")}
    for term in ("project", "projects", "proj"):
        assert set(values(shell, f"one.search({term}='")) == expected


def test_datasets_dates_and_options_are_completed(shell: InteractiveShell, one: ONE) -> None:
    files = {path.rpartition("/")[2] for path in one.datasets().collect()["rel_path"]}
    spikes = {name for name in files if name.startswith("spikes.")}
    assert set(values(shell, "one.search(datasets='spikes.")) == spikes
    found = values(shell, "one.search_insertions(datasets=['trials', 'spikes.", "])")
    assert {name for names in found for name in names} == {"trials", *spikes}
    assert not values(shell, "one.search(name='")  # names of sessions, which the tables do not have
    days = sorted({str(day) for day in one.sessions().collect()["date"]}, reverse=True)
    assert values(shell, "one.search(date=") == days[:200]
    assert values(shell, "one.search(query_type='r") == ["refresh", "remote"]
    assert "PASS" in values(shell, "one.search(dataset_qc_lte='")
    assert values(shell, "one.search(lab='CORTEX") == values(shell, "one.search(lab='cortex")  # any case
    assert not values(shell, "one.search(lab='no such")


@pytest.mark.parametrize(
    "source",
    [
        "one.search(lab='",
        "await one.search(subject='x', lab='",
        "one.search(\n  number=1,\n  lab='",
        "one.watch(lab='",
        "one.quality(lab='",
        "one.search_insertions(lab='",
        "again.search(lab='",
        "%time one.search(lab='",
        "!echo it's\none.search(lab='",
    ],
)
def test_calls_are_completed_anywhere_in_the_source(shell: InteractiveShell, one: ONE, source: str) -> None:
    assert {text.rpartition("'")[0].rpartition("'")[2] for text in completed(shell, source)} == names_in(
        one, "lab"
    )


@pytest.mark.parametrize(
    "source",
    [
        "x = ['",
        "print('",
        "nobody.search(lab='",
        "lab.search(lab='",
        "one.nothing(lab='",
        "one.search(nothing='",
        "one.search('",
        "one.search(lab=f'",
        "one.setup('",
        "one.eid2pid('",
        "one.search(lab=frame['",
        "one.load_object('nonsense', '",
        "one.load_object(nothing[0], '",
        "one.load_object(one.search()[0], '",  # evaluating it would run code
        "one.alyx.base_url('",
    ],
)
def test_other_sources_have_no_completions(shell: InteractiveShell, source: str) -> None:
    assert completed(shell, source) == []


def test_lists_are_completed_with_the_source_behind_them(shell: InteractiveShell, one: ONE) -> None:
    labs = sorted(names_in(one, "lab"))
    assert values(shell, "one.search(lab=['x', '", "'])") == [["x", lab] for lab in labs]
    assert values(shell, 'one.search(lab="', '")') == labs  # the editor has added the closing quote
    assert completed(shell, "one.search(lab=[", "])") == [f'one.search(lab=["{lab}"])' for lab in labs]
    assert completed(shell, "one.search(lab='", ", number=1)")[0] == f"one.search(lab='{labs[0]}', number=1)"
    assert completed(shell, "one.search(lab='", "more')")[0] == f"one.search(lab='{labs[0]}more')"


def test_variables_are_offered_beside_values(shell: InteractiveShell) -> None:
    source = "one.load_object(eids[0], li"
    with provisionalcompleter():
        found = {one.text: one._origin for one in shell.Completer.completions(source, len(source))}
    assert found['"licks"'] == IDENTIFIER
    assert "list" in found


@pytest.fixture(scope="module")
def sessions(one: ONE) -> dict[str, Any]:
    eid = one.search(datasets="spikes.times.npy")[0]
    return {
        "eid": eid, "text": str(eid), "reference": one.eid2ref(eid, as_dict=False), "path": str(one.eid2path(eid)),
        "record": one.eid2ref(eid), "several": (eid, eid), "unknown": UUID(int=1),
    }  # fmt: skip


def test_datasets_of_the_session_are_completed(
    shell: InteractiveShell, one: ONE, sessions: dict[str, Any]
) -> None:
    paths = [ALFPath(path) for path in one.list_datasets(sessions["eid"])]
    objects = sorted({path.object for path in paths if is_valid(path.name)})
    shell.user_ns.update(sessions)
    try:
        for name in (
            "eid",
            "text",
            "reference",
            "path",
            "record",
            "several",
            "several[-1]",
            f"'{sessions['text']}'",
        ):
            assert values(shell, f"one.load_object({name}, '") == objects, name
        assert values(shell, "one.load_object(obj='", "', eid=eid)") == []  # later arguments are not read
        assert values(shell, "one.load_object(eid=eid, obj='") == objects
        assert values(shell, "one.load_many(several, '") == objects
        assert values(shell, "one.iter_objects([eid], '") == []  # neither a name nor a literal
        assert set(values(shell, "one.load_dataset(eid, 'spikes.")) == {
            path.name for path in paths if path.name.startswith("spikes.")
        }
        collections = sorted(set(one.list_collections(sessions["eid"])) - {""})
        assert values(shell, "one.load_object(eid, 'spikes', '") == collections
        assert values(shell, "one.list_datasets(eid, collection=") == collections
        assert values(shell, "one.load_object(unknown, '") == []
    finally:
        for name in sessions:
            del shell.user_ns[name]


def test_endpoints_of_the_schema_in_memory_are_completed(shell: InteractiveShell, one: ONE) -> None:
    endpoints = one.alyx.rest()
    assert values(shell, "one.alyx.rest('") == endpoints
    assert values(shell, "alyx.pages('sess") == [name for name in endpoints if name.startswith("sess")]
    assert set(values(shell, "alyx.rest('sessions', '")) == set(one.alyx.rest("sessions").actions)
    assert {"all", "sessions"} <= set(values(shell, "one.harvest('"))


def test_completion_makes_no_request_and_opens_no_file(seeded_emulator: Emulator, home: Path) -> None:
    class Trap(dict[str, Any]):
        def __getattribute__(self, name: str) -> Any:
            raise AssertionError(name)

        __class__ = property(lambda self: 1 / 0)  # type: ignore[assignment]

    login = {"base_url": seeded_emulator.url, "username": "demo", "password": "demo"}
    fresh, awaited = ONE(**login, cache_dir=home / "fresh"), AsyncONE(**login, cache_dir=home / "fresh")
    seeded_emulator.requests.reset()
    names = {"fresh": fresh, "awaited": awaited, "trap": Trap(), "eid": Trap()}
    for source in ("fresh.search(lab='", "awaited.search(lab='", "trap.search(lab='", "fresh.load_object(eid, '",
                   "fresh.alyx.rest('", "trap.alyx.rest('", "fresh.harvest('s"):  # fmt: skip
        assert completions(source, "", names)[1] == []
    assert seeded_emulator.requests.count() == 0
    assert not (home / "fresh").exists()


def test_rows_of_remote_searches_are_completed(seeded_emulator: Emulator, tmp_path: Path) -> None:
    login = {"base_url": seeded_emulator.url, "username": "demo", "password": "demo"}
    with opened("blocking", **login, cache_dir=tmp_path, silent=True) as face:
        _, frame = face.ask("search", True)
        found = completions("one.search(subject='", "", {"one": face._one})[1]  # type: ignore[attr-defined]
    assert {text.rstrip("'") for text in found} == set(frame["subject"])


@settings(max_examples=60, deadline=None)
@given(
    st.sets(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8), min_size=1, max_size=6)
    | st.sets(st.text("\\'\"\n\t ,é\u2028", min_size=1, max_size=5), min_size=1, max_size=6),
    st.sampled_from(["", "'", '"', "'''", '"""']),
    st.sampled_from(["lab", "subject", "task_protocol"]),
)
def test_the_completed_source_evaluates_to_the_value(names: set[str], quote: str, term: str) -> None:
    rows = sessions_frame(len(names)).with_columns(pl.Series(term, sorted(names)))
    one = AsyncONE(cache_dir="nowhere", mode="local")
    one._context.frozen = Catalogue.from_frames(rows, datasets_frame(rows))
    written, texts, _ = completions(f"one.search({term}={quote}", "", {"one": one})
    assert written == ""
    assert {ast.literal_eval(quote + text) for text in texts} == names
    for name in names:  # the first characters complete the name, too
        if quote:
            begin = f"one.search({term}={quote}" + name[:1].encode("unicode_escape").decode().replace(
                quote[0], f"\\{quote[0]}"
            )
            written, texts, _ = completions(begin, "", {"one": one})
            made = {
                ast.literal_eval(begin[begin.index("=") + 1 : len(begin) - len(written)] + text)
                for text in texts
            }
            assert made == {one for one in names if one.startswith(name[0])}


def test_insertions_are_completed() -> None:
    rows = sessions_frame(2)
    probes = pl.DataFrame(
        {"pid": ["a", "b"], "eid": rows["eid"], "name": ["probe00", "probe01"], "serial": ["1", "2"]}
    )
    one = AsyncONE(cache_dir="nowhere", mode="local")
    one._context.frozen = Catalogue.from_frames(rows, datasets_frame(rows), insertions=probes)
    for method in ("search_insertions(", "eid2pid('x', ", "quality("):
        assert completions(f"one.{method}name='", "", {"one": one})[1] == ["probe00'", "probe01'"]
        assert completions(f"one.{method}serial=", "", {"one": one})[1] == ['"1"', '"2"']
        assert completions(f"one.{method}model=", "", {"one": one})[1] == []  # no such column
    assert completions("one.search(name='", "", {"one": one})[1] == []


def test_the_number_of_completions_is_limited() -> None:
    rows = sessions_frame(1000).with_columns(subject=pl.Series([f"s{number:04}" for number in range(1000)]))
    one = AsyncONE(cache_dir="nowhere", mode="local")
    one._context.frozen = Catalogue.from_frames(rows, datasets_frame(rows))
    _, texts, _ = completions("one.search(subject='", "", {"one": one})
    assert texts == [f"s{number:04}'" for number in range(200)]
    assert completions("one.search(subject='s099", "", {"one": one})[1] == [
        f"s{n:04}'" for n in range(990, 1000)
    ]


def test_the_extension_can_be_reloaded_and_unloaded(one: ONE, home: Path) -> None:
    shell = InteractiveShell(user_ns={"one": one})
    for magic in ("load_ext", "reload_ext", "load_ext"):
        shell.run_line_magic(magic, "one_async")
        assert completed(shell, "one.search(lab='")
        assert len(shell.Completer.custom_matchers) == 1
    shell.run_line_magic("unload_ext", "one_async")
    assert not shell.Completer.custom_matchers
    assert completed(shell, "one.search(lab='") == []


def test_a_kernel_completes_values(seeded_emulator: Emulator, tmp_path: Path) -> None:
    jupyter_client = pytest.importorskip("jupyter_client")
    options = {"base_url": seeded_emulator.url, "username": "demo", "password": "demo", "silent": True, "mode": "auto",
               "cache_dir": str(tmp_path)}  # fmt: skip
    code = f"%load_ext one_async\nfrom one_async import ONE\none = ONE(**{options!r})\neids = one.search()"
    manager = jupyter_client.KernelManager(kernel_name="python3")
    manager.start_kernel(extra_arguments=["--HistoryManager.enabled=False"])
    client = manager.client()
    try:
        client.start_channels()
        client.wait_for_ready(timeout=60)
        assert client.execute(code, reply=True, timeout=60)["content"]["status"] == "ok"
        source = "x = 1\none.search(\n    lab='')"
        cursor = source.index("'") + 1
        answer = client.complete(source, cursor, reply=True, timeout=60)["content"]
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
    assert "cortexlab" in answer["matches"]
    assert (answer["cursor_start"], answer["cursor_end"]) == (cursor, cursor)


def test_importing_one_async_does_not_load_completion() -> None:
    code = (
        "import json, sys, one_async\nassert one_async.load_ipython_extension\n"
        "print(json.dumps([name for name in sys.modules if 'completion' in name or name == 'IPython']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert json.loads(done.stdout) == []


def test_keys_in_brackets_are_completed() -> None:
    report = HarvestReport(
        server="s", started="2024-01-01", endpoints={"sessions": EndpointReport(endpoint="sessions")}
    )  # type: ignore[arg-type]
    shell = InteractiveShell(user_ns={"report": report})
    with provisionalcompleter():
        assert [one.text for one in shell.Completer.completions("report['", 8)] == ["sessions"]


# ---- lists of the database


def rows_of(server: Emulator, endpoint: str) -> list[dict[str, Any]]:
    """Return a list as httpx reads it."""
    headers = {"authorization": f"Token {server.token('demo')}"}
    with httpx.Client(base_url=server.url, headers=headers) as client:
        found: list[dict[str, Any]] = client.get(f"/{endpoint}", params={"limit": 1000}).json()["results"]
    return found


def offered(source: str, names: Mapping[str, Any]) -> set[str]:
    """Return the completed values, once a list that is read in the background is there."""
    end = time.monotonic() + 30
    while not (texts := completions(source, "", names)[1]) and time.monotonic() < end:
        time.sleep(0.02)
    return {ast.literal_eval(f"'{text}") for text in texts}


@pytest.mark.parametrize(
    ("call", "endpoint", "field"),
    [
        ("one.search(users='", "users", "username"),
        ("one.search(us='", "users", "username"),
        ("one.search(dataset_types='", "dataset-types", "name"),
        ("one.search(procedures='", "procedures", "name"),
        ("one.search(location='", "locations", "name"),
        ("one.search_insertions(tag='", "tags", "name"),
        ("one.search(atlas_acronym='", "brain-regions", "acronym"),
        ("one.registration.register_session('x', users='", "users", "username"),
        ("one.register_session('x', users='", "users", "username"),
        ("one.registration.register_weight('x', 20.5, user='", "users", "username"),
        ("one.type2datasets('x', '", "dataset-types", "name"),
        ("one.search(lab='", "labs", "name"),
        ("one.search(subject='", "subjects", "nickname"),
        ("one.search(projects='", "projects", "name"),
    ],
)
def test_what_tables_do_not_have_comes_from_lists_of_the_database(
    seeded_emulator: Emulator, home: Path, call: str, endpoint: str, field: str
) -> None:
    login = {"base_url": seeded_emulator.url, "username": "demo", "password": "demo"}
    expected = sorted({row[field] for row in rows_of(seeded_emulator, endpoint)})
    with ONE(**login, cache_dir=home / "remote", mode="remote", silent=True) as one:
        assert completions(call, "", {"one": one})[1] == []  # a client that has asked nothing asks nothing
        one.alyx.rest()
        assert offered(call, {"one": one}) == set(expected[:200])
        first = expected[0][:2]
        assert offered(f"{call}{first}", {"one": one}) == {
            name for name in expected if name.startswith(first)
        }
        seeded_emulator.requests.reset()
        assert offered(call, {"one": one}) == set(expected[:200])
        assert seeded_emulator.requests.count("/") == 0


def test_a_list_that_cannot_be_read_is_not_asked_for_at_each_key(home: Path) -> None:
    with Emulator() as server:
        login = {"base_url": server.url, "username": "demo", "password": "demo"}
        with ONE(**login, cache_dir=home / "broken", mode="remote", silent=True) as one:
            one.alyx.rest()
            server.faults.add("/users", status=403)
            for _ in range(5):
                assert completions("one.search(users='", "", {"one": one})[1] == []
                time.sleep(0.05)
            assert server.requests.count("/users") <= 1
            assert completions("one.search(nobody='", "", {"one": one})[1] == []
            one.mode = "local"
            assert completions("one.search(tag='", "", {"one": one})[1] == []
            assert server.requests.count("/tags") == 0
