"""Networks made for one test: a server and its clients, each in a network namespace of its own, on virtual cables.

    with network(clients=2) as net:
        net.clients[1].shape(down_kbit=200)
        answer = await net.clients[0].run(lambda: fetch(net.server.address))

Rates are limited with `tc tbf`, packets are lost by `nft` rules, always inside the namespaces: nothing of the host's
own network is touched, and all of it is gone at the end. Needs root on Linux, iproute2 and nftables; says so where they
are missing. Blocks while it sets up (a tenth of a second); `run` and `call` work in a thread that has entered the
namespace, so that sockets made there, and the threads started from there, belong to it.
"""

import asyncio
import ctypes
import os
import secrets
import shutil
import subprocess
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, TypeVar

T = TypeVar("T")

BURST_BYTES = 4096  # what may leave at once on a limited cable: two full packets and a bit, as on a slow modem
QUEUE_MS = 150  # what may wait there before packets are dropped
_CLONE_NEWNET = 0x40000000
_NAMESPACES = Path("/run/netns")
_TOOLS = {"ip": "iproute2", "tc": "iproute2", "nft": "nftables"}


class NetworkUnavailable(AssertionError):
    """No network can be made here; the message says what to do. A failure, and no reason to skip."""


class Namespace:
    """One machine of the network.

    Attributes:
        name: for `ip netns`.
        address: its IPv4 address.
    """

    def __init__(self, name: str, address: str) -> None:
        self.name = name
        self.address = address

    def command(self, *words: str) -> tuple[str, ...]:
        """The command line that runs `words` here; the process keeps its id."""
        return ("ip", "netns", "exec", self.name, *words)

    def wrapper(self, path: Path, program: str) -> Path:
        """Write a script to `path` that runs `program` here with whatever arguments it gets; returns `path`."""
        path.write_text(f'#!/bin/sh\nexec {" ".join(self.command(program))} "$@"\n')
        path.chmod(0o755)
        return path

    async def run(self, work: Callable[[], Awaitable[T]]) -> T:
        """Run a coroutine here, on an event loop and a thread of its own; cancelling this cancels it."""
        loop: asyncio.AbstractEventLoop | None = None
        task: asyncio.Task[T] | None = None

        async def body() -> T:
            nonlocal loop, task
            loop = asyncio.get_running_loop()
            task = asyncio.ensure_future(_await(work))
            return await task

        waiting = asyncio.ensure_future(self.call(lambda: asyncio.run(body())))
        try:
            return await asyncio.shield(waiting)
        except asyncio.CancelledError:
            if loop is not None and task is not None and not waiting.done():
                loop.call_soon_threadsafe(task.cancel)
            await asyncio.wait([waiting])
            raise

    async def call(self, work: Callable[[], T]) -> T:
        """Run a blocking function here, in a thread of its own."""
        result: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        home = asyncio.get_running_loop()

        def body() -> None:
            try:
                _enter(self.name)
                value = work()
            except BaseException as error:  # noqa: BLE001 - it is raised again where it was asked for
                home.call_soon_threadsafe(_fail, result, error)
            else:
                home.call_soon_threadsafe(_succeed, result, value)

        # Not from a pool: a thread that has entered a namespace must not serve anybody else.
        thread = threading.Thread(target=body, name=f"in {self.name}")
        thread.start()
        try:
            return await asyncio.shield(result)
        except asyncio.CancelledError:
            await asyncio.wait([result])
            raise

    def sh(self, line: str) -> str:
        """Run one command of the shell's words here; its output."""
        return _run(*self.command(*line.split()))


class Client(Namespace):
    """A machine with one cable to the server, that can be bad."""

    def __init__(self, name: str, address: str, server: Namespace, port: str) -> None:
        super().__init__(name, address)
        self._server = server
        self._port = port

    def shape(self, *, down_kbit: int | None = None, up_kbit: int | None = None) -> None:
        """Limit the cable's rates (kbit/s); None lifts a limit."""
        for where, device, kbit in ((self._server, self._port, down_kbit), (self, "eth0", up_kbit)):
            if " tbf " in where.sh(f"tc qdisc show dev {device} root"):
                where.sh(f"tc qdisc del dev {device} root")
            if kbit is not None:
                limits = f"rate {kbit}kbit burst {BURST_BYTES} latency {QUEUE_MS}ms"
                where.sh(f"tc qdisc replace dev {device} root tbf {limits}")

    def lose(self, *, down_percent: int = 0, up_percent: int = 0, protocol: Literal["all", "udp"] = "all") -> None:
        """Lose that share of the packets, at random, where they arrive: the sender learns nothing."""
        which = "udp" if protocol == "udp" else "{ tcp, udp }"
        chance = f"meta l4proto {which} numgen random mod 100 <"
        down = [f"iifname eth0 {chance} {down_percent} drop"] if down_percent else []
        up = [f"ip saddr {self.address} {chance} {up_percent} drop"] if up_percent else []
        self._drop("loss", down, up)

    def block_udp(self, *, blocked: bool = True) -> None:
        """Let no UDP through, in either direction, as some firewalls do; or let it through again."""
        udp = "meta l4proto udp drop"
        self._drop("firewall", [f"iifname eth0 {udp}"] * blocked, [f"ip saddr {self.address} {udp}"] * blocked)

    def cut(self, *, cut: bool = True) -> None:
        """Pull the cable, or plug it in again: everything is lost, and nobody is told."""
        self._drop("cable", ["iifname eth0 drop"] * cut, [f"ip saddr {self.address} drop"] * cut)

    def mend(self) -> None:
        """A good cable again."""
        self.shape()
        self.lose()
        self.block_udp(blocked=False)
        self.cut(cut=False)

    def dropped_packets(self) -> int:
        """Packets that this client's limited down-link could not hold."""
        shown = self._server.sh(f"tc -s qdisc show dev {self._port} root")
        return int(shown.partition("dropped ")[2].partition(",")[0] or 0)

    def _drop(self, name: str, down: list[str], up: list[str]) -> None:
        """Replace the rules of that name: `down` for what arrives here, `up` for what the server gets from here."""
        for where, chain, rules in ((self, name, down), (self._server, f"{name}_{self._port}", up)):
            lines = [
                "add table inet bad",
                f"add chain inet bad {chain} {{ type filter hook input priority 0; policy accept; }}",
                f"flush chain inet bad {chain}",
                *(f"add rule inet bad {chain} {rule}" for rule in rules),
            ]
            _run(*where.command("nft", "-f", "-"), text="\n".join(lines) + "\n")


