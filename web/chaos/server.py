"""A server in a process of its own, for chaos and the benchmarks: started, looked at from outside, ended."""

import contextlib
import re
import signal
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass

import psutil

from liveglass.engine.clock import now
from liveglass.engine.errors import Unavailable

_STOP_S = 10.0


@dataclass
class Server:
    """A running server: its address, its processes, how long it took to be ready, and whether it keeps a spare."""

    url: str
    process: psutil.Process
    ready_s: float
    keeps_spare: bool

    @property
    def is_alive(self) -> bool:
        """Whether the server's own process is there."""
        return bool(self.process.is_running() and self.process.status() != psutil.STATUS_ZOMBIE)

    def worker(self) -> psutil.Process | None:
        """The process that serves the model, if there is one; a spare is younger."""
        found = []
        for child in self.process.children():
            with contextlib.suppress(psutil.NoSuchProcess):
                # Beside it there is multiprocessing's own process, which looks after what is shared.
                if any("spawn_main" in part for part in child.cmdline()):
                    found.append((child.create_time(), child.pid, child))
        return min(found)[2] if found else None

    def metrics(self) -> dict[str, float]:
        """Every sample of /metrics by its full name with labels."""
        with urllib.request.urlopen(f"{self.url}/metrics", timeout=10) as response:  # noqa: S310 - our own server
            lines = response.read().decode().splitlines()
        return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines if not line.startswith("#")}

    def total(self, name: str) -> float:
        """The sum of a metric over its labels."""
        return sum(value for key, value in self.metrics().items() if key.partition("{")[0] == name)


@contextlib.contextmanager
def server(model: str, *options: str) -> Iterator[Server]:
    """A server on a free port, ended in the end.

    Raises:
        Unavailable: it did not get ready.
    """
    with tempfile.TemporaryDirectory() as state:
        started = now()
        process = subprocess.Popen(  # noqa: S603 - our own server
            [sys.executable, "-m", "liveglass.web", "serve", "--model", model, "--port", "0", "--no-open",
             "--state-dir", state, "--log-level", "error", *options],
            stdout=subprocess.PIPE,
            text=True,
        )  # fmt: skip
        try:
            line = process.stdout.readline() if process.stdout else ""
            found = re.search(r"liveglass ready at (\S+)", line)
            if not found:
                raise Unavailable(f"The server did not become ready; it said: {line!r}")
            yield Server(found[1], psutil.Process(process.pid), now() - started, "--spare" in options)
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            if process.stdout:
                process.stdout.close()
