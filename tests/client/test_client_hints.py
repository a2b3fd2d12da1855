"""What errors and warnings tell someone who is near to the right call."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import numpy as np
import pytest

from one_async import ONE
from one_async.emulator import Emulator
from one_async.errors import ALFObjectNotFound, EmptySearchWarning, InputError
from one_async.tables.build import make_parquet_db

FILES = (
    "alf/trials.choice.npy",
    "alf/trials.contrast.npy",
    "alf/probe00/spikes.times.npy",
    "alf/probe01/spikes.times.npy",
)


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ONE]:
    root = tmp_path_factory.mktemp("my data")
    for name in FILES:
        path = root / "lab/Subjects/A B/2024-05-06/001" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path, np.arange(3))
    make_parquet_db(root)
    with ONE(cache_dir=root, mode="local") as client:
        yield client


@pytest.mark.parametrize(
    ("arguments", "parts", "hint"),
    [
        (("spikes",), {"collection": "probe00"}, "; it is in 'alf/probe00', 'alf/probe01'"),
        (("spikes", "alf"), {}, "; it is in 'alf/probe00', 'alf/probe01'"),
        (("trials", "alf/"), {}, "; it is in 'alf'"),
        (("trials",), {"attribute": "table"}, "; its files are trials.choice.npy, trials.contrast.npy"),
        (("trials", "alf"), {"extension": "pqt"}, "; its files are trials.choice.npy, trials.contrast.npy"),
        (("trails",), {}, "; did you mean 'trials'? It has spikes, trials"),
    ],
)
def test_an_object_that_is_elsewhere(
    one: ONE, arguments: tuple[str, ...], parts: dict[str, str], hint: str
) -> None:
    with pytest.raises(ALFObjectNotFound) as caught:
        one.load_object(one.search()[0], *arguments, **parts)
    assert str(caught.value).endswith(hint)


def test_arguments_in_the_wrong_order(one: ONE) -> None:
    eid = one.search()[0]
    with pytest.raises(InputError, match=r"^eid='trials' is not valid"):
        one.load_object("trials", eid)  # type: ignore[call-overload]
    with pytest.raises(InputError, match=r"^eid='trials.table.pqt' is not valid"):
        one.load_dataset("trials.table.pqt", eid)  # type: ignore[call-overload]
    with pytest.raises(InputError, match=r"^eid='alf' is not valid"):
        one.load_collection("alf", eid)  # type: ignore[call-overload]
    with pytest.raises(InputError, match=r"^eid='trials.table.pqt' is not valid"):
        one.load_datasets(["trials.table.pqt"], eid)  # type: ignore[call-overload]
    with pytest.raises(InputError, match=r"^obj=5 is not valid; accepted: text"):
        one.load_object(eid, 5)  # type: ignore[call-overload]


@pytest.mark.parametrize(
    "path",
    [
        Path("alf/trials.choice.npy"),
        PurePosixPath("alf/trials.choice.npy"),
        PureWindowsPath("alf\\trials.choice.npy"),
    ],
)
def test_a_dataset_may_be_a_path(one: ONE, path: Any) -> None:
    assert one.load_dataset(one.search()[0], path).tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    "path", ["alf/probe00/spikes.times.npy", ["trials.choice.npy", "alf/spikes.times.npy"]]
)
def test_a_search_for_a_path(one: ONE, seeded_emulator: Emulator, tmp_path: Path, path: Any) -> None:
    login = {"base_url": seeded_emulator.url, "username": "demo", "password": "demo"}
    with ONE(**login, cache_dir=tmp_path, mode="remote", silent=True) as remote:
        for client in (one, remote):
            with pytest.warns(EmptySearchWarning, match="takes file names; did you mean 'spikes.times.npy'"):
                assert client.search(datasets=path) == []


@pytest.mark.parametrize(
    ("options", "accepted"),
    [
        ({"cache_dir": 5}, "a path"),
        ({"tables_dir": 5}, "a path"),
        ({"password": 5}, "a valid string"),
        ({"username": 5}, "a valid string"),
    ],
)
def test_what_a_setting_accepts(options: dict[str, Any], accepted: str) -> None:
    with pytest.raises(InputError) as caught:
        ONE(**options)
    assert str(caught.value).endswith(f"is not valid; accepted: {accepted}")
