"""The Python client against a whole server: opening, naming, ending, and the README's example."""

from typing import Any

import httpx
import numpy as np
import pytest

from liveglass.engine.errors import InvalidValue, NotAllowed, TokenRefused, Unavailable
from liveglass.engine.frame import FrameKind
from liveglass.transport.client import connect


async def test_the_example_of_the_readme_runs(site: Any) -> None:
    async with connect(site.address, prompt="ink drawing, blue", source="sample", camera_visible="all") as live:
        receipt = await live.prompt("oil painting, red")
        assert (await receipt.applied()).latency_ms >= 0
        async for frame in live.frames():
            assert frame.pixels.shape == (360, 640, 3)
            if frame.kind in {FrameKind.GENERATED, FrameKind.WARPED}:
                break


async def test_an_opened_session_ends_with_its_block(site: Any) -> None:
    async with connect(site.address, source="none", steps=4, seed=7, size=(128, 96), fps=30) as live:
        assert live.hello.fps == 30
        assert live.control.params.seed == 7
        assert (await known(site, live.opened)).status_code == 200
    assert (await known(site, live.opened)).status_code == 404


async def known(site: Any, opened: Any) -> httpx.Response:
    answer: httpx.Response = await site.client.get(
        f"/v1/sessions/{opened.id}", headers={"Authorization": f"Bearer {opened.token}"}
    )
    return answer


async def test_a_named_session_outlives_its_block_and_keeps_its_control(site: Any) -> None:
    async with connect(site.address, name="stage-left", source="none") as live:
        await live.set(strength=0.25)
    async with connect(site.address, name="stage-left", source="none") as live:
        assert live.id == "stage-left"
        assert live.control.params.strength == 0.25


async def test_another_program_joins_as_controller_or_as_viewer(site: Any) -> None:
    async with connect(site.address, source="none") as live:
        assert live.opened is not None
        async with connect(site.address, session=live.id, token=live.opened.token) as other:
            assert other.hello.role == "controller"
            await other.set(strength=0.3)
        async with connect(site.address, session=live.id, token=live.opened.viewer_token) as viewer:
            assert viewer.hello.role == "viewer"
            with pytest.raises(NotAllowed):
                await viewer.set(strength=0.4)
            await anext(viewer.frames())
        with pytest.raises(TokenRefused):
            async with connect(site.address, session=live.id, token="wrong"):
                pass


async def test_a_camera_is_published_and_never_shown_unless_visible(site: Any) -> None:
    camera = np.random.default_rng(1).integers(0, 256, (45, 80, 3), np.uint8).repeat(8, 0).repeat(8, 1)
    for visible in ("none", "all"):
        async with connect(site.address, camera_visible=visible) as live:
            kinds = set()
            async for frame in live.frames():
                await live.publish(camera)
                kinds.add(frame.kind)
                assert not frame.holds_camera or visible == "all"
                if frame.holds_camera or (visible == "none" and frame.slot > 40):
                    break
            assert (FrameKind.GENERATED in kinds) == (visible == "all")


async def test_a_refusal_over_http_is_the_same_typed_error(site: Any) -> None:
    with pytest.raises(InvalidValue) as refusal:
        async with connect(site.address, size=(641, 360)):
            pass
    assert refusal.value.field == "size"


async def test_no_server_is_said_in_plain_words() -> None:
    with pytest.raises(Unavailable, match="No liveglass server answers") as refusal:
        async with connect("http://127.0.0.1:9"):
            pass
    assert "liveglass serve" in refusal.value.hint
