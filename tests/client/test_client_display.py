"""The display of clients, records, settings, spike sorting and harvests is correct, escaped, without secrets or requests."""

from __future__ import annotations

import copy
import json
import os
import pickle
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from html_pages import HOSTILE, Page, texts
from one_async import ONE
from one_async.client.cards import InsertionRecord, SessionRecord, _ages
from one_async.client.many import Loaded
from one_async.client.spikes import SpikeSorting
from one_async.emulator import Emulator
from one_async.harvest.report import EndpointReport, HarvestReport
from one_async.refresh import TablesInfo
from one_async.settings import OPEN_ALYX, resolve
from one_async.tables.build import make_parquet_db

from .conftest import Make
from .faces import Face
from .worlds import World

SECRET = "hidden-word"
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)
FIELDS = ("id", "subject", "start_time", "number", "users", "qc", "extended_qc", "narrative", "probe_insertion",
          "data_dataset_session_related")  # fmt: skip


class Printer:
    """Accept what IPython's printer accepts."""

    def __init__(self) -> None:
        self.written = ""

    def text(self, text: str) -> None:
        self.written += text


def printed(show: Any) -> str:
    printer = Printer()
    show(printer, False)
    assert all(len(line) <= 80 for line in printer.written.split("\n")[1:])
    return printer.written


def test_a_client_that_was_not_used(make: Make, seeded_server: Emulator, tmp_path: Path) -> None:
    one = make(seeded_server)
    page = Page(one.look("_repr_html_")())
    for text in (
        one.look("__repr__")(),
        seeded_server.url,
        "demo",
        "remote",
        "not in memory",
        str(tmp_path / "cache"),
    ):
        assert text in page.texts
    text = printed(one.look("_repr_pretty_"))
    assert text.startswith(one.look("__repr__")() + "\n")
    assert "not in memory" in text
    assert len(seeded_server.requests) == 0
    assert not list((tmp_path / "cache").rglob("*.pqt"))


def test_a_client_with_tables(make: Make, seeded_server: Emulator) -> None:
    one = make(seeded_server, mode="auto")
    one.ask("load_cache")
    rows, created = one.look("tables_info").rows, one.look("tables_info").created
    seeded_server.requests.reset()
    html = one.look("_repr_html_")()
    assert f"{rows['sessions']:,} sessions, {rows['datasets']:,} datasets" in html
    assert f"made {created:%Y-%m-%d %H:%M} (" in html
    assert "checked less than a minute ago" in html
    assert len(seeded_server.requests) == 0


def test_a_client_of_a_frozen_set(make: Make, seeded: World, seeded_server: Emulator, tmp_path: Path) -> None:
    eid = seeded.session("CX_003", "2023-09-22")["id"]
    make(seeded_server).ask("freeze", [eid], tmp_path / "frozen.json")
    one = make(seeded_server, frozen=tmp_path / "frozen.json")
    assert "frozen set of 1 sessions" in one.look("_repr_html_")()


def test_no_secret_is_shown(make: Make, seeded_server: Emulator) -> None:
    one = make(
        seeded_server,
        token="f00d" * 10,
        password=SECRET,
        data_server=f"http://d:{SECRET}@127.0.0.1:1/",
        data_server_password=SECRET,
    )
    settings = one.look("settings")
    for shown in (
        one.look("_repr_html_")(),
        printed(one.look("_repr_pretty_")),
        settings._repr_html_(),
        printed(settings._repr_pretty_),
    ):
        assert SECRET not in shown
        assert "f00d" not in shown
    assert "set, not shown" in settings._repr_html_()
    assert settings.base_url in Page(settings._repr_html_()).texts


def test_settings_of_odd_folders(tmp_path: Path) -> None:
    settings = resolve(base_url="https://alyx.example.org", cache_dir=tmp_path / "<script>")
    assert str(tmp_path / "<script>") in Page(settings._repr_html_()).texts


def test_ages_of_tables() -> None:
    now = datetime.now()
    info = TablesInfo(
        created=now - timedelta(days=9, hours=1), checked=now - timedelta(hours=2, minutes=1), expired=True
    )
    made, checked = _ages(info)
    assert made.endswith("(9 days ago)")
    assert checked == "checked 2 hours ago (expired)"
    assert next(_ages(TablesInfo(created=now.astimezone(UTC) + timedelta(days=1)))).endswith(
        "(less than a day ago)"
    )
    assert list(_ages(TablesInfo())) == []


