"""The packed family behind the adapter contract, on a checkpoint of FLUX.2 Klein's classes that diffusers wrote."""

import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import torch
from checkpoints import tiny_klein, write_packed
from diffusers import FlowMatchEulerDiscreteScheduler, Flux2KleinPipeline
from diffusers.pipelines.flux2.pipeline_flux2_klein import compute_empirical_mu
from hypothesis import given
from hypothesis import strategies as st
from lanes import CONTROL, SIZE, Captures, Stream, asked, differ, made, picture, together
from PIL import Image
from safetensors.torch import load_file, save_file
from torch._dynamo.testing import CompileCounter

from liveglass.engine.errors import ModelFailed, ModelNotFound, NotAvailable, OutOfMemory, WeightsRefused
from liveglass.engine.frame import Pixels, Size
from liveglass.engine.models import registry
from liveglass.engine.models.diffusion.checkpoint import tensor_bytes
from liveglass.engine.models.diffusion.schedules import flow_scheduler, flow_sigmas, klein_shift
from liveglass.engine.models.packed import adapter as adapter_module
from liveglass.engine.models.packed.adapter import PackedAdapter
from liveglass.engine.models.packed.load import load_packed
from liveglass.engine.models.packed.recipe import Recipe, recipe_of, recipe_spec
from liveglass.web import catalogue

TOKENS = 6 * 4
NAME = "packed:tiny/klein"
RECIPE = recipe_of(NAME)
SEEING = msgspec.structs.replace(RECIPE, sees_camera=True)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    models = tmp_path_factory.mktemp("models")
    write_packed(RECIPE.repository, models)
    return models


@pytest.fixture
def models(written: Path, tmp_path: Path) -> Path:
    """A copy that a test may damage."""
    return Path(shutil.copytree(written, tmp_path / "models"))


@pytest.fixture(scope="module")
def adapter(written: Path) -> PackedAdapter:
    return load(written)


@pytest.fixture(scope="module")
def seeing(written: Path) -> PackedAdapter:
    return load(written, SEEING)


@pytest.fixture(scope="module")
def stock(written: Path) -> Flux2KleinPipeline:
    pipeline = Flux2KleinPipeline.from_pretrained(written / RECIPE.repository, low_cpu_mem_usage=False)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def load(models: Path, recipe: Recipe = RECIPE) -> PackedAdapter:
    return load_packed(recipe, models, "cpu", 1, lambda _: None)[0]


def noise_as_stock_takes_it(adapter: PackedAdapter) -> torch.Tensor:
    """Channels before places: `[1, C, h, w]`."""
    return torch.from_numpy(adapter.draw_noise(3, SIZE)).transpose(1, 2).unflatten(2, (4, 6))


def by_stock(stock: Flux2KleinPipeline, adapter: PackedAdapter, steps: int, **more: Any) -> Pixels:
    """What the pipeline makes of the same words and the same noise."""
    [image] = stock(
        prompt="blue ink",
        height=SIZE.height,
        width=SIZE.width,
        num_inference_steps=steps,
        guidance_scale=1.0,
        latents=noise_as_stock_takes_it(adapter),
        **more,
    ).images
    return np.asarray(image)


@pytest.mark.parametrize("tokens", [24, 1024, 4096, 4301, 9000])
@pytest.mark.parametrize("steps", [1, 4, 10, 200])
def test_the_shift_is_what_the_pipeline_computes(tokens: int, steps: int) -> None:
    assert klein_shift(tokens, steps) == pytest.approx(math.exp(compute_empirical_mu(tokens, steps)), rel=1e-6)


@pytest.mark.parametrize("steps", [1, 2, 4])
@pytest.mark.parametrize("tokens", [24, 1024])
def test_from_noise_alone_the_levels_are_those_of_the_scheduler_of_diffusers(steps: int, tokens: int) -> None:
    even = np.linspace(1.0, 1 / steps, steps)
    dynamic = FlowMatchEulerDiscreteScheduler(shift=3.0, use_dynamic_shifting=True)
    dynamic.set_timesteps(sigmas=even, mu=compute_empirical_mu(tokens, steps))
    fixed = FlowMatchEulerDiscreteScheduler(shift=3.0)
    fixed.set_timesteps(sigmas=even)
    for scheduler, shift in ((dynamic, klein_shift(tokens, steps)), (fixed, 3.0)):
        assert flow_sigmas(1.0, steps, shift) == pytest.approx(scheduler.sigmas[:-1].tolist(), rel=1e-5)


