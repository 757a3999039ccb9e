"""The words that the built-in model understands, and how other words find their way to them. Pure; imports no torch.

`tokens` turns any text into known words (synonyms, phrases and small misspellings included) and leaves unknown ones as
they are; `nearest` suggests known words for an unknown one. Used by server, worker and training alike.
"""

import difflib
import re
import unicodedata
from collections.abc import Mapping

STYLES = (
    "ink",
    "neon",
    "thermal",
    "night vision",
    "blueprint",
    "comic",
    "pencil",
    "fire",
    "watercolour",
    "cartoon",
    "noir",
    "vintage",
    "hologram",
)

SCENES = (
    "sunset sea",
    "beach",
    "desert",
    "city lights",
    "stars",
    "aurora",
    "clouds",
    "meadow",
    "ocean",
)

COLOURS = ("red", "orange", "yellow", "green", "teal", "blue", "violet", "pink", "gold", "white")

MODIFIERS = ("dark", "bright", "soft", "vivid", "warm", "cold", "night", "foggy")

SYNONYMS: Mapping[str, str] = {
    "ink drawing": "ink",
    "ink sketch": "ink",
    "pen and ink": "ink",
    "line art": "ink",
    "pen": "ink",
    "engraving": "ink",
    "etching": "ink",
    "woodcut": "ink",
    "calligraphy": "ink",
    "hatching": "ink",
    "neon lights": "neon",
    "neon light": "neon",
    "cyberpunk": "neon",
    "synthwave": "neon",
    "glow": "neon",
    "glowing": "neon",
    "tron": "neon",
    "heat": "thermal",
    "heat map": "thermal",
    "heatmap": "thermal",
    "heat camera": "thermal",
    "thermal camera": "thermal",
    "infrared": "thermal",
    "predator": "thermal",
    "nightvision": "night vision",
    "night vision goggles": "night vision",
    "night scope": "night vision",
    "surveillance": "night vision",
    "matrix": "night vision",
    "blue print": "blueprint",
    "technical drawing": "blueprint",
    "schematic": "blueprint",
    "architect": "blueprint",
    "plan": "blueprint",
    "comic book": "comic",
    "comics": "comic",
    "halftone": "comic",
    "halftone comic": "comic",
    "comic halftone": "comic",
    "pop art": "comic",
    "popart": "comic",
    "manga": "comic",
    "pencil drawing": "pencil",
    "pencil sketch": "pencil",
    "drawing": "pencil",
    "sketch": "pencil",
    "graphite": "pencil",
    "charcoal": "pencil",
    "crayon": "pencil",
    "flames": "fire",
    "flame": "fire",
    "burning": "fire",
    "lava": "fire",
    "inferno": "fire",
    "on fire": "fire",
    "watercolor": "watercolour",
    "water colour": "watercolour",
    "water color": "watercolour",
    "aquarelle": "watercolour",
    "gouache": "watercolour",
    "painting": "watercolour",
    "oil painting": "watercolour",
    "oil": "watercolour",
    "wash": "watercolour",
    "anime": "cartoon",
    "toon": "cartoon",
    "cel shading": "cartoon",
    "animated": "cartoon",
    "animation": "cartoon",
    "film noir": "noir",
    "black and white": "noir",
    "monochrome": "noir",
    "grayscale": "noir",
    "greyscale": "noir",
    "sepia": "vintage",
    "retro": "vintage",
    "old photo": "vintage",
    "old photograph": "vintage",
    "antique": "vintage",
    "daguerreotype": "vintage",
    "holographic": "hologram",
    "scan lines": "hologram",
    "scanlines": "hologram",
    "projection": "hologram",
    "sunset": "sunset sea",
    "sunrise": "sunset sea",
    "dusk": "sunset sea",
    "dawn": "sunset sea",
    "sunset beach": "sunset sea",
    "sunset over the sea": "sunset sea",
    "sunset ocean": "sunset sea",
    "sea": "beach",
    "seaside": "beach",
    "shore": "beach",
    "coast": "beach",
    "tropical": "beach",
    "island": "beach",
    "beach clouds": "beach",
    "dunes": "desert",
    "dune": "desert",
    "sand": "desert",
    "sahara": "desert",
    "city": "city lights",
    "city night": "city lights",
    "night city": "city lights",
    "night city lights": "city lights",
    "lights": "city lights",
    "city lights night": "city lights",
    "skyline": "city lights",
    "downtown": "city lights",
    "bokeh": "city lights",
    "skyscrapers": "city lights",
    "star": "stars",
    "starry": "stars",
    "starry night": "stars",
    "night sky": "stars",
    "milky way": "stars",
    "galaxy": "stars",
    "space": "stars",
    "universe": "stars",
    "cosmos": "stars",
    "nebula": "stars",
    "northern lights": "aurora",
    "polar lights": "aurora",
    "aurora borealis": "aurora",
    "sky": "clouds",
    "cloud": "clouds",
    "cloudy": "clouds",
    "heaven": "clouds",
    "grass": "meadow",
    "hills": "meadow",
    "field": "meadow",
    "flowers": "meadow",
    "spring": "meadow",
    "park": "meadow",
    "underwater": "ocean",
    "under water": "ocean",
    "deep sea": "ocean",
    "aquarium": "ocean",
    "water": "ocean",
    "crimson": "red",
    "scarlet": "red",
    "amber": "orange",
    "lemon": "yellow",
    "emerald": "green",
    "lime": "green",
    "cyan": "teal",
    "turquoise": "teal",
    "aqua": "teal",
    "azure": "blue",
    "navy": "blue",
    "indigo": "blue",
    "purple": "violet",
    "lilac": "violet",
    "magenta": "pink",
    "rose": "pink",
    "golden": "gold",
    "bronze": "gold",
    "silver": "white",
    "gloomy": "dark",
    "moody": "dark",
    "light": "bright",
    "sunny": "bright",
    "gentle": "soft",
    "dreamy": "soft",
    "blurry": "soft",
    "intense": "vivid",
    "bold": "vivid",
    "colourful": "vivid",
    "colorful": "vivid",
    "saturated": "vivid",
    "hot": "warm",
    "cosy": "warm",
    "cozy": "warm",
    "cool": "cold",
    "icy": "cold",
    "frozen": "cold",
    "midnight": "night",
    "nighttime": "night",
    "fog": "foggy",
    "mist": "foggy",
    "misty": "foggy",
    "haze": "foggy",
    "hazy": "foggy",
    "smoke": "foggy",
}

