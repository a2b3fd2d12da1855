"""Make the same writing calls with ONE-api and with `ONE`, each with its own server and folders, and compare the rows afterwards.

Not compared, since ONE-api and the recordings disagree, or since the difference is intended: a session that is registered again
keeps its start, users and type here; the same water or weight is not registered twice; bad values are rejected here before
a request is sent.
"""

from __future__ import annotations

import json
import random
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from runner import interpreter

from one_async import ONE
from one_async.emulator import Emulator
from one_async.registration import get_dataset_type
from registration import folders

HERE = Path(__file__).parent
DATA = Path(__file__).parents[1] / "data"
Call = tuple[str, list[Any], dict[str, Any]]
TRIALS, WHEEL = "alf/_ibl_trials.table.pqt", "alf/_ibl_wheel.position.npy"
SPIKES, RAW = "alf/probe00/spikes.times.npy", "raw_behavior_data/_iblrig_taskData.raw.jsonable"


def path(
    day: int, name: str = "", subject: str = "KS046", lab: str | None = "cortexlab", number: str = "001"
) -> str:
    """A path below the root of each side; each session has its own day."""
    head = f"{lab}/Subjects/" if lab else "plain/"
    return "{root}/" + f"{head}{subject}/2025-01-{day:02d}/{number}" + (f"/{name}" if name else "")


def put(day: int, *names: str, content: str = "", **where: Any) -> Iterator[Call]:
    for name in names:
        yield "write", [path(day, name, **where), f"{content}{day}{name}"], {}


def call(method: str, *args: Any, **kwargs: Any) -> Call:
    return method, list(args), kwargs


def sessions() -> Iterator[Call]:
    fields: list[dict[str, Any]] = [
        {}, {"users": "bruno"}, {"users": ["alice", "bruno"]}, {"projects": "practice"}, {"projects": ["practice"]},
        {"procedures": ["Behavior training/tasks"]}, {"location": "_iblrig_cortexlab_behavior_0"},
        {"n_trials": 10, "n_correct_trials": 4}, {"json": {"a": {"b": [1, 2]}}}, {"task_protocol": "p1"},
        {"type": "Base"}, {"start_time": "2025-01-12T09:30:00.5"}, {"end_time": "2025-01-13T10:00:00"},
        {"lab": "cortexlab"}, {"file_list": False}, {"file_list": True},
    ]  # fmt: skip
    for day, given in enumerate(fields, 1):
        yield from put(day, TRIALS, WHEEL, "log.txt", "alf/some.thing.npy")
        yield call("register_session", path(day), **given)
    for day, where in (
        (20, {"lab": None}),
        (21, {"subject": "RV_2240", "lab": "riverlab"}),
        (22, {"number": "007"}),
    ):
        yield from put(day, TRIALS, SPIKES, RAW, **where)
        yield call("register_session", path(day, **where))
    yield from put(23, TRIALS)
    yield call(
        "register_session", path(23, number="001"), users="alice", projects="practice", lab="cortexlab"
    )


def again() -> Iterator[Call]:
    for day in range(1, 5):
        yield from put(day, TRIALS, WHEEL, SPIKES)
        for _ in range(2):
            yield call("register_session", path(day))
        yield from put(day, WHEEL, RAW, content="changed")
        yield call("register_session", path(day))


def files() -> Iterator[Call]:
    options: list[dict[str, Any]] = [
        {}, {"versions": "1.2"}, {"versions": ["1", "2", "3"]}, {"default": False}, {"repository": "cortexlab_SR"},
        {"repository": "flatiron_cortexlab"}, {"server_only": True}, {"exists": False}, {"max_md5_size": 5},
        {"created_by": "bruno"}, {"qc": "PASS"}, {"repository": "flatiron_cortexlab", "exists": False},
    ]  # fmt: skip
    for day, given in enumerate(options, 1):
        yield call("register_session", path(day), file_list=False)
        yield from put(day, TRIALS, WHEEL, SPIKES)
        yield call("register_files", [path(day, name) for name in (TRIALS, WHEEL, SPIKES)], **given)
    yield call("register_files", path(1, TRIALS))
    yield from put(2, WHEEL, content="changed")
    yield call("register_files", [path(1, TRIALS), path(2, WHEEL), path(3, SPIKES)], default=False)
    yield call("register_files", [path(3, TRIALS)], repository="flatiron_cortexlab")


def revisions() -> Iterator[Call]:
    for day in (1, 2):
        yield from put(day, TRIALS, WHEEL)
        yield call("register_session", path(day))
        for name in ("alf/#2025-01-20#/_ibl_trials.table.pqt", "alf/#2024-01-20#/_ibl_trials.table.pqt"):
            yield from put(day, name)
            yield call("register_files", path(day, name), default=day == 1)
        yield call("register_session", path(day))
    given = {"subject": "KS014", "lab": "cortexlab"}
    yield "write", ["{root}/cortexlab/Subjects/KS014/2019-12-04/001/" + WHEEL, "new"], {}
    yield "write", ["{root}/cortexlab/Subjects/KS014/2019-12-04/001/" + TRIALS, "new"], {}
    yield call(
        "register_files", ["{root}/cortexlab/Subjects/KS014/2019-12-04/001/" + one for one in (WHEEL, TRIALS)]
    )
    yield (
        "write",
        ["{root}/cortexlab/Subjects/KS014/2019-12-04/001/alf/#z1#/_ibl_wheel.position.npy", "z"],
        {},
    )
    yield call(
        "register_files", "{root}/cortexlab/Subjects/KS014/2019-12-04/001/alf/#z1#/_ibl_wheel.position.npy"
    )
    yield from put(5, TRIALS, **given)
    yield call("register_session", path(5, **given))


