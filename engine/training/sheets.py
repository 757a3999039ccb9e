"""Sample sheets: every style on pictures that training never saw, every scene from words alone."""

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - its usual name
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from liveglass.engine.models.nano.model import NanoModel
from liveglass.engine.training.fields import to_bytes
from liveglass.engine.training.generate import generate
from liveglass.engine.training.photographs import held_out_photographs

STYLE_PROMPTS = (
    "ink drawing, blue",
    "neon, pink",
    "night vision green",
    "thermal",
    "blueprint",
    "comic",
    "fire",
    "pencil",
    "watercolour",
    "cartoon",
    "noir",
    "vintage",
    "hologram",
    "neon, green",
    "ink, red",
    "cartoon, violet",
    "sunset sea",
    "",
)
SCENE_PROMPTS = (
    "sunset sea",
    "beach",
    "desert",
    "city lights",
    "stars",
    "desert, dark",
    "clouds, pink",
    "aurora",
    "clouds",
    "meadow",
    "ocean",
    "beach, night",
    "neon, green",
    "",
)


def held_out(height: int = 176, width: int = 320) -> Tensor:
    """The held-out photographs, `[2, 3, height, width]`: a portrait and a building."""
    astronaut, china = held_out_photographs()
    pictures = []
    for picture, top, bottom in ((astronaut, 0.0, 0.55), (china, 0.05, 0.9)):
        rows = picture[:, int(picture.shape[1] * top) : int(picture.shape[1] * bottom)]
        pictures.append(F.interpolate(rows[None], size=(height, width), mode="area"))
    return torch.cat(pictures)


def save_grid(pictures: list[Tensor], columns: int, path: Path) -> None:
    """Pictures `[3, H, W]` in rows of `columns` as one PNG."""
    blank = torch.zeros_like(pictures[0])
    pictures = pictures + [blank] * (-len(pictures) % columns)
    rows = [torch.cat(pictures[start : start + columns], 2) for start in range(0, len(pictures), columns)]
    pixels = to_bytes(torch.cat(rows, 1).permute(1, 2, 0))
    Image.fromarray(np.ascontiguousarray(pixels)).save(path, optimize=True)


def save_sheets(model: NanoModel, folder: Path, name: str, *, steps: int = 4) -> None:
    """Write `<name>-styles.png` (each style on both pictures) and `<name>-scenes.png` (two seeds each)."""
    folder.mkdir(parents=True, exist_ok=True)
    camera = held_out()
    styles: list[Tensor] = []
    for prompt in STYLE_PROMPTS:
        styles += list(generate(model, [prompt, prompt], camera, steps=steps))
    save_grid(styles, 6, folder / f"{name}-styles.png")
    scenes: list[Tensor] = []
    empty = torch.zeros(1, 3, 176, 320)
    for prompt in SCENE_PROMPTS:
        for seed in (1, 2):
            scenes += list(generate(model, [prompt], empty, with_camera=False, steps=steps, seed=seed))
    save_grid(scenes, 4, folder / f"{name}-scenes.png")


def save_gallery(pictures: list[tuple[str, Tensor]], columns: int, path: Path, width: int = 240) -> None:
    """Named pictures `[3, H, W]` as one JPEG for documents, each with its prompt below it."""
    font = ImageFont.load_default(13)
    height = round(width * pictures[0][1].shape[1] / pictures[0][1].shape[2])
    rows = -(-len(pictures) // columns)
    sheet = Image.new("RGB", (columns * (width + 6), rows * (height + 24)), "white")
    draw = ImageDraw.Draw(sheet)
    for index, (name, picture) in enumerate(pictures):
        left, top = index % columns * (width + 6) + 3, index // columns * (height + 24) + 3
        pixels = to_bytes(picture.permute(1, 2, 0))
        tile = Image.fromarray(np.ascontiguousarray(pixels)).resize((width, height), Image.Resampling.LANCZOS)
        sheet.paste(tile, (left, top))
        draw.text((left + 2, top + height + 2), name, fill="black", font=font)
    path.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(path, quality=88, optimize=True)


def save_galleries(model: NanoModel, folder: Path) -> None:
    """`styles.jpg` (a held-out portrait) and `scenes.jpg` (words alone), as the documents show them."""
    portrait = held_out()[:1]
    styles = [("camera", portrait[0])]
    styles += [(prompt, generate(model, [prompt], portrait)[0]) for prompt in STYLE_PROMPTS[:15]]
    save_gallery(styles, 4, folder / "styles.jpg")
    empty = torch.zeros_like(portrait)
    words = SCENE_PROMPTS[:12]
    scenes = [(prompt, generate(model, [prompt], empty, with_camera=False)[0]) for prompt in words]
    save_gallery(scenes, 4, folder / "scenes.jpg")
