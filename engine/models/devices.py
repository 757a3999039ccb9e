"""On what a model runs."""

import torch


def choose_device(wanted: str) -> str:
    """`auto` is cuda, then mps, then cpu; any other name is taken as it is."""
    if wanted != "auto":
        return wanted
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"
