"""What is measured on pictures: closeness, texture, noise, weave, how well a pan is followed. Levels are of 255."""

import io
from collections.abc import Callable

import av
import numpy as np
import torch
from torch import Tensor

from liveglass.engine.training.fields import blur, from_bytes, luma, to_bytes
from liveglass.engine.training.losses import texture_loss, weave_loss


def psnr(made: Tensor, target: Tensor) -> float:
    """Mean peak signal-to-noise ratio in dB of pictures `[B, 3, H, W]`."""
    errors = ((made - target) ** 2).mean((1, 2, 3)).clamp(min=1e-9)
    return float((-10 * torch.log10(errors)).mean())


def ssim(made: Tensor, target: Tensor) -> float:
    """Structural similarity of brightness (Wang et al. 2004), Gaussian window of sigma 1.5."""
    ours, theirs = luma(made), luma(target)
    mean_ours, mean_theirs = blur(ours, 1.5), blur(theirs, 1.5)
    var_ours = blur(ours * ours, 1.5) - mean_ours**2
    var_theirs = blur(theirs * theirs, 1.5) - mean_theirs**2
    covariance = blur(ours * theirs, 1.5) - mean_ours * mean_theirs
    top = (2 * mean_ours * mean_theirs + 1e-4) * (2 * covariance + 9e-4)
    return float((top / ((mean_ours**2 + mean_theirs**2 + 1e-4) * (var_ours + var_theirs + 9e-4))).mean())


def texture_distance(made: Tensor, target: Tensor) -> float:
    """Sliced Wasserstein distance of patches in levels, with fixed projections."""
    with torch.random.fork_rng():
        torch.manual_seed(5)
        return float(texture_loss(made, target, 64)) * 255


def weave(made: Tensor, target: Tensor) -> float:
    """What of the error repeats every 8 pixels, in levels."""
    return float(weave_loss(made, target)) * 255


def after_h264(pictures: Tensor) -> Tensor:
    """Pictures `[N, 3, H, W]` as a viewer gets them: H.264 (x264, veryfast, zero latency, CRF 23), 4:2:0, and back."""
    frames = np.ascontiguousarray(to_bytes(pictures.permute(0, 2, 3, 1)))
    file = io.BytesIO()
    with av.open(file, "w", format="h264") as out:
        stream = out.add_stream("libx264", 24, options={"preset": "veryfast", "tune": "zerolatency", "crf": "23"})
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "yuv420p"
        for frame in frames:
            out.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        out.mux(stream.encode(None))
    file.seek(0)
    with av.open(file, "r", format="h264") as back:
        shown = [from_bytes(np.asarray(frame.to_ndarray(format="rgb24"), np.uint8)) for frame in back.decode(video=0)]
    return torch.stack(shown).permute(0, 3, 1, 2)


def noise_gain(paint: Callable[[Tensor], Tensor], camera: Tensor, *, frames: int = 16, sigma: float = 4.0) -> float:
    """How much of a still camera's noise is seen: deviation over time after the codec, over that of the camera.

    Args:
        paint: pictures `[N, 3, H, W]` to pictures.
        camera: one picture `[1, 3, H, W]`.
        frames: how many; the second half is judged, when the codec has settled.
        sigma: of the camera's noise, levels.
    """
    torch.manual_seed(9)
    noisy = (camera + torch.randn(frames, *camera.shape[1:]) * sigma / 255).clamp(0, 1)
    shown = after_h264(paint(noisy))[frames // 2 :]
    return float(shown.std(0).mean() / noisy.std(0).mean())


def pan_error(paint: Callable[[Tensor], Tensor], wide: Tensor, step: int, width: int) -> float:
    """How far a picture is from the one before it moved along with the camera, in levels.

    Args:
        paint: pictures `[N, 3, H, W]` to pictures, with the same noise each time.
        wide: a picture `[1, 3, H, W']` that the camera pans over.
        step: pixels a frame.
        width: of the camera's picture.
    """
    starts = [index * step for index in range(6)]
    shown = paint(torch.cat([wide[..., start : start + width] for start in starts]))
    before, after = shown[:-1, :, 8:-8, step + 8 : width - 8], shown[1:, :, 8:-8, 8 : width - step - 8]
    return float((after - before).abs().mean()) * 255
