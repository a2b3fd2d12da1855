"""Transfers through the client's own wire: TLS, tokens, large files, and an Alyx server that serves the files itself."""

from __future__ import annotations

import datetime
import gc
import hashlib
import ipaddress
import os
import pickle
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import aclosing
from pathlib import Path

import pytest

from one_async.alyx.client import AsyncAlyxClient
from one_async.alyx.connection_pool import CERTIFICATES
from one_async.errors import ConfigurationError, HashMismatch, NotFound, ServerUnreachable
from one_async.transfer.fetch import Policy, fetch
from one_async.transfer.items import FileSource, Item
from one_async.transfer.web import Credentials, whole_number
from one_async.types import StreamOpener

from .servers import Files, serve

pytestmark = pytest.mark.anyio

QUICK = Policy(retries=2, pause=0.01, stall=20)
LARGE = os.urandom(1 << 20) * 70 + b"end"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Return a self-signed certificate for 127.0.0.1, and its key."""
    pytest.importorskip("cryptography")
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(address, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    folder = tmp_path_factory.mktemp("tls")
    (folder / "cert.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return folder / "cert.pem", folder / "key.pem"


@pytest.fixture
def over_tls(certificate: tuple[Path, Path]) -> Iterator[Files]:
    cert, key = certificate
    with serve(Files(piece=1 << 20), ssl_certfile=str(cert), ssl_keyfile=str(key)) as files:
        files.base = files.base.replace("http://", "https://")
        yield files


def item(files: Files, path: str, data: bytes, auth: str | None = None) -> Item:
    return Item("d1", path, (FileSource(f"{files.base}/{path}", auth),), len(data), files.put(path, data))  # type: ignore[arg-type]


async def test_tls(
    over_tls: Files, certificate: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = LARGE[-5_000_003:]
    one = item(over_tls, "a/x.npy", data)
    async with AsyncAlyxClient("http://alyx.invalid") as alyx:
        with pytest.raises(ServerUnreachable, match="certificate"):
            await fetch([one], root=tmp_path, streams=alyx.wire, policy=QUICK)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
    over_tls.faults["a/x.npy"] = ["truncate"]
    async with AsyncAlyxClient("http://alyx.invalid") as alyx:
        await fetch([one], root=tmp_path, streams=alyx.wire, policy=QUICK)
    assert (tmp_path / "a/x.npy").read_bytes() == data
    assert "range" in over_tls.requests[-1][1]


@pytest.mark.parametrize("variable", CERTIFICATES)
async def test_the_environment_selects_trusted_certificates(
    over_tls: Files,
    certificate: tuple[Path, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    variable: str,
) -> None:
    one = item(over_tls, "a/x.npy", b"data")
    for name in CERTIFICATES:  # the first variable that is set has precedence, as in httpx and requests
        monkeypatch.setenv(
            name, "" if CERTIFICATES.index(name) < CERTIFICATES.index(variable) else "/never/read"
        )
    if variable == "SSL_CERT_DIR":
        pytest.importorskip("cryptography")
        monkeypatch.setenv(
            variable, os.pathsep.join([str(tmp_path), str(hashed(certificate[0], tmp_path / "certs"))])
        )
    else:
        monkeypatch.setenv(variable, str(certificate[0]))
    async with AsyncAlyxClient("http://alyx.invalid") as alyx:
        await fetch([one], root=tmp_path, streams=alyx.wire, policy=QUICK)
    assert (tmp_path / "a/x.npy").read_bytes() == b"data"


def hashed(certificate: Path, folder: Path) -> Path:
    """Make a folder of authorities in OpenSSL's form: files named by the hash of their subject."""
    folder.mkdir()
    command = ["openssl", "x509", "-noout", "-hash", "-in", str(certificate)]
    if shutil.which(command[0]) is None:
        pytest.skip("needs openssl to name the file")
    name = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    shutil.copy(certificate, folder / f"{name}.0")
    return folder


@pytest.mark.parametrize("variable", CERTIFICATES)
@pytest.mark.parametrize("content", [None, b"", b"no certificate"])
async def test_a_variable_that_names_no_certificates_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str, content: bytes | None
) -> None:
    file = tmp_path / "gone.pem"
    if content is not None:
        file.write_bytes(content)
    for name in CERTIFICATES:
        monkeypatch.setenv(name, str(file) if name == variable else "")
    async with AsyncAlyxClient("https://127.0.0.1:1", token="f" * 40, cache_dir=tmp_path) as alyx:
        with pytest.raises(ConfigurationError, match=variable) as caught:
            await alyx.rest("sessions", "list")
        assert str(file) in str(caught.value)
        assert isinstance(caught.value.__cause__, OSError)
        with pytest.raises(ConfigurationError, match=variable):
            async with alyx.wire.open("https://127.0.0.1:1/x"):
                pass
    assert type(pickle.loads(pickle.dumps(caught.value))) is ConfigurationError


async def test_a_large_file(files: Files, streams: StreamOpener, tmp_path: Path) -> None:
    one = item(files, "a/large.bin", LARGE)
    files.piece = 1 << 20
    files.faults["a/large.bin"] = ["truncate"]
    (outcome,) = await fetch([one], root=tmp_path, streams=streams, policy=QUICK)
    assert outcome.bytes == len(LARGE)
    with (tmp_path / "a/large.bin").open("rb") as file:
        assert hashlib.file_digest(file, "md5").hexdigest() == one.hash
    assert [p.name for p in (tmp_path / "a").iterdir()] == ["large.bin"]


