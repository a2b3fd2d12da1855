"""Ten thousand names at once: as few requests as batches, none with tables; rows and addresses; refused names."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Any
from uuid import UUID

import polars as pl
import pytest

from one_async import ALFPath
from one_async.emulator import Emulator
from one_async.errors import ALFObjectNotFound, ConfigurationError, InputError
from one_async.tables.catalogue import Catalogue
from one_async.tables.disk import save_tables

from .conftest import Make
from .faces import Face
from .worlds import World

MANY = 10_000
BATCH = 60  # the smallest of the batches


def repeated(values: list[Any]) -> list[Any]:
    """Return ten thousand names from those of a world."""
    return (values * -(-MANY // len(values)))[:MANY]


@pytest.fixture
def files(data_one: Face, seeded: World) -> list[ALFPath]:
    """Return the first file of each session that has files."""
    eids = [eid for eid in seeded.eids() if seeded.of(str(eid))]
    folders = data_one.ask("eid2path", eids)
    return [folder / seeded.paths(str(eid))[0] for eid, folder in zip(eids, folders, strict=True)]


CONVERTERS = [
    "to_eid", "eid2path", "path2eid", "eid2ref", "ref2eid", "ref2path", "eid2pid", "pid2eid", "path2record",
    "path2url", "record2path", "record2url",
]  # fmt: skip


def given(one: Face, world: World, files: list[ALFPath], method: str) -> list[Any]:
    eids = world.eids()
    if method.startswith("pid"):
        return repeated([row["id"] for row in world.rows("insertions")])
    if method.startswith("eid"):
        return repeated(eids)
    if method.startswith("record"):
        rows = one.ask("path2record", files)
        return repeated([{**row, "session_path": None, "data_url": None} for row in rows])
    if method in ("path2record", "path2url"):
        return repeated(files)
    refs = one.ask("eid2ref", eids, as_dict=False)
    return repeated(refs if method.startswith("ref") else [folder.parent for folder in files])


@pytest.mark.parametrize("method", CONVERTERS)
def test_ten_thousand_names_in_batches(
    data_one: Face, seeded: World, seeded_server: Emulator, files: list[ALFPath], method: str
) -> None:
    names = given(data_one, seeded, files, method)
    data_one.ask("alyx.clear_rest_cache")
    data_one.ask("search_terms")
    seeded_server.requests.reset()
    found = data_one.ask(method, names)
    assert len(found) == MANY
    assert found[0] == data_one.ask(method, names[0])
    assert 0 < len(seeded_server.requests) <= -(-MANY // BATCH)
    # the world has some hundred sessions, and each is requested once
    assert len(seeded_server.requests) <= 4 * -(-len(seeded.sessions) // BATCH)


@pytest.mark.parametrize("method", CONVERTERS)
def test_tables_give_the_same_without_a_request(
    make: Make, data_one: Face, seeded: World, seeded_server: Emulator, files: list[ALFPath], method: str
) -> None:
    names = given(data_one, seeded, files, method)
    expected = data_one.ask(method, names)
    server = expected[0].partition("/data/")[0] + "/data" if method.endswith("url") else None
    one = make(seeded_server, cache_dir=data_one.look("cache_dir"), data_server=server)
    one.ask("refresh_cache", "refresh")
    one.ask("search_insertions")
    one.put("mode", "local")
    seeded_server.requests.reset()
    found = one.ask(method, names)
    assert len(seeded_server.requests) == 0
    if method == "path2record":
        known = list(found[0])
        expected = [{name: row[name] for name in known} for row in expected]
    assert found == expected


def test_records_go_there_and_back(data_one: Face, files: list[ALFPath]) -> None:
    some = files[:3]
    records = data_one.ask("path2record", some)
    assert [record["rel_path"] for record in records] == [
        path.relative_to(ALFPath(data_one.look("cache_dir")) / record["session_path"]).as_posix()
        for path, record in zip(some, records, strict=True)
    ]
    assert data_one.ask("record2path", records) == some
    assert data_one.ask("record2path", [[records[0]], records[1]]) == [[some[0]], some[1]]
    assert data_one.ask("record2path", pl.DataFrame(records)) == some
    as_paths = {name: PurePosixPath(records[0][name]) for name in ("rel_path", "session_path")}
    assert data_one.ask("record2path", {**records[0], **as_paths}) == some[0]
    assert data_one.ask("record2url", records) == data_one.ask("path2url", some)
    folders = [path.session_path() for path in some]
    sessions = data_one.ask("path2record", folders)
    assert [session["eid"] for session in sessions] == [str(eid) for eid in data_one.ask("path2eid", folders)]
    assert data_one.ask("record2path", sessions) == folders
    urls = data_one.ask("path2url", some)
    assert [record["did"] for record in data_one.ask("path2record", urls)] == [
        record["did"] for record in records
    ]
    with_id = [path.with_uuid(UUID(record["did"])) for path, record in zip(some, records, strict=True)]
    assert data_one.ask("path2record", with_id) == records
    assert data_one.ask("path2record", some[0].with_uuid(UUID(int=4))) is None
    assert data_one.ask("path2record", ["/no/session", folders[0] / "no.such.npy"]) == [None, None]
    assert data_one.ask("path2record", "\\".join(some[0].parts[1:]))["did"] == records[0]["did"]
    padded = str(some[0]).replace("/001/", "/1/")
    assert data_one.ask("path2record", padded)["did"] == records[0]["did"]


def test_rows_that_name_no_file_are_refused(
    data_one: Face, seeded: World, seeded_server: Emulator, files: list[ALFPath]
) -> None:
    (row,) = data_one.ask("path2record", files[:1])
    listed = data_one.ask("list_datasets", row["eid"], details=True)
    kept = data_one.ask("list_datasets", row["eid"], details=True, keep_eid_index=True)
    assert data_one.ask("record2path", kept)[0].parent.is_relative_to(data_one.look("cache_dir"))
    assert data_one.ask("record2path", listed) == data_one.ask("record2path", kept)
    seeded_server.requests.reset()
    wrong: list[Any] = [
        None, 3, b"ab", UUID(int=1), "x", {"did": "1"}, {"rel_path": "a.b.npy"}, [row, None], [3],
        {"subject": "a"},
    ]  # fmt: skip
    for method, argument in (("record2path", "dataset"), ("record2url", "record")):
        for value in wrong:
            with pytest.raises(InputError, match=f"^{argument}=.*accepted"):
                data_one.ask(method, value)
    for method, argument in (("path2record", "path"), ("path2url", "filepath")):
        for value in (None, 3, b"x", {"a": 1}, [str(files[0]), 3]):
            with pytest.raises(InputError, match=f"^{argument}=.*accepted"):
                data_one.ask(method, value)
    assert len(seeded_server.requests) == 0


PURE: list[tuple[str, Any]] = [
    ("ref2dict", {"a": 1}),
    ("ref2dict", {"subject": "a", "date": "nonsense", "sequence": 1}),
    ("ref2dict", 3),
    ("ref2dict", ["2020-01-01_1_a", None]),
    ("path2ref", 3),
    ("path2ref", {"a": 1}),
    ("path2ref", b"x"),
    ("dict2ref", 3),
    ("dict2ref", {"subject": "a"}),
]


@pytest.mark.parametrize(("method", "value"), PURE, ids=str)
def test_pure_helpers_refuse_what_they_cannot_read(data_one: Face, method: str, value: Any) -> None:
    with pytest.raises(InputError, match="accepted"):
        data_one.look(method)(value)


@pytest.mark.parametrize("method", ["eid2path", "eid2ref", "get_details", "eid2pid", "list_datasets"])
def test_the_refusal_names_the_argument(data_one: Face, method: str) -> None:
    with pytest.raises(InputError, match=r"^eid="):
        data_one.ask(method, ["nonsense"])


def test_addresses_in_auto_mode_come_from_the_database(
    make: Make, data_one: Face, seeded_server: Emulator, files: list[ALFPath]
) -> None:
    one = make(seeded_server, cache_dir=data_one.look("cache_dir"), cache_rest=None)
    one.ask("refresh_cache", "refresh")
    one.put("mode", "auto")
    expected = data_one.ask("path2url", files)
    seeded_server.requests.reset()
    assert one.ask("path2url", files) == expected
    assert len(seeded_server.requests) <= -(-len(files) // 75) + 1
    assert one.ask("record2url", one.ask("path2record", files[0])) == expected[0]
    for mode in ("auto", "remote"):
        with pytest.raises(ALFObjectNotFound):
            one.ask("path2url", [files[0], files[0].parent / "no.such.npy"], query_type=mode)
    assert one.ask("path2url", files[0].parent / "no.such.npy", query_type="local") is None
    with pytest.raises(ConfigurationError, match="data_server"):
        one.ask("path2url", files[0], query_type="local")


def test_files_that_the_tables_lack_are_asked_for(
    make: Make, data_one: Face, seeded_server: Emulator, files: list[ALFPath], tmp_path: Path
) -> None:
    whole = make(seeded_server, cache_dir=data_one.look("cache_dir"))
    whole.ask("refresh_cache", "refresh")
    catalogue = Catalogue.open(data_one.look("cache_dir"))
    eid = str(data_one.ask("path2eid", files[0]))
    some = catalogue.replace(datasets=catalogue.dataset_table.frame().filter(pl.col("eid") == eid))
    save_tables(some, tmp_path / "tables", clobber=True)
    one = make(seeded_server, cache_dir=data_one.look("cache_dir"), tables_dir=tmp_path / "tables")
    assert one.ask("path2record", files[1], query_type="local") is None
    seeded_server.requests.reset()
    records = one.ask("path2record", [*files[:3], files[0].parent / "no.such.npy"], query_type="auto")
    assert seeded_server.requests.count("/datasets") == 1
    assert seeded_server.requests.count("/sessions") == 0
    expected = data_one.ask("path2record", files[:3])
    assert [record and record["did"] for record in records] == [*(record["did"] for record in expected), None]


def test_nested_lists_keep_their_shape(data_one: Face, seeded: World) -> None:
    eids = seeded.eids()[:3]
    assert data_one.ask("to_eid", [[eids[0]], [[eids[1]], []], eids[2]]) == [
        [eids[0]],
        [[eids[1]], []],
        eids[2],
    ]
    assert data_one.ask("to_eid", [[], []]) == [[], []]
    assert data_one.ask("to_eid", (eid for eid in eids)) == eids


def by_type(world: World) -> dict[str, str]:
    return {row["url"][-36:]: row["dataset_type"] for row in world.rows("datasets")}


def test_types_of_datasets_in_batches(data_one: Face, seeded: World, seeded_server: Emulator) -> None:
    types = by_type(seeded)
    dids = list(types)[:300]
    data_one.ask("search_terms")
    seeded_server.requests.reset()
    assert data_one.ask("dataset2type", dids) == [types[did] for did in dids]
    assert seeded_server.requests.count("/datasets") == -(-300 // 75)
    assert data_one.ask("dataset2type", ["_ibl_trials.table.pqt", UUID(dids[0])]) == [
        "trials.table",
        types[dids[0]],
    ]
    with pytest.raises(ALFObjectNotFound):
        data_one.ask("dataset2type", [dids[0], UUID(int=1)])


@pytest.mark.parametrize("wrong", [3, b"x", {"did": 1}, "", []], ids=str)
def test_what_is_no_dataset_is_refused_before_any_request(
    data_one: Face, seeded_server: Emulator, wrong: Any
) -> None:
    seeded_server.requests.reset()
    for method in ("dataset2type", "describe_dataset"):
        if (method, wrong) != ("dataset2type", []):
            with pytest.raises(InputError, match="accepted"):
                data_one.ask(method, wrong)
    assert len(seeded_server.requests) == 0


def test_types_of_an_unknown_session(data_one: Face, seeded: World) -> None:
    with pytest.raises(ALFObjectNotFound):
        data_one.ask("type2datasets", UUID(int=3), "spikes.times")
    assert data_one.ask("type2datasets", seeded.eids()[0], "no.such") == []


def test_relations_of_aggregates(data_one: Face) -> None:
    with pytest.raises(InputError, match=r"relation='bogus'.*subjects"):
        data_one.ask("list_aggregates", "bogus")
    with pytest.raises(InputError, match="identifier"):
        data_one.ask("list_aggregates", "subjects", "KS0[")
    assert not data_one.ask("list_aggregates", "Subjects").is_empty()


def test_tables_that_cannot_be_saved(
    make: Make, seeded_server: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = make(seeded_server)
    one.ask("refresh_cache", "refresh")
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    with pytest.raises(ConfigurationError, match="save_dir"):
        one.ask("save_cache", blocked / "below", clobber=True)


@pytest.mark.parametrize(
    ("name", "folder", "expected"),
    [
        ("alf/a.b.npy", "l/Subjects/s/2020-01-01/001", "l/Subjects/s/2020-01-01/001/alf/a.b.{}.npy"),
        ("a.b.c.tar", "", "a.b.c.{}.tar"),
        ("alf/v1.2/README", "s/2020-01-01/001", "s/2020-01-01/001/alf/v1.2/README.{}"),
        (None, "s/2020-01-01/001", "s/2020-01-01/001"),
    ],
)  # fmt: skip
def test_addresses_have_the_id_before_the_suffix(
    make: Make, seeded_server: Emulator, name: str | None, folder: str, expected: str
) -> None:
    one = make(seeded_server, mode="local", data_server="https://data.example.org/")
    did = str(UUID(int=7))
    row: dict[str, Any] = {"did": did, "rel_path": name, "session_path": folder}
    if name is None:
        row = {"subject": "s", "date": "2020-01-01", "number": 1, "rel_path": None}
    assert one.ask("record2url", row) == f"https://data.example.org/{expected.format(did)}"


WRONG_FILTERS: list[tuple[str, tuple[Any, ...], dict[str, Any], str]] = [
    ("load_dataset", ({"nonsense": "a"},), {}, "nonsense"),
    ("load_dataset", (3,), {}, "dataset"),
    ("load_dataset", ("a.b.npy",), {"collection": 3}, "collection"),
    ("load_dataset", ("a.b.npy",), {"revision": ["x"]}, "revision"),
    ("load_dataset", ("a.b.npy",), {"qc": "nonsense"}, "qc"),
    ("load_dataset", ("alf/a.b.npy",), {"collection": "alf"}, "collection"),
    ("load_object", ("trials",), {"nonsense": "a"}, "nonsense"),
    ("load_object", (3,), {}, "^obj="),
    ("load_object", ("trials",), {"attribute": [3]}, "attribute"),
    ("load_collection", (3,), {}, "collection"),
    ("load_collection", ("alf",), {"object": 3}, "object"),
    ("load_datasets", (["a.b.npy", 3],), {}, "datasets"),
    ("load_datasets", (["a.b.npy"],), {"collections": ["a", "b"]}, "collections"),
    ("load_many", ("trials",), {"nonsense": "a"}, "nonsense"),
    ("load_many", ("trials",), {"revision_policy": "newest"}, "revision_policy"),
    ("download", (3,), {}, "filename"),
    ("download", ({"nonsense": "a"},), {"dry_run": True}, "nonsense"),
    ("download", (), {"collection": 3}, "collection"),
]


@pytest.mark.parametrize(("method", "given", "options", "named"), WRONG_FILTERS, ids=str)
def test_wrong_filters_are_refused_before_any_request(
    data_one: Face, seeded: World, seeded_server: Emulator, method: str, given: Any, options: Any, named: str
) -> None:
    ref = data_one.ask("eid2ref", seeded.eids()[0], as_dict=False)  # finding this session takes a request
    data_one.ask("alyx.clear_rest_cache")
    seeded_server.requests.reset()
    for eids in ([ref], ref):
        with pytest.raises(InputError, match=named):
            data_one.ask(method, eids, *given, **options)
    assert len(seeded_server.requests) == 0
    for call in (
        lambda: data_one.ask("list_aggregates", "subjects", dataset={"nonsense": "a"}),
        lambda: data_one.ask("load_aggregate", "subjects", "a", 3),
        lambda: data_one.ask("load_spike_sorting", [UUID(int=1)], qc="nonsense"),
    ):
        with pytest.raises(InputError):
            call()
    assert len(seeded_server.requests) == 0
