"""Serve 3,000 sessions by an emulator in a separate process; print its address and serve until the input ends."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

from one_async.emulator import Emulator, World, recorded

RECORDS = Path(__file__).parents[1] / "data" / "alyx"


def enlarged(world: World, count: int) -> World:
    """Return the world with earlier copies of its sessions without datasets, so that it has ``count`` sessions."""
    sessions = world.records["sessions"]
    rows, details = list(sessions["list"]), dict(sessions["detail"])
    for number in range(count - len(rows)):
        row = sessions["list"][number % len(sessions["list"])]
        eid = str(UUID(int=0x1234_0000_0000_4000_8000_0000_0000_0000 + number))
        start = datetime(2018, 1, 1) - timedelta(hours=number)
        own: dict[str, Any] = {
            "id": eid,
            "url": row["url"].replace(row["id"], eid),
            "start_time": start.isoformat(),
        }
        rows.append({**row, **own})
        details[eid] = {
            **details[row["id"]],
            **own,
            "parent_session": None,
            "data_dataset_session_related": [],
            "wateradmin_session_related": [],
            "probe_insertion": [],
            "field_of_view": [],
            "notes": [],
        }
    return replace(world, records={**world.records, "sessions": {"list": rows, "detail": details}})


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--sessions", type=int, default=3000)
    parser.add_argument("--latency", type=float, default=0.0, help="milliseconds")
    given = parser.parse_args()
    with Emulator(enlarged(recorded(RECORDS), given.sessions), latency=given.latency / 1000) as server:
        print(json.dumps({"url": server.url, "token": server.token("demo")}), flush=True)
        for _ in sys.stdin:
            print(json.dumps({"peak": server.connections_peak}), flush=True)


if __name__ == "__main__":
    main()
