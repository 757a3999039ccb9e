"""`liveglass doctor`: looks at the machine and says what to do about each thing that is wrong. Blocking.

Imports no torch: it asks a short-lived process, so that a broken installation is told, not met.
"""

import asyncio
import shutil
import ssl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np

from liveglass.engine.clock import wall
from liveglass.engine.errors import LiveglassError
from liveglass.engine.worker.process import model_threads
from liveglass.web.files import make_private_dir
from liveglass.web.findings import Finding
from liveglass.web.reach import reach_findings
from liveglass.web.server import listening_socket
from liveglass.web.settings import Settings

_ASK_TORCH = """
import json, torch
cuda, mps = torch.cuda.is_available(), torch.backends.mps.is_available()
print(json.dumps({
    "version": torch.__version__,
    "built_for": torch.version.cuda or torch.version.hip or "",
    "cuda": cuda,
    "mps": mps,
    "device": torch.cuda.get_device_name(0) if cuda else "",
}))
"""
_ASK_BUDGET_S = 120
_REINSTALL_AV = "pip install --force-reinstall av"


class TorchFacts(msgspec.Struct, frozen=True):
    """What a process with torch in it said of itself."""

    version: str
    built_for: str
    cuda: bool
    mps: bool
    device: str


def report(settings: Settings) -> int:
    """Print every finding; 1 if something is broken, else 0."""
    worst = 0
    for finding in _findings(settings):
        mark = {"ok": "ok     ", "warning": "warning", "problem": "PROBLEM"}[finding.verdict]
        sys.stdout.write(f"{mark}  {finding.what:<8} {finding.says}\n")
        if finding.do:
            sys.stdout.write(f"{'':<18}{finding.do}\n")
        sys.stdout.flush()
        worst = max(worst, int(finding.verdict == "problem"))
    return worst


def _findings(settings: Settings) -> Iterator[Finding]:
    for check in (_gpu, _port, _state, _codecs, _tls):
        yield check(settings)
    yield from _reach(settings)


def gpu_finding(gpu: str, torch: TorchFacts | None, fault: str = "") -> Finding:
    """What follows from the GPU that the system sees (empty: none) and from what torch can use."""
    if torch is None:
        return Finding("GPU", "problem", f"torch does not start: {fault}", "pip install --force-reinstall torch")
    if torch.cuda:
        return Finding("GPU", "ok", f"{torch.device}, torch {torch.version} for {torch.built_for}.")
    if torch.mps:
        return Finding("GPU", "ok", f"Apple GPU (mps), torch {torch.version}.")
    if gpu and not torch.built_for:
        return Finding(
            "GPU",
            "warning",
            f"{gpu} is there, but torch {torch.version} is a CPU build and cannot use it.",
            "pip uninstall torch, then install the CUDA build that pytorch.org names for this machine.",
        )
    if gpu:
        return Finding(
            "GPU",
            "warning",
            f"{gpu} is there and torch is built for {torch.built_for}, but cannot use it.",
            "Update the driver so that nvidia-smi shows at least that version; in a container, pass the GPU in.",
        )
    return Finding(
        "GPU", "ok", f"None; the model runs on the CPU, on {model_threads(0)} of its cores, torch {torch.version}."
    )


def _gpu(_settings: Settings) -> Finding:
    try:
        asked = subprocess.run(  # noqa: S603 - our own interpreter and our own text
            [sys.executable, "-c", _ASK_TORCH], capture_output=True, text=True, timeout=_ASK_BUDGET_S, check=True
        )
        torch = msgspec.json.decode(asked.stdout.strip().splitlines()[-1], type=TorchFacts)
    except subprocess.CalledProcessError as error:
        return gpu_finding(_gpu_name(), None, (error.stderr.strip().splitlines() or ["no reason given"])[-1])
    except (subprocess.TimeoutExpired, msgspec.DecodeError, IndexError) as error:
        return gpu_finding(_gpu_name(), None, str(error))
    return gpu_finding(_gpu_name(), torch)


def _gpu_name() -> str:
    tool = shutil.which("nvidia-smi")
    if tool is not None:
        try:
            asked = subprocess.run(  # noqa: S603 - the driver's own tool
                [tool, "--query-gpu=name", "--format=csv,noheader"],
                capture_output=True,
                text=True,
                timeout=20,
                check=True,
            )
        except (subprocess.SubprocessError, OSError):
            return "An NVIDIA GPU"
        return asked.stdout.strip().splitlines()[0] if asked.stdout.strip() else ""
    return "An NVIDIA GPU" if Path("/dev/nvidia0").exists() or Path("/proc/driver/nvidia").exists() else ""


def _port(settings: Settings) -> Finding:
    try:
        listening_socket(settings.host, settings.port).close()
    except LiveglassError as error:
        return Finding("port", "problem", error.message, error.hint)
    return Finding("port", "ok", f"{settings.host}:{settings.port} is free.")


def _state(settings: Settings) -> Finding:
    folder = Path(settings.state_dir)
    try:
        make_private_dir(folder)
        free = shutil.disk_usage(folder).free
    except OSError as error:
        return Finding("state", "problem", f"{folder}: {error.strerror}.", "Name another folder with --state-dir.")
    if free < 64 * 2**20:
        return Finding("state", "warning", f"{folder} has {free // 2**20} MiB left.", "Make room there.")
    return Finding("state", "ok", f"{folder} can be written.")


def _codecs(_settings: Settings) -> Finding:
    from liveglass.transport.codecs import decode_jpeg, encode_jpeg  # noqa: PLC0415 - it may be what is broken

    grey = np.full((64, 64, 3), 128, np.uint8)
    try:
        back = decode_jpeg(encode_jpeg(grey))
    except (LiveglassError, OSError, ValueError) as error:
        return Finding("codecs", "problem", f"JPEG does not work: {error}.", "pip install --force-reinstall simplejpeg")
    if int(np.abs(back.astype(int) - grey).max()) > 4:
        return Finding("codecs", "problem", "JPEG changes colours.", "pip install --force-reinstall simplejpeg")
    try:
        from liveglass.transport.webrtc.probe import codec_faults  # noqa: PLC0415 - it may be what is broken
    except ImportError as error:
        return Finding("codecs", "problem", f"PyAV does not start: {error}.", _REINSTALL_AV)
    faults = codec_faults()
    if faults:
        return Finding("codecs", "problem", f"WebRTC: {'; '.join(faults)}.", _REINSTALL_AV)
    return Finding("codecs", "ok", "JPEG, H.264 and VP8, both ways.")


def _tls(settings: Settings) -> Finding:
    if settings.is_tls:
        return Finding("TLS", "ok", f"On, {ssl.OPENSSL_VERSION}.")
    if settings.is_loopback:
        return Finding("TLS", "ok", "Off; browsers give their camera to 127.0.0.1 without it.")
    return Finding(
        "TLS",
        "warning",
        "Off; browsers give a camera to pages over HTTPS only.",
        "Use --tls self-signed, --tls-cert and --tls-key, or a proxy that has a certificate, with --public-url.",
    )


def _reach(settings: Settings) -> tuple[Finding, ...]:
    try:
        from liveglass.transport.webrtc.probe import probe_ice  # noqa: PLC0415 - it may be what is broken
    except ImportError as error:
        return (Finding("UDP", "problem", f"aiortc does not start: {error}.", "pip install --force-reinstall aiortc"),)
    servers = settings.ice.servers(wall_s=wall(), user="doctor")
    return reach_findings(settings, asyncio.run(probe_ice(settings.ice, servers)))
