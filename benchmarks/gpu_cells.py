"""What `gpu.py` measures of one preset at one step count, each in a process of its own; figures in milliseconds."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import StableDiffusionImg2ImgPipeline, StableDiffusionPipeline, StableDiffusionXLImg2ImgPipeline
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from diffusers.models.autoencoders.autoencoder_tiny import AutoencoderTiny
from machine import quantile
from PIL import Image
from torch.utils.flop_counter import FlopCounterMode

from liveglass.engine.clock import now
from liveglass.engine.control import ControlPatch, ControlState, Params, ParamsPatch, Prompt
from liveglass.engine.engine import Engine, EngineConfig
from liveglass.engine.frame import OutputFrame, Pixels, Size
from liveglass.engine.models.diffusion import checkpoint
from liveglass.engine.models.diffusion.adapter import DiffusionAdapter
from liveglass.engine.models.diffusion.load import load_preset
from liveglass.engine.models.diffusion.presets import Preset
from liveglass.engine.options import SessionRequest, SizeRequest
from liveglass.engine.stream.session import Session

PROMPT = "a watercolour of a mountain lake"
OLDEST_MS = 100.0
LEAST_SHARE = 0.97
"""Of 24 new pictures a second; a slot may be lost to the clock."""
WARM_UP = 5
PATIENCE_S = 240.0
SETTLE_FRAMES = 6
STREAM_PLACES = {1: [32], 2: [32, 45], 4: [20, 30, 38, 45]}
"""Where StreamDiffusion's steps lie in its schedule of 50; its time does not depend on them."""

Figures = dict[str, Any]


@dataclass(frozen=True)
class Given:
    """One cell.

    Attributes:
        seconds: for one figure.
    """

    preset: Preset
    steps: int
    models_dir: Path
    device: str
    seconds: float
    tiny: bool

    @property
    def size(self) -> Size:
        """Of source and picture."""
        return Size(64, 64) if self.tiny else Size(512, 512)

    @property
    def kind(self) -> torch.dtype:
        """What the others run in, by their documentation."""
        return torch.float16 if self.device.startswith("cuda") else torch.float32

    def picture(self, seed: int = 1) -> Pixels:
        """A source, uint8 [H, W, 3]."""
        drawn = np.random.default_rng(seed).integers(0, 256, self.size.shape, dtype=np.uint8)
        return np.asarray(drawn, np.uint8)

    def wait(self) -> None:
        """Until the device has done everything."""
        if self.device.startswith("cuda"):
            torch.cuda.synchronize()


def timed(given: Given, work: Callable[[], object]) -> Figures:
    """p50, p95, p99 and rate of `work`, warm, for the cell's seconds."""
    for _ in range(1 if given.tiny else WARM_UP):
        work()
    given.wait()
    took: list[float] = []
    until = time.perf_counter() + given.seconds
    while time.perf_counter() < until or len(took) < 3:
        began = time.perf_counter()
        work()
        given.wait()
        took.append((time.perf_counter() - began) * 1000)
    took.sort()
    p50, p95, p99 = (quantile(took, q) for q in (0.5, 0.95, 0.99))
    return {"p50": p50, "p95": p95, "p99": p99, "fps": 1000 * len(took) / sum(took), "frames": len(took)}


def documented(given: Given, *, tiny_decoder: bool) -> Figures:
    """diffusers' image-to-image, a picture of PIL in and one out."""
    base = given.models_dir / given.preset.base.name
    pipe_of = StableDiffusionXLImg2ImgPipeline if given.preset.family == "sdxl" else StableDiffusionImg2ImgPipeline
    codec: AutoencoderTiny | AutoencoderKL
    if tiny_decoder:
        codec = AutoencoderTiny.from_pretrained(given.models_dir / given.preset.codec.name)
    else:
        codec = AutoencoderKL(**_kl(given))
    pipe = _pipeline(pipe_of, base, codec).to(given.device, given.kind)
    picture = Image.fromarray(given.picture())
    guidance = 1.0 if given.preset.sampler == "lcm" else 0.0

    def frame() -> None:
        # Half the strength and twice the steps: it makes int(steps * strength) passes.
        pipe(PROMPT, image=picture, num_inference_steps=2 * given.steps, strength=0.5, guidance_scale=guidance)

    return timed(given, frame)


