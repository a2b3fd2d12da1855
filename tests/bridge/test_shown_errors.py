"""Tracebacks and texts of errors as users of the blocking face see them."""

from __future__ import annotations

import re
import traceback
from collections import Counter
from pathlib import Path

import pytest

from client.every_method import Example, examples, facts_of, is_iterator
from client.faces import opened
from one_async import ONE, AsyncONE
from one_async.alyx.auth import Credentials
from one_async.emulator import Emulator
from one_async.errors import ALFObjectNotFound, InputError, LoginError, OneError, ServerUnreachable


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
        last = traceback.extract_tb(caught.value.__traceback__)[-1].name
        assert last in {"load_object", "search", "iter_objects", "__init__"}
        assert len("".join(traceback.format_exception(caught.value)).splitlines()) <= 14
        assert "direct cause" not in "".join(traceback.format_exception(caught.value))
    assert isinstance(caught.value.__context__, Exception)  # the cause is still available


def test_all_frames_with_one_debug(one: ONE, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ONE_DEBUG", "1")
    with pytest.raises(InputError) as caught:
        one.search(nonsense=1)
    assert len(files_of(caught.value)) > 4


@pytest.mark.filterwarnings("ignore")  # Jupyter's own warnings
def test_a_kernel_shows_the_users_lines_and_the_text(seeded_emulator: Emulator, tmp_path: Path) -> None:
    """Tracebacks have only the cell's own lines, in both faces and for Python's own errors, and one line in the mode Minimal."""
    nbclient = pytest.importorskip("nbclient")
    import nbformat

    options = {
        "base_url": seeded_emulator.url,
        "username": "demo",
        "password": "demo",
        "cache_dir": str(tmp_path),
    }
    down = {**options, "base_url": "http://localhost:9"}
    failing = {
        "one.load_object(eid, 'trails')": "ALFObjectNotFound",
        "one.search(nonsense=1)": "InputError",
        "one.mode = 'nonsense'": "InputError",
        "one.alyx.rest('sessions', 'read', id='x')": "NotFound",
        "list(one.iter_objects(['nonsense'], 'trials'))": "InputError",
        f"ONE(**{down!r}).search(lab='x')": "ServerUnreachable",
        "ONE(mode='nonsense')": "InputError",
        "ONE(nonsense=1)": "TypeError",
        "one.load_object()": "InputError",
        "await again.load_object(eid, 'trails')": "ALFObjectNotFound",
        "await again.search(nonsense=1)": "InputError",
    }
    start = (
        "import warnings; warnings.simplefilter('ignore')\nfrom one_async import ONE, AsyncONE\n"
        f"one = ONE(silent=True, **{options!r}); again = AsyncONE(silent=True, **{options!r})\n"
        "eid = one.search(lab='cortexlab')[0]"
    )
    minimal = {source: kind for source, kind in failing.items() if kind != "ServerUnreachable"}
    texts = [start, *failing, "%xmode Minimal", *minimal]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(text) for text in texts])
    nbclient.NotebookClient(notebook, timeout=120, allow_errors=True).execute()
    first, *cells = notebook.cells
    assert not first.outputs
    shown = ["\n".join(one.outputs[0].get("traceback", ())) for one in cells]
    for (source, kind), text in zip(failing.items(), shown, strict=False):
        lines = [line for line in re.sub(r"\x1b\[[\d;]*m", "", text).splitlines() if line.strip()]
        assert lines[-1].startswith(f"{kind}: "), text
        assert lines[3:-1] == [f"----> 1 {source}"], text
        assert len(lines) <= 12
    for kind, text in zip(minimal.values(), shown[len(failing) + 1 :], strict=True):
        lines = re.sub(r"\x1b\[[\d;]*m", "", text).strip().splitlines()
        assert [line.partition(":")[0] for line in lines] == [kind], text


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


def test_a_batch_error_contains_the_session(one: ONE) -> None:
    eids = one.search(lab="cortexlab")
    without = next(eid for eid in eids if not any("trials" in path for path in one.list_datasets(eid)))
    with_trials = one.search(lab="cortexlab", datasets="spikes.times.npy")
    with pytest.raises(ALFObjectNotFound, match=str(without)):
        one.load_many([*with_trials, without], "trials")


