"""Every keyword of ONE-api's public functions is accepted here or has a reason, and calls by keyword alone return the same answers.

`inspect` reads ONE-api's own signatures in ONE-api's environment; ours are those of `one_async.compat`, which stands in for it.
"""

# ruff: noqa: E501 - rows of tables

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import calls
import compare
import kept
import keyword_functions
import keywords
import names
import pytest
from runner import Bench, interpreter, prepare
from worlds import Facts, facts

from one_async.emulator import Emulator

SCRIPT = Path(__file__).with_name("keywords.py")
#: Functions of ours that pass keywords on, and the functions that receive them.
PASSED_ON = {
    "one.api.ONE": "one_async.sync.ONE",
    "one.webclient.http_download_file": "one_async.sync.AlyxClient.download_file",
    "one.params.setup": "one_async.settings.setup",
}
HERE_ALL = "all that ONE-api documents are named here: "
ITSELF = "the path itself; of the class, the first argument by position"
#: Keywords that are not accepted, by function, and why.
REASONS: dict[str, dict[str, str]] = {
    "one.api.One.load_cache": {"**": "ONE-api does nothing with them"},
    "one.webclient.AlyxClient.download_file": {"**": HERE_ALL + "chunks, clobber, return_md5, headers, silent, target_dir"},
    "one.webclient.AlyxClient.get": {"**": HERE_ALL + "expires, clobber, no_cache"},
    "one.alf.io.AlfBunch": {"**": "a dictionary's: any keyword"},
    "one.alf.path.PosixALFPath": {"**": "pathlib's, which does nothing with them"},
    "one.alf.path.WindowsALFPath": {"**": "pathlib's, which does nothing with them"},
    "one.alf.path.ALFPath.is_valid_alf": {"path": ITSELF},
    "one.alf.path.PureALFPath.is_valid_alf": {"path": ITSELF},
    "one.alf.path.PureALFPath.is_session_path": {"path": ITSELF},
    "one.alf.path.PureALFPath.with_padded_sequence": {"path": ITSELF},
    "one.alf.cache.remove_missing_datasets": {"tables": "a Catalogue, as `catalogue`; without it, the folder's own tables"},
    "one.registration.RegistrationClient.prepare_files": {"content_type": "files of sessions only"},
    "one.registration.RegistrationClient.check_protected_files": {"**": "files of sessions only"},
    "one.registration.RegistrationClient.register_water_administration": {"**": HERE_ALL + "date_time, water_type, user, session, adlib"},
}  # fmt: skip
#: Methods, or keywords of methods, that no call uses, and why.
WRITES = "writes: test_writing.py"
NOT_GIVEN: dict[str | tuple[str, str], str] = {
    **dict.fromkeys(("post", "put", "patch", "delete"), WRITES),
    **{f"json_field_{name}": WRITES for name in ("write", "update", "remove_key", "delete")},
    ("rest", "data"): WRITES,
    ("rest", "files"): WRITES,
    ("authenticate", "token"): "a token is that of one login",
    **dict.fromkeys(
        ("print_endpoint_info", "rel_path2url", "download_cache_tables"), "not here: docs/parity.md"
    ),
    ("load_collection", "revision"): "ONE-api takes it for the collection, see kept.py",
    "load_cache": "the answer is a time: tests/modes",
    "save_cache": "the answer is the folder here, and nothing in ONE-api",
    "setup": "the answer is a client in ONE-api; one.params.setup is called",
}


def more_calls(known: Facts) -> list[list[Any]]:
    """Return calls that use the keywords that the table of calls does not use."""
    session = next(one for one in known.pick(4) if known.shows_all(one["eid"]))
    eid, remote = session["eid"], {"query_type": "remote"}
    rows = known.datasets.filter(known.datasets["eid"] == eid).sort("rel_path")
    name, did = next(
        (path, did)
        for path, did in rows.select("rel_path", "did").iter_rows()
        if path.startswith("alf/_ibl_trials.")
    )
    url = next(
        row["file_records"][0]["data_url"]
        for row in known.records["datasets"]["list"]
        if row["url"].endswith(did)
    )
    place = f"$CACHE/{session['lab']}/Subjects/{session['subject']}/{session['date']}/{session['number']:03d}"
    pid = next(row["id"] for row in known.insertions)
    checked = {"check_hash": False, "download_only": True, **remote}
    return [
        [
            "alyx.authenticate",
            [],
            {"username": "demo", "password": "demo", "cache_token": True, "force": True},
        ],
        ["alyx.download_file", [], {"url": url.partition("data.test/")[2], "target_dir": "$CACHE/downloads"}],
        *(["eid2path", [eid], remote], ["eid2pid", [eid], remote], ["pid2eid", [pid], remote]),
        *([method, [eid], remote] for method in ("list_datasets", "list_collections", "list_revisions")),
        *([method, [f"{place}/{name}"], remote] for method in ("path2eid", "path2url")),
        ["get_details", [eid], remote],
        ["list_aggregates", ["subjects"], {"assert_unique": False}],
        ["load_dataset", [eid, name], checked],
        [
            "load_datasets",
            [eid, [name.removeprefix("alf/")]],
            {"collections": "alf", "revisions": [None], **checked},
        ],
        ["load_object", [eid, "trials"], {"collection": "alf", "revision": None, **checked}],
        ["load_collection", [eid, "alf"], {"object": "trials", **checked}],
        ["load_dataset_from_id", [did], {"check_hash": False, "download_only": True}],
        ["to_eid", [f"{place}/alf"], {"cache_dir": "$CACHE"}],
        ["save_loaded_ids", [], {"sessions_only": True, "clear_list": True}],
    ]