def _pipeline(kind: Any, base: Path, codec: object) -> Any:  # noqa: ANN401 - any pipeline of theirs
    """A pipeline from parts; none of them comes over a network."""
    from diffusers import EulerAncestralDiscreteScheduler, LCMScheduler  # noqa: PLC0415
    from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel  # noqa: PLC0415
    from transformers import CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer  # noqa: PLC0415 - slow

    is_lcm = "LCM" in (base / "scheduler" / "scheduler_config.json").read_text()
    parts: dict[str, Any] = {
        "vae": codec,
        "text_encoder": CLIPTextModel.from_pretrained(base / "text_encoder"),
        "tokenizer": CLIPTokenizer.from_pretrained(base / "tokenizer"),
        "unet": UNet2DConditionModel.from_pretrained(base / "unet", low_cpu_mem_usage=False),
        "scheduler": (LCMScheduler if is_lcm else EulerAncestralDiscreteScheduler).from_pretrained(base / "scheduler"),
    }
    if (base / "text_encoder_2").exists():
        parts["text_encoder_2"] = CLIPTextModelWithProjection.from_pretrained(base / "text_encoder_2")
        parts["tokenizer_2"] = CLIPTokenizer.from_pretrained(base / "tokenizer_2")
    else:
        parts |= {"safety_checker": None, "feature_extractor": None, "requires_safety_checker": False}
    pipe = kind(**parts)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def _kl(given: Given) -> dict[str, Any]:
    """The configuration of the decoder that the checkpoints come with."""
    widths = (8, 8, 8, 8) if given.tiny else (128, 256, 512, 512)
    return {
        "block_out_channels": widths,
        "down_block_types": ("DownEncoderBlock2D",) * 4,
        "up_block_types": ("UpDecoderBlock2D",) * 4,
        "layers_per_block": 1 if given.tiny else 2,
        "norm_num_groups": 4 if given.tiny else 32,
        "latent_channels": 4,
        "force_upcast": False,
    }


def stream_diffusion(given: Given, *, is_compiled: bool) -> Figures:
    """The published package (Kodaira et al. 2023, arXiv:2312.12491), as its README drives it.

    Raises:
        RuntimeError: it is not installed, or does not know this family.
    """
    try:
        from streamdiffusion import StreamDiffusion  # noqa: PLC0415 - nothing of ours needs it
        from streamdiffusion.image_utils import postprocess_image  # noqa: PLC0415
    except ImportError as fault:
        raise RuntimeError(f"the package streamdiffusion cannot be imported here: {fault}") from None
    if given.preset.family == "sdxl":
        raise RuntimeError("its published version knows no SDXL")
    codec = AutoencoderTiny.from_pretrained(given.models_dir / given.preset.codec.name)
    pipe = _pipeline(StableDiffusionPipeline, given.models_dir / given.preset.base.name, codec)
    pipe = pipe.to(given.device, given.kind)
    places = STREAM_PLACES[given.steps]
    stream = StreamDiffusion(
        pipe, places, torch_dtype=given.kind, width=given.size.width, height=given.size.height, cfg_type="none"
    )
    if is_compiled:
        stream.unet = torch.compile(stream.unet, mode="reduce-overhead")
    stream.prepare(PROMPT)
    picture = Image.fromarray(given.picture())
    figures = timed(given, lambda: postprocess_image(stream(picture), output_type="pil"))
    # It batches its steps over time: a picture leaves as many frames after it came in as there are steps.
    return {**figures, "input_age_frames": len(places), "more": f"a picture is {len(places)} frames old when it is out"}


def _adapter(given: Given) -> tuple[DiffusionAdapter, int, Callable[[], None]]:
    """The preset, a lane with its words, and what makes one frame in it."""
    adapter, _ = load_preset(given.preset, given.models_dir, given.device, 0, lambda _: None)
    lane = adapter.open_lane(given.size)
    control = ControlState(1, (Prompt(PROMPT),), params=Params(steps=given.steps, strength=0.5, seed=1))
    noise = adapter.draw_noise(1, given.size)
    adapter.write(lane, adapter.encode_control(control), adapter.schedule(control), noise, 0.5)
    picture = given.picture()

    def frame() -> None:
        adapter.begin([lane], [picture])
        for step in range(given.steps):
            adapter.denoise([lane], step)
        adapter.finish([lane])

    return adapter, lane, frame