def test_a_record_is_a_card_and_a_dictionary(one: Face, recorded: World, recorded_server: Emulator) -> None:
    eid = str(recorded.session("ibl_summit_29", "2023-03-28")["id"])
    record, of_server = one.ask("get_details", eid, full=True), one.ask("alyx.rest", "sessions", "read", eid)
    assert type(record) is SessionRecord
    assert record == of_server
    assert json.loads(json.dumps(record)) == of_server
    assert repr(record) == repr(of_server)
    for again in (pickle.loads(pickle.dumps(record)), copy.copy(record), copy.deepcopy(record)):
        assert again == record
        assert again._repr_html_() == record._repr_html_()
    assert pl.DataFrame([record], infer_schema_length=None).height == len(pd.DataFrame([record])) == 1
    page = Page(record._repr_html_())
    collections = {one["collection"] for one in of_server["data_dataset_session_related"]}
    for text in (eid, "ibl_summit_29 2023-03-28 #1", "FAIL", *filter(None, collections)):
        assert text in page.texts
    assert page.links == []
    for insertion in of_server["probe_insertion"]:
        assert f"{insertion['name']} {insertion['id']}" in page.texts
        assert insertion["id"] in printed(record._repr_pretty_)
    counts = {}
    for dataset in of_server["data_dataset_session_related"]:
        counts[dataset["collection"]] = counts.get(dataset["collection"], 0) + 1
    for name, count in counts.items():
        assert f"{count:,}" == page.texts[page.texts.index(name or "(none)") + 1]


def test_an_insertion_is_a_card_and_a_dictionary(
    one: Face, recorded: World, recorded_server: Emulator
) -> None:
    eid = str(recorded.session("ibl_summit_29", "2023-03-28")["id"])
    pids, records = one.ask("search_insertions", session=eid, details=True)
    assert one.ask("eid2pid", eid, details=True)[2] == sorted(records, key=lambda record: record["name"])
    for pid, record in zip(pids, records, strict=True):
        of_server = one.ask("alyx.rest", "insertions", "list", id=str(pid))[0]
        assert type(record) is InsertionRecord
        assert record == of_server
        assert json.loads(json.dumps(record)) == of_server
        assert pickle.loads(pickle.dumps(record))._repr_html_() == record._repr_html_()
        page, text = Page(record._repr_html_()), printed(record._repr_pretty_)
        assert page.links == []
        assert f"{record['name']} of ibl_summit_29 2023-03-28 #1" in page.texts
        for shown in (str(pid), eid, of_server["model"], of_server["session_info"]["lab"]):
            assert shown in page.texts
            assert shown in text
        for dataset in of_server["datasets"]:
            assert str(dataset) not in text
        assert text.count("\n") < 20


def test_an_insertion_of_the_tables_is_a_card() -> None:
    row = {"id": "p", "session": "e", "name": "probe00", "model": None, "serial": "18194852892"}
    record = InsertionRecord(row)
    assert printed(record._repr_pretty_).split() == [
        "probe00",
        "pid",
        "p",
        "eid",
        "e",
        "serial",
        "18194852892",
    ]
    assert Page(record._repr_html_()).texts == ["probe00", "pid", "p", "eid", "e", "serial", "18194852892"]


def test_only_insertions_of_the_public_database_have_links() -> None:
    record = {
        "id": "e",
        "probe_insertion": [
            {"id": "069c2674-80b0-44b4-a3d9-28337512967f", "name": "<b>"},
            {"id": "x&y=\"'", "name": "b"},
        ],
    }
    record["url"] = f"{OPEN_ALYX}/sessions/e"  # another server may send anything here
    for base_url in (None, "https://alyx.example.org", f"{OPEN_ALYX}.example.org"):
        assert Page(SessionRecord(record, base_url)._repr_html_()).links == []
    first, second = Page(SessionRecord(record, OPEN_ALYX)._repr_html_()).links
    assert first.endswith("pid=069c2674-80b0-44b4-a3d9-28337512967f")
    assert second.endswith("pid=x%26y%3D%22%27")
    for entry, link in zip(record["probe_insertion"], (first, second), strict=True):
        assert Page(InsertionRecord(entry)._repr_html_()).links == []  # type: ignore[arg-type]
        assert Page(InsertionRecord(entry, OPEN_ALYX)._repr_html_()).links == [link]  # type: ignore[arg-type]


