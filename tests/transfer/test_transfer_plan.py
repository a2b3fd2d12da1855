"""Plans from records: sources, destinations and refusals."""

from __future__ import annotations

import json
import os
import pickle
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any
from uuid import UUID

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from one_async.errors import InputError, OneError, TransferError, UnsafePath
from one_async.transfer.items import S3Keys
from one_async.transfer.on_disk import safe_relative
from one_async.transfer.plan import Plan, make_plan, quote_url

DID = "02cf9e0e-ae1a-497c-b23c-4d11e9c54247"
SERVER = "https://data.test"
ROW = {
    "id": UUID(DID),
    "eid": "ed4bb8d0-f6c2-4e75-95bf-8014cf3e2df1",
    "session_path": "cortexlab/Subjects/KS014/2020-02-18/001",
    "rel_path": "alf/probe00/#2024-02-15#/spikes.amps.npy",
    "hash": "336be8582f87503679df95d67154e76e",
    "file_size": 1168,
}
AWS = {
    "name": "aws_cortexlab",
    "globus_path": "/data/cortexlab/Subjects/",
    "json": {
        "bucket_name": "a-bucket",
        "region_name": "eu-west-2",
        "Access key ID": "AKIA-FAKE",
        "Secret access key": "s3cret-FAKE",
    },
}
LOCAL = "cortexlab/Subjects/KS014/2020-02-18/001/alf/probe00/#2024-02-15#/spikes.amps.npy"
HTTP = f"{SERVER}/cortexlab/Subjects/KS014/2020-02-18/001/alf/probe00/%232024-02-15%23/spikes.amps.{DID}.npy"


def record(**change: Any) -> dict[str, Any]:
    """Return a record in the form of the datasets endpoint."""
    path = "KS014/2020-02-18/001/alf/probe00/#2024-02-15#/spikes.amps"
    places = [
        {
            "data_repository": "flatiron_cortexlab",
            "data_repository_path": "/cortexlab/Subjects/",
            "relative_path": f"{path}.npy",
            "data_url": f"{SERVER}/cortexlab/Subjects/{path}.{DID}.npy",
            "exists": True,
        },
        {
            "data_repository": "cortexlab_SR",
            "data_repository_path": "/mnt/s0/Data/Subjects/",
            "relative_path": f"{path}.npy",
            "data_url": None,
            "exists": True,
        },
        {
            "data_repository": "aws_cortexlab",
            "data_repository_path": "/data/cortexlab/Subjects/",
            "relative_path": f"{path}.npy",
            "data_url": None,
            "exists": True,
        },
    ]
    made = {
        "url": f"https://alyx.test/datasets/{DID}",
        "session": f"https://alyx.test/sessions/{ROW['eid']}",
        "name": "spikes.amps.npy",
        "collection": "alf/probe00",
        "hash": ROW["hash"],
        "file_size": 1168,
        "file_records": places,
    }
    return made | change


def one(rec: dict[str, Any], **options: Any) -> Any:
    (item,) = make_plan([rec], **options).items
    return item


def test_a_row_a_record_and_a_session_dataset_mean_the_same() -> None:
    detail = {
        "id": DID,
        "data_url": record()["file_records"][0]["data_url"],
        "hash": ROW["hash"],
        "file_size": 1168,
    }
    spelled = {k: v for k, v in ROW.items() if k != "session_path"}
    spelled |= {"lab": "cortexlab", "subject": "KS014", "date": "2020-02-18", "number": 1}
    for rec in (ROW, record(), detail, spelled):
        item = one(rec, data_server=SERVER)
        assert item.did == DID
        assert item.target == LOCAL
        assert [s.url for s in item.sources] == [HTTP]
        assert [s.auth for s in item.sources] == ["data"]
        assert (item.size, item.hash, item.algorithm) == (1168, ROW["hash"], "md5")
        assert item.eid == (None if rec is detail else ROW["eid"])


def test_uuid_filenames() -> None:
    for rec in (ROW, record()):
        kept = one(rec, data_server=SERVER, uuid_filenames=True)
        assert kept.target == LOCAL.replace(".npy", f".{DID}.npy")
        assert kept.sources[0].url == HTTP
    named = ROW | {"rel_path": f"alf/spikes.amps.{DID}.npy"}
    assert one(named, data_server=SERVER).target.endswith("/001/alf/spikes.amps.npy")
    assert (
        one(ROW | {"rel_path": "alf/README"}, data_server=SERVER)
        .sources[0]
        .url.endswith(f"/alf/README.{DID}")
    )


def test_s3_sources() -> None:
    for rec in (ROW, record()):
        item = one(rec, data_server=SERVER, repositories=[AWS])
        assert [s.s3 is None for s in item.sources] == [True, False]
        place = item.sources[1].s3
        assert (place.bucket, place.region, place.endpoint) == ("a-bucket", "eu-west-2", None)
        assert place.key == f"data/{LOCAL}".replace(".npy", f".{DID}.npy")
        assert (place.keys.access, place.keys.secret) == ("AKIA-FAKE", "s3cret-FAKE")
        other = one(rec, data_server=SERVER, repositories=[AWS], s3_endpoint="http://127.0.0.1:1")
        assert other.sources[1].s3.endpoint == "http://127.0.0.1:1"
        assert other.target == item.target == LOCAL
    public = AWS | {"json": {"bucket_name": "public"}}
    assert one(record(), repositories=[public]).sources[1].s3.keys is None
    assert one(record(), repositories=[AWS | {"json": None}]).sources[1:] == ()


