"""Several processes at once on one fresh home folder; tests/faults has fifty of them."""

from __future__ import annotations

from pathlib import Path

from one_async.emulator import Emulator

from .processes import check_files, run_at_once
from .worlds import World


def test_six_processes_log_in_at_once(recorded_server: Emulator, recorded: World, tmp_path: Path) -> None:
    users = ["alice", "bruno"] * 3
    found = run_at_once(recorded_server.url, users, tmp_path)
    expected = [str(eid) for eid in recorded.eids(lambda s: s["lab"] == "cortexlab")]
    assert found == [expected] * 6
    check_files(tmp_path, {user: recorded_server.token(user) for user in set(users)})
    assert {r.user for r in recorded_server.requests if r.path == "/sessions"} == {"alice", "bruno"}
