"""No report, file or error of a harvest contains the password of an address."""

from __future__ import annotations

import pickle
from datetime import UTC, datetime

import pytest

from one_async.errors import OneError
from one_async.harvest import HarvestReport
from one_async.harvest.run import save_report
from one_async.harvest.storage import FolderStorage, ObjectStorage, read, shown_address, storage_of

SECRET = "hidden-word"
ADDRESSES = [
    f"s3://key:{SECRET}@bucket/prefix",
    f"gs://{SECRET}@bucket",
    f"az://user:{SECRET}@container/a/b?x=1",
    f"https://me:{SECRET}@127.0.0.1:1/bucket",
]


def report(to: str | None) -> HarvestReport:
    return HarvestReport(server="https://alyx.example.org", started=datetime.now(UTC), to=to)


@pytest.mark.parametrize("address", ADDRESSES)
def test_a_report_has_no_password(address: str, tmp_path: object) -> None:
    made = report(address)
    assert made.to is not None
    host = address.partition("@")[2]
    assert made.to.endswith(f"@{host}")
    texts = [repr(made), str(made), made.model_dump_json(), repr(pickle.loads(pickle.dumps(made)))]
    assert all(SECRET not in text for text in texts)
    assert SECRET.encode() not in pickle.dumps(made)
    storage = FolderStorage(tmp_path)  # type: ignore[arg-type]
    save_report(storage, made)
    assert SECRET.encode() not in (storage.get("report.json") or b"")
    assert SECRET not in repr(HarvestReport.model_validate_json(made.model_dump_json()))


@pytest.mark.parametrize("to", [None, "folder", "/data/me@lab/harvest", "me@lab/harvest", "s3://bucket/a@b"])
def test_addresses_without_a_password_are_unchanged(to: str | None) -> None:
    assert report(to).to == to


@pytest.mark.parametrize("address", [*ADDRESSES, f"nothing://me:{SECRET}@place"])
def test_no_error_shows_a_password(address: str) -> None:
    pytest.importorskip("obstore")
    with pytest.raises(OneError) as caught:
        read(storage_of(address, {"nonsense_option": "x"}), "x.parquet")
    assert SECRET not in str(caught.value)
    assert SECRET not in repr(vars(caught.value))


def test_addresses_are_shown_without_a_login() -> None:
    storage = ObjectStorage.__new__(ObjectStorage)
    storage._url = ADDRESSES[0]
    assert shown_address(storage, "sessions") == "s3://…@bucket/prefix/sessions"
