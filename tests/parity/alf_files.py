"""Write files of every format and objects of every shape for both packages to load."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import pandas as pd
import yaml

from one_async.files.write import save_metadata, save_object_npy

TEXT_ROWS = [
    "i f b s m z",
    "1 1.5 True foo NA NaN",
    "-2 1e-3 False 7a 4 null",
    "3 inf True NaN -1.5 ",
    "4 0.1 False x_y 3.14159 N/A",
]


def make_files(folder: Path) -> None:
    """Write at least one file of each format."""
    folder.mkdir()
    rng = np.random.default_rng(20240506)
    arrays = {
        "vector": rng.random(50), "column": rng.random((50, 1)), "matrix": rng.random((50, 3)), "cube": rng.random((4, 3, 2)),
        "ints": np.arange(5), "bools": np.array([True, False]), "text": np.array(["a", "bcd"]), "none": np.zeros((0, 2)),
        "times": np.array(["2024-01-01T10:00", "2024-01-02T11:30"], "M8[s]"), "one": np.array([[1.0]]),
        "record": np.array([(1, 2.5)], dtype=[("a", "i4"), ("b", "f8")]), "scalar": np.array(7.0),
    }  # fmt: skip
    for name, array in arrays.items():
        np.save(folder / f"array.{name}.npy", array)
    objects = np.empty(2, dtype=object)
    objects[:] = [{"a": 1}, [1, 2]]
    np.save(folder / "array.objects.npy", objects)
    np.savez(folder / "archive.single.npz", arrays["matrix"])
    np.savez(folder / "archive.several.npz", a=arrays["ints"], b=arrays["column"])
    make_tables(folder, rng)
    for suffix, separator in (("csv", ","), ("tsv", "\t"), ("htsv", "\t"), ("ssv", " ")):
        rows = TEXT_ROWS if separator != " " else TEXT_ROWS[:3]
        (folder / f"text.rows.{suffix}").write_text("\n".join(rows).replace(" ", separator) + "\n")
        (folder / f"text.single.{suffix}").write_text("acronym\nCA1\nVISp\n\nDG\n")
    (folder / "text.quoted.csv").write_text('a,b\n"x, y",1\n"l1\nl2","2"\n')
    (folder / "text.headeronly.csv").write_text("a,b\n")
    (folder / "text.twice.csv").write_text("a,a,\n1,2,3\n")
    numbers = pd.DataFrame(rng.random((200, 4)) * 10.0 ** rng.integers(-9, 9, (200, 4)), columns=list("abcd"))
    numbers.to_csv(folder / "text.numbers.csv", index=False)
    content: dict[str, Any] = {"a": [1, 2.5, None, True], "nested": {"x": "y"}}
    (folder / "notes.a.json").write_text(json.dumps(content))
    (folder / "notes.a.jsonable").write_text(json.dumps(content) + "\n" + json.dumps([1]) + "\n")
    (folder / "notes.a.yaml").write_text(yaml.safe_dump(content))
    (folder / "notes.a.yml").write_text(yaml.safe_dump([1, "x"]))
    for suffix in ("mp4", "bin", "cbin", "ch", "meta", "xyz"):
        (folder / f"raw.data.{suffix}").write_bytes(b"\0\1\2\3")
    (folder / "damaged.a.npy").write_bytes((folder / "array.vector.npy").read_bytes()[:-9])
    (folder / "damaged.a.pqt").write_bytes((folder / "table.plain.pqt").read_bytes()[:-9])
    (folder / "damaged.a.json").write_text("{")
    for suffix in ("npy", "csv", "json", "pqt", "jsonable", "mp4"):
        (folder / f"empty.a.{suffix}").touch()


def make_tables(folder: Path, rng: np.random.Generator) -> None:
    """Write tables with pandas."""
    plain = pd.DataFrame({
        "f": rng.random(6), "i": np.arange(6), "b": rng.random(6) > 0.5, "s": list("abcdef"),
        "c": pd.Categorical(list("xyxyxy")), "t": pd.date_range("2024-01-01", periods=6, freq="h"),
        "gaps": [1.0, np.nan, 3, 4, np.nan, 6], "words": ["a", None, "c", "d", None, "f"],
        "lists": [[1, 2], [3], [], [4], [5], [6]],
    })  # fmt: skip
    plain.to_parquet(folder / "table.plain.pqt")
    plain.to_parquet(folder / "table.plain.parquet")
    plain[plain["i"] > 2].to_parquet(folder / "table.filtered.pqt")
    plain.set_index("s").to_parquet(folder / "table.named.pqt")
    plain.assign(u=[UUID(int=i, version=4) for i in range(6)]).to_parquet(folder / "table.uuids.pqt")


def make_objects(folder: Path) -> None:
    """Write objects, each in a folder whose name begins with the object's name."""
    rng = np.random.default_rng(1)

    def new(name: str) -> Path:
        (folder / name).mkdir(parents=True)
        return folder / name

    data = {"times": rng.random(9), "amps": rng.random((9, 1)), "positions": rng.random((9, 3))}
    save_object_npy(new("spikes-plain"), data, "spikes")
    described = new("spikes-metadata")
    save_object_npy(described, data, "spikes", namespace="ns")
    save_metadata(described / "_ns_spikes.positions.npy", {"columns": ["x", "y", "z"], "unit": "um"})
    save_metadata(described / "_ns_spikes.times.npy", {"unit": "s"})
    named = new("spikes-scales")
    save_object_npy(named, data, "spikes", timescale="bpod", parts=["raw"])
    save_object_npy(named, {"depths": rng.random(9)}, "spikes", timescale="ephys clock")
    trials = pd.DataFrame({
        "intervals_0": rng.random(7), "intervals_1": rng.random(7), "choice": rng.integers(-1, 2, 7),
        "ok": rng.random(7) > 0.5, "stimOn_times": rng.random(7), "side": list("lrlrlrl"),
    })  # fmt: skip
    for name, file in (
        ("trials-table", "_ibl_trials.table.pqt"),
        ("trials-scale", "trials.table_clock.extra.pqt"),
    ):
        trials.to_parquet(new(name) / file)
        np.save(folder / name / "_ibl_trials.goCue_times.npy", rng.random(7))
    trials.set_index(trials.index + 3).to_parquet(new("trials-index") / "trials.table.pqt")
    for name, times in (("points", np.array([[0, 5.0], [8, 9.0]])), ("vector", rng.random((9, 1)))):
        wheel = new(f"wheel-{name}")
        np.save(wheel / "_ibl_wheel.timestamps.npy", times)
        np.save(wheel / "_ibl_wheel.position.npy", rng.random(9))
    save_object_npy(new("wheel-uneven"), {"a": np.zeros(3)}, "wheel")
    save_object_npy(folder / "wheel-uneven", {"b": np.zeros(4)}, "wheel")
    mixed = new("mixed-formats")
    np.save(mixed / "mixed.a.npy", np.arange(3))
    (mixed / "mixed.b.csv").write_text("x\n1\n2\n3\n")
    (mixed / "mixed.c.json").write_text("[1, 2, 3]")
    (mixed / "mixed.d.mp4").write_bytes(b"x")
    new("nothing-here")
    twice = new("twice-namespaces")
    np.save(twice / "_a_twice.x.npy", np.arange(3))
    np.save(twice / "_b_twice.x.npy", np.arange(3))
