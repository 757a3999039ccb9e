"""U-Net families behind the adapter contract, on networks of the same classes with a handful of channels."""

import numpy as np
import pytest
import torch
from checkpoints import POOLED_WIDTH, TEXT_WIDTH, letters, tiny_autoencoder, tiny_text_model, tiny_unet
from diffusers import EulerAncestralDiscreteScheduler, LCMScheduler
from diffusers.schedulers import scheduling_lcm
from hypothesis import given
from hypothesis import strategies as st
from lanes import CONTROL, SIZE, Stream, asked, differ, made, picture, together
from torch import Tensor

from liveglass.engine.errors import OutOfMemory
from liveglass.engine.frame import Size
from liveglass.engine.models.base import ModelSpec
from liveglass.engine.models.diffusion import adapter as adapter_module
from liveglass.engine.models.diffusion.adapter import DiffusionAdapter, Parts
from liveglass.engine.models.diffusion.codec import Codec
from liveglass.engine.models.diffusion.prompted import Words
from liveglass.engine.models.diffusion.schedules import (
    lcm_scheduler,
    lcm_timesteps,
    signal_left,
    turbo_scheduler,
    turbo_timesteps,
)
from liveglass.engine.models.diffusion.unet import PromptedUNet
from liveglass.engine.models.diffusion.words import ClipText

BETAS = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
SIGNAL = signal_left(0.00085, 0.012)
SPEC = ModelSpec(
    name="tiny",
    title="tiny",
    licence="none",
    valid_steps=(1, 2, 4),
    default_steps=4,
    guidance="cfg",
    negative=True,
    inner_pixels=64 * 96,
)


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> ClipText:
    return ClipText(letters(tmp_path_factory.mktemp("words")), tiny_text_model())


@pytest.fixture(scope="module")
def adapter(text: ClipText) -> DiffusionAdapter:
    unet, codec = PromptedUNet(tiny_unet()), Codec(tiny_autoencoder())
    return DiffusionAdapter(Parts(SPEC, text, unet, codec, lcm_scheduler(SIGNAL)))


@pytest.mark.parametrize("xl", [False, True])
def test_a_pass_with_a_remembered_prompt_is_the_stock_networks(xl: bool) -> None:
    plain, ours = tiny_unet(xl=xl), PromptedUNet(tiny_unet(xl=xl))
    sample, tokens, pooled = torch.randn(2, 4, 8, 12), torch.randn(2, 77, TEXT_WIDTH), torch.randn(2, POOLED_WIDTH)
    times = torch.tensor([999, 499])
    ids = torch.tensor([[64, 96, 0, 0, 64, 96]]).expand(2, -1)
    added = {"text_embeds": pooled, "time_ids": ids} if xl else None
    words = Words(tokens, pooled if xl else None)
    with torch.no_grad():
        embedding, memory = ours.embed(times, words, (64, 96)), ours.remember(words)
        for place, time in enumerate(times):
            theirs = plain(sample, time, tokens, added_cond_kwargs=added, return_dict=False)[0]
            assert torch.equal(ours(sample, embedding[:, place], memory), theirs)


@pytest.mark.parametrize("steps", [1, 2, 4, 8])
@pytest.mark.parametrize("strength", [0.2, 0.5, 0.6, 1.0])
def test_latent_consistency_starts_where_the_scheduler_of_diffusers_does(steps: int, strength: float) -> None:
    scheduler = LCMScheduler(**BETAS)
    scheduler.set_timesteps(steps, strength=strength)
    assert lcm_timesteps(strength, steps) == scheduler.timesteps.tolist()
    assert np.allclose(SIGNAL, scheduler.alphas_cumprod, rtol=1e-4)


@pytest.mark.parametrize("steps", [1, 2, 4])
def test_turbo_from_noise_takes_the_steps_that_the_scheduler_of_diffusers_does(steps: int) -> None:
    scheduler = EulerAncestralDiscreteScheduler(**BETAS, timestep_spacing="trailing")
    scheduler.set_timesteps(steps)
    assert turbo_timesteps(1.0, steps) == scheduler.timesteps.tolist()
    start = turbo_scheduler(SIGNAL)(1.0, steps, has_source=False)
    assert (start.keep, start.noise) == (0.0, pytest.approx(float(scheduler.init_noise_sigma), rel=1e-4))


@given(strength=st.floats(0, 1), steps=st.integers(1, 8), has_source=st.booleans())
def test_strength_never_changes_how_many_passes_there_are(strength: float, steps: int, has_source: bool) -> None:
    for scheduler in (lcm_scheduler(SIGNAL), turbo_scheduler(SIGNAL)):
        schedule = scheduler(strength, steps, has_source=has_source)
        times = [row[0] for row in schedule.rows]
        assert schedule.steps == steps
        assert times == sorted(set(times), reverse=True)
        assert all(0 <= time < 1000 for time in times)


