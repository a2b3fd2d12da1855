"""Digests of a world's ids, of the MD5s of its .npy and text files, and of all its records."""

from __future__ import annotations

import hashlib
import json

from one_async.emulator.content import World


def digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]


def digests(world: World) -> dict[str, str]:
    datasets = world.records["datasets"]["list"]
    ids = {
        endpoint: [row.get("id") or row.get("url") or row.get("name") for row in held["list"]]
        for endpoint, held in world.records.items()
    }
    # Parquet is left out: its bytes depend on the version of Polars, and so do figures measured from them
    md5s = {row["url"]: row["hash"] for row in datasets if not row["name"].endswith(".pqt")}
    return {"ids": digest(ids), "md5s": digest(md5s), "records": digest([world.records, world.unserved])}


if __name__ == "__main__":
    from one_async.emulator import seeded

    print(json.dumps(digests(seeded.world())))
