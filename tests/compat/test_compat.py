"""`one_async.compat` replaces ``import one``. Each scenario runs in a separate process, since it changes ``sys.modules``."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from one_async.emulator import Emulator

FOLDER = Path(__file__).parents[2] / "src" / "one_async" / "compat" / "one"


def run(code: str, *, folder: Path | None = None, arguments: Sequence[str] = ()) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(code), *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_every_module_is_ours_and_has_its_listed_names() -> None:
    names = sorted(
        ".".join(("one", *path.relative_to(FOLDER).with_suffix("").parts)).removesuffix(".__init__")
        for path in FOLDER.rglob("*.py")
    )
    assert {"one.alf.io", "one.remote.globus"} <= set(names)
    run(f"""
        import importlib, one_async.compat
        one_async.compat.install()
        one_async.compat.install()  # a second call changes nothing
        for name in {names}:
            module = importlib.import_module(name)
            assert "compat" in module.__file__, module
            for one in getattr(module, "__all__", ()):
                assert getattr(module, one) is not None, (name, one)
        import one
        assert one.__version__ == "3.6.1"
    """)


def test_errors_and_classes_are_the_same() -> None:
    run("""
        import one_async.compat, one_async.errors as ours
        one_async.compat.install()
        import one.alf.exceptions as theirs
        from one.alf.io import AlfBunch, load_object
        from one.api import ONE, OneAlyx
        import one_async, one_async.api
        for name in theirs.__all__:
            if name != "AlyxSubjectNotFound":
                assert getattr(theirs, name) is getattr(ours, name), name
        assert AlfBunch is one_async.ALFObject and ONE is one_async.api.ONE
        try:
            load_object("/", "nothing")
        except theirs.ALFObjectNotFound as error:
            assert isinstance(error, ours.ALFObjectNotFound)
    """)


def test_absent_names_fail_on_use_and_report_their_replacement() -> None:
    out = run("""
        import one_async.compat
        from one_async import OneError
        one_async.compat.install()
        from one.remote.globus import Globus
        from one.webclient import RestScheme
        from one.alf.cache import merge_tables
        class Mine(Globus): pass
        for use in (Globus, Mine, RestScheme, lambda: merge_tables({})):
            try:
                use()
            except OneError as error:
                print(error)
        try:
            from one.remote.globus import _private
        except ImportError:
            print("no private names")
    """)
    lines = out.splitlines()
    assert [line.partition(" ")[0] for line in lines[:4]] == [
        "one.remote.globus.Globus",
        "one.remote.globus.Globus",
        "one.webclient.RestScheme",
        "one.alf.cache.merge_tables",
    ]
    assert "ONE.download" in lines[0]
    assert lines[4] == "no private names"


def test_an_imported_package_one_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "__init__.py").write_text("mark = 1\n")
    run(
        """
        import sys, one_async.compat
        from one_async.errors import ConfigurationError
        sys.path.insert(0, ".")
        one_async.compat.install()
        import one.alf.spec
        assert one_async.compat.is_installed() and not hasattr(one, "mark")
        one_async.compat.uninstall()
        import one
        assert one.mark == 1 and "one.alf.spec" not in sys.modules
        one_async.compat.uninstall()  # nothing of ours: nothing happens
        assert sys.modules["one"] is one
        try:
            one_async.compat.install()
        except ConfigurationError as error:
            assert "before the first import" in str(error)
        else:
            raise AssertionError
        """,
        folder=tmp_path,
    )


#: Handlers of status errors in software of ONE-api's users.
CATCH = """
    import copy, json, pickle, sys
    import one_async.compat, one_async.errors as ours
    one_async.compat.install()
    import requests
    from one.api import ONE
    one = ONE(base_url=sys.argv[1], username="demo", password="demo", cache_rest=None, mode="remote")
    nobody = "00000000-0000-4000-8000-000000000000"
    cases = [
        (lambda: one.alyx.rest("sessions", "read", id=nobody), 404, ours.NotFound),
        (lambda: one.alyx.get(f"/sessions/{nobody}"), 404, ours.NotFound),
        (lambda: one.alyx.rest("subjects", "read", id="nobody"), 404, ours.NotFound),
        (lambda: one.alyx.get("/sessions?number=x"), 400, ours.StatusError),
        (lambda: one.alyx.post("/sessions", data={"subject": "nobody"}), 400, ours.StatusError),
    ]
    for call, status, kind in cases:
        try:
            call()
        except ours.OneError as error:
            for one_error in (error, pickle.loads(pickle.dumps(error)), copy.copy(error)):
                assert isinstance(one_error, kind) and isinstance(one_error, requests.HTTPError), one_error
                assert one_error.response.status_code == one_error.errno == status
                assert one_error.response.url == one_error.url
                assert json.loads(one_error.response._content) == error.detail
        try:
            call()
        except requests.exceptions.HTTPError as error:
            assert str(error) == error.args[0]
    try:
        one.alyx.rest("nonsense", "list")
    except requests.HTTPError:
        raise SystemExit("no request was made")
    except ours.InputError:
        pass
    one.close()
    one_async.compat.uninstall()
    assert not isinstance(ours.NotFound("plain"), OSError)
