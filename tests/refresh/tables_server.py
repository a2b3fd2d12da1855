"""A server of cache tables with features that the emulator lacks: slow bodies, ranges, and a record of the tokens received."""

from __future__ import annotations

import io
import json
import re
import threading
import time
import zipfile
from datetime import date
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any

import polars as pl

from one_async.tables.disk import write_table

TOKEN = "0123456789" * 4


def generation(folder: Path, name: str, sessions: int = 40, each: int = 20) -> bytes:
    """Return an archive of tables in which every row names its generation."""
    eids = [f"{number:08x}-0000-4000-8000-000000000000" for number in range(sessions)]
    frame = pl.DataFrame(
        {
            "eid": eids,
            "lab": "lab",
            "subject": "mouse",
            "date": date(2024, 1, 1),
            "number": pl.Series([number % 1000 for number in range(sessions)], dtype=pl.UInt16),
            "task_protocol": "",
            "projects": name,
        }
    )
    datasets = (
        pl.DataFrame({"eid": eids}).join(pl.DataFrame({"number": range(each)}), how="cross").with_row_index()
    )
    datasets = datasets.select(
        did=pl.format("{}-1111-4111-8111-111111111111", pl.col("index").cast(pl.String).str.zfill(8)),
        eid="eid",
        rel_path=pl.format("alf/spikes.n{}.npy", "number"),
        file_size=pl.lit(1, pl.UInt64),
        hash=pl.format("{} {}", pl.lit(name), pl.col("index").hash(1)),
        exists=True,
        qc=pl.lit("PASS").cast(pl.Enum(["NOT_SET", "PASS", "WARNING", "FAIL", "CRITICAL"])),
        default_revision=True,
    )
    said = {"date_created": "2025-01-01 00:00", "origin": "made", "min_api_version": "2.10"}
    folder.mkdir(parents=True, exist_ok=True)
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for table, rows in (("sessions", frame), ("datasets", datasets)):
            path = folder / f"{table}.pqt"
            write_table(path, table, rows, said)
            archive.write(path, path.name)
            path.unlink()
        archive.writestr("cache_info.json", json.dumps(said))
    return out.getvalue()


def generations_of(tables: Any) -> set[str]:
    """Return the generations of a catalogue's rows; a whole catalogue has one."""
    return {*tables.session_frame["projects"].unique()} | {
        *tables.datasets().select(pl.col("hash").str.extract(r"^(\S+) ").unique()).collect()["hash"]
    }


class _Server(ThreadingHTTPServer):
    def handle_error(self, request: object, client_address: object) -> None:
        """Ignore errors of clients that were killed."""


class TablesServer:
    """Serve ``/cache/info/`` and ``/cache.zip`` on a port of 127.0.0.1.

    ``pace`` is the number of seconds between pieces of 32 kB; ``ranges`` is whether range requests are answered; ``cut`` is the
    number of bytes after which the next body is cut off.
    """

    def __init__(self, archive: bytes = b"", created: str = "2025-01-01 00:00") -> None:
        self.archive, self.info = (
            archive,
            {"date_created": created, "origin": "made", "min_api_version": "2.10"},
        )
        self.pace, self.ranges, self.cut, self.wait = 0.0, False, 0, 0.0
        self.log: list[tuple[str, str | None, str | None]] = []
        self._server = _Server(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def publish(self, archive: bytes, created: str) -> None:
        self.archive, self.info = archive, {**self.info, "date_created": created}

    def count(self, path: str) -> int:
        return sum(seen.startswith(path) for seen, _, _ in self.log)

    def __enter__(self) -> TablesServer:
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()


def _handler(owner: TablesServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: object) -> None:
            pass

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("content-length", 0)))
            self._send(200, json.dumps({"token": TOKEN}).encode(), "application/json")

        def do_GET(self) -> None:
            owner.log.append((self.path, self.headers.get("authorization"), self.headers.get("range")))
            if self.path.startswith("/cache/info/"):
                time.sleep(owner.wait)
                self._send(200, json.dumps(owner.info).encode(), "application/json")
            elif self.path.partition("?")[0].endswith(".zip"):
                self._zip(owner.archive)
            else:
                self._send(404, b'{"detail": "Not found."}', "application/json")

        def _zip(self, data: bytes) -> None:
            asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("range") or "")
            if not (asked and owner.ranges):
                self._send(200, data, "application/zip")
            elif int(asked[1]) >= len(data):
                self._send(416, b"", "application/zip", {"Content-Range": f"bytes */{len(data)}"})
            else:
                start = int(asked[1])
                fields = {"Content-Range": f"bytes {start}-{len(data) - 1}/{len(data)}"}
                self._send(206, data[start:], "application/zip", fields)

        def _send(self, status: int, body: bytes, kind: str, more: dict[str, str] | None = None) -> None:
            self.send_response(status)
            for name, value in {
                "Content-Type": kind,
                "Content-Length": str(len(body)),
                **(more or {}),
            }.items():
                self.send_header(name, value)
            self.end_headers()
            slow = kind == "application/zip"
            stop, owner.cut = (owner.cut, 0) if slow and owner.cut else (len(body), owner.cut)
            try:
                for start in range(0, stop, 32_768):
                    self.wfile.write(body[start : min(start + 32_768, stop)])
                    time.sleep(owner.pace if slow else 0)
            except ConnectionError:
                self.close_connection = True
            if stop < len(body):
                self.close_connection = True

    return Handler
