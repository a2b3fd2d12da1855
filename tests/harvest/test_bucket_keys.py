"""No file of a harvest has the keys of a repository's bucket, which Alyx shows to its users."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest

from one_async import ONE
from one_async.emulator import Emulator

DETAILS = {
    "bucket_name": "b", "region_name": "eu-west-2", "Access key ID": "AKIAEXAMPLE", "Secret access key": "geheim-4711",
    "Session token": "sitzung-0815",
}  # fmt: skip


@pytest.mark.parametrize("tidy", [False, True])
def test_bucket_keys_are_not_stored(tmp_path: Path, tidy: bool) -> None:
    with Emulator() as emulator:
        name = emulator.store.select('SELECT name FROM "data-repository"')[0][0]
        emulator.store.update("data-repository", name, json=DETAILS)
        login = {"base_url": emulator.url, "username": "demo", "password": "demo"}
        with ONE(**login, cache_dir=tmp_path / "cache") as one:
            seen = one.alyx.rest("data-repository", "read", id=name, no_cache=True)
            assert seen["json"]["Secret access key"] == "geheim-4711"
            report = one.harvest("data-repository", to=tmp_path / "lake", tidy=tidy)
            assert report.complete
            held = one.harvest("data-repository", tidy=tidy)
    for file in (tmp_path / "lake").rglob("*"):
        if file.is_file():
            content = file.read_bytes()
            if file.suffix == ".parquet":
                content += json.dumps(pl.read_parquet(file).to_dicts(), default=str).encode()
            assert not any(word in content for word in (b"geheim-4711", b"AKIAEXAMPLE", b"sitzung-0815")), (
                file
            )
    rows = held.frames["data-repository"].filter(name=name)
    assert json.loads(rows["json"][0]) == {"bucket_name": "b", "region_name": "eu-west-2"}
