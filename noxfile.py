"""Sessions: `nox` runs tests, lint and types; `nox -l` lists all."""

from __future__ import annotations

import os
import shutil
import sys
import tarfile
import tomllib
from pathlib import Path

import nox

nox.options.sessions = ["tests", "lint", "types"]
nox.options.default_venv_backend = "venv"

ROOT = Path(__file__).parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
PYTHONS = [line.rpartition(" ")[2] for line in PROJECT["classifiers"] if "Python :: 3." in line]
DIST = ROOT / "dist"
ORACLE = "ONE-api==3.6.1"


def install(session: nox.Session, *extras: str) -> None:
    """Install the project from a built wheel, as a user would, with the extras that its tests need."""
    session.install(f".[{','.join(extras or ('all', 'dev'))}]")


def oracle(session: nox.Session) -> str:
    """Make a separate environment for ONE-api unless it exists, and return the path of its interpreter."""
    folder = Path(session.cache_dir) / "one-api"
    python = folder / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    if not python.exists():
        session.run(sys.executable, "-m", "venv", str(folder), external=True)
        session.run(str(python), "-m", "pip", "install", "-q", ORACLE, external=True)
    return str(python)


@nox.session(python=PYTHONS if os.environ.get("ONE_ASYNC_ALL_PYTHONS") else None)
def tests(session: nox.Session) -> None:
    """Run the ordinary tests with branch coverage, which pytest-cov collects from pytest-xdist's processes."""
    install(session)
    floor = (ROOT / "tests" / "coverage-floor.txt").read_text().strip()
    session.run("pytest", "--cov", f"--cov-fail-under={floor}", *session.posargs)


@nox.session
def lint(session: nox.Session) -> None:
    """Check style and format."""
    session.install("ruff>=0.9")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")


@nox.session
def types(session: nox.Session) -> None:
    """Check types: mypy on everything, the blocking faces' stub against them, pyright on the public API."""
    install(session)
    session.run("mypy")
    session.run("stubtest", "one_async.sync", "--allowlist", "tests/typing/stubtest.txt")
    session.run("pyright", "tests/typing")


@nox.session
def examples(session: nox.Session) -> None:
    """Run every example against the emulator, the notebook in a real kernel."""
    install(session)
    session.run("pytest", "-n0", "examples/run_examples.py", *session.posargs)


@nox.session
def demo(session: nox.Session) -> None:
    """Run the demo as a new user would."""
    install(session, "cli", "emulator")
    session.run("one-async", "demo")


@nox.session
def parity(session: nox.Session) -> None:
    """Compare answers with those of ONE-api, which runs in its own environment."""
    install(session)
    session.run("pytest", "-n0", "tests/parity", *session.posargs, env={"ONE_API_PYTHON": oracle(session)})


@nox.session
def clients(session: nox.Session) -> None:
    """Run software that uses ONE-api with it and with one_async, and write docs/clients.md.

    ``ONE_CLIENTS=folder`` adds software that is only on GitHub, from clones in that folder.
    ``nox -s clients -- probes`` runs one row.
    """
    install(session, "emulator", "pandas")
    session.install("ibllib==4.1.*", "iblatlas", "spikeinterface", "ibl-neuropixel", "pynapple", ORACLE)
    script = ("python", "tests/clients/run.py", "python")
    session.run(*script, *(session.posargs or ["pypi"]))
    folder = os.environ.get("ONE_CLIENTS")
    if folder and not session.posargs:
        session.install(
            "neuroconv",
            "ndx-pose",
            "ndx-events==0.2.2",
            "ndx-anatomical-localization",
            "natsort",
            "SimpleITK",
        )
        if (Path(folder) / "ndx-ibl").exists():  # the release on PyPI is older than what IBL-to-nwb needs
            session.install(str(Path(folder) / "ndx-ibl"))
        session.install("--no-deps", "probeinterface==0.3.1")  # the version in IBL-to-nwb's lock file
        session.run(*script, "github")


@nox.session(requires=["lint", "types"])
def release(session: nox.Session) -> None:
    """Check, build the wheel and the source archive in ``dist/``, and test the wheel on each installed Python.

    ``nox -s release -- tests`` runs the tests too.
    """
    session.install("build>=1.2", "twine>=6")
    shutil.rmtree(DIST, ignore_errors=True)
    session.run(
        "python", "-m", "build", "--outdir", str(DIST), str(ROOT)
    )  # the wheel is built from the source archive
    session.run("twine", "check", "--strict", *map(str, DIST.iterdir()))
    with tarfile.open(next(DIST.glob("*.tar.gz"))) as archive:
        packed = {name.partition("/")[2] for name in archive.getnames()}
    tracked = session.run("git", "ls-files", external=True, silent=True).splitlines()
    missing = [name for name in tracked if name not in packed and not name.startswith(".")]
    if missing:
        session.error(f"the source archive lacks {', '.join(missing)}")
    for version in PYTHONS:
        session.notify(f"wheel-{version}", [])
    if "tests" in session.posargs:
        session.notify("tests", [])


@nox.session(python=PYTHONS)
def wheel(session: nox.Session) -> None:
    """Install the wheel in ``dist/`` as a user would, compare versions, and run the demo."""
    file = next(DIST.glob("*.whl"))
    version = file.name.split("-")[1]
    session.install(f"{file}[cli,emulator]")
    session.chdir(session.create_tmp())  # not in the folder of the sources
    session.env["PYTHONPATH"] = ""
    code = (
        "from importlib.metadata import version; from one_async import ONE, AsyncONE, __version__; "
        "print(__version__, version('one-async'))"
    )
    for command, expected in (
        (("python", "-c", code), f"{version} {version}"),
        (("one-async", "--version"), f"one-async {version}"),
    ):
        answer = session.run(*command, silent=True).strip()
        if answer != expected:
            session.error(f"{answer!r} instead of {expected!r}")
    session.run("one-async", "demo")
    session.install("one-async[yaml]")  # errors suggest this command


@nox.session
def docs(session: nox.Session) -> None:
    """Build the documentation site in ``site/``; warnings, broken links and names missing from its search are errors."""
    install(session, "docs")
    session.run("zensical", "build", "--clean", "--strict", *session.posargs)
    session.run("python", "docs/check_site.py")


@nox.session
def bench(session: nox.Session) -> None:
    """Measure speed as ratios to ONE-api or to a raw client in the same run.

    ``nox -s bench -- --json tests/benchmarks/results.json`` keeps the figures for ``docs/make_performance.py``.
    """
    install(session)
    env = {"ONE_API_PYTHON": oracle(session)}
    for script in sorted((ROOT / "tests" / "benchmarks").glob("bench_*.py")):
        session.run("python", str(script), *session.posargs, env=env)


@nox.session
def faults(session: nox.Session) -> None:
    """Run the long tests of faults and load."""
    install(session)
    session.run("pytest", "-n0", "tests/faults", *session.posargs, env={"ONE_API_PYTHON": oracle(session)})


@nox.session
def mutants(session: nox.Session) -> None:
    """Mutate the code in one place at a time and count the mutants that no test detects; not in CI, since it takes hours.

    ``nox -s mutants -- --sample 100 alyx`` tries a random sample of one part.
    """
    install(session)
    session.install("mutmut>=3.8,<4")
    session.run("python", "tests/mutation/run.py", *session.posargs)
