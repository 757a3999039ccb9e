"""Low-rank weights in a live model: from the weights as they were loaded, in slices, and all at once or not at all."""

import math
from pathlib import Path

import pytest
import torch
from checkpoints import lora_of, tiny_unet, write_preset
from safetensors.torch import save_file

from liveglass.engine.control import ControlState, Params, Prompt
from liveglass.engine.errors import InvalidValue, NotAvailable, WeightsRefused
from liveglass.engine.frame import Pixels, Size
from liveglass.engine.models import registry
from liveglass.engine.models.base import LoraFile
from liveglass.engine.models.diffusion.adapter import DiffusionAdapter
from liveglass.engine.models.diffusion.fusing import Fuser
from liveglass.engine.models.diffusion.lora import weights_of
from liveglass.engine.models.diffusion.presets import PRESETS
from liveglass.engine.models.lora_files import LoraWish, find_loras
from liveglass.web import catalogue

SIZE = Size(64, 64)


def styles(folder: Path) -> tuple[LoraFile, LoraFile]:
    """Two files of low-rank weights for the tiny network."""
    made = []
    for name, size in (("one", 0.05), ("other", 0.2)):
        path = folder / f"{name}.safetensors"
        save_file(lora_of(tiny_unet(), size), path)
        made.append(LoraFile(name, str(path), 0.8))
    return made[0], made[1]


def fused(fuser: Fuser, *files: LoraFile) -> None:
    loras = fuser.read(files)
    for _ in fuser.prepare(loras):
        pass
    fuser.switch(loras)


@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16])
def test_from_one_to_another_to_none_leaves_the_weights_as_they_were_loaded_to_the_bit(
    kind: torch.dtype, tmp_path: Path
) -> None:
    weights = weights_of(tiny_unet().to(kind).requires_grad_(requires_grad=False))
    loaded = {layer: weight.clone() for layer, weight in weights.items()}
    places = {layer: weight.data_ptr() for layer, weight in weights.items()}
    one, other = styles(tmp_path)
    fuser = Fuser(weights)
    fused(fuser, one)
    with_one = {layer: weight.clone() for layer, weight in weights.items()}
    assert not all(torch.equal(weights[layer], loaded[layer]) for layer in weights)
    for _ in range(3):
        fused(fuser, other)
        fused(fuser, one, other)
        fused(fuser, one)
    assert all(torch.equal(weights[layer], with_one[layer]) for layer in weights)
    fused(fuser)
    assert all(torch.equal(weights[layer], loaded[layer]) for layer in weights)
    assert {layer: weight.data_ptr() for layer, weight in weights.items()} == places
    assert not fuser._base


def test_nothing_is_changed_before_the_last_step_and_giving_up_leaves_nothing(tmp_path: Path) -> None:
    weights = weights_of(tiny_unet().requires_grad_(requires_grad=False))
    loaded = {layer: weight.clone() for layer, weight in weights.items()}
    fuser = Fuser(weights)
    loras = fuser.read(styles(tmp_path)[:1])
    steps = fuser.prepare(loras)
    for _ in range(3):
        next(steps)
    assert all(torch.equal(weights[layer], loaded[layer]) for layer in weights)
    steps.close()
    assert not fuser._base
    assert not fuser._shadow


def test_what_does_not_fit_is_refused_and_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    weights = weights_of(tiny_unet())
    fuser = Fuser(weights)
    usual = lora_of(tiny_unet())
    down = next(name for name in usual if name.endswith("lora_down.weight"))
    up, path = down.replace("lora_down", "lora_up"), tmp_path / "style.safetensors"
    for tensors, why in (
        ({**usual, up: torch.zeros(3, 2)}, "does not fit"),
        ({**usual, up: torch.full_like(usual[up], math.nan)}, "numbers that are none"),
        ({**usual, up: torch.zeros(2)}, "other half"),
        ({**usual, "dora_scale": torch.zeros(2)}, "no low-rank change"),
    ):
        save_file(tensors, path)
        with pytest.raises(WeightsRefused, match=why):
            fuser.read([LoraFile("style", str(path), 1.0)])
    path.write_bytes(b"\x80\x04pickle")
    with pytest.raises(WeightsRefused, match="cannot be read"):
        fuser.read([LoraFile("style", str(path), 1.0)])
    save_file(usual, path)
    monkeypatch.setattr("liveglass.engine.models.diffusion.fusing.free_bytes", lambda _: 1000)
    with pytest.raises(WeightsRefused, match="are free on cpu"):
        fuser.read([LoraFile("style", str(path), 1.0)])


def picture(adapter: DiffusionAdapter, lane: int) -> Pixels:
    adapter.begin([lane], [None])
    adapter.denoise([lane], 0)
    return adapter.finish([lane])[0].copy()


def test_a_lane_that_is_written_already_shows_the_new_weights_and_then_the_old_ones(tmp_path: Path) -> None:
    write_preset(PRESETS["sd-turbo"], tmp_path)
    adapter, _ = registry.load("sd-turbo", "cpu", 1, tmp_path, lambda _: None)
    assert isinstance(adapter, DiffusionAdapter)
    lane = adapter.open_lane(SIZE)
    control = ControlState(1, prompts=(Prompt("ink"),), params=Params(steps=1))
    noise = adapter.draw_noise(1, SIZE)
    adapter.write(lane, adapter.encode_control(control), adapter.schedule(control, SIZE), noise, 0.6)
    plain = picture(adapter, lane)
    loras = adapter.read_loras([styles(tmp_path)[1]])
    steps = adapter.fuse(loras)
    next(steps)
    assert (picture(adapter, lane) == plain).all()
    for _ in steps:
        pass
    assert not (picture(adapter, lane) == plain).all()
    for _ in adapter.fuse(adapter.read_loras([])):
        pass
    assert (picture(adapter, lane) == plain).all()
    assert loras.fused[0].name == "other"
    assert len(loras.fused[0].sha256) == 64


@pytest.mark.parametrize("name", ["../secret", "a/b", "", ".hidden", "a" * 64, "style\0", "..", "C:style"])
def test_a_name_reaches_no_other_folder(name: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidValue):
        find_loras(tmp_path, [LoraWish(name)])


def test_files_are_found_by_name_and_what_is_not_there_is_named(tmp_path: Path) -> None:
    (tmp_path / "loras").mkdir()
    (tmp_path / "loras" / "my-style.safetensors").touch()
    (found,) = find_loras(tmp_path, [LoraWish("my-style", 0.5)])
    assert (found.name, found.weight, Path(found.path).name) == ("my-style", 0.5, "my-style.safetensors")
    with pytest.raises(NotAvailable) as refused:
        find_loras(tmp_path, [LoraWish("my-stile")])
    assert "my-style" in refused.value.hint
    assert "my-style" in catalogue.table(tmp_path)
    with pytest.raises(InvalidValue, match="twice"):
        find_loras(tmp_path, [LoraWish("my-style"), LoraWish("my-style")])