@pytest.mark.parametrize("strength", [0.2, 0.6, 0.95])
def test_the_shift_is_applied_once_wherever_a_frame_starts(strength: float) -> None:
    levels = flow_sigmas(strength, 4, 3.0)
    assert levels[0] == pytest.approx(strength)
    scheduler = FlowMatchEulerDiscreteScheduler(shift=3.0)
    scheduler.set_timesteps(sigmas=levels)  # takes them for times of training, and shifts them again
    assert scheduler.sigmas[0] > strength + 0.01
    start = strength / (3.0 - 2.0 * strength)
    scheduler.set_timesteps(sigmas=[start, start * 3 / 4, start / 2, start / 4])
    assert levels == pytest.approx(scheduler.sigmas[:-1].tolist(), rel=1e-5)


@given(strength=st.floats(0, 1), steps=st.integers(1, 8), tokens=st.integers(16, 5000), has_source=st.booleans())
def test_strength_never_changes_how_many_passes_there_are(
    strength: float, steps: int, tokens: int, has_source: bool
) -> None:
    schedule = flow_scheduler(klein_shift)(strength, steps, tokens, has_source=has_source)
    times = [row[0] for row in schedule.rows]
    assert schedule.steps == steps
    assert times == sorted(times, reverse=True)
    assert schedule.noise == pytest.approx(strength if has_source else 1.0)
    assert schedule.keep + schedule.noise == pytest.approx(1.0)


@pytest.mark.parametrize("steps", [1, 4])
def test_from_words_alone_a_frame_is_the_stock_pipelines(
    steps: int, adapter: PackedAdapter, stock: Flux2KleinPipeline
) -> None:
    ours = made(Stream(adapter, asked(steps=steps)), None)
    assert ours.std() > 5
    assert differ(ours, by_stock(stock, adapter, steps)) <= 1


def test_a_frame_that_sees_its_camera_is_the_stock_pipelines_edit(
    seeing: PackedAdapter, stock: Flux2KleinPipeline
) -> None:
    source = picture(1)
    ours = made(Stream(seeing, asked(strength=1.0)), source)
    assert differ(ours, by_stock(stock, seeing, 4, image=Image.fromarray(source))) <= 1
    assert differ(ours, made(Stream(seeing, asked(strength=1.0)), picture(2))) > 5


def test_a_frame_that_starts_at_its_camera_is_what_the_stock_parts_and_scheduler_make(
    adapter: PackedAdapter, stock: Flux2KleinPipeline
) -> None:
    source, noise = picture(1), noise_as_stock_takes_it(adapter)
    shift = math.exp(compute_empirical_mu(TOKENS, 4))
    start = 0.6 / (shift + (1 - shift) * 0.6)
    scheduler = stock.scheduler
    scheduler.set_timesteps(sigmas=[start * share for share in (1, 0.75, 0.5, 0.25)], mu=math.log(shift))
    scheduler.set_begin_index(0)
    with torch.no_grad():
        words, word_ids = stock.encode_prompt("blue ink")
        encoded = stock._encode_vae_image(torch.from_numpy(source).permute(2, 0, 1)[None] / 127.5 - 1, None)
        ids = stock._prepare_latent_ids(encoded)
        latent = stock._pack_latents(scheduler.scale_noise(encoded, scheduler.timesteps[:1], noise))
        for time in scheduler.timesteps:
            said = stock.transformer(latent, words, time[None] / 1000, ids, word_ids, return_dict=False)[0]
            latent = scheduler.step(said, time, latent, return_dict=False)[0]
        packed = stock._unpack_latents_with_ids(latent, ids, 4, 6)
        norm = stock.vae.bn
        spread = torch.sqrt(norm.running_var + stock.vae.config.batch_norm_eps).view(1, -1, 1, 1)
        unpacked = stock._unpatchify_latents(packed * spread + norm.running_mean.view(1, -1, 1, 1))
        theirs = stock.vae.decode(unpacked).sample[0]
    levels = (theirs * 127.5 + 128).clamp(0, 255).byte().permute(1, 2, 0).numpy()
    ours = made(Stream(adapter), source)
    assert ours.std() > 5
    assert differ(ours, levels) <= 1
    assert differ(ours, made(Stream(adapter), None)) > 10