class Network:
    """A server and its clients.

    Attributes:
        server: where the server belongs.
        clients: one for each cable.
    """

    def __init__(self, server: Namespace, clients: list[Client]) -> None:
        self.server = server
        self.clients = clients

    @property
    def client(self) -> Client:
        """The first client."""
        return self.clients[0]


@contextmanager
def network(clients: int = 1) -> Iterator[Network]:
    """A server's namespace and `clients` more, each with a cable to it.

    Raises:
        NetworkUnavailable: not Linux, not root, or a tool is missing.
    """
    _check()
    mark = f"lg{os.getpid()}-{secrets.token_hex(2)}"
    server = Namespace(f"{mark}-s", "10.77.0.1")
    others = [Client(f"{mark}-c{n}", f"10.77.0.{n + 2}", server, f"port{n}") for n in range(clients)]
    made: list[Namespace] = []
    try:
        for namespace in (server, *others):
            _run("ip", "netns", "add", namespace.name)
            made.append(namespace)
            namespace.sh("ip link set lo up")
        server.sh("ip link add hub type bridge forward_delay 0")
        _plug(server, "hub")
        for n, client in enumerate(others):
            port = f"port{n}"
            _run("ip", "link", "add", "eth0", "netns", client.name, "type", "veth", "peer", "name", port, "netns",
                 server.name)  # fmt: skip
            # Packets as they are on a wire: else one "packet" of 64 kB is limited and lost as one.
            client.sh("ip link set eth0 gso_max_segs 1 addrgenmode none")
            server.sh(f"ip link set {port} gso_max_segs 1 addrgenmode none master hub up")
            _plug(client, "eth0")
            client.sh(f"ip route add default via {server.address}")
        yield Network(server, others)
    finally:
        for namespace in reversed(made):
            subprocess.run(["ip", "netns", "delete", namespace.name], check=False, capture_output=True)


def _plug(namespace: Namespace, device: str) -> None:
    namespace.sh(f"ip address add {namespace.address}/24 dev {device}")
    namespace.sh(f"ip link set {device} addrgenmode none")
    namespace.sh(f"ip link set {device} up")


def _check() -> None:
    if not _NAMESPACES.parent.is_dir():
        raise NetworkUnavailable("Network namespaces are Linux's: run these tests on Linux or in a Linux container.")
    missing = sorted({package for tool, package in _TOOLS.items() if shutil.which(tool) is None})
    if missing:
        raise NetworkUnavailable(f"The network tests need more tools: apt-get install {' '.join(missing)}.")
    if os.geteuid() != 0:
        raise NetworkUnavailable(
            "The network tests make network namespaces, which takes root: run them with sudo, or in a container that "
            "was started with --privileged."
        )


def _run(*words: str, text: str | None = None) -> str:
    done = subprocess.run(words, input=text, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise NetworkUnavailable(
            f"`{' '.join(words)}` failed: {done.stderr.strip() or done.stdout.strip()}. In a container, network "
            "namespaces need --privileged (or the capabilities NET_ADMIN and SYS_ADMIN)."
        )
    return done.stdout


def _enter(name: str) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    with (_NAMESPACES / name).open("rb") as handle:
        if libc.setns(handle.fileno(), _CLONE_NEWNET) != 0:
            error = ctypes.get_errno()
            raise NetworkUnavailable(f"A thread could not enter the namespace {name}: {os.strerror(error)}.")


async def _await(work: Callable[[], Awaitable[T]]) -> T:
    return await work()


def _succeed(result: "asyncio.Future[T]", value: T) -> None:
    if not result.done():
        result.set_result(value)


def _fail(result: "asyncio.Future[T]", error: BaseException) -> None:
    if not result.done():
        result.set_exception(error)
