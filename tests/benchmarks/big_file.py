"""Serve one large file, made on the fly, from a process of its own: ``python big_file.py BYTES`` prints its URL and md5."""

from __future__ import annotations

import hashlib
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

SIZE = int(sys.argv[1])
BLOCK = bytes(range(256)) * 4096  # 1 MiB


class Handler(BaseHTTPRequestHandler):
    """Answers every GET with the file, or the rest of it."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        said = self.headers.get("Range", "bytes=0-")
        start = int(said.removeprefix("bytes=").rstrip("-"))
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{SIZE - 1}/{SIZE}")
        self.send_header("Content-Length", str(SIZE - start))
        self.end_headers()
        at = start
        while at < SIZE:
            piece = BLOCK[at % len(BLOCK) :][: SIZE - at]
            self.wfile.write(piece)
            at += len(piece)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


digest = hashlib.md5(usedforsecurity=False)
for _ in range(SIZE // len(BLOCK)):
    digest.update(BLOCK)
server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
print(f"http://127.0.0.1:{server.server_port}/big.bin", digest.hexdigest(), flush=True)
sys.stdin.read()
server.shutdown()