def test_keys_are_never_shown_nor_pickled() -> None:
    plan = make_plan([record()], repositories=[AWS])
    assert "FAKE" not in repr(plan)
    assert "FAKE" not in repr(S3Keys("AKIA-FAKE", "s3cret-FAKE"))
    with pytest.raises(TypeError, match="cannot be pickled"):
        pickle.dumps(plan)
    assert pickle.loads(pickle.dumps(make_plan([record()]))).bytes == 1168


def test_credentials_go_to_their_own_server_alone() -> None:
    def auth(url: str) -> str | None:
        options = {"data_server": "https://data.test/private", "base_url": "https://alyx.test"}
        return one({"id": DID, "data_url": url}, **options).sources[0].auth  # type: ignore[no-any-return]

    assert auth("https://data.test/private/lab/x.npy") == "data"
    assert auth("https://data.test/privateer/lab/x.npy") is None
    assert auth("https://data.test.evil.example/private/lab/x.npy") is None
    assert auth("https://data.test@evil.example/private/x.npy") is None
    assert auth("http://data.test/private/lab/x.npy") is None
    assert auth("https://alyx.test/media/x.npy") == "server"
    assert auth("https://alyx.test.evil.example/x/y.npy") is None


def test_the_configured_server_is_tried_first() -> None:
    places = [dict(record()["file_records"][0]) for _ in range(2)]
    places[0]["data_url"] = places[0]["data_url"].replace("data.test", "other.test")
    item = one(record(file_records=places), data_server=SERVER)
    assert [s.url.split("/")[2] for s in item.sources] == ["data.test", "other.test"]


def test_records_without_a_place() -> None:
    gone = [place | {"exists": False} for place in record()["file_records"]]
    assert one(record(file_records=gone)).sources == ()
    assert one(
        {
            "id": DID,
            "data_url": None,
            "rel_path": "alf/a.b.npy",
            "session_path": "l/Subjects/s/2020-01-01/001",
        }
    )
    assert one(ROW).sources == ()
    assert (
        one({"id": DID, "data_url": "file:///etc/passwd", "collection": "alf", "name": "x.y.npy"}).sources
        == ()
    )


@pytest.mark.parametrize(
    ("url", "target"),
    [
        ("https://data.test/aggregates/Subjects/cortexlab/KS014/#2024-02-15#/_ibl_subjectTrials.table.ID.pqt",
         "aggregates/Subjects/cortexlab/KS014/#2024-02-15#/_ibl_subjectTrials.table.pqt"),
        ("https://data.test/public/aggregates/Tags/x/_ibl_subjectTrials.table.ID.pqt",
         "aggregates/Tags/x/_ibl_subjectTrials.table.pqt"),
        ("https://data.test/cortexlab/Subjects/KS014/_ibl_subjectTrials.table.ID.pqt",
         "cortexlab/Subjects/KS014/_ibl_subjectTrials.table.pqt"),
        ("https://data.test/public/a/cortexlab/Subjects/KS014/2020-02-18/001/alf/a b.c.ID.npy",
         "cortexlab/Subjects/KS014/2020-02-18/001/alf/a b.c.npy"),
        ("https://data.test/KS014/2020-02-18/001/x.y.ID.npy", "KS014/2020-02-18/001/x.y.npy"),
    ],
)  # fmt: skip
def test_where_files_go(url: str, target: str) -> None:
    assert one({"id": DID, "data_url": url.replace("ID", DID)}).target == target


def test_every_recorded_dataset_has_the_address_that_alyx_gave() -> None:
    """The rule of the tables (data server, session path, id before the extension) agrees with each data_url."""
    recorded = json.loads((Path(__file__).parent.parent / "data/alyx/records/datasets.json").read_text())[
        "list"
    ]
    checked = 0
    for rec in recorded:
        (item,) = make_plan([rec], on_error="collect").items
        assert not item.error or not item.sources
        for place in rec["file_records"]:
            if place["data_url"] and place["exists"] and rec["session"]:
                session, rel = _split(item.target)
                row = one({"id": item.did, "session_path": session, "rel_path": rel}, data_server=SERVER)
                assert quote_url(place["data_url"]) == row.sources[0].url
                assert row.target == item.target
                checked += 1
    assert checked > 500


def _split(target: str) -> tuple[str, str]:
    parts = target.split("/")
    return "/".join(parts[:5]), "/".join(parts[5:])


