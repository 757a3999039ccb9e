"""A frame made again over HTTP: exact, or refused by name, and never a pixel in the answer."""

import asyncio
import hashlib
import os
import signal
from typing import Any

import httpx
import msgspec
import numpy as np
import pytest
from support import PATIENCE_S, Camera

from liveglass.engine.engine import Engine, EngineConfig
from liveglass.engine.errors import NoSuchFrame, NotAllowed
from liveglass.engine.frame import FrameKind
from liveglass.engine.models.nano.spec import nano_spec
from liveglass.engine.record import OutputRecord, Replay
from liveglass.transport.client import connect

NANO_PATIENCE_S = 150.0
WEIGHTS = "weights/diffusion_pytorch_model.safetensors"


async def provenance(site: Any, talk: Any, session: str, token: str) -> OutputRecord:
    answer = await site.client.get(f"/v1/sessions/{session}/provenance", headers=talk.bearer(token))
    assert answer.status_code == 200, answer.text
    assert answer.headers["cache-control"] == "no-store"
    return msgspec.json.decode(answer.content, type=OutputRecord)


async def replayed(site: Any, talk: Any, session: str, token: str) -> httpx.Response:
    answer: httpx.Response = await site.client.post(f"/v1/sessions/{session}/replay", headers=talk.bearer(token))
    return answer


@pytest.mark.timeout(300)
async def test_ten_pictures_of_the_built_in_model_in_a_row_are_exact(start_site: Any, talk: Any) -> None:
    site = await start_site(model="nano", worker_mode="process", device="cpu", threads=1)
    async with (
        asyncio.timeout(NANO_PATIENCE_S),
        connect(site.address, source="sample", prompt="ink drawing, blue", seed=11, size=(320, 176)) as live,
    ):
        assert live.opened is not None
        found: list[Replay] = []
        async for frame in live.frames():
            if frame.kind in {FrameKind.GENERATED, FrameKind.WARPED}:
                one = await live.replay()
                assert one.result == "exact"
                # A replay takes the place of a frame, so the next may be of the same picture; the sample sways.
                if not found or one.hashes.output != found[-1].hashes.output:
                    found.append(one)
            if len(found) == 10:
                break
        assert {one.hashes.noise for one in found} == {found[0].hashes.noise}
        assert {one.difference.max for one in found} == {0}
        last = found[-1].record
        assert (last.model, last.seed, last.batch, last.progress) == ("nano", 11, 1, 1.0)
        assert last.steps in nano_spec().valid_steps
        assert last.control is not None
        assert last.control.prompts[0].text == "ink drawing, blue"
        assert last.source is not None
        assert not last.source.is_camera
        assert last.kernels is not None
        assert last.kernels.threads == 1
        record = await provenance(site, talk, live.id, live.opened.viewer_token)
        while record.base is None or record.base.weights is None:
            await anext(live.frames())
            record = await provenance(site, talk, live.id, live.opened.viewer_token)
        [file] = record.base.weights
        assert file.name == WEIGHTS
        assert (await live.replay()).hashes.weights == hashlib.sha256(f"{file.sha256}\n".encode()).hexdigest()


async def test_a_controller_has_a_frame_made_again_and_a_viewer_reads_what_it_was_made_of(site: Any, talk: Any) -> None:
    camera = np.random.default_rng(1).integers(0, 256, (64, 64, 3), np.uint8)
    async with connect(site.address, camera_visible="all", size=(64, 64), prompt="ink") as live:
        assert live.opened is not None
        async for frame in live.frames():
            await live.publish(camera)
            if frame.kind is FrameKind.GENERATED:
                break
        found = await live.replay()
        assert (found.result, found.hashes.noise, found.record.holds_camera) == ("exact", None, True)
        assert found.record.kernels is not None
        assert found.record.kernels.backend == "numpy"
        record = await provenance(site, talk, live.id, live.opened.viewer_token)
        assert record.base is not None
        assert record.base.model == "null"
        assert record.base.control is not None
        assert record.base.control.prompts[0].text == "ink"
        assert record.base_sha256 == found.hashes.output
        assert record.base.kernels is None, "what machine this is is not a viewer's business"
        told = await provenance(site, talk, live.id, live.opened.token)
        assert told.base is not None
        assert told.base.kernels == found.record.kernels
        async with connect(site.address, session=live.id, token=live.opened.viewer_token) as viewer:
            with pytest.raises(NotAllowed):
                await viewer.replay()


async def test_a_session_that_hides_its_camera_gives_nothing_of_it_away(site: Any, talk: Any) -> None:
    camera = np.random.default_rng(2).integers(0, 256, (64, 64, 3), np.uint8)
    async with connect(site.address, size=(64, 64)) as live:
        assert live.opened is not None
        answer = None
        while answer is None or answer.status_code == 404:
            await live.publish(camera)
            answer = await replayed(site, talk, live.id, live.opened.token)
        assert answer.status_code == 200, answer.text
        assert len(answer.content) < 4000
        for row in range(64):
            run = camera[row, :4].tobytes()
            assert run not in answer.content
            assert run.hex() not in answer.text
        await anext(live.frames())  # a frame is generated before the first slot is due, as may be
        record = await provenance(site, talk, live.id, live.opened.viewer_token)
        assert record.kind is FrameKind.STANDBY
        assert not record.holds_camera


async def test_before_the_first_frame_and_after_a_panic_there_is_nothing_to_make_again(site: Any, talk: Any) -> None:
    camera = np.random.default_rng(3).integers(0, 256, (64, 64, 3), np.uint8)
    async with connect(site.address, camera_visible="all", size=(64, 64)) as live:
        assert live.opened is not None
        with pytest.raises(NoSuchFrame):
            await live.replay()
        assert (await replayed(site, talk, live.id, live.opened.token)).status_code == 404
        async for frame in live.frames():
            await live.publish(camera)
            if frame.kind is FrameKind.GENERATED:
                break
        assert (await live.replay()).result == "exact"
        await live.panic()
        with pytest.raises(NoSuchFrame):
            await live.replay()


@pytest.mark.timeout(120)
async def test_a_frame_of_a_worker_that_is_gone_is_made_again_by_the_next_one_which_says_so() -> None:
    engine = Engine(EngineConfig(model="faulty:5", device="cpu", threads=1))
    await engine.start()
    try:
        async with asyncio.timeout(PATIENCE_S):
            await engine.wait_ready()
        camera = Camera(engine, prompt="well")
        await camera.until_new(3)
        camera.session.pause()
        first = await engine.replays.newest(camera.session)
        dead = engine.worker_pid
        assert dead is not None
        os.kill(dead, signal.SIGKILL)
        await camera.until(lambda _: engine.worker.state == "ready" and engine.worker.epoch > 1)
        again = await engine.replays.newest(camera.session)
        assert (first.result, again.result) == ("exact", "exact")
        assert again.hashes == first.hashes
        assert msgspec.structs.replace(again.record, weights=()) == msgspec.structs.replace(first.record, weights=())
        assert again.record.epoch == 1
        told = {fact.name: (fact.made, fact.again) for fact in again.differs}
        assert told["epoch"] == ("1", "2")
        assert "epoch" not in {fact.name for fact in first.differs}
    finally:
        await engine.close()