@pytest.mark.parametrize("recipe", [RECIPE, SEEING], ids=["starts", "sees"])
def test_in_half_precision_a_frame_is_about_the_same(
    recipe: Recipe, written: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = request.getfixturevalue("seeing" if recipe.sees_camera else "adapter")
    one_pass = asked(steps=1)  # every further one would carry the rounding of this loud network along
    monkeypatch.setattr("liveglass.engine.models.packed.load.weights_type", lambda _: torch.bfloat16)
    half = load(written, recipe)
    for source in (picture(1), None):
        ours, exact = made(Stream(half, one_pass), source), made(Stream(whole, one_pass), source)
        assert 0 < np.abs(ours.astype(int) - exact).mean() < 3


@pytest.mark.parametrize("which", ["adapter", "seeing"])
def test_in_company_a_frame_is_what_it_is_alone(which: str, request: pytest.FixtureRequest) -> None:
    adapter = request.getfixturevalue(which)
    wishes = [asked("blue ink", seed=1), asked("red fire", seed=2, strength=0.8), asked("fog", seed=3, strength=0.3)]
    streams, sources = [Stream(adapter, wish) for wish in wishes], [picture(1), None, picture(2)]
    alone = [made(stream, source) for stream, source in zip(streams, sources, strict=True)]
    company = together(streams, sources)
    assert max(map(differ, alone, company)) <= 1
    assert min(differ(company[a], company[b]) for a, b in ((0, 1), (0, 2), (1, 2))) > 10


@pytest.mark.parametrize("which", ["adapter", "seeing"])
def test_without_a_source_nothing_of_the_last_one_is_left(which: str, request: pytest.FixtureRequest) -> None:
    adapter = request.getfixturevalue(which)
    one, other = Stream(adapter), Stream(adapter)
    assert differ(made(one, picture(1)), made(other, picture(2))) > 0
    assert differ(made(one, None), made(other, None)) == 0
    assert differ(made(one, picture(2)), made(other, picture(2))) == 0


def test_a_prompt_changes_the_words_of_its_lane_and_nothing_else(adapter: PackedAdapter) -> None:
    stream, beside = Stream(adapter), Stream(adapter, asked(seed=8))
    before, untouched = made(stream, picture(1)), made(beside, picture(2))
    arena, row = adapter._lanes[stream.lane].arena, adapter._lanes[stream.lane].row

    def kept() -> list[torch.Tensor]:
        return [part.clone() for part in (arena.start, arena.table, arena.noise)]

    old, words = kept(), arena.words.clone()
    stream.wish(asked("red fire"))
    assert all(map(torch.equal, old, kept()))
    changed = (arena.words != words).flatten(1).any(1).nonzero().flatten().tolist()
    assert changed == [row]
    assert differ(before, made(stream, picture(1))) > 10
    assert differ(untouched, made(beside, picture(2))) == 0
    stream.wish(CONTROL)
    assert differ(before, made(stream, picture(1))) == 0


def addresses(stream: Stream) -> dict[str, tuple[int, torch.Size]]:
    """Where everything lies that passes read, and its shape."""
    kept = vars(stream.adapter._lanes[stream.lane].arena)
    return {name: (part.data_ptr(), part.shape) for name, part in kept.items() if isinstance(part, torch.Tensor)}


def test_no_control_moves_or_reshapes_what_a_captured_pass_would_read(adapter: PackedAdapter) -> None:
    stream = Stream(adapter)
    made(stream, picture(1))
    before = addresses(stream)
    assert {"words", "places", "latent", "table"} <= set(before)
    for wish in (asked("red fire"), asked(strength=0.2), asked(seed=9), *(asked(steps=steps) for steps in (1, 2, 4))):
        stream.wish(wish)
        made(stream, None)
        assert addresses(stream) == before


def test_a_transition_starts_and_ends_at_its_prompts(adapter: PackedAdapter) -> None:
    first, second = (adapter.encode_control(asked(words)) for words in ("blue ink", "red fire"))
    assert torch.equal(adapter.blend(first, second, 0.0).tokens, first.tokens)
    assert torch.equal(adapter.blend(first, second, 1.0).tokens, second.tokens)
    assert not torch.equal(adapter.blend(first, second, 0.5).tokens, first.tokens)


def test_a_larger_picture_has_other_noise_levels(adapter: PackedAdapter) -> None:
    small, large = (adapter.schedule(CONTROL, size) for size in (SIZE, Size(512, 512)))
    assert [small.noise, large.noise] == pytest.approx([0.6, 0.6])
    assert large.rows[1][0] != small.rows[1][0]


def test_another_size_outside_is_painted_at_the_models_own_and_brought_back(written: Path) -> None:
    adapter = load(written, msgspec.structs.replace(RECIPE, pixels=64 * 96))
    size = Size(384, 256)
    lane, noise = adapter.open_lane(size), adapter.draw_noise(1, size)
    adapter.write(lane, adapter.encode_control(CONTROL), adapter.schedule(CONTROL, size), noise, 0.6)
    adapter.begin([lane], [picture(1).repeat(4, 0).repeat(4, 1)])
    adapter.denoise([lane], 0)
    assert adapter.finish([lane])[0].shape == size.shape
    assert noise.shape == (1, TOKENS, 16)


def test_a_source_or_noise_of_another_size_is_refused_by_name(adapter: PackedAdapter) -> None:
    stream, other = Stream(adapter), adapter.draw_noise(1, Size(128, 128))
    with pytest.raises(ModelFailed, match="source"):
        adapter.begin([stream.lane], [np.zeros((32, 32, 3), np.uint8)])
    with pytest.raises(ModelFailed, match="Noise"):
        adapter.write(stream.lane, adapter.encode_control(CONTROL), adapter.schedule(CONTROL, SIZE), other, 0.6)


def test_lanes_run_out_by_name_and_come_back(written: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adapter_module, "LANES", 2)
    small = load(written)
    first = small.open_lane(SIZE)
    small.open_lane(SIZE)
    with pytest.raises(OutOfMemory):
        small.open_lane(SIZE)
    small.close_lane(first)
    assert small.open_lane(SIZE) == first


def test_it_is_known_by_its_repository_and_listed_nowhere(written: Path) -> None:
    assert not [name for name in registry.NAMES if name.startswith("packed")]
    assert registry.spec(NAME) == recipe_spec(RECIPE)
    on_disk = sum(path.stat().st_size for path in (written / RECIPE.repository).rglob("*.safetensors"))
    assert registry.check(NAME, written, "cpu") == on_disk
    stages: list[str] = []
    adapter, device = registry.load(NAME, "cpu", 1, written, stages.append)
    assert (adapter.spec, device, stages) == (recipe_spec(RECIPE), "cpu", ["looking at the weights", "loading"])
    assert [path.parent.name for path in adapter.makings.weights] == ["text_encoder", "transformer", "vae"]
    assert adapter.makings.kernels.dtype == "float32"


def test_half_precision_on_disk_counts_twice_where_it_is_loaded_as_float32(tmp_path: Path) -> None:
    path = tmp_path / "half.safetensors"
    save_file({"weight": torch.zeros(64, dtype=torch.bfloat16)}, path)
    assert tensor_bytes(path, whole=True) == 2 * tensor_bytes(path, whole=False) == 2 * path.stat().st_size


@pytest.mark.parametrize("name", ["packed:", "packed:klein", "packed:../klein", "packed:a/../b", "packed:/etc/x"])
def test_a_name_that_is_no_repository_is_no_model(name: str) -> None:
    with pytest.raises(ModelNotFound):
        registry.spec(name)


def test_a_checkpoint_in_several_files_paints_the_same(models: Path, adapter: PackedAdapter) -> None:
    pipeline = tiny_klein()
    for part in ("transformer", "text_encoder"):
        folder = models / RECIPE.repository / part
        shutil.rmtree(folder)
        getattr(pipeline, part).save_pretrained(folder, max_shard_size="40KB")
        assert len(list(folder.glob("*.safetensors"))) > 1
    assert differ(made(Stream(load(models)), picture(1)), made(Stream(adapter), picture(1))) <= 1


def test_what_is_missing_is_named_with_where_it_belongs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "no hub"))
    with pytest.raises(NotAvailable, match="tiny/klein") as refused:
        registry.check(NAME, tmp_path)
    assert str(tmp_path / "tiny" / "klein") in refused.value.hint
    with pytest.raises(NotAvailable, match="tiny/klein"):
        catalogue.fetch(NAME, tmp_path, lambda _: None, lambda _: True)


