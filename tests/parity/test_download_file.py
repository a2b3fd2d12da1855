"""`AlyxClient.download_file` answers as ONE-api's does."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

from download_calls import calls
from runner import interpreter

from one_async import AlyxClient
from one_async.emulator import Emulator
from one_async.settings import resolve

SCRIPT = Path(__file__).with_name("download_calls.py")


def test_each_call_returns_what_one_api_returns(tmp_path: Path) -> None:
    with Emulator() as emulator:
        base, folder = f"{emulator.url}/data/", tmp_path / "ours"
        settings = resolve(
            base_url=emulator.url,
            username="demo",
            password="demo",
            cache_dir=folder,
            data_server=base.rstrip("/"),
        )
        with AlyxClient(settings=settings) as alyx:
            eid = alyx.rest("sessions", "list", datasets="_ibl_trials.table.pqt")[0]["id"]
            rows = alyx.rest("sessions", "read", id=eid)["data_dataset_session_related"]
            names = [row["data_url"].removeprefix(base) for row in rows if row["data_url"]][:2]
            ours = calls(alyx, base, names, folder)
        (tmp_path / "theirs").mkdir()
        task = {"url": emulator.url, "base": base, "names": names, "folder": str(tmp_path / "theirs")}
        done = subprocess.run(
            [interpreter(), str(SCRIPT)], input=json.dumps(task), capture_output=True, text=True, check=False,
            env={**os.environ, "HOME": str(tmp_path), "PYTHONPATH": ""},
        )  # fmt: skip
    found = [line for line in done.stdout.splitlines() if line.startswith("RESULT ")]
    assert found, done.stderr[-2000:]
    theirs = json.loads(found[0].removeprefix("RESULT "))
    assert json.loads(json.dumps(ours)) == theirs
    assert [answer for answer in theirs if answer[0] == "error"] == [["error", 416], ["error", 404]]