@given(
    st.dictionaries(st.sampled_from(FIELDS), JSON),
    st.lists(st.dictionaries(st.sampled_from(["id", "name", "collection", "file_size"]), JSON), max_size=2),
)
def test_any_record_can_be_shown(record: dict[str, Any], entries: list[dict[str, Any]]) -> None:
    for shown in (record, {**record, "probe_insertion": entries, "data_dataset_session_related": entries}):
        for base_url in (OPEN_ALYX, None):
            Page(SessionRecord(shown, base_url)._repr_html_())
        printed(SessionRecord(shown)._repr_pretty_).encode()


@given(
    st.dictionaries(
        st.sampled_from(["id", "session", "name", "model", "json", "datasets", "session_info"]), JSON
    ),
    st.dictionaries(st.sampled_from(["subject", "projects", "qc", "n_units", "extended_qc"]), JSON),
)
def test_any_insertion_can_be_shown(record: dict[str, Any], inner: dict[str, Any]) -> None:
    for shown in (record, {**record, "json": inner, "session_info": inner}):
        for base_url in (OPEN_ALYX, None):
            Page(InsertionRecord(shown, base_url)._repr_html_())
        printed(InsertionRecord(shown)._repr_pretty_).encode()


@pytest.mark.parametrize("hostile", HOSTILE)
def test_hostile_names_are_text(hostile: str) -> None:
    record = SessionRecord(
        {"id": "e", "subject": hostile, "lab": hostile, "extended_qc": {hostile: hostile}}, OPEN_ALYX
    )
    Page(record._repr_html_())
    assert "<script" not in record._repr_html_()
    assert "\x1b" not in printed(record._repr_pretty_)
    session = {"subject": hostile, "lab": hostile}
    insertion = InsertionRecord({"id": hostile, "name": hostile, "session_info": session}, OPEN_ALYX)
    Page(insertion._repr_html_())
    assert "<script" not in insertion._repr_html_()
    assert "\x1b" not in printed(insertion._repr_pretty_)
    errors = pl.DataFrame(
        {"dataset": [hostile.encode("utf-8", "replace").decode()], "error": ["<img src=x>"]}
    )
    frames = pl.DataFrame({"pid": ["a", "a"]})
    for shown in (
        SpikeSorting(frames, frames, errors),
        Loaded(frames, errors),
        SpikeSorting(frames.to_pandas(), frames.to_pandas(), errors.to_pandas()),
    ):  # type: ignore[arg-type]
        assert "<img src=x>" in Page(shown._repr_html_()).texts  # type: ignore[attr-defined]
    harvest = HarvestReport(server=hostile.encode("utf-8", "replace").decode(), started=datetime.now(UTC))
    harvest.endpoints["x"] = EndpointReport(endpoint="<script>", missing=["<script>"], complete=False)
    Page(harvest._repr_html_())
    Page(harvest["x"]._repr_html_())


@pytest.mark.parametrize("kind_of_frame", [pl.DataFrame, pd.DataFrame])
def test_spike_sorting(kind_of_frame: Any) -> None:
    spikes = kind_of_frame({"pid": ["a"] * 3 + ["b"] * 1997, "times": [0.5] * 2000})
    clusters = kind_of_frame({"pid": ["a", "b"], "cluster_id": [0, 1]})
    found = SpikeSorting(spikes, clusters, kind_of_frame())
    lines = repr(found).split("\n")
    assert lines[0] == "SpikeSorting: 2 insertions"
    assert lines[2].split() == ["spikes", "2,000", "pid,", "times"]
    assert "2,000" in Page(found._repr_html_()).texts
    assert found._asdict().keys() == {"spikes", "clusters", "errors"}
    assert found[0] is spikes
    assert "Loaded" in repr(Loaded(spikes, clusters))
    Page(SpikeSorting(kind_of_frame(), kind_of_frame(), kind_of_frame())._repr_html_())
    assert repr(SpikeSorting(None, None, None))  # type: ignore[arg-type]
    assert Page(SpikeSorting(None, None, None)._repr_html_())  # type: ignore[arg-type]


@pytest.fixture
def tables_of_a_folder(tmp_path: Path) -> Path:
    for subject in "AB":
        path = tmp_path / f"lab/Subjects/{subject}/2024-05-06/001/alf/trials.choice.npy"
        path.parent.mkdir(parents=True)
        np.save(path, np.arange(3))
    make_parquet_db(tmp_path)
    return tmp_path


