"""Commands in a pseudo-terminal, as a person at a keyboard runs them."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Mapping
from types import TracebackType

#: Seconds after which a command counts as hanging.
SECONDS = 60
CTRL_C = b"\x03"
_CODE = "import fcntl, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); from one_async.cli import main; main()"


class Terminal:
    """A running command, its keyboard and its screen."""

    def __init__(
        self, *words: str, environment: Mapping[str, str], columns: int = 80, encoding: str = "utf-8"
    ) -> None:
        self._keys, device = pty.openpty()
        fcntl.ioctl(device, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        self._before = termios.tcgetattr(device)
        self._device = device
        self._encoding = encoding
        self._written = b""
        self.process = subprocess.Popen(
            [sys.executable, "-c", _CODE, *words],
            stdin=device,
            stdout=device,
            stderr=device,
            env={**os.environ, **environment, "TERM": "xterm", "PYTHONIOENCODING": encoding},
            start_new_session=True,
        )

    @property
    def screen(self) -> str:
        """What the command has written so far."""
        return self._written.decode(self._encoding, "replace")

    def read(self, seconds: float) -> bool:
        """Take what the command writes within some seconds; return whether it wrote anything."""
        if not select.select([self._keys], [], [], seconds)[0]:
            return False
        self._written += os.read(self._keys, 65536)
        return True

    def shows(self, text: str) -> None:
        """Wait until the screen shows a text."""
        end = time.monotonic() + SECONDS
        while text not in self.screen:
            assert time.monotonic() < end, self.screen
            if not self.read(0.05) and self.process.poll() is not None:
                raise AssertionError(f"it ended with {self.process.returncode}: {self.screen}")

    def type(self, keys: bytes) -> None:
        """Press keys."""
        os.write(self._keys, keys)

    def status(self, seconds: float = SECONDS) -> int | None:
        """Wait for the end of the command; return its exit status, or None if it still runs after some seconds."""
        end = time.monotonic() + seconds
        while self.process.poll() is None:
            if time.monotonic() > end:
                return None
            self.read(0.05)
        while self.read(0.05):
            pass
        return self.process.returncode

    @property
    def is_restored(self) -> bool:
        """Whether the terminal echoes what is typed, and shows its cursor, as before the command."""
        hidden, shown = self._written.rfind(b"\x1b[?25l"), self._written.rfind(b"\x1b[?25h")
        return hidden <= shown and termios.tcgetattr(self._device) == self._before

    def __enter__(self) -> Terminal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
        os.close(self._keys)
        os.close(self._device)
