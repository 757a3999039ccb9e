"""What a figure was measured on, and figures as quantiles, tables and files."""

import contextlib
import datetime as dt
import importlib.metadata
import json
import os
import platform
import re
from collections.abc import Iterator
from pathlib import Path

import matplotlib as mpl
import psutil

from liveglass.web.chaos.tables import aligned

mpl.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.axes import Axes

RESULTS = Path(__file__).parent / "results"


def describe() -> dict[str, str]:
    """The machine, the versions and the date."""
    packages = ("liveglass", "torch", "diffusers", "numpy", "uvicorn")
    versions = {name: importlib.metadata.version(name) for name in packages}
    return {
        "date": dt.datetime.now(dt.UTC).date().isoformat(),
        "cpu": f"{_cpu_model()}, {os.cpu_count()} cores",
        "memory": f"{psutil.virtual_memory().total / 2**30:.0f} GiB",
        "system": f"{platform.system()} {platform.release().split('-')[0]}, Python {platform.python_version()}",
        "load before": f"{os.getloadavg()[0]:.1f}",
        **versions,
    }


def _cpu_model() -> str:
    with contextlib.suppress(OSError):
        found = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
        if found:
            return found[1]
    return platform.processor() or platform.machine()


def cpu_seconds(process: psutil.Process) -> float:
    """Processor time that a process has taken, without its children."""
    used = process.cpu_times()
    return float(used.user + used.system)


def quantile(ordered: list[float], q: float) -> float:
    """The `q` quantile of an ascending list, linear between neighbours."""
    at = q * (len(ordered) - 1)
    low = int(at)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (at - low)


def histogram_quantile(before: dict[str, float], after: dict[str, float], name: str, labels: str, q: float) -> float:
    """An upper bound of the `q` quantile of a Prometheus histogram between two scrapes, in its own unit."""
    buckets = []
    for key, value in after.items():
        found = re.match(rf'{name}_bucket{{(.*)le="([^"]+)"}}', key)
        if found and labels in found[1]:
            buckets.append((float(found[2]), value - before.get(key, 0.0)))
    buckets.sort()
    total = buckets[-1][1] if buckets else 0.0
    return next((edge for edge, count in buckets if total and count >= q * total), float("nan"))


def table(title: str, rows: list[tuple[str, ...]]) -> str:
    """Rows of text under a title; the first row is the head."""
    return "\n".join([title, aligned(rows), ""])


@contextlib.contextmanager
def plot(name: str, *, rows: int = 1, height: float = 3.2) -> Iterator[list[Axes]]:
    """Axes one below the other; what is drawn on them is kept beside the raw figures as `NAME.png`."""
    figure, axes = plt.subplots(rows, 1, figsize=(8, height), sharex=True, squeeze=False, layout="constrained")
    yield list(axes[:, 0])
    RESULTS.mkdir(exist_ok=True)
    figure.savefig(RESULTS / f"{name}.png", dpi=110)
    plt.close(figure)


def save(name: str, figures: dict[str, object]) -> Path:
    """Write the raw figures beside the benchmarks."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    path.write_text(json.dumps(figures, indent=1) + "\n")
    return path
