"""Serve one large file by the emulator's file server with 20 ms latency: ``python big_file.py BYTES`` prints its URL and MD5."""

from __future__ import annotations

import hashlib
import sys

from one_async.emulator import Emulator

BLOCK = bytes(range(256)) * 4096  # 1 MiB

data = BLOCK * (int(sys.argv[1]) // len(BLOCK))
with Emulator(file_latency=0.02, files={"big.bin": data}) as emulator:
    print(f"{emulator.url}/data/big.bin", hashlib.md5(data, usedforsecurity=False).hexdigest(), flush=True)
    sys.stdin.read()
