"""Presets from their files: loaded by the real loading code, and refused by name before they cost anything."""

import shutil
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import torch
from checkpoints import lora_of, tiny_unet, write_preset
from huggingface_hub.errors import LocalEntryNotFoundError
from safetensors.torch import load_file, save_file

from liveglass.engine.control import ControlState, Params, Prompt
from liveglass.engine.errors import NotAvailable, WeightsRefused
from liveglass.engine.frame import Size
from liveglass.engine.models.diffusion import lora
from liveglass.engine.models.diffusion.load import load_preset
from liveglass.engine.models.diffusion.presets import PRESETS, preset_spec
from liveglass.web import catalogue

SIZE = Size(128, 96)
LCM = PRESETS["sd15-lcm"]
CONTROL = ControlState(1, (Prompt("ink"),), params=Params(steps=2, seed=1, strength=0.5))


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    models = tmp_path_factory.mktemp("models")
    for preset in PRESETS.values():
        write_preset(preset, models)
    return models


@pytest.fixture
def models(written: Path, tmp_path: Path) -> Path:
    """A copy that a test may damage."""
    return Path(shutil.copytree(written, tmp_path / "models"))


def load(name: str, models: Path) -> None:
    load_preset(PRESETS[name], models, "cpu", 1, lambda _: None)


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_loads_from_what_diffusers_writes_and_paints(name: str, written: Path) -> None:
    stages: list[str] = []
    adapter, device = load_preset(PRESETS[name], written, "auto", 1, stages.append)
    assert device in {"cpu", "cuda", "mps"}
    assert stages == ["looking at the weights", "loading"]
    assert adapter.spec == preset_spec(PRESETS[name])
    lane = adapter.open_lane(SIZE)
    control = msgspec.structs.replace(CONTROL, params=Params(steps=adapter.spec.default_steps, seed=1))
    noise = adapter.draw_noise(1, SIZE)
    adapter.write(lane, adapter.encode_control(control), adapter.schedule(control, SIZE), noise, 0.5)
    adapter.begin([lane], [np.zeros(SIZE.shape, np.uint8)])
    for step in range(adapter.schedule(control, SIZE).steps):
        adapter.denoise([lane], step)
    [picture] = adapter.finish([lane])
    assert picture.shape == SIZE.shape
    assert picture.std() > 1


def test_the_low_rank_weights_of_a_preset_are_in_it(written: Path) -> None:
    plain, changed = tiny_unet(), tiny_unet()
    lora.fuse(changed, written / LCM.lora.name / "pytorch_lora_weights.safetensors", 1.0)
    name = "down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_q.weight"
    before, after = plain.get_parameter(name), changed.get_parameter(name)
    weights = load_file(written / LCM.lora.name / "pytorch_lora_weights.safetensors")
    stem = "lora_unet_down_blocks_1_attentions_0_transformer_blocks_0_attn1_to_q"
    delta = 4.0 / 2 * weights[f"{stem}.lora_up.weight"] @ weights[f"{stem}.lora_down.weight"]
    torch.testing.assert_close(after, before + delta)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (("lora_unet_", ".lora_down.", ".lora_up."), ("base_model.model.unet.", ".lora_A.", ".lora_B.")),
        (("lora_unet_", ".lora_down.", ".lora_up."), ("unet.", ".lora.down.", ".lora.up.")),
    ],
)
def test_the_names_of_other_trainers_mean_the_same(old: tuple[str, ...], new: tuple[str, ...], tmp_path: Path) -> None:
    unet = tiny_unet()
    layers = {layer.replace(".", "_"): layer for layer, _ in unet.named_modules()}
    renamed = {}
    for name, tensor in lora_of(unet).items():
        stem, _, ending = name.partition(".")
        if ending != "alpha":
            dotted = f"lora_unet_{layers[stem.removeprefix('lora_unet_')]}.{ending}"
            for was, becomes in zip(old, new, strict=True):
                dotted = dotted.replace(was, becomes)
            renamed[dotted] = tensor
    save_file(renamed, tmp_path / "other.safetensors")
    save_file(lora_of(unet), tmp_path / "usual.safetensors")
    weights = lora.weights_of(unet)
    other, usual = (lora.read(tmp_path / name, weights) for name in ("other.safetensors", "usual.safetensors"))
    assert set(other) == set(usual)
    assert all(torch.equal(other[layer].up, usual[layer].up) for layer in usual)


