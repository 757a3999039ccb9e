"""What `gpu.py` measures of one preset at one step count, each in a process of its own; figures in milliseconds."""

import time
from collections.abc import Callable
from dataclasses import replace

import torch
from gpu_given import PROMPT, Figures, Given, timed
from gpu_rivals import documented, stream_diffusion
from gpu_sessions import ours_together
from torch.utils.flop_counter import FlopCounterMode

from liveglass.engine.control import ControlState, Params, Prompt
from liveglass.engine.models.diffusion import checkpoint
from liveglass.engine.models.diffusion.adapter import DiffusionAdapter
from liveglass.engine.models.diffusion.load import load_preset


def _adapter(given: Given, **how: bool) -> tuple[DiffusionAdapter, int, Callable[[], None]]:
    """The preset, a lane with its words, and what makes one frame in it."""
    adapter, _ = load_preset(given.preset, given.models_dir, given.device, 0, lambda _: None, **how)
    lane = adapter.open_lane(given.size)
    params = Params(steps=given.steps, strength=0.5, seed=1, **given.hold)
    control = ControlState(1, (Prompt(PROMPT),), params=params)
    noise = adapter.draw_noise(1, given.size)
    adapter.write(lane, adapter.encode_control(control), adapter.schedule(control, given.size), noise, 0.5)
    picture = given.picture()

    def frame() -> None:
        adapter.begin([lane], [picture])
        for step in range(given.steps):
            adapter.denoise([lane], step)
        adapter.finish([lane])

    return adapter, lane, frame


def ours_alone(given: Given, **how: bool) -> Figures:
    """The adapter by itself: uint8 in, uint8 out; then its stages one by one, and the memory that it took."""
    began = time.perf_counter()
    adapter, lane, frame = _adapter(given, **how)
    frame()
    given.wait()
    cold_s = time.perf_counter() - began
    figures = timed(given, frame)
    picture = given.picture()
    short = replace(given, seconds=given.seconds / 5)
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
    _, _, frame = _adapter(given, captures=False)  # a replay says nothing of what is in it
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
    once = [folder for folder in (files.codec, files.estimator) if folder is not None]
    each_pass = [folder for folder in (files.base / "unet", files.guide) if folder is not None]
    read_once, read_each = (sum(checkpoint.weights(one).stat().st_size for one in part) for part in (once, each_pass))
    flops, weights = float(counter.get_total_flops()), read_each * given.steps + read_once
    bound = max(flops / flops_per_ms, weights / bytes_per_ms)
    more = (
        f"{flops / 1e12:.2f} TFLOP at {flops_per_ms / 1e9:.0f} TFLOP/s, "
        f"{weights / 1e9:.1f} GB at {bytes_per_ms / 1e6:.0f} GB/s"
    )
    return {"p50": bound, "flops": flops, "weight_bytes": weights, "more": more}


CELLS: dict[str, Callable[[Given], Figures]] = {
    "roofline": roofline,
    "ours, adapter": ours_alone,
    "ours, not captured": lambda given: ours_alone(given, captures=False),
    "ours, compiled": lambda given: ours_alone(given, compiles=True),
    "ours, sessions": ours_together,
    "diffusers": lambda given: documented(given, tiny_decoder=False),
    "diffusers, tiny decoder": lambda given: documented(given, tiny_decoder=True),
    "streamdiffusion": lambda given: stream_diffusion(given, is_compiled=False),
    "streamdiffusion, compiled": lambda given: stream_diffusion(given, is_compiled=True),
}
