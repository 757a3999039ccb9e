"""What the server may know of the built-in model without loading it; imports no torch."""

from liveglass.engine.models.base import Look, ModelSpec, Vocabulary
from liveglass.engine.models.nano.sizes import WORKING_PIXELS
from liveglass.engine.models.nano.vocabulary import COLOURS, FILLERS, MODIFIERS, SCENES, STYLES, SYNONYMS

VALID_STEPS = (1, 2, 4)
DEFAULT_STEPS = 4
_BYTES_PER_LANE = 8 * 2**20

LOOKS = (
    Look("Blue ink", "ink drawing, blue"),
    Look("Pink neon", "neon, pink"),
    Look("Keep me · sunset", "sunset sea", 1.0, "background"),
    Look("Comic", "comic"),
    Look("Thermal", "thermal"),
    Look("Night vision", "night vision green"),
    Look("Blueprint", "blueprint"),
    Look("Fire", "fire"),
    Look("Watercolour", "watercolour"),
    Look("Cartoon", "cartoon"),
    Look("Pencil", "pencil sketch"),
    Look("Hologram", "hologram"),
    Look("Noir", "film noir"),
    Look("Vintage", "vintage"),
    Look("Keep me · beach", "beach", 1.0, "background"),
    Look("Keep me · aurora", "aurora", 1.0, "background"),
    Look("Keep me · city lights", "city lights", 1.0, "background"),
    Look("Keep me · stars", "stars", 1.0, "background"),
    Look("Keep me · clouds", "clouds", 1.0, "background"),
    Look("Keep me · desert", "desert", 1.0, "background"),
    Look("Keep me · meadow", "meadow", 1.0, "background"),
    Look("Keep me · deep sea", "ocean", 1.0, "background"),
)


def nano_spec() -> ModelSpec:
    """The built-in model's description, vocabulary and starting points."""
    return ModelSpec(
        name="nano",
        title="nano demo model",
        licence="Apache-2.0",
        valid_steps=VALID_STEPS,
        default_steps=DEFAULT_STEPS,
        guidance="none",
        negative=False,
        strength=(
            "How much of the camera is hidden: below 0.5 it shines through, up to 0.7 the style is full, "
            "at 1 nothing of the camera is left."
        ),
        open_vocabulary=False,
        vocabulary=Vocabulary(
            styles=STYLES,
            scenes=SCENES,
            colours=COLOURS,
            modifiers=MODIFIERS,
            synonyms=dict(SYNONYMS),
            fillers=tuple(sorted(FILLERS)),
        ),
        looks=LOOKS,
        inner_pixels=WORKING_PIXELS,
        bytes_per_lane=_BYTES_PER_LANE,
    )
