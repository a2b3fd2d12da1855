"""What a user of the blocking face sees of an error: their own line, and a text that names the session and the near miss."""

from __future__ import annotations

import os
import subprocess
import sys
import traceback
from pathlib import Path

import pytest

from one_async import ONE, AsyncONE
from one_async.emulator import Emulator
from one_async.errors import ALFObjectNotFound, InputError, OneError, ServerUnreachable


@pytest.fixture
def one(seeded_emulator: Emulator, tmp_path: Path) -> ONE:
    return ONE(
        base_url=seeded_emulator.url, username="demo", password="demo", cache_dir=tmp_path, silent=True
    )


def files_of(error: BaseException) -> list[str]:
    return [Path(frame.filename).name for frame in traceback.extract_tb(error.__traceback__)]


def test_an_error_shows_the_users_line_and_one_of_ours(one: ONE, tmp_path: Path) -> None:
    down = ONE(base_url="http://127.0.0.1:9", username="u", password="p", cache_dir=tmp_path)
    calls = [
        (ALFObjectNotFound, lambda: one.load_object(one.search(lab="cortexlab")[0], "nothing")),
        (InputError, lambda: one.search(nonsense=1)),
        (InputError, lambda: ONE(mode="nonsense")),  # type: ignore[arg-type]
        (InputError, lambda: list(one.iter_objects(["nonsense"], "trials"))),
        (ServerUnreachable, lambda: down.search(lab="x")),
    ]
    for kind, call in calls:
        with pytest.raises(kind) as caught:
            call()
        names = files_of(caught.value)
        assert set(names) <= {Path(__file__).name, "_bridge.py"}, names
        assert len("".join(traceback.format_exception(caught.value)).splitlines()) <= 14
        assert "direct cause" not in "".join(traceback.format_exception(caught.value))
    assert isinstance(caught.value.__context__, Exception)  # the cause of the last one can still be looked at


def test_all_frames_with_one_debug(one: ONE, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ONE_DEBUG", "1")
    with pytest.raises(InputError) as caught:
        one.search(nonsense=1)
    assert len(files_of(caught.value)) > 4


def test_ipython_shows_at_most_twelve_lines(tmp_path: Path) -> None:
    pytest.importorskip("IPython")
    code = (
        "from IPython.core.interactiveshell import InteractiveShell as S; s = S(); s.colors = 'nocolor'\n"
        's.run_cell(\'from one_async import ONE; one = ONE(base_url="http://127.0.0.1:9", username="u", password="p")\')\n'
        "s.run_cell('one.search(lab=\"x\")')"
    )
    env = {
        **os.environ,
        "PYTHONPATH": ":".join(sys.path),
        "IPYTHONDIR": str(tmp_path),
        "ONE_CACHE_DIR": str(tmp_path),
    }
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, env=env, check=True
    )
    shown = [line for line in done.stdout.splitlines() if line.strip()]
    assert any("ServerUnreachable: http://127.0.0.1:9" in line for line in shown), done.stdout + done.stderr
    assert len(shown) <= 12
    assert not any(word in done.stdout for word in ("_loop.py", "anyio", "asyncio"))


def test_texts_name_the_session_and_the_nearest_name(one: ONE) -> None:
    eid = one.search(lab="cortexlab", datasets="spikes.times.npy")[0]
    record = one.get_details(eid)
    said = f"{record['subject']} {record['date']} #{record['number']} ({eid})"
    calls = {
        "did you mean 'trials'? It has ": lambda: one.load_object(eid, "trails"),
        "did you mean 'spikes.times.npy'?": lambda: one.load_dataset(eid, "spikes.time.npy"),
        "did you mean 'alf'? It has alf, ": lambda: one.load_collection(eid, "alfs"),
    }
    for text, call in calls.items():
        with pytest.raises(ALFObjectNotFound) as caught:
            call()
        assert str(caught.value).startswith(said)
        assert text in str(caught.value)
        assert len(str(caught.value)) < 500


def test_a_batch_says_which_session(one: ONE) -> None:
    eids = one.search(lab="cortexlab")
    without = next(eid for eid in eids if not any("trials" in path for path in one.list_datasets(eid)))
    with_trials = one.search(lab="cortexlab", datasets="spikes.times.npy")
    with pytest.raises(ALFObjectNotFound, match=str(without)):
        one.load_many([*with_trials, without], "trials")


@pytest.mark.anyio
async def test_search_terms_without_a_name(seeded_emulator: Emulator, tmp_path: Path) -> None:
    async with AsyncONE(
        base_url=seeded_emulator.url, username="demo", password="demo", cache_dir=tmp_path, silent=True
    ) as one:
        for search in (one.search, one.search_insertions):
            with pytest.raises(InputError, match="passed by name, such as lab='cortexlab'"):
                await search("cortexlab")  # type: ignore[call-overload]
        with pytest.raises(OneError, match="accepted: lab"):
            await one.search(labs="cortexlab")


def test_years_and_months(one: ONE) -> None:
    _, frame = one.search(details=True)
    days = frame["date"].to_list()
    for text in ("2024", "2023-12", "2024-2"):
        wanted = [
            day
            for day in days
            if day.isoformat().startswith(text.replace("-2", "-02") if text == "2024-2" else text)
        ]
        assert one.search(details=True, date=text)[1]["date"].to_list() == wanted
    between = one.search(details=True, date=["2023-11", "2024"])[1]["date"].to_list()
    assert between == [day for day in days if "2023-11-01" <= day.isoformat() <= "2024-12-31"]
    with pytest.raises(InputError, match="2024-13"):
        one.search(date="2024-13")
