"""The version, the extras in texts, and the recipes in ``packaging`` agree with ``pyproject.toml``."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from packaging.requirements import Requirement

import one_async

ROOT = Path(__file__).parents[1]
PYPROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
PROJECT: dict[str, Any] = PYPROJECT["project"]
RECIPE: dict[str, Any] = yaml.safe_load((ROOT / "packaging" / "conda" / "recipe.yaml").read_text("utf-8"))
CITATION: dict[str, Any] = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))
DOCKERFILE = (ROOT / "packaging" / "emulator.Dockerfile").read_text("utf-8")


# ---- version ----


def test_the_version_is_defined_in_one_place() -> None:
    assert "version" in PROJECT["dynamic"]
    place = ROOT / PYPROJECT["tool"]["hatch"]["version"]["path"]
    assert place.samefile(Path(one_async.__file__))
    files = ["pyproject.toml", "CITATION.cff", "packaging/conda/recipe.yaml", "packaging/emulator.Dockerfile"]
    assert [name for name in files if one_async.__version__ in (ROOT / name).read_text("utf-8")] == []


def test_the_command_prints_the_version() -> None:
    """The command reads the metadata of the installed package; install it again after a change of version."""
    command = [sys.executable, "-c", "from one_async.cli import main; main()", "--version"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == f"one-async {one_async.__version__}\n"


# ---- extras ----


def texts() -> list[Path]:
    folders = [path for name in ("src", "docs", "examples") for path in (ROOT / name).rglob("*")]
    files = [*folders, ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "noxfile.py"]
    return sorted(file for file in files if file.suffix in {".py", ".pyi", ".md", ".ipynb"})


@pytest.mark.skipif(
    not os.environ.get("CI"), reason="elsewhere, tests of an extra that is missing are skipped"
)
def test_no_test_is_skipped_in_ci_for_a_missing_package() -> None:
    extras = PROJECT["optional-dependencies"]
    wanted = [Requirement(text) for name in extras if name != "docs" for text in extras[name]]
    for requirement in wanted:
        if requirement.name != PROJECT["name"] and (
            requirement.marker is None or requirement.marker.evaluate()
        ):
            assert requirement.specifier.contains(metadata.version(requirement.name), prereleases=True), (
                requirement
            )


def test_extras_in_texts_exist() -> None:
    named = {
        (file.name, extra)
        for file in texts()
        for extras in re.findall(
            r"(?:one-async|install (?:-e )?['\"]\.)\[([^\]{}]+)\]", file.read_text("utf-8")
        )
        for extra in extras.split(",")
    }
    assert {"s3", "cli", "emulator", "all", "dev"} <= {extra for _, extra in named}
    assert {one for one in named if one[1] not in PROJECT["optional-dependencies"]} == set()


@pytest.mark.parametrize("suffix", ["sparse_npz", "yaml", "yml", "pqt", "csv"])
def test_extras_in_errors_of_readers_exist(tmp_path: Path, suffix: str) -> None:
    from one_async.files.read import _missing

    extras = re.findall(
        r"'one-async\[(.*)\]'", str(_missing(tmp_path / f"trials.table.{suffix}", ImportError()))
    )
    assert len(extras) == 1
    assert extras[0] in PROJECT["optional-dependencies"]


def test_extras_are_quoted_for_shells_that_expand_brackets() -> None:
    for file in texts():
        assert not re.findall(r"pip install (?:-e )?(?:one-async|\.)\[.*", file.read_text("utf-8")), file


# ---- conda ----


def parsed(requirements: list[str]) -> dict[str, str]:
    return {r.name: str(r.specifier) for r in map(Requirement, requirements)}


def test_the_conda_recipe_needs_what_the_project_needs() -> None:
    needs = [*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["cli"]]
    run = parsed(RECIPE["requirements"]["run"])
    assert run.pop("python") == PROJECT["requires-python"]
    assert run == parsed(needs)
    host = parsed(RECIPE["requirements"]["host"])
    assert host["python"] == PROJECT["requires-python"]
    assert parsed(PYPROJECT["build-system"]["requires"]).items() <= host.items()


def test_the_conda_recipe_has_the_command_and_the_names_of_the_project() -> None:
    commands = [f"{name} = {place}" for name, place in PROJECT["scripts"].items()]
    assert RECIPE["build"]["python"]["entry_points"] == commands
    assert RECIPE["package"]["name"] == PROJECT["name"]
    assert RECIPE["about"]["license"] == PROJECT["license"]
    assert (ROOT / RECIPE["about"]["license_file"]).is_file()
    assert (ROOT / "packaging" / "conda" / RECIPE["source"]["path"]).samefile(ROOT)


# ---- citation ----


def test_the_citation_agrees_with_the_project() -> None:
    assert CITATION["cff-version"] == "1.2.0"
    assert CITATION["title"] == one_async.__name__
    assert CITATION["abstract"] == PROJECT["description"]
    assert CITATION["license"] == PROJECT["license"]
    assert CITATION["authors"] == PROJECT["authors"]
    assert CITATION["keywords"] == PROJECT["keywords"]


# ---- the emulator's image ----


def exec_form(instruction: str) -> list[str]:
    """Return the command of an instruction in the form of a JSON array."""
    found = re.search(rf"^{instruction}\b.*?(\[.*\])$", DOCKERFILE, re.MULTILINE)
    assert found is not None
    words: list[str] = json.loads(found[1])
    return [sys.executable if word == "python" else word for word in words]


def test_the_image_has_the_build_files_and_its_own_user() -> None:
    copied = re.findall(r"^COPY (.+) \S+$", DOCKERFILE, re.MULTILINE)
    names = {name for line in copied for name in line.split()}
    assert {"pyproject.toml", PROJECT["readme"], *PROJECT["license-files"], "src"} == names
    assert all((ROOT / name).exists() for name in names)
    users = re.findall(r"^USER (.+)$", DOCKERFILE, re.MULTILINE)
    assert users == ["alyx"]
    python = re.search(r"^FROM python:(3\.\d+)", DOCKERFILE, re.MULTILINE)
    assert python is not None
    assert f"Programming Language :: Python :: {python[1]}" in PROJECT["classifiers"]


def test_the_commands_of_the_image_run() -> None:
    command = exec_form("ENTRYPOINT")
    port = command[-1]
    assert f"EXPOSE {port}\n" in DOCKERFILE
    assert f"http://127.0.0.1:{port}/" in exec_form("HEALTHCHECK")[-1]
    process = subprocess.Popen([*command[:-1], "0", "--json"], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        url = json.loads(process.stdout.readline())["url"]
        check = [part.replace(f"http://127.0.0.1:{port}", url) for part in exec_form("HEALTHCHECK")]
        assert subprocess.run(check, timeout=60).returncode == 0
        login = {"username": "demo", "password": "demo"}
        answer = httpx.post(f"{url}/auth-token", json=login, headers={"host": f"alyx:{port}"})
        assert answer.status_code == 200
    finally:
        process.terminate()
        process.wait(60)
        if process.stdout is not None:
            process.stdout.close()
    assert process.returncode == 0
    assert subprocess.run(check, timeout=60, stderr=subprocess.DEVNULL).returncode != 0
