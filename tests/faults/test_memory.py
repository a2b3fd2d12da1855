"""Memory use in remote mode is the same after 50,000 mixed calls as after 5,000."""

from __future__ import annotations

import gc
import itertools
import random
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from one_async import ONE
from one_async.emulator import Emulator

CALLS, SETTLED, SPARE = 50_000, 5_000, 20 * 1024**2


@pytest.fixture(scope="module")
def emulator() -> Iterator[Emulator]:
    with Emulator() as running:
        yield running


@pytest.mark.slow
def test_memory_does_not_grow_over_fifty_thousand_remote_calls(emulator: Emulator, tmp_path: Path) -> None:
    login = {"base_url": emulator.url, "username": "demo", "password": "demo"}
    chance, process, seen = random.Random(5), psutil.Process(), {}
    with ONE(**login, cache_dir=tmp_path, mode="remote", progress=False) as one:
        eids = one.search()
        subjects = one.list_subjects()
        calls = itertools.cycle(
            [
                lambda: one.search(subject=chance.choice(subjects)),
                lambda: one.list_datasets(chance.choice(eids)),
                lambda: one.eid2ref(chance.choice(eids)),
                lambda: one.get_details(chance.choice(eids)),
                lambda: one.search_insertions(subject=chance.choice(subjects)),
            ]
        )
        for number, call in enumerate(itertools.islice(calls, CALLS), 1):
            call()
            if number in (SETTLED, CALLS):
                emulator.requests.reset()  # the server is a part of this process
                gc.collect()
                seen[number] = process.memory_info().rss
    assert seen[CALLS] - seen[SETTLED] < SPARE, seen