def test_what_is_missing_is_named_with_the_way_to_get_it(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(models / "no hub"))
    shutil.rmtree(models / LCM.codec.name)
    with pytest.raises(NotAvailable, match="madebyollin/taesd") as refused:
        load("sd15-lcm", models)
    assert "liveglass models get sd15-lcm" in refused.value.hint


def test_a_pickle_is_refused(models: Path) -> None:
    unet = models / LCM.base.name / "unet"
    (unet / "diffusion_pytorch_model.safetensors").rename(unet / "diffusion_pytorch_model.bin")
    with pytest.raises(WeightsRefused, match="a pickle"):
        load("sd15-lcm", models)


@pytest.mark.parametrize("damage", ["short", "garbage", "empty"])
def test_damaged_weights_are_refused(damage: str, models: Path) -> None:
    path = models / LCM.base.name / "unet" / "diffusion_pytorch_model.safetensors"
    whole = path.read_bytes()
    path.write_bytes({"short": whole[: len(whole) // 2], "garbage": b"\xff" * 4096, "empty": b""}[damage])
    with pytest.raises(WeightsRefused, match="cannot be read"):
        load("sd15-lcm", models)


def test_weights_of_another_shape_are_refused(models: Path) -> None:
    path = models / LCM.base.name / "unet" / "diffusion_pytorch_model.safetensors"
    tensors = load_file(path)
    tensors["conv_in.weight"] = torch.zeros(8, 4, 3, 3)
    save_file(tensors, path)
    with pytest.raises(WeightsRefused, match="does not load"):
        load("sd15-lcm", models)


def test_weights_that_do_not_fit_are_refused_before_they_are_read(
    models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("liveglass.engine.models.loading.free_bytes", lambda _: 1000)
    with pytest.raises(WeightsRefused, match="are free on cpu"):
        load("sd15-lcm", models)


def test_low_rank_weights_of_something_else_are_refused(tmp_path: Path) -> None:
    unet, path = tiny_unet(), tmp_path / "some.safetensors"
    for tensors, why in (
        ({"lora_te_text_model_encoder_layers_0_mlp_fc1.lora_down.weight": torch.zeros(2, 2)}, "text encoder"),
        ({"lora_unet_no_such_layer.lora_down.weight": torch.zeros(2, 2)}, "does not have"),
        ({"weight": torch.zeros(2, 2)}, "no low-rank"),
    ):
        save_file(tensors, path)
        with pytest.raises(WeightsRefused, match=why):
            lora.read(path, lora.weights_of(unet))
    save_file({name: part for name, part in lora_of(unet).items() if "up" not in name.split(".")[1]}, path)
    with pytest.raises(WeightsRefused, match="other half"):
        lora.read(path, lora.weights_of(unet))


def test_fetching_shows_the_licence_first_and_takes_only_what_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetched: dict[str, list[str]] = {}

    def download(name: str, *, local_files_only: bool = False, **asked: Any) -> str:
        if local_files_only:
            raise LocalEntryNotFoundError("not here")
        fetched[name] = asked["allow_patterns"]
        assert asked["local_dir"] == tmp_path / name
        return str(asked["local_dir"])

    monkeypatch.setattr("liveglass.engine.models.diffusion.checkpoint.snapshot_download", download)
    told: list[str] = []
    with pytest.raises(NotAvailable, match="not fetched"):
        catalogue.fetch("sd-turbo", tmp_path, told.append, lambda _: False)
    assert "Stability AI Community License" in told[0]
    assert not fetched
    catalogue.fetch("sd-turbo", tmp_path, told.append, lambda question: "licence" in question)
    assert set(fetched) == {"stabilityai/sd-turbo", "madebyollin/taesd"}
    assert "unet/*.fp16.safetensors" in fetched["stabilityai/sd-turbo"]
    assert not any(pattern.endswith((".bin", ".ckpt")) for patterns in fetched.values() for pattern in patterns)


def test_a_preset_is_listed_as_here_only_when_it_could_be_loaded(models: Path) -> None:
    assert catalogue.is_on_disk("sd15-lcm", models)
    (models / LCM.base.name / "unet" / "diffusion_pytorch_model.safetensors").write_bytes(b"half")
    assert not catalogue.is_on_disk("sd15-lcm", models)