def test_frames_print_ids_whole_and_leave_other_frames_and_settings_alone(
    tables_of_a_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("POLARS_FMT_STR_LEN", raising=False)
    monkeypatch.setenv("POLARS_TABLE_WIDTH", "300")  # in a narrow terminal, Polars breaks ids as other texts
    with ONE(cache_dir=tables_of_a_folder, mode="local") as one:
        eids, sessions = one.search(details=True)
        frames = {
            "search": sessions,
            "list_datasets": one.list_datasets(eids[0], details=True, keep_eid_index=True),
            "list_datasets of several": one.list_datasets(eids, details=True, keep_eid_index=True)[0],
            "load_many": one.load_many(eids, "trials"),
            "get_details": one.get_details(eids[0], full=True),
            "sql": one.sql("select * from sessions"),
            "first rows": sessions.head(1),
            "columns": sessions[["eid", "subject"]],
        }
    before = dict(os.environ)
    eid = str(eids[0])
    for name, frame in frames.items():
        for text in (str(frame), repr(frame), frame._repr_html_()):
            assert eid in text, name
        assert dict(os.environ) == before
        assert isinstance(frame, pl.DataFrame)
        again = pickle.loads(pickle.dumps(frame))
        assert type(again) is pl.DataFrame
        assert again.equals(frame)
        assert eid not in repr(again), "a frame of the user's"
    assert eid not in repr(pl.DataFrame({"eid": [eid]}))
    for length in ("10", "30"):  # the user's own setting
        monkeypatch.setenv("POLARS_FMT_STR_LEN", length)
        assert eid not in repr(sessions)
        assert eid not in sessions._repr_html_()
        assert os.environ["POLARS_FMT_STR_LEN"] == length
    monkeypatch.setenv("POLARS_FMT_STR_LEN", "100")
    assert eid in repr(sessions)


def test_frames_of_rest_lists_print_ids_whole(
    make: Make, seeded_server: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("POLARS_FMT_STR_LEN", raising=False)
    monkeypatch.setenv("POLARS_TABLE_WIDTH", "2000")
    monkeypatch.setenv("POLARS_FMT_MAX_COLS", "-1")
    frame = make(seeded_server).ask("alyx.frame", "subjects")
    assert str(frame["id"][0]) in repr(frame)
    assert str(frame["id"][0]) in frame._repr_html_()
    assert type(pickle.loads(pickle.dumps(frame))) is pl.DataFrame


def test_frames_of_pandas_stay_those_of_pandas(tables_of_a_folder: Path) -> None:
    with ONE(cache_dir=tables_of_a_folder, mode="local", tables="pandas") as one:
        assert type(one.search(details=True)[1]).__module__.startswith("pandas")


def test_errors_that_are_not_shown_are_counted() -> None:
    errors = pl.DataFrame({"dataset": [f"d{n}" for n in range(7)], "error": ["x"] * 7})
    texts = Page(Loaded(errors.head(0), errors)._repr_html_()).texts
    assert "d4" in texts
    assert "d5" not in texts
    assert "and 2 more" in texts
    assert not any("more" in text for text in Page(Loaded(errors, errors.head(5))._repr_html_()).texts)


def test_a_harvest_has_a_row_for_each_endpoint() -> None:
    report = HarvestReport(
        server="https://alyx.example.org",
        started=datetime(2026, 1, 2, 3, 4, 5, 678, UTC),
        finished=datetime(2026, 1, 2, 3, 5, tzinfo=UTC),
        to=f"s3://key:{SECRET}@bucket",
    )
    for number in range(40):
        name = f"endpoint-{number}"
        report.endpoints[name] = EndpointReport(
            endpoint=name,
            complete=number != 33,
            distinct=1000 + number,
            counted=1000 + number,
            missing=["page 7"] * (number == 33),
        )
    page = Page(report._repr_html_())
    assert page.texts.count("complete") == 39
    assert page.texts[page.texts.index("endpoint-33") + 1] == "INCOMPLETE"
    assert page.texts.index("endpoint-33") < page.texts.index("endpoint-0")
    assert {"2026-01-02 03:04:05 UTC", "2026-01-02 03:05:00 UTC"} <= set(page.texts)
    assert "page 7" in page.texts
    assert "1,039" in page.texts
    assert SECRET not in report._repr_html_() + repr(report)
    lines = repr(report).split("\n")
    assert "INCOMPLETE, 40 endpoints" in lines[0]
    assert len(lines) <= 20
    assert max(map(len, lines)) <= 80
    assert [line.split()[1] for line in lines if line.startswith("  endpoint-33 ")] == ["INCOMPLETE"]
    assert "endpoint-33" in repr(report["endpoint-33"])
    Page(HarvestReport(server="x", started=datetime.now(UTC))._repr_html_())