async def test_a_large_file_over_tls(
    over_tls: Files, certificate: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
    one = item(over_tls, "a/large.bin", LARGE)
    async with AsyncAlyxClient("http://alyx.invalid") as alyx:
        await fetch([one], root=tmp_path, streams=alyx.wire, policy=QUICK)
    with (tmp_path / "a/large.bin").open("rb") as file:
        assert hashlib.file_digest(file, "md5").hexdigest() == one.hash


async def test_a_large_body_that_stalls_or_is_left(
    files: Files, streams: StreamOpener, tmp_path: Path
) -> None:
    one = item(files, "a/large.bin", LARGE)
    files.piece = 1 << 20
    files.always["a/large.bin"] = "stall"
    with pytest.raises(ServerUnreachable, match="no bytes arrived"):
        await fetch([one], root=tmp_path, streams=streams, policy=Policy(retries=0, stall=0.5))
    del files.always["a/large.bin"]
    for least in (1, 3_000_000):
        came = 0
        async with streams.open(f"{files.base}/a/large.bin") as stream, aclosing(stream.chunks()) as chunks:  # type: ignore[type-var]
            async for chunk in chunks:
                came += len(chunk)
                if came >= least:
                    break
    small = item(files, "a/small.npy", b"small")
    for _ in range(3):  # the whole body has arrived, and the connection cannot be used again
        async with streams.open(f"{files.base}/a/small.npy") as stream, aclosing(stream.chunks()) as chunks:  # type: ignore[type-var]
            assert await anext(chunks) == b"small"
    await fetch([small, one], root=tmp_path, streams=streams, policy=QUICK)
    gc.collect()


async def test_the_token_goes_to_its_own_server_alone(files: Files, tmp_path: Path) -> None:
    with serve(Files()) as database:
        own = item(database, "a/own.npy", b"own")
        database.redirect_to = files.base
        strange, led = item(files, "a/strange.npy", b"strange"), item(database, "a/led.npy", b"led")
        files.put("a/led.npy", b"led")
        database.faults["a/led.npy"] = ["redirect"]
        async with AsyncAlyxClient(database.base, username="me", token="f" * 40) as alyx:
            await fetch([own, strange, led], root=tmp_path, streams=alyx.wire, policy=QUICK)
        assert {headers.get("authorization") for _, headers in database.requests} == {"Token " + "f" * 40}
        assert all("authorization" not in headers for _, headers in files.requests)
        assert files.count("a/led.npy") == 1


async def test_the_data_servers_password_follows_no_redirect(
    files: Files, streams: StreamOpener, tmp_path: Path
) -> None:
    with serve(Files()) as stranger:
        one = item(files, "a/x.npy", b"x", auth="data")
        stranger.put("a/x.npy", b"x")
        files.redirect_to = stranger.base
        files.faults["a/x.npy"] = ["redirect"]
        secrets = Credentials(data=("user", "pass"))
        await fetch([one], root=tmp_path, streams=streams, policy=QUICK, credentials=secrets)
        assert "authorization" in files.requests[0][1]
        assert "authorization" not in stranger.requests[0][1]


async def test_errors_name_the_address_expected_and_found(
    files: Files, streams: StreamOpener, tmp_path: Path
) -> None:
    one = item(files, "a/x.npy", LARGE[:100_000])
    for fault, error in (
        ("corrupt", HashMismatch),
        ("404", NotFound),
        ("truncate-ignore", ServerUnreachable),
    ):
        files.always["a/x.npy"] = fault
        with pytest.raises(error) as caught:
            await fetch([one], root=tmp_path / fault, streams=streams, policy=QUICK)
        assert f"{files.base}/a/x.npy" in str(caught.value)
    files.always["a/x.npy"] = "corrupt"
    with pytest.raises(HashMismatch, match=f"expected {one.hash}, found [0-9a-f]{{32}}"):
        await fetch([one], root=tmp_path, streams=streams, policy=QUICK)


async def test_a_client_that_is_closed_leaves_nothing_open(files: Files, tmp_path: Path) -> None:
    async with AsyncAlyxClient("http://alyx.invalid") as alyx:
        ones = [item(files, f"a/{n}.npy", bytes([n]) * 1000) for n in range(20)]
        await fetch(ones, root=tmp_path, streams=alyx.wire, policy=QUICK)
        sockets = _sockets()
        assert sockets > 0
    assert _sockets() < sockets


def _sockets() -> int:
    """Return the number of connections of this process to others and to itself."""
    psutil = pytest.importorskip("psutil")
    return sum(c.status == "ESTABLISHED" for c in psutil.Process().net_connections("tcp"))


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("12", 12),
        (" 7 ", 7),
        ("0", 0),
        ("²", None),
        ("٣", None),
        ("-1", None),
        ("", None),
        (None, None),
        ("9" * 5000, None),
    ],
)
def test_lengths_are_ascii_digits(text: str | None, number: int | None) -> None:
    assert whole_number(text) == number