def ours_alone(given: Given) -> Figures:
    """The adapter by itself: uint8 in, uint8 out; then its stages one by one, and the memory that it took."""
    began = time.perf_counter()
    adapter, lane, frame = _adapter(given)
    frame()
    given.wait()
    cold_s = time.perf_counter() - began
    figures = timed(given, frame)
    picture = given.picture()
    short = Given(**{**given.__dict__, "seconds": given.seconds / 5})
    stages = {
        "begin": timed(short, lambda: adapter.begin([lane], [picture]))["p50"],
        "denoise": timed(short, lambda: adapter.denoise([lane], 0))["p50"],
        "finish": timed(short, lambda: adapter.finish([lane]))["p50"],
    }
    memory_gb = torch.cuda.max_memory_allocated() / 1e9 if given.device.startswith("cuda") else 0.0
    told = ", ".join(f"{name} {value:.2f}" for name, value in stages.items())
    more = f"{told}; cold start {cold_s:.1f} s; {memory_gb:.1f} GB"
    return {**figures, "stages": stages, "cold_s": cold_s, "memory_gb": memory_gb, "more": more}


def roofline(given: Given) -> Figures:
    """The least time for a frame: its operations at the rate of a matrix product, its weights at that of a copy."""
    _, _, frame = _adapter(given)
    kind = torch.float32 if given.device == "cpu" else torch.bfloat16
    with FlopCounterMode(display=False) as counter:
        frame()
    side, megabytes = (256, 4) if given.tiny else (8192, 1024)
    one = torch.randn(side, side, device=given.device, dtype=kind)
    source = torch.zeros(megabytes * 2**20, dtype=torch.uint8, device=given.device)
    target = torch.empty_like(source)
    product_ms = timed(given, lambda: one @ one)["p50"]
    copy_ms = timed(given, lambda: target.copy_(source))["p50"]
    flops_per_ms, bytes_per_ms = 2 * side**3 / product_ms, 2 * source.numel() / copy_ms
    files = checkpoint.find(given.preset, given.models_dir)
    network, codec = (checkpoint.weights(folder).stat().st_size for folder in (files.base / "unet", files.codec))
    flops, weights = float(counter.get_total_flops()), network * given.steps + codec
    bound = max(flops / flops_per_ms, weights / bytes_per_ms)
    more = (
        f"{flops / 1e12:.2f} TFLOP at {flops_per_ms / 1e9:.0f} TFLOP/s, "
        f"{weights / 1e9:.1f} GB at {bytes_per_ms / 1e6:.0f} GB/s"
    )
    return {"p50": bound, "flops": flops, "weight_bytes": weights, "more": more}


def ours_together(given: Given) -> Figures:
    """Sessions in the whole engine, one more at a time, until one is queued, too slow or too old."""
    return asyncio.run(_together(given))


@dataclass
class Viewer:
    """A session whose camera shows a picture for each slot, and what came out of it."""

    session: Session
    picture: Pixels
    seen: list[OutputFrame] = field(default_factory=list)

    async def run(self) -> None:
        """Publish and watch until the session ends."""
        async for output in self.session.frames():
            self.session.publish(self.picture, output.slot, now())
            if output.is_new:
                self.seen.append(output)


