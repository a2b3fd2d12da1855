"""Files are copied to a repository's folder or bucket and verified there before they are registered."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from client.faces import Face
from one_async.emulator import Emulator
from one_async.errors import InputError, RegistrationError
from one_async.harvest.storage import FolderStorage

from . import folders
from .folders import DATE, NAMES, SUBJECT, md5, session, write, written


def test_files_are_copied_to_a_folder(one: Face, server: Emulator, tmp_path: Path) -> None:
    folder, to = session(tmp_path), tmp_path / "repository"
    _, records = one.ask("register_session", folder, to=to, repository="flatiron_cortexlab")
    copies = {str(path.relative_to(to)): md5(path) for path in to.rglob("*") if path.is_file()}
    assert copies == {f"{SUBJECT}/{DATE}/001/{name}": md5(folder / name) for name in NAMES}
    # The copies have the paths of the file records, so that the repository's address finds them.
    for record in records:
        for one_record in record["file_records"]:
            assert (to / one_record["relative_path"]).exists()


def test_registered_files_are_copied_too(one: Face, server: Emulator, tmp_path: Path) -> None:
    folder, to = session(tmp_path), tmp_path / "repository"
    one.ask("register_session", folder)
    server.requests.reset()
    one.ask("register_session", folder, to=to)
    assert written(server) == []
    assert len([path for path in to.rglob("*") if path.is_file()]) == len(NAMES)
    damaged = to / SUBJECT / DATE / "001" / NAMES[0]
    damaged.write_bytes(b"damaged")
    one.ask("register_files", folder / NAMES[0], to=str(to))
    assert md5(damaged) == md5(folder / NAMES[0])


def test_a_copy_with_a_different_hash_is_refused(
    one: Face, server: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk stores other bytes than those written."""
    put_file = FolderStorage.put_file

    def spoil(self: FolderStorage, name: str, source: Path) -> None:
        put_file(self, name, source)
        if name.endswith("npy"):
            write(Path(self.address(name)), "spoiled")

    monkeypatch.setattr(FolderStorage, "put_file", spoil)
    folder = session(tmp_path)
    with pytest.raises(RegistrationError) as caught:
        one.ask("register_session", folder, to=tmp_path / "repository")
    assert set(caught.value.refused) == {str(folder / name) for name in NAMES if name.endswith("npy")}
    assert len(caught.value.registered) == 2
    rows = [row for row in folders.rows(server, "datasets") if row["created_datetime"] > "2025-06"]
    assert sorted(row["name"] for row in rows) == ["_ibl_trials.table.pqt", "_iblrig_taskData.raw.jsonable"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_target_that_cannot_be_written_is_refused(one: Face, tmp_path: Path) -> None:
    to = tmp_path / "repository"
    to.mkdir(mode=0o500)
    with pytest.raises(RegistrationError, match="copy"):
        one.ask("register_session", session(tmp_path), to=to)


def test_a_target_that_is_a_file_is_refused(one: Face, server: Emulator, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="to="):
        one.ask("register_session", session(tmp_path), to=write(tmp_path / "file"))
    assert written(server) == []
