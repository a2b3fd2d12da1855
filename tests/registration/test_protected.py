"""Protected datasets: their files are moved to a new revision as in ONE-api, and the other files are registered."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from client.faces import Face
from one_async.emulator import Emulator
from one_async.errors import RegistrationError

from . import folders
from .folders import session, write, written

TODAY = "2031-07-04"
#: Datasets of a recorded session; both have the protected tag.
SESSION = {"subject": "KS014", "date": "2019-12-04", "number": "001"}
WHEEL, TRIALS = "alf/_ibl_wheel.position.npy", "alf/_ibl_trials.table.pqt"


class Today(date):
    """A date class with a fixed `today`, so that a test may run over midnight."""

    @classmethod
    def today(cls) -> Today:
        return cls.fromisoformat(TODAY)


@pytest.fixture(autouse=True)
def _today(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("one_async.registration.plan.date", Today)


def revisions(server: Emulator, name: str) -> dict[str | None, tuple[str, int]]:
    return {
        row["revision"]: (row["hash"], row["default_dataset"])
        for row in folders.rows(server, "datasets")
        if row["session"] == "9b1bf644-0e8a-4a35-be1c-16aac2bfbae5" and row["name"] == Path(name).name
    }


def protect(one: Face, did: str) -> None:
    one.ask("alyx.patch", f"/datasets/{did}", {"tags": ["2021_Q1_IBL_et_al_Behaviour"]})


def test_protected_files_move_to_new_revisions_as_recorded(
    one: Face, server: Emulator, tmp_path: Path
) -> None:
    """The steps are those of the recorded scenario: today, today again, and the day with a letter."""
    folder = session(tmp_path, **SESSION, names=(WHEEL, TRIALS))
    old = {name: revisions(server, name) for name in (WHEEL, TRIALS)}
    records = one.ask("register_files", [folder / WHEEL, folder / TRIALS])
    assert [r["revision"] for r in records] == [TODAY, TODAY]
    assert not (folder / WHEEL).exists()
    moved = folder / f"alf/#{TODAY}#" / Path(WHEEL).name
    assert revisions(server, WHEEL)[TODAY] == (folders.md5(moved), 1)
    for name in (WHEEL, TRIALS):
        for revision, (md5, _) in old[name].items():
            assert revisions(server, name)[revision] == (md5, 0)

    write(folder / WHEEL, "again")  # today's revision is not protected, but its file exists
    again = one.ask("register_files", folder / WHEEL)
    assert again["revision"] == f"{TODAY}a"
    protect(one, again["id"])
    write(folder / f"alf/#{TODAY}a#" / Path(WHEEL).name, "in place")
    third = one.ask("register_files", folder / f"alf/#{TODAY}a#" / Path(WHEEL).name)
    assert third["revision"] == TODAY + "b"


def test_only_the_protected_ones_are_moved(one: Face, server: Emulator, tmp_path: Path) -> None:
    other = "alf/probe00/spikes.times.npy"
    folder = session(tmp_path, **SESSION, names=(WHEEL, other))
    _, records = one.ask("register_session", folder)
    assert [(r["name"], r["revision"]) for r in records] == [
        ("_ibl_wheel.position.npy", TODAY), ("spikes.times.npy", "")
    ]  # fmt: skip
    assert (folder / other).exists()


def test_the_revision_of_moved_files_can_be_chosen(one: Face, server: Emulator, tmp_path: Path) -> None:
    own = "alf/#2019-01-01#/_ibl_wheel.position.npy"
    folder = session(tmp_path, **SESSION, names=(WHEEL, own))
    frame = one.ask("register_files", [folder / WHEEL, folder / own], dry_run=True, revision="v2")
    assert frame["status"].to_list() == ["protected", "new revision"]
    assert "v2" in frame["reason"][0]
    records = one.ask("register_files", [folder / WHEEL, folder / own], revision="v2")
    assert [r["revision"] for r in records] == ["v2", "2019-01-01"]


def test_an_unchanged_protected_file_is_not_written(one: Face, server: Emulator, tmp_path: Path) -> None:
    folder = session(tmp_path, **SESSION, names=(WHEEL,))
    moved = one.ask("register_files", folder / WHEEL)
    protect(one, moved["id"])
    server.requests.reset()
    path = folder / f"alf/#{TODAY}#" / Path(WHEEL).name
    assert one.ask("register_files", path)["id"] == moved["id"]
    assert written(server) == []


def test_check_protected_files_answers_as_alyx(one: Face, server: Emulator, tmp_path: Path) -> None:
    folder = session(tmp_path, **SESSION, names=(WHEEL, TRIALS))
    free = session(tmp_path, date="2024-12-31", names=(TRIALS,))
    before = folders.state(server)
    answer, other = one.ask(
        "registration.check_protected_files", [folder / WHEEL, folder / TRIALS, free / TRIALS]
    )
    # The details in Alyx's answer in the recorded scenario.
    assert answer["status_code"] == 403
    assert answer["details"] == [{WHEEL: [{"": True}]}, {TRIALS: [{"2021-07-05": True}, {"": True}]}]
    assert (other["status_code"], other["shared_path"]) == (200, free)
    assert folders.state(server) == before
    with pytest.raises(RegistrationError):
        one.ask("registration.check_protected_files", tmp_path / "outside.a.npy")


def test_a_dataset_protected_after_the_check_is_moved(one: Face, server: Emulator, tmp_path: Path) -> None:
    """Another client protects a dataset after the check; the server refuses the request, and it is checked again."""
    folder = session(tmp_path)
    record, records = one.ask("register_session", folder)
    write(folder / TRIALS, "changed")
    did = next(r["id"] for r in records if r["name"].endswith("pqt"))

    def protect_now() -> None:
        server.store.update("datasets", did, tags=["2021_Q1_IBL_et_al_Behaviour"], protected=1)

    server.faults.add("/register-file", method="POST", call=protect_now)
    _, again = one.ask("register_session", folder)
    assert [r["revision"] for r in again if r["name"].endswith("pqt")] == [TODAY]
    kept = next(row for row in folders.rows(server, "datasets") if row["id"] == did)
    assert kept["hash"] != folders.md5(folder / f"alf/#{TODAY}#" / Path(TRIALS).name)
    assert record["number"] == 1
