"""`one_async.compat`: ``import one`` gives ours. Each scenario runs in a process of its own, since it changes ``sys.modules``."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "src" / "one_async" / "compat" / "one"


def run(code: str, *, folder: Path | None = None) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(code)],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_every_module_is_ours_and_has_the_names_it_lists() -> None:
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


def test_what_is_not_there_fails_when_used_and_says_what_to_use() -> None:
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


def test_records_become_the_rows_that_filters_take() -> None:
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
