"""What a worker makes pictures with: weights by their hashes, kernels by name."""

import hashlib
import subprocess
from pathlib import Path

import msgspec
import pytest
from checkpoints import write_preset

from liveglass.engine.makings import Kernels, hash_of, hashed, processor, versions
from liveglass.engine.models.diffusion.load import load_preset
from liveglass.engine.models.diffusion.presets import PRESETS
from liveglass.engine.models.faulty import FaultyAdapter
from liveglass.engine.models.nano.adapter import WEIGHTS, load_nano
from liveglass.engine.models.passthrough import PassthroughAdapter


def whole(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_file_is_hashed_whole_and_named_with_its_folder(tmp_path: Path) -> None:
    path = tmp_path / "unet" / "weights.safetensors"
    path.parent.mkdir()
    path.write_bytes(b"x" * (3 * 2**20 + 1))
    found = hashed(path, lambda: False)
    assert found is not None
    assert (found.name, found.length, found.sha256) == ("unet/weights.safetensors", 3 * 2**20 + 1, whole(path))
    assert hashed(path, lambda: True) is None
    with pytest.raises(OSError, match="nothing"):
        hashed(tmp_path / "nothing", lambda: False)


def test_the_hash_of_all_weights_is_that_of_the_files_whatever_their_names_and_their_order(tmp_path: Path) -> None:
    for name, content in (("a", b"one"), ("b", b"two")):
        (tmp_path / name).write_bytes(content)
    files = [hashed(tmp_path / name, lambda: False) for name in ("a", "b")]
    one, other = [file for file in files if file is not None]
    renamed = msgspec.structs.replace(one, name="somewhere/else")
    command = f"sha256sum {tmp_path}/* | cut -c1-64 | LC_ALL=C sort | sha256sum | cut -c1-64"
    said = subprocess.run(["sh", "-c", command], check=True, capture_output=True, text=True).stdout.strip()
    assert hash_of([one, other]) == hash_of([other, renamed]) == said
    assert hash_of([one]) != hash_of([one, other])


def test_the_versions_of_what_is_not_installed_are_left_out() -> None:
    found = versions("numpy", "no-such-package-at-all")
    assert [entry.partition(" ")[0] for entry in found] == ["liveglass", "numpy"]
    assert processor()


def test_models_without_a_network_say_so() -> None:
    for adapter in (PassthroughAdapter("null"), FaultyAdapter("faulty:5")):
        assert adapter.makings.kernels.backend == "numpy"
        assert adapter.makings.weights == ()


@pytest.mark.parametrize(("openvino", "backend"), [(False, "torch"), (True, "OpenVINO")])
def test_the_built_in_model_names_what_runs_it_its_threads_and_its_one_file(openvino: bool, backend: str) -> None:
    made = load_nano(device="cpu", threads=1, openvino=openvino)[0].makings
    assert made.kernels.backend.startswith(backend)
    assert made.weights == (WEIGHTS / "diffusion_pytorch_model.safetensors",)
    check(made.kernels, "float32")


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_names_every_file_that_it_was_loaded_from(name: str, tmp_path: Path) -> None:
    write_preset(PRESETS[name], tmp_path)
    made = load_preset(PRESETS[name], tmp_path, "cpu", 1, lambda _: None)[0].makings
    assert set(made.weights) == set(tmp_path.rglob("*.safetensors"))
    assert any(entry.startswith("diffusers ") for entry in made.kernels.libraries)
    check(made.kernels, "float32")


def check(kernels: Kernels, dtype: str) -> None:
    assert (kernels.device, kernels.dtype, kernels.threads, kernels.driver) == ("cpu", dtype, 1, "")
    assert any(entry.startswith("torch ") for entry in kernels.libraries)
    assert [setting.rpartition(" ")[0] for setting in kernels.settings] == [
        "float32 matmul",
        "deterministic",
        "instructions",
    ]