def water() -> Iterator[Call]:
    eid = "e5bd39ee-79e9-4ac3-9c80-486cd7272ac1"
    for hour, (volume, given) in enumerate([
        (1.0, {}), (0.12345678, {}), (12.345678, {}), (2, {"adlib": True}), (1.0, {"water_type": "Hydrogel"}),
        (1.0, {"user": "bruno"}), (1.0, {"session": eid}), (1.0, {"session": path(31).replace("2025-01", "2024-12")}),
        (3.33333, {"adlib": False, "user": "alice"}),
    ], 8):  # fmt: skip
        when = f"2025-01-14T{hour:02d}:00:00"
        yield call("register_water_administration", "KS046", volume, date_time=when, **given)
    for hour, weight in enumerate((20, 20.5, 20.123456, 0.5, 123.456, 9.8765, 1234.5678), 8):
        yield call("register_weight", "KS046", weight, f"2025-01-14T{hour:02d}:00:00")
    yield call("register_weight", "RV_2240", 21.0, date_time="2025-01-14", user="bruno")


def creations() -> Iterator[Call]:
    for day in (1, 2, 3):
        yield call("create_new_session", "KS046", "{root}/cortexlab/Subjects", f"2025-01-{day:02d}")
    yield call(
        "create_new_session", "KS046", "{root}/plain", "2025-01-04", projects="practice", users=["bruno"]
    )
    yield call("create_new_session", "KS046", "{root}/plain", "2025-01-05", register=False)
    for day, register in ((10, False), (11, True)):
        yield from put(day, TRIALS, "create_me.flag")
        yield call("create_sessions", "{root}", register_files=register)


SCENARIOS = {one.__name__: list(one()) for one in (sessions, again, files, revisions, water, creations)}


def filled(value: Any, root: Path) -> Any:
    return json.loads(json.dumps(value).replace("{root}", str(root)))


def ask_oracle(server: Emulator, calls: list[Call], tmp_path: Path) -> list[str | None]:
    home = tmp_path / "home"
    home.mkdir()
    login = {
        "base_url": server.url,
        "username": "alice",
        "password": "alice",
        "data_server": f"{server.url}/data",
    }
    spec = {
        "home": str(home),
        "cache_dir": str(tmp_path / "oracle"),
        "server": login,
        "calls": filled(calls, tmp_path / "theirs"),
    }
    (tmp_path / "theirs").mkdir()
    done = subprocess.run(
        [interpreter(), str(HERE / "oracle_registration.py")],
        input=json.dumps(spec), capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    found: list[str | None] = json.loads(done.stdout)
    return found


def ask_ours(server: Emulator, calls: list[Call], tmp_path: Path) -> None:
    root = tmp_path / "ours"
    root.mkdir()
    with ONE(
        base_url=server.url, username="alice", password="alice", cache_dir=tmp_path / "c", mode="remote"
    ) as one:
        for method, args, kwargs in filled(calls, root):
            if method == "write":
                folders.write(Path(args[0]), args[1])
            else:
                getattr(one.registration, method)(*args, **kwargs)


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_the_same_calls_write_the_same_rows(scenario: str, tmp_path: Path) -> None:
    calls = SCENARIOS[scenario]
    with Emulator(records=DATA / "alyx") as theirs, Emulator(records=DATA / "alyx") as ours:
        before = folders.state(theirs)
        assert ask_oracle(theirs, calls, tmp_path) == [None] * len(calls)
        ask_ours(ours, calls, tmp_path)
        expected, found = folders.state(theirs), folders.state(ours)
    for table, rows in expected.items():
        assert found[table] == rows, table
    assert any(expected[table] != before[table] for table in expected)


def test_there_are_enough_calls() -> None:
    assert sum(method != "write" for calls in SCENARIOS.values() for method, _, _ in calls) >= 80


def test_dataset_types_are_those_of_one_api() -> None:
    """`get_dataset_type` accepts and rejects the same 600 names as ONE-api."""
    with Emulator(records=DATA / "alyx") as server:
        types = [record[1] for record in server.store.records("dataset-types", range(1, 55))]
    chance = random.Random(1)
    objects, attributes = (
        ("trials", "wheel", "spikes", "licks", "obj", "mpci", "camera"),
        ("times", "table", "position", "attr"),
    )
    names = [
        f"{chance.choice(('', '_ibl_', '_iblrig_'))}{chance.choice(objects)}.{chance.choice(attributes)}"
        f"{chance.choice(('', '_bpod', '.raw', '.probe00'))}.{chance.choice(('npy', 'pqt', 'csv', 'NPY'))}"
        for _ in range(600)
    ] + ["x", "spikes", "a.b", "", ".npy", "_ibl_.npy"]  # fmt: skip
    given = json.dumps([types, names])
    code = (
        "import json, sys; from one.registration import get_dataset_type\n"
        "types, names = json.load(sys.stdin)\n"
        "def ask(name):\n"
        "    try: return get_dataset_type(name, types)['name']\n"
        "    except ValueError: return None\n"
        "print(json.dumps([ask(name) for name in names]))"
    )
    done = subprocess.run(
        [interpreter(), "-c", code], input=given, capture_output=True, text=True, check=True
    )
    for name, expected in zip(names, json.loads(done.stdout.splitlines()[-1]), strict=True):
        try:
            found = get_dataset_type(name, types)["name"]
        except ValueError:
            found = None
        assert found == expected, name