@pytest.mark.anyio
async def test_search_terms_without_a_name_are_refused(seeded_emulator: Emulator, tmp_path: Path) -> None:
    async with AsyncONE(
        base_url=seeded_emulator.url, username="demo", password="demo", cache_dir=tmp_path, silent=True
    ) as one:
        for search in (one.search, one.search_insertions):
            with pytest.raises(InputError, match="passed by name, such as lab='cortexlab'"):
                await search("cortexlab")  # type: ignore[call-overload]
        with pytest.raises(OneError, match="accepted: lab"):
            await one.search(labs="cortexlab")


def test_search_dates_may_be_years_and_months(one: ONE) -> None:
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


def test_without_a_login_the_error_is_helpful(seeded_emulator: Emulator, tmp_path: Path) -> None:
    where = "https://openalyx.internationalbrainlab.org"
    texts = {
        where: str(Credentials(where).missing()),
        seeded_emulator.url: "",
    }
    with pytest.raises(LoginError) as caught:
        ONE(base_url=seeded_emulator.url, cache_dir=tmp_path).search(lab="x", query_type="remote")
    texts[seeded_emulator.url] = str(caught.value)
    for url, text in texts.items():
        for part in (
            f"`one-async login --url {url}`",
            "token=",
            "ONE_TOKEN",
            "An account of this database is ",
        ):
            assert part in text
        assert len(text) < 480  # not truncated
    assert texts[where].endswith(f"registered at {where}")
    assert texts[seeded_emulator.url].endswith("made by its administrators")


def groups_in(error: BaseException | None) -> list[BaseException]:
    """Return the exception groups among an error and its contexts, which IPython looks for."""
    found = []
    while error is not None:
        found += [error] if isinstance(error, BaseExceptionGroup) else []
        error = error.__context__
    return found


@pytest.mark.filterwarnings("ignore::one_async.errors.OneWarning")  # errors of missing tables
@pytest.mark.parametrize("face", [AsyncONE, ONE])
def test_no_error_has_an_exception_group_in_its_context(
    seeded_emulator: Emulator, tmp_path: Path, one: ONE, face: type
) -> None:
    """IPython shows such an error with all of its frames. Every public method that can fail fails here."""
    facts = facts_of(one, tmp_path)
    eids = [str(eid) for eid in one.search(query_type="remote")[:3]]
    more = [
        Example("load_object", (eids, "nothing")),
        Example("load_datasets", (eids[0], ["nothing.times.npy"])),
        Example("load_many", (eids, "nothing")),
        Example("list_datasets", (eids,), {"filename": "x["}),
        Example("iter_objects", (eids, "nothing")),
        Example("alyx.download_file", ("http://[::1",), {"target_dir": str(tmp_path)}),
        Example("alyx.download_file", (f"http://{'x' * 300}/",), {"target_dir": str(tmp_path)}),
    ]
    kinds: Counter[str] = Counter()
    bad: list[tuple[Example, BaseException]] = []
    closed = {"base_url": "http://localhost:9", "token": "0" * 40}
    for number, (status, server) in enumerate({403: {}, 0: closed}.items()):
        options = {"base_url": seeded_emulator.url, "username": "demo", "password": "demo", **server}
        folder = tmp_path / str(number)
        seeded_emulator.faults.clear()
        if status:
            seeded_emulator.faults.add("/", status=status, times=None)
        calls = [*examples(facts), *more] if status else more[:1]
        try:
            with opened("blocking" if face is ONE else "asyncio", cache_dir=folder, cache_rest=None, mode="remote",
                        silent=True, **options) as client:  # fmt: skip
                for example in calls:
                    ask = client.items if is_iterator(example) else client.ask
                    try:
                        ask(example.method, *example.args, **(example.kwargs or {}))
                    except OneError as error:
                        kinds[example.method] += 1
                        bad += [(example, group) for group in groups_in(error)]
        finally:
            seeded_emulator.faults.clear()
    assert not bad
    assert len(kinds) >= 50
