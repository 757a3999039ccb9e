"""Write a trained model as the folder that ships in the package, whole or not at all."""

import tempfile
from pathlib import Path
from typing import Any

from diffusers import FlowMatchEulerDiscreteScheduler

from liveglass.engine.models.nano.model import NanoModel


def export(model: NanoModel, folder: Path) -> None:
    """Save weights, configuration and scheduler into `folder`; a reader sees the old files or the new ones."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".export-") as temporary:
        model.save_pretrained(temporary)
        make: Any = FlowMatchEulerDiscreteScheduler  # diffusers ships no types
        scheduler = make(shift=1.0, num_train_timesteps=1000)
        scheduler.save_pretrained(temporary)
        for written in sorted(Path(temporary).iterdir()):
            written.replace(folder / written.name)
            (folder / written.name).chmod(0o644)