def list_keywords(python: str, *arguments: str, given: str = "", home: Path) -> dict[str, Any]:
    """Run the script that lists keywords and return its answer."""
    done = subprocess.run(
        [python, str(SCRIPT), *arguments], input=given, capture_output=True, text=True, check=False, cwd=home,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    return list_keywords(interpreter(), home=tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="module")
def ours(
    theirs: dict[str, list[str]], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, list[str] | str | None]:
    home = tmp_path_factory.mktemp("home")
    return list_keywords(sys.executable, "compat", given=json.dumps(list(theirs)), home=home)


def test_every_keyword_is_accepted_or_has_a_reason(
    theirs: dict[str, list[str]], ours: dict[str, list[str] | str | None]
) -> None:
    assert len(theirs) > 200
    unknown, met = {}, set()
    for name, wanted in theirs.items():
        taken = ours[name]
        if not isinstance(taken, list):
            continue
        if name in PASSED_ON:
            assert "**" in taken, name
            taken = [*taken, *keywords.keywords(keywords.find(PASSED_ON[name]))]
        reasons = REASONS.get(name, {})
        missing = [one for one in wanted if one not in taken]
        met |= {(name, one) for one in missing if one in reasons}
        if unexplained := [one for one in missing if one not in reasons]:
            unknown[name] = unexplained
    assert not unknown
    assert met == {
        (name, one) for name, reasons in REASONS.items() for one in reasons
    }  # every line of REASONS still applies
    assert set(PASSED_ON) <= set(theirs)


def test_absent_names_report_their_replacement(
    theirs: dict[str, list[str]], ours: dict[str, list[str] | str | None]
) -> None:
    """Names that cannot be used have a replacement in their error; missing methods have a reason in the table of names."""
    absent = {name: found for name, found in ours.items() if not isinstance(found, list)}
    for name, found in absent.items():
        owner = ours.get(name.rpartition(".")[0])
        assert (
            isinstance(found, str)
            or isinstance(owner, str)
            or names.place(name).verdict in ("elsewhere", "internal")
        ), name
    assert {"one.webclient.AlyxClient.rel_path2url", "one.util.LazyId"} <= set(absent)


def by_keyword(call: list[Any], known: dict[str, list[str]], mode: str) -> list[Any] | None:
    """Return a call with all its arguments by keyword, or None for a property or a call for each member of a list.

    ONE-api iterates over lists only if they are positional arguments.
    """
    method, args, kwargs = call
    kinds = (
        ("one.webclient.AlyxClient",)
        if method.startswith("alyx.")
        else ("one.api.OneAlyx", "one.api.One", "one.converters.ConversionMixin")
    )
    kinds = kinds if mode == "remote" else kinds[1:]
    parameters = next(
        (
            known[f"{kind}.{method.removeprefix('alyx.')}"]
            for kind in kinds
            if f"{kind}.{method.removeprefix('alyx.')}" in known
        ),
        None,
    )
    if parameters is None or (args and isinstance(args[0], list)):
        return None
    return [method, [], {**dict(zip(parameters, args, strict=False)), **kwargs}]


@pytest.fixture(scope="module")
def given() -> set[tuple[str, str]]:
    """Collect the methods that were called, each with a keyword of the call."""
    return set()


def make_bench(emulator: Emulator, known: Facts, mode: str, folder: Path) -> Bench:
    """Write folders with the files and tables of some sessions."""
    url = emulator.url
    server = {"base_url": url, "username": "demo", "password": "demo", "data_server": f"{url}/data"}
    for who in ("oracle", "compat"):
        prepare(known, folder / who, emulator.world)
    return Bench(folder, mode, server if mode == "remote" else None)


def is_kept(mode: str, call: list[Any], theirs: dict[str, Any], ours: dict[str, Any]) -> bool:
    """Return whether answers differ on purpose."""
    if call[2].get("qc") == "nonsense":  # an error here, also for a session without datasets
        return ours.get("error") == "bad input"
    if (
        call[0] == "get_details" and call[2].get("full") and mode == "local"
    ):  # a session without datasets has no row of datasets
        return ours["value"]["frame"]["rel_path"] == [] and theirs["value"]["frame"]["rel_path"] == [None]
    return kept.reason(call[0], mode, call, theirs, ours) is not None


@pytest.mark.parametrize("mode", ["local", "remote"])
def test_method_calls_by_keyword_return_what_one_api_returns(
    mode: str, theirs: dict[str, list[str]], tmp_path: Path, given: set[tuple[str, str]]
) -> None:
    with Emulator() as emulator:
        known = facts(emulator.world, "seeded")
        bench = make_bench(emulator, known, mode, tmp_path)
        made = [one.call for one in calls.made(known, mode, sessions=1, searches=1)]
        if mode == "remote":
            made += more_calls(known)
        listed = [call for one in made if (call := by_keyword(one, theirs, mode))]
        left, right = bench.oracle(listed), bench.compat(listed)
    wrong = []
    for call, expected, found in zip(listed, left, right, strict=True):
        if not compare.same(call[0], mode, expected, found) and not is_kept(mode, call, expected, found):
            wrong.append(f"{call}\n  ONE-api: {str(expected)[:400]}\n  ours:    {str(found)[:400]}")
        elif "value" in expected:
            given |= {(call[0].removeprefix("alyx."), keyword) for keyword in call[2]}
    assert not wrong, f"{len(wrong)} differ:\n" + "\n".join(wrong[:20])


def test_calls_use_every_keyword_of_the_methods(
    theirs: dict[str, list[str]], given: set[tuple[str, str]]
) -> None:
    if not given:
        pytest.skip("the calls were not made")
    given |= {
        (name.rpartition(".")[2], one)
        for name, one in keyword_functions.called()
        if name.startswith("one.api.")
    }
    classes = (
        "one.api.One.",
        "one.api.OneAlyx.",
        "one.converters.ConversionMixin.",
        "one.webclient.AlyxClient.",
    )
    wanted = {
        (name.rpartition(".")[2], one)
        for name, found in theirs.items()
        if name.startswith(classes)
        for one in found
        if one != "**"
    }
    missing = {pair for pair in wanted - given if pair not in NOT_GIVEN and pair[0] not in NOT_GIVEN}
    assert not missing
    methods = {method for method, _ in given}
    assert not {one for one in NOT_GIVEN if (one in given if isinstance(one, tuple) else one in methods)}


def test_function_calls_by_keyword_return_what_one_api_returns(
    tmp_path: Path, theirs: dict[str, list[str]], ours: dict[str, list[str] | str | None]
) -> None:
    with Emulator() as emulator:
        known = facts(emulator.world, "seeded")
        bench = make_bench(emulator, known, "remote", tmp_path)
        session = next(one for one in known.pick(4) if known.shows_all(one["eid"]))
        did = known.datasets.filter(known.datasets["eid"] == session["eid"])["did"][0]
        place = (
            f"$CACHE/{session['lab']}/Subjects/{session['subject']}/{session['date']}/{session['number']:03d}"
        )
        shared = f"""dset = one.alyx.rest("datasets", "read", id="{did}")
ses = one.alyx.rest("sessions", "read", id="{session["eid"]}")
"""
        lines = [keyword_functions.BEFORE, *(shared + line for line in keyword_functions.LINES)]
        listed = [{"code": line, "names": {"root": "$CACHE", "place": place}} for line in lines]
        left, right = bench.oracle(listed), bench.compat(listed)
    wrong = [
        f"{line.removeprefix(shared)}\n  ONE-api: {str(expected)[:400]}\n  ours:    {str(found)[:400]}"
        for line, expected, found in zip(lines, left, right, strict=True)
        if not compare.same("function", "remote", expected, found)
    ]
    assert not wrong, f"{len(wrong)} differ:\n" + "\n".join(wrong)
    failed = [
        line.removeprefix(shared) for line, answer in zip(lines, left, strict=True) if "error" in answer
    ]
    assert failed == keyword_functions.FAILING
    done, skipped = set(keyword_functions.called()), keyword_functions.NOT_CALLED
    methods = ("one.api.", "one.webclient.AlyxClient", "one.converters.ConversionMixin")
    missing = {
        (name.replace(".path.ALFPath.", ".path.PureALFPath."), one)
        for name, wanted in theirs.items()
        if isinstance(ours[name], list) and not name.startswith(methods)
        for one in wanted
        if one != "**"
    } - done
    assert {name for name, one in missing if name not in skipped and f"{name}:{one}" not in skipped} == set()
    assert not {
        name for name in skipped if tuple(name.split(":")) in done or ((name, "") in done and ":" not in name)
    }