def change(path: Path, **values: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def weights(folder: Path) -> Path:
    return folder / "transformer" / "diffusion_pytorch_model.safetensors"


def cut(folder: Path) -> None:
    whole = weights(folder).read_bytes()
    weights(folder).write_bytes(whole[: len(whole) // 2])


def pickle(folder: Path) -> None:
    weights(folder).rename(weights(folder).with_suffix(".bin"))


def lost(folder: Path) -> None:
    tensors = load_file(weights(folder))
    del tensors["proj_out.weight"]
    save_file(tensors, weights(folder))


def reshaped(folder: Path) -> None:
    tensors = load_file(weights(folder))
    tensors["x_embedder.weight"] = torch.zeros(8, 16)
    save_file(tensors, weights(folder))


def elsewhere(folder: Path) -> None:
    index = weights(folder).with_name("diffusion_pytorch_model.safetensors.index.json")
    index.write_text(json.dumps({"weight_map": {"proj_out.weight": "../vae/diffusion_pytorch_model.safetensors"}}))


def chatless(folder: Path) -> None:
    (folder / "tokenizer" / "chat_template.jinja").unlink()


def babbling(folder: Path) -> None:
    (folder / "tokenizer" / "chat_template.jinja").write_text("{% for message in %}")


def wordy(folder: Path) -> None:
    path = folder / "tokenizer" / "tokenizer.json"
    told = json.loads(path.read_text())
    told["model"]["vocab"] |= {f"{number}": number for number in range(1000, 1100)}
    path.write_text(json.dumps(told))


DAMAGE: dict[str, tuple[Callable[[Path], None], str]] = {
    "cut": (cut, "cannot be read"),
    "pickle": (pickle, "a pickle"),
    "a weight lost": (lost, "lacks 1 weights, proj_out.weight"),
    "a weight of another shape": (reshaped, "does not load"),
    "an index that points elsewhere": (elsewhere, "not beside it"),
    "another class": (lambda folder: change(folder / "model_index.json", _class_name="FluxPipeline"), "a FluxPipeline"),
    "not distilled": (lambda folder: change(folder / "model_index.json", is_distilled=False), "not distilled"),
    "words of another width": (
        lambda folder: change(folder / "transformer" / "config.json", joint_attention_dim=64),
        "does not take words of 48 numbers",
    ),
    "a guidance value": (
        lambda folder: change(folder / "transformer" / "config.json", guidance_embeds=True),
        "wants a guidance value",
    ),
    "a shallow text encoder": (
        lambda folder: change(folder / "text_encoder" / "config.json", num_hidden_layers=20),
        "no layer 27",
    ),
    "other noise levels": (
        lambda folder: change(folder / "scheduler" / "scheduler_config.json", use_karras_sigmas=True),
        "noise levels",
    ),
    "no chat template": (chatless, "does not load"),
    "a broken chat template": (babbling, "does not load"),
    "a tokenizer that is cut": (
        lambda folder: (folder / "tokenizer" / "tokenizer.json").write_text('{"model": '),
        "does not load",
    ),
    "more tokens than the text encoder knows": (wordy, "more tokens than"),
    "no configuration": (lambda folder: (folder / "vae" / "config.json").unlink(), "cannot be read"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_checkpoint_that_is_not_whole_or_not_of_the_family_is_refused(damage: str, models: Path) -> None:
    spoil, why = DAMAGE[damage]
    spoil(models / RECIPE.repository)
    with pytest.raises(WeightsRefused, match=why) as refused:
        load(models)
    assert refused.value.hint


def test_weights_that_do_not_fit_are_refused_before_they_are_read(
    written: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("liveglass.engine.models.loading.free_bytes", lambda _: 1000)
    with pytest.raises(WeightsRefused, match="are free on cpu"):
        load(written)


@pytest.mark.parametrize("sees_camera", [False, True])
def test_captured_passes_are_the_launched_ones_and_no_control_captures_again(written: Path, sees_camera: bool) -> None:
    plain, capture = load(written, SEEING if sees_camera else RECIPE), Captures()
    adapter = PackedAdapter(plain._parts, capture)
    sources = [picture(1), picture(2), picture(3)]
    alone, others = Stream(adapter), [Stream(adapter, asked("red fire", seed=number)) for number in (4, 5, 6)]
    frames = [made(alone, sources[0]), *together(others, sources)]
    # begin, denoise and finish for one row, and for the four that three of them run as.
    assert capture.count == 6
    for stream, frame, source in zip([alone, *others], frames, [sources[0], *sources], strict=True):
        assert differ(frame, made(Stream(plain, stream.control), source)) <= 1
    for wish in (asked("fog"), asked(strength=0.2), asked(seed=9)):
        alone.wish(wish)
        made(alone, sources[1])
    assert capture.count == 6
    made(alone, None)
    assert capture.count == (7 if sees_camera else 6), "without a camera a pass is another one where it looks at one"


def test_networks_are_compiled_whole_once_for_each_batch_and_never_for_a_control(adapter: PackedAdapter) -> None:
    counter = CompileCounter()
    torch._dynamo.reset()
    compiled = Stream(PackedAdapter(adapter._parts, backend=counter))
    frame = made(compiled, picture(1))
    assert counter.frame_count == 3, "transformer, encoder and decoder"
    assert differ(frame, made(Stream(adapter), picture(1))) <= 1
    for wish in (asked("fog"), asked(strength=0.2), asked(seed=9), asked(steps=2)):
        compiled.wish(wish)
        made(compiled, picture(2))
    assert counter.frame_count == 3