def test_a_frame_is_what_stock_networks_and_the_stock_scheduler_make(
    text: ClipText, adapter: DiffusionAdapter, monkeypatch: pytest.MonkeyPatch
) -> None:
    noise = torch.from_numpy(adapter.draw_noise(3, SIZE))
    fresh = iter(noise[1:])
    monkeypatch.setattr(scheduling_lcm, "randn_tensor", lambda *_, **__: next(fresh)[None])
    unet, codec, source = tiny_unet(), tiny_autoencoder(), picture(1)
    scheduler = LCMScheduler(**BETAS)
    scheduler.set_timesteps(4, strength=0.6)
    with torch.no_grad():
        tokens = text.encode("blue ink").tokens
        encoded = codec.encode(torch.from_numpy(source).permute(2, 0, 1)[None] / 127.5 - 1).latents
        latent = scheduler.add_noise(encoded, noise[:1], scheduler.timesteps[:1])
        for time in scheduler.timesteps:
            latent = scheduler.step(unet(latent, time, tokens).sample, time, latent, return_dict=False)[0]
        theirs: Tensor = (codec.decode(latent).sample[0] * 127.5 + 128).clamp(0, 255).byte().permute(1, 2, 0)
    ours = made(Stream(adapter), source)
    assert ours.std() > 5
    assert differ(ours, theirs.numpy()) <= 1


def test_in_company_a_frame_is_what_it_is_alone(adapter: DiffusionAdapter) -> None:
    wishes = [asked("blue ink", seed=1), asked("red fire", seed=2, strength=0.8), asked("fog", seed=3, strength=0.3)]
    streams, sources = [Stream(adapter, wish) for wish in wishes], [picture(1), None, picture(2)]
    alone = [made(stream, source) for stream, source in zip(streams, sources, strict=True)]
    company = together(streams, sources)
    assert max(map(differ, alone, company)) <= 1
    assert min(differ(company[a], company[b]) for a, b in ((0, 1), (0, 2), (1, 2))) > 10


def addresses(stream: Stream) -> dict[str, list[tuple[int, torch.Size]]]:
    """Where everything lies that passes read, and its shape."""
    arena = stream.adapter._lanes[stream.lane].arena
    kept = vars(arena) | vars(arena.told)
    parts = {name: value if isinstance(value, tuple) else (value,) for name, value in kept.items()}
    return {
        name: [(part.data_ptr(), part.shape) for part in several if isinstance(part, torch.Tensor)]
        for name, several in parts.items()
    }


def test_no_control_moves_or_reshapes_what_a_captured_pass_would_read(adapter: DiffusionAdapter) -> None:
    stream = Stream(adapter)
    made(stream, picture(1))
    before = addresses(stream)
    assert len(before["memory"]) > 1
    wishes = [asked("red fire"), asked(strength=0.2), asked(seed=9), asked(guidance=4.0, negative="fog")]
    for wish in (*wishes, *(asked(steps=steps) for steps in (1, 2, 4))):
        stream.wish(wish)
        made(stream, None)
        assert addresses(stream) == before


def test_guidance_and_the_negative_prompt_count_and_outlive_a_change_of_prompt(adapter: DiffusionAdapter) -> None:
    source = picture(1)
    plain, guided = Stream(adapter, asked()), Stream(adapter, asked(guidance=4.0, negative="fog"))
    with_fog = made(guided, source)
    assert differ(with_fog, made(plain, source)) > 2
    guided.wish(asked(guidance=4.0, negative="night"))
    assert differ(with_fog, made(guided, source)) > 0
    guided.wish(asked("red", guidance=4.0, negative="fog"))
    assert differ(with_fog, made(guided, source)) > 0
    guided.wish(asked(guidance=4.0, negative="fog"))
    assert differ(with_fog, made(guided, source)) == 0
    assert adapter.group(plain.control, SIZE) != adapter.group(guided.control, SIZE)


def test_without_a_source_nothing_of_the_last_one_is_left(adapter: DiffusionAdapter) -> None:
    one, other = Stream(adapter), Stream(adapter)
    assert differ(made(one, picture(1)), made(other, picture(2))) > 0
    assert differ(made(one, None), made(other, None)) == 0
    assert differ(made(one, picture(2)), made(other, picture(2))) == 0


def test_a_transition_starts_and_ends_at_its_prompts(adapter: DiffusionAdapter) -> None:
    first, second = (adapter.encode_control(asked(words)) for words in ("blue ink", "red fire"))
    assert torch.equal(adapter.blend(first, second, 0.0).words.tokens, first.words.tokens)
    assert torch.equal(adapter.blend(first, second, 1.0).words.tokens, second.words.tokens)
    assert not torch.equal(adapter.blend(first, second, 0.5).words.tokens, first.words.tokens)


def test_another_size_outside_is_painted_at_the_models_own_and_brought_back(adapter: DiffusionAdapter) -> None:
    lane = adapter.open_lane(Size(384, 256))
    noise = adapter.draw_noise(1, Size(384, 256))
    adapter.write(lane, adapter.encode_control(CONTROL), adapter.schedule(CONTROL, Size(384, 256)), noise, 0.6)
    adapter.begin([lane], [picture(1).repeat(4, 0).repeat(4, 1)])
    adapter.denoise([lane], 0)
    assert adapter.finish([lane])[0].shape == (256, 384, 3)
    assert noise.shape[2:] == (8, 12)
    adapter.close_lane(lane)


def test_lanes_run_out_by_name_and_come_back(text: ClipText, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adapter_module, "LANES", 2)
    parts = Parts(SPEC, text, PromptedUNet(tiny_unet()), Codec(tiny_autoencoder()), lcm_scheduler(SIGNAL))
    small = DiffusionAdapter(parts)
    first = small.open_lane(SIZE)
    small.open_lane(SIZE)
    with pytest.raises(OutOfMemory):
        small.open_lane(SIZE)
    small.close_lane(first)
    assert small.open_lane(SIZE) == first