def test_two_datasets_for_one_path() -> None:
    other = ROW | {"id": "12cf9e0e-ae1a-497c-b23c-4d11e9c54247", "hash": "0" * 32}
    with pytest.raises(TransferError, match="uuid_filenames=True keeps both"):
        make_plan([ROW, other], data_server=SERVER)
    plan = make_plan([ROW, other, ROW], data_server=SERVER, on_error="collect")
    assert [bool(item.error) for item in plan.items] == [False, True, False]
    assert len(make_plan([ROW, other], data_server=SERVER, uuid_filenames=True)) == 2


def test_bad_records() -> None:
    for bad in ({"id": "no uuid", "data_url": None}, {"id": DID, "rel_path": "x"}):
        with pytest.raises(InputError, match="records"):
            make_plan([bad])
    with pytest.raises(TransferError, match="neither md5 nor sha1"):
        make_plan([ROW | {"hash": "abc"}])


@pytest.mark.parametrize("url", ["http://[::1", "http://host:99999/x", "http:///x"])
def test_an_invalid_address(url: str) -> None:
    with pytest.raises(TransferError, match=r"the address .* is invalid"):
        make_plan([{"id": DID, "data_url": url}])
    plan = make_plan([{"id": DID, "data_url": url}, ROW], data_server=SERVER, on_error="collect")
    assert [bool(item.error) for item in plan.items] == [True, False]
    both = {"id": DID, "file_records": [
        {"data_url": place, "exists": True, "relative_path": "x", "data_repository": "flatiron"}
        for place in (url, f"{SERVER}/lab/Subjects/s/2020-01-01/001/a.b.npy")
    ]}  # fmt: skip
    assert len(one(both).sources) == 1


BAD = [
    *("../x/y", "a/../b", "/etc/passwd", "a//b", "C:/x", "a/C:/x", "a\\b/c", "\\\\host/x"),
    *("a/b\0", "x.npy", ".one/x", "", "a/", "a/.. /b", "a/\n"),
]


@pytest.mark.parametrize("path", BAD)
def test_unsafe_paths(path: str) -> None:
    with pytest.raises(UnsafePath):
        safe_relative(path)
    with pytest.raises(UnsafePath):
        make_plan([{"id": DID, "session_path": "", "rel_path": path}])
    plan = make_plan([{"id": DID, "session_path": "", "rel_path": path}, ROW], on_error="collect")
    assert isinstance(plan.items[0].error, UnsafePath)
    assert plan.items[1].error is None


_PARTS = st.text(st.sampled_from("ab1_#-. :~\\\0\n/é"), max_size=6)


@given(st.lists(_PARTS, min_size=1, max_size=4).map("/".join))
@example("a.b/c..d")
@example("a/.hidden/b.c")
def test_paths_are_accepted_if_all_parts_are_plain_names(path: str) -> None:
    parts = path.split("/")
    names = all(part.strip(" .") and part not in ("..", "~") for part in parts)
    odd = any(part[1:2] == ":" and part[:1].isascii() and part[:1].isalpha() for part in parts)
    accepted = len(parts) > 1 and names and not odd and not set(path) & set("\\\0\n")
    accepted = accepted and not path.startswith(".")
    if accepted:
        assert safe_relative(path) == path
    else:
        with pytest.raises(UnsafePath):
            safe_relative(path)


@pytest.mark.parametrize("path", ["../../etc/passwd", "lab/Subjects/../../../x/y", "/abs/x", "a/%00\0/x"])
def test_unsafe_addresses(path: str) -> None:
    with pytest.raises(UnsafePath):
        make_plan([{"id": DID, "data_url": f"https://data.test/{path}"}])


PIECES = st.sampled_from(
    ["..", ".", "", "/", "\\", "C:", "~", "a", "#2024-01-01#", "alf", ".one", "x.npy", "\0", " ", "é"]
)
PATHS = st.one_of(
    st.text(max_size=30), st.lists(PIECES, max_size=6).map("/".join), st.lists(PIECES).map("".join)
)


@given(PATHS, st.sampled_from(["", "lab/Subjects/s/2020-01-01/001"]), st.booleans())
@example("a/..", "", True)
def test_no_path_leaves_the_folder(path: str, session: str, keep: bool) -> None:
    for rec in (
        {"session_path": session, "rel_path": path},
        {"data_url": f"https://data.test/{session}/{path}"},
    ):
        try:
            plan: Plan = make_plan([{"id": DID, **rec}], uuid_filenames=keep)
        except OneError:
            continue
        (item,) = plan.items
        assert os.path.normpath(f"/cache/{item.target}").startswith("/cache/")
        assert PurePosixPath("/cache", item.target).is_relative_to("/cache/")
        windows = PureWindowsPath("D:/cache", item.target)
        assert windows.is_relative_to("D:/cache/")
        assert ".." not in windows.parts
        assert "\0" not in item.target


@given(st.text(max_size=30))
def test_quoted_addresses_are_ascii_without_fragment(path: str) -> None:
    try:
        url = quote_url(f"https://data.test/{path}")
    except (UnicodeEncodeError, ValueError):
        return
    assert url.isascii()
    assert "#" not in url
    assert " " not in url