"""


@pytest.fixture(scope="module")
def alyx() -> Iterator[str]:
    with Emulator() as emulator:
        yield emulator.url


def test_status_errors_are_caught_as_those_of_requests(alyx: str, tmp_path: Path) -> None:
    pytest.importorskip("requests")
    pytest.importorskip("pandas")
    run(CATCH, folder=tmp_path, arguments=(alyx,))


def test_status_errors_are_caught_as_those_of_a_stand_in_for_requests(alyx: str, tmp_path: Path) -> None:
    """A package with the used names of requests stands in for it, so that requests need not be installed."""
    pytest.importorskip("pandas")
    (tmp_path / "requests").mkdir()
    (tmp_path / "requests" / "exceptions.py").write_text("""
class RequestException(IOError):
    def __init__(self, *args, **kwargs):
        self.response, self.request = kwargs.pop("response", None), kwargs.pop("request", None)
        super().__init__(*args, **kwargs)
class HTTPError(RequestException): pass
""")
    (tmp_path / "requests" / "__init__.py").write_text("""
from . import exceptions
from .exceptions import HTTPError
class Response: _content = None
""")
    run("import sys; sys.path.insert(0, '.')\n" + textwrap.dedent(CATCH), folder=tmp_path, arguments=(alyx,))


def test_status_errors_have_only_our_classes_without_requests(alyx: str, tmp_path: Path) -> None:
    run(
        """
        import sys
        sys.modules["requests"] = None  # an import of it fails
        import one_async.compat
        one_async.compat.install()
        from one_async import AlyxClient, errors
        with AlyxClient(sys.argv[1], "demo", "demo", cache_rest=None) as alyx:
            try:
                alyx.rest("subjects", "read", id="nobody")
            except errors.NotFound as error:
                assert type(error) is errors.NotFound and not isinstance(error, OSError)
        """,
        folder=tmp_path,
        arguments=(alyx,),
    )


def test_parameters_are_read_only_and_hide_the_password(tmp_path: Path) -> None:
    run(
        """
        import pickle, one_async.compat
        one_async.compat.install()
        from one.api import ONE
        from one.webclient import AlyxClient
        secret = "data-password"
        one = ONE(base_url="http://127.0.0.1:9", token="alyx-token", cache_dir="cache", data_server="http://127.0.0.1:8",
                  data_server_login="me", data_server_password=secret)
        par = one.alyx._par
        assert (par.HTTP_DATA_SERVER, par.HTTP_DATA_SERVER_LOGIN) == ("http://127.0.0.1:8", "me")
        assert par.HTTP_DATA_SERVER_PWD == secret
        assert par.CACHE_DIR == str(one.cache_dir) and par.ALYX_URL == "http://127.0.0.1:9"
        for text in (repr(par), str(par.as_dict()), pickle.dumps(par).decode("latin"), pickle.dumps(one.alyx).decode("latin")):
            assert secret not in text and "alyx-token" not in text
        try:
            par.CACHE_DIR = "elsewhere"
        except AttributeError as error:
            assert "read-only" in str(error)
        else:
            raise AssertionError
        """,
        folder=tmp_path,
    )


def test_records_become_rows_that_filters_accept() -> None:
    pytest.importorskip("pandas")
    out = run("""
        import one_async.compat
        one_async.compat.install()
        from one.converters import datasets2records, path_from_dataset, session_record2path
        from one.util import filter_datasets
        did, eid = "11111111-1111-4111-8111-111111111111", "22222222-2222-4222-8222-222222222222"
        place = "lab/Subjects/me/2020-01-01/001/alf/probe00/"
        def record(n, revision=""):
            name = f"spikes.times.{did[:-1]}{n}.npy"
            return {
                "url": f"http://a/datasets/{did[:-1]}{n}", "name": "spikes.times.npy", "session": f"http://a/sessions/{eid}",
                "collection": "alf/probe00", "file_size": 1, "hash": "", "qc": "PASS", "default_dataset": not revision,
                "file_records": [{"data_url": f"http://d/{place}{revision}{name}", "data_repository": "flatiron_lab",
                  "exists": True,
                  "data_repository_path": "/lab/Subjects/",
                  "relative_path": f"me/2020-01-01/001/alf/probe00/{revision}spikes.times.npy"}],
            }
        frame = datasets2records([record(1), record(2, "#2021-01-01#/")])
        assert frame.index.names == ["eid", "id"] and str(frame.index[0][0]) == eid
        print(frame["rel_path"].tolist(), frame["session_path"].unique().tolist())
        print(filter_datasets(frame, "spikes.*", "alf/*", wildcards=True)["rel_path"].tolist())
        print(path_from_dataset(record(1), "/data"), session_record2path({"subject": "me", "date": "2020-01-01", "number": 1}))
    """)
    assert out.splitlines() == [
        "['alf/probe00/spikes.times.npy', 'alf/probe00/#2021-01-01#/spikes.times.npy'] ['lab/Subjects/me/2020-01-01/001']",
        "['alf/probe00/spikes.times.npy']",
        "/data/lab/Subjects/me/2020-01-01/001/alf/probe00/spikes.times.npy me/2020-01-01/001",
    ]
