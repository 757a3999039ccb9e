"""What the built-in model makes of words, before any network."""

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from liveglass.engine.models.nano.sizes import WORKING_PIXELS, working_size
from liveglass.engine.models.nano.spec import LOOKS, nano_spec
from liveglass.engine.models.nano.text import BUCKETS, buckets
from liveglass.engine.models.nano.vocabulary import (
    COLOURS,
    MODIFIERS,
    SCENES,
    STYLES,
    SYNONYMS,
    nearest,
    token,
    tokens,
    unknown,
)


def known(text: str) -> list[str]:
    return [word for word, is_known in tokens(text) if is_known]


@pytest.mark.parametrize("name", [*STYLES, *SCENES, *COLOURS, *MODIFIERS])
def test_every_published_word_is_one_known_token(name: str) -> None:
    assert tokens(name) == ((token(name), True),)


def test_every_synonym_leads_to_a_published_word() -> None:
    assert set(SYNONYMS.values()) <= {*STYLES, *SCENES, *COLOURS, *MODIFIERS}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("ink drawing, blue", ["ink", "blue"]),
        ("Night Vision Green!", ["nightvision", "green"]),
        ("starry night", ["stars"]),
        ("city lights at night", ["citylights"]),
        ("an aquarelle of a beach", ["watercolour", "beach"]),
        ("pink ink", ["pink", "ink"]),
        ("watercolr", ["watercolour"]),
        ("bluprint", ["blueprint"]),
        ("a picture of the sea", ["beach"]),
    ],
)
def test_phrases_fillers_and_small_misspellings_find_their_words(text: str, words: list[str]) -> None:
    assert known(text) == words


def test_an_unknown_word_is_named_and_answered_with_known_ones() -> None:
    assert unknown("zyxwv neon") == ("zyxwv",)
    assert nearest("neom")[0] == "neon"
    assert len(nearest("zyxwv")) == 3


@given(st.text(max_size=200))
def test_any_text_has_buckets_of_unit_length_or_none(text: str) -> None:
    found = buckets(text)
    assert len(found.indices) == len(found.weights)
    assert all(0 <= index < BUCKETS for index in found.indices)
    assert not found.weights or sum(weight * weight for weight in found.weights) == pytest.approx(1)


@pytest.mark.parametrize("text", ["水墨画 青", "нéon", "🔥", "\ud800", "'; drop table", "\x00"])
def test_any_script_is_taken(text: str) -> None:
    assert all(0 <= index < BUCKETS for index in buckets(text).indices)


@given(st.integers(64, 1920), st.integers(64, 1080))
def test_the_inner_size_is_a_multiple_of_16_of_about_the_same_aspect(width: int, height: int) -> None:
    inner_width, inner_height = working_size(width, height)
    assert inner_width % 16 == inner_height % 16 == 0
    assert min(inner_width, inner_height) >= 64
    assert inner_width * inner_height <= 1.6 * WORKING_PIXELS
    if max(width, height) <= 3 * min(width, height):
        assert inner_width / inner_height == pytest.approx(width / height, rel=0.2)


@pytest.mark.parametrize(
    ("size", "inner"),
    [((640, 360), (320, 176)), ((1280, 720), (320, 176)), ((360, 640), (176, 320)), ((512, 512), (240, 240))],
)
def test_the_usual_sizes_have_their_usual_inner_size(size: tuple[int, int], inner: tuple[int, int]) -> None:
    assert working_size(*size) == inner


def test_every_look_is_made_of_known_words() -> None:
    assert all(not unknown(look.prompt) for look in LOOKS)
    assert nano_spec().default_steps in nano_spec().valid_steps


def test_the_server_learns_all_this_without_torch() -> None:
    code = "import sys, liveglass.engine.models.nano.spec as s; s.nano_spec(); print('torch' in sys.modules)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "False"