async def _together(given: Given) -> Figures:
    async with _engine(given) as engine, asyncio.TaskGroup() as group:
        viewers: list[Viewer] = []
        rows: list[dict[str, float]] = []
        why = "none"
        while not rows or (rows[-1]["p99"] <= OLDEST_MS and rows[-1]["fps"] >= LEAST_SHARE * 24 and not given.tiny):
            request = SessionRequest(
                prompt=PROMPT,
                size=SizeRequest(given.size.width, given.size.height),
                params=ParamsPatch(steps=given.steps, strength=0.5),
            )
            viewer = Viewer(engine.open(request), given.picture(len(viewers)))
            viewer.session.start_publishing()
            if viewer.session.admission.state != "admitted":
                why = "the next one was queued"
                engine.end(viewer.session.id, "measured")
                break
            viewers.append(viewer)
            group.create_task(viewer.run())
            await _new_pictures(viewer, 3)
            await asyncio.sleep(2 * given.seconds)
            rows.append(_row(viewers))
        held = [row for row in rows if row["p99"] <= OLDEST_MS and row["fps"] >= LEAST_SHARE * 24]
        first = viewers[0]
        for viewer in viewers[1:]:
            engine.end(viewer.session.id, "measured")
        age_frames, age_ms = await _flash(first, given)
        settled = await _settle(first)
        engine.end(first.session.id, "measured")
    more = f"{len(held)} sessions hold; input {age_frames} frames old; a prompt settles in {settled}; {why}"
    return {
        **rows[0],
        "sessions": rows,
        "held": len(held),
        "input_age_frames": age_frames,
        "input_age_ms": age_ms,
        "settles_in_frames": settled,
        "more": more,
    }


@contextlib.asynccontextmanager
async def _engine(given: Given) -> AsyncIterator[Engine]:
    config = EngineConfig(
        model=given.preset.name,
        device=given.device,
        models_dir=given.models_dir,
        threads=1 if given.tiny else 0,
        linger_s=PATIENCE_S,
    )
    engine = Engine(config)
    await engine.start()
    try:
        async with asyncio.timeout(PATIENCE_S):
            await engine.wait_ready()
        yield engine
    finally:
        await engine.close()


async def _new_pictures(viewer: Viewer, count: int) -> None:
    """Until `count` more have come."""
    wanted = len(viewer.seen) + count
    async with asyncio.timeout(PATIENCE_S):
        while len(viewer.seen) < wanted:
            await asyncio.sleep(0.02)


def _row(viewers: list[Viewer]) -> dict[str, float]:
    stats = [viewer.session.stats() for viewer in viewers]
    ages = [one.content_age for one in stats if one.content_age is not None]
    worst = {name: max((getattr(age, name) for age in ages), default=float("inf")) for name in ("p50", "p95", "p99")}
    return {"count": len(viewers), **worst, "fps": min(one.generated_fps for one in stats)}


async def _flash(viewer: Viewer, given: Given) -> tuple[int | None, float | None]:
    """A white camera picture: the how manieth picture made since then shows it, and how old it is when it is there."""
    viewer.picture = np.zeros(given.size.shape, np.uint8)
    await _new_pictures(viewer, 4)
    dark, before, began = viewer.seen[-1].pixels, len(viewer.seen), now()
    viewer.picture = np.full(given.size.shape, 255, np.uint8)
    await _new_pictures(viewer, SETTLE_FRAMES)
    made = [output.base for output in viewer.seen[before:] if output.base is not None]
    since = [(base, base.provenance.source) for base in made if base.provenance.source is not None]
    since = [(base, source) for base, source in since if source.captured_at >= began]
    for number, (base, source) in enumerate(since, 1):
        if not np.array_equal(base.pixels, dark):
            return number, (base.ready_at - source.captured_at) * 1000
    return None, None


async def _settle(viewer: Viewer) -> int | None:
    """New pictures of a changed prompt until they are what they stay."""
    receipt = viewer.session.patch(ControlPatch(prompt="neon city at night"), by="benchmark")
    await _new_pictures(viewer, SETTLE_FRAMES + 2)
    made = [output.base.pixels for output in viewer.seen if output.version == receipt.version and output.base]
    if len(made) < 2:
        return None
    return next(number for number, picture in enumerate(made, 1) if np.array_equal(picture, made[-1]))


CELLS: dict[str, Callable[[Given], Figures]] = {
    "roofline": roofline,
    "ours, adapter": ours_alone,
    "ours, sessions": ours_together,
    "diffusers": lambda given: documented(given, tiny_decoder=False),
    "diffusers, tiny decoder": lambda given: documented(given, tiny_decoder=True),
    "streamdiffusion": lambda given: stream_diffusion(given, is_compiled=False),
    "streamdiffusion, compiled": lambda given: stream_diffusion(given, is_compiled=True),
}