FILLERS = frozenset(
    {
        "a",
        "an",
        "the",
        "of",
        "in",
        "on",
        "at",
        "with",
        "and",
        "or",
        "as",
        "to",
        "by",
        "for",
        "from",
        "my",
        "me",
        "i",
        "this",
        "that",
        "very",
        "like",
        "style",
        "styled",
        "look",
        "picture",
        "photo",
        "photograph",
        "image",
        "video",
        "portrait",
        "scene",
        "background",
        "view",
        "made",
        "please",
        "make",
        "show",
        "turn",
        "into",
        "effect",
        "mode",
        "art",
        "camera",
        "some",
        "paper",
    }
)

_KNOWN = (*STYLES, *SCENES, *COLOURS, *MODIFIERS)
_PHRASES: Mapping[str, str] = {
    " ".join(word for word in phrase.split() if word not in FILLERS): name
    for phrase, name in (*SYNONYMS.items(), *((name, name) for name in _KNOWN))
}
_LONGEST = max(len(phrase.split()) for phrase in _PHRASES)
_SINGLE = tuple(phrase for phrase in _PHRASES if " " not in phrase)
_WORD = re.compile(r"\w+|[^\w\s]", re.UNICODE)


def _words(text: str) -> list[str]:
    """Folded words, and symbols such as emoji; punctuation goes."""
    found = _WORD.findall(unicodedata.normalize("NFKC", text).casefold())
    return [word for word in found if word[0].isalnum() or unicodedata.category(word[0])[0] == "S"]


def token(name: str) -> str:
    """A known name as the one token that the model was trained on: `night vision` becomes `nightvision`."""
    return name.replace(" ", "")


def tokens(text: str) -> tuple[tuple[str, bool], ...]:
    """Every word of `text` as (token, known); fillers go, the longest phrase wins.

    Any text is taken. Words of five letters and more may be a little misspelt.
    """
    words = [word for word in _words(text) if word not in FILLERS]
    result: list[tuple[str, bool]] = []
    index = 0
    while index < len(words):
        for length in range(min(_LONGEST, len(words) - index), 0, -1):
            name = _PHRASES.get(" ".join(words[index : index + length]))
            if name is not None:
                result.append((token(name), True))
                index += length
                break
        else:
            word = words[index]
            index += 1
            close = difflib.get_close_matches(word, _SINGLE, 1, 0.84) if 5 <= len(word) <= 24 else []
            result.append((token(_PHRASES[close[0]]), True) if close else (word, False))
    return tuple(result)


def unknown(text: str) -> tuple[str, ...]:
    """The words of `text` that mean nothing to the model."""
    return tuple(word for word, known in tokens(text) if not known)


def nearest(word: str, count: int = 3) -> tuple[str, ...]:
    """Known names whose spelling, or a synonym's, is nearest to `word`; best first, at most `count`, never none."""
    folded = " ".join(_words(word))
    ranked = sorted(_PHRASES, key=lambda phrase: -difflib.SequenceMatcher(None, folded, phrase).ratio())
    return tuple(dict.fromkeys(_PHRASES[phrase] for phrase in ranked))[:count]
