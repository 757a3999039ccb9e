"""A frame made again by the worker that made it: by real networks, in the worker's own loop, in virtual time."""

import msgspec
import numpy as np
import pytest
from checkpoints import letters, tiny_autoencoder, tiny_text_model, tiny_unet

from liveglass.engine.clock import ManualClock
from liveglass.engine.control import ControlState, Params, Prompt
from liveglass.engine.errors import NotReplayable
from liveglass.engine.frame import Frame, Provenance, Size, SourceFrame, SourceStamp, Waypoint
from liveglass.engine.models.base import ModelAdapter, ModelSpec
from liveglass.engine.models.captured import Work
from liveglass.engine.models.diffusion.adapter import DiffusionAdapter, Parts
from liveglass.engine.models.diffusion.codec import Codec
from liveglass.engine.models.diffusion.schedules import lcm_scheduler, signal_left
from liveglass.engine.models.diffusion.unet import PromptedUNet
from liveglass.engine.models.diffusion.words import ClipText
from liveglass.engine.models.nano.adapter import load_nano
from liveglass.engine.models.passthrough import PassthroughAdapter
from liveglass.engine.record import Replay
from liveglass.engine.replays import compared
from liveglass.engine.stream.ladder import Rung
from liveglass.engine.stream.origins import KEPT_VERSIONS, Origins
from liveglass.engine.worker import messages as m
from liveglass.engine.worker.inbox import Inbox
from liveglass.engine.worker.loop import WorkerLoop
from liveglass.engine.worker.ring import Ring
from liveglass.engine.worker.worker import WorkerStatus

SIZE = Size(96, 64)
CELLS = 12
FIRST = ControlState(1, (Prompt("ink, blue"),), params=Params(steps=4, seed=3, strength=0.6))
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


class Ahead(Inbox):
    """Waits by moving the clock."""

    def __init__(self, clock: ManualClock) -> None:
        super().__init__()
        self._clock = clock

    def wait(self, timeout_s: float | None) -> None:
        self._clock.advance(0.005 if timeout_s is None else timeout_s)


class Streams:
    """A worker's loop with sessions, and what their server would remember of their frames."""

    def __init__(self, adapter: ModelAdapter, max_batch: int = 1) -> None:
        self.clock = ManualClock(100.0)
        self.inbound, self.outbound = Ring(CELLS, SIZE.nbytes), Ring(CELLS, SIZE.nbytes)
        self.inbox = Ahead(self.clock)
        self.sent: list[m.ToServer] = []
        self.loop = WorkerLoop(
            adapter,
            self.inbound,
            self.outbound,
            self.sent.append,
            self.clock,
            epoch=1,
            inbox=self.inbox,
            max_batch=max_batch,
        )
        self.status = WorkerStatus("ready", epoch=1, kernels=adapter.makings.kernels)
        self.origins: dict[str, Origins] = {}
        self.sources: dict[str, SourceFrame] = {}

    def open(self, session: str, control: ControlState, *, has_source: bool = True) -> None:
        self.origins[session] = Origins(control)
        self.inbox.put(m.OpenStream(session, SIZE, 100.0, 24, control, has_source, running=True))

    def change(self, session: str, control: ControlState) -> None:
        self.origins[session].wished(control)
        self.inbox.put(m.NewControl(session, control))

    def source(self, session: str, seed: int) -> None:
        coarse = np.random.default_rng(seed).integers(0, 255, (8, 12, 3), np.uint8)
        stamp = SourceStamp(seed, self.clock.now(), 0, is_camera=True)
        self.sources[session] = SourceFrame(stamp, coarse.repeat(8, 0).repeat(8, 1))
        cell = seed % CELLS
        self.inbound.view(cell, SIZE)[:] = self.sources[session].pixels
        self.inbox.put(m.NewSource(session, cell, stamp))

    def generate(self, count: int = 1) -> list[Provenance]:
        """Until so many frames were made."""
        frames: list[Provenance] = []
        for _ in range(20 * count):
            if len(frames) >= count:
                return frames
            self.sent.clear()
            self.loop.step()
            for made in [message for message in self.sent if isinstance(message, m.Generated)]:
                picture = self.outbound.view(made.cell, SIZE).copy()
                self.inbox.put(m.Freed(made.cell))
                frame = Frame(1, picture, 0.0, made.provenance)
                source = self.sources.get(made.session) if made.provenance.source else None
                self.origins[made.session].made(frame, source)
                frames.append(made.provenance)
        raise AssertionError(f"{len(frames)} of {count} frames were made: {self.sent}")

    def replay(self, session: str) -> Replay:
        origin = self.origins[session].newest()
        assert origin is not None
        pixels = b"" if origin.source is None else origin.source.pixels.tobytes()
        self.inbox.put(m.Replay(7, SIZE, origin.wishes, pixels))
        self.sent.clear()
        self.loop.step()
        [answer] = [message for message in self.sent if isinstance(message, m.Replayed)]
        assert (answer.id, answer.error) == (7, None)
        return compared(origin, self.status, answer, self.status)


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Parts:
    text = ClipText(letters(tmp_path_factory.mktemp("words")), tiny_text_model())
    unet, codec = PromptedUNet(tiny_unet()), Codec(tiny_autoencoder())
    return Parts(SPEC, text, unet, codec, lcm_scheduler(signal_left(0.00085, 0.012)))


@pytest.fixture(scope="module")
def tiny(parts: Parts) -> DiffusionAdapter:
    return DiffusionAdapter(parts)


def as_it_is(work: Work) -> Work:
    """A capture where there is no device that captures: it runs once before, and then as often as it is replayed."""
    work()
    return work


@pytest.fixture(scope="module", params=["tiny", "tiny, captured", "torch", "OpenVINO"])
def adapter(request: pytest.FixtureRequest, parts: Parts) -> ModelAdapter:
    """A U-Net, launched and replayed, and the built-in model by either of what runs it."""
    if request.param.startswith("tiny"):
        return DiffusionAdapter(parts, as_it_is if "captured" in request.param else None)
    return load_nano(device="cpu", threads=1, openvino=request.param == "OpenVINO")[0]


def wished(version: int, prompt: str, *, transition_ms: int = 0, **params: float) -> ControlState:
    numbers = msgspec.structs.replace(FIRST.params, **params)
    return ControlState(version, (Prompt(prompt),), params=numbers, transition_ms=transition_ms)


def check_exact(found: Replay) -> None:
    assert found.result == "exact", found
    assert found.hashes.output == found.hashes.again
    assert (found.difference.max, found.difference.mean, found.difference.share) == (0, 0.0, 0.0)
    assert found.alone


def test_frames_of_a_running_camera_are_made_again_to_the_bit(adapter: ModelAdapter) -> None:
    streams = Streams(adapter)
    streams.open("a", FIRST)
    outputs, noises = set(), set()
    for seed in range(1, 4):
        streams.source("a", seed)
        streams.generate()
        found = streams.replay("a")
        check_exact(found)
        outputs.add(found.hashes.output)
        noises.add(found.hashes.noise)
        assert found.record.source is not None
        assert (found.record.source.seq, found.record.seed, found.record.steps) == (seed, 3, 4)
        assert {fact.name for fact in found.differs} == {"lane"}
    assert (len(outputs), len(noises)) == (3, 1)


def test_words_alone_fewer_passes_and_another_strength_are_made_again_as_they_were(adapter: ModelAdapter) -> None:
    streams = Streams(adapter)
    streams.open("a", FIRST, has_source=False)
    streams.generate()
    check_exact(streams.replay("a"))
    streams.inbox.put(m.SetRung("a", Rung(steps=2)))
    streams.change("a", wished(2, "fire, red", strength=0.9))
    streams.generate()
    found = streams.replay("a")
    check_exact(found)
    assert found.record.control is not None
    assert (found.record.steps, found.record.control.params.steps, found.record.control.params.strength) == (2, 2, 0.9)


def test_a_frame_amid_a_transition_of_words_and_seed_is_made_again_and_so_is_one_that_gave_way(
    adapter: ModelAdapter,
) -> None:
    streams = Streams(adapter)
    streams.open("a", FIRST, has_source=False)
    streams.generate()
    streams.change("a", wished(2, "fire, red", seed=9, transition_ms=800))
    streams.generate(3)
    halfway = streams.replay("a")
    check_exact(halfway)
    assert 0 < halfway.record.progress < 1
    assert halfway.record.course is not None
    assert [point.version for point in halfway.record.course] == [1]
    streams.change("a", wished(3, "fog", seed=9, transition_ms=800))
    [*_, made] = streams.generate(2)
    found = streams.replay("a")
    check_exact(found)
    assert made.course is not None
    assert made.course == (Waypoint(1, 1.0), Waypoint(2, made.course[1].progress))
    assert found.hashes.noise != halfway.hashes.noise
    streams.clock.advance(1.0)
    assert streams.generate()[0].progress == 1
    check_exact(streams.replay("a"))


def test_what_was_made_in_company_is_close_within_one_level_and_never_called_exact(adapter: ModelAdapter) -> None:
    streams = Streams(adapter, max_batch=2)
    for batch in (1, 2):
        streams.loop.meter.add(4, batch, 0.1, pixels=SIZE.pixels)
    wishes = [FIRST, msgspec.structs.replace(wished(1, "fire, red", seed=8, strength=0.8))]
    for session, control in zip("ab", wishes, strict=True):
        streams.open(session, control)
        streams.source(session, ord(session))
    made = streams.generate(2)
    assert [one.batch for one in made] == [2, 2]
    assert len({one.lane for one in made}) == 2
    assert made[0].group == made[1].group
    for session in "ab":
        found = streams.replay(session)
        assert (found.result, found.alone) == ("close", False)
        assert found.difference.max <= 1
        assert {fact.name for fact in found.differs} == {"batch", "lane"}


def test_a_pass_through_models_frame_is_trivially_exact_and_has_no_noise() -> None:
    streams = Streams(PassthroughAdapter("null"))
    streams.open("a", FIRST)
    streams.source("a", 5)
    streams.generate()
    found = streams.replay("a")
    check_exact(found)
    assert (found.hashes.noise, found.record.holds_camera) == (None, True)


def test_a_replay_takes_no_lane_for_good_and_changes_nothing_of_the_stream(tiny: DiffusionAdapter) -> None:
    streams = Streams(tiny)
    streams.open("a", FIRST)
    streams.source("a", 1)
    streams.generate()
    before = streams.replay("a")
    for _ in range(40):  # more than there are lanes
        assert streams.replay("a").hashes == before.hashes
    streams.change("a", wished(2, "fire, red"))
    streams.generate()
    check_exact(streams.replay("a"))


def test_another_worker_is_said_by_what_differs() -> None:
    streams = Streams(PassthroughAdapter("null"))
    streams.open("a", FIRST)
    streams.source("a", 5)
    streams.generate()
    origin = streams.origins["a"].newest()
    assert origin is not None
    assert origin.source is not None
    kernels = PassthroughAdapter("null").makings.kernels
    maker = WorkerStatus("ready", epoch=1, kernels=msgspec.structs.replace(kernels, threads=2), weights=())
    worker = WorkerStatus("ready", epoch=4, kernels=kernels)
    brighter = origin.source.pixels.copy()
    brighter[0, 0, 0] ^= 1
    found = compared(origin, maker, m.Replayed(1, brighter.tobytes(), "", 2, None), worker)
    assert (found.result, found.alone, found.difference.max) == ("close", True, 1)
    assert found.difference.share == pytest.approx(1 / (SIZE.width * SIZE.height))
    told = {fact.name: (fact.made, fact.again) for fact in found.differs}
    told.pop("lane", None)
    assert told == {"epoch": ("1", "4"), "threads": ("2", "0"), "weights": ("none", "unknown")}
    forgotten = compared(origin, None, m.Replayed(1, origin.source.pixels.tobytes(), "", 2, None), worker)
    assert forgotten.result == "exact"
    assert forgotten.record.kernels is None
    assert "kernels" in {fact.name for fact in forgotten.differs}


def frame(**changes: object) -> Frame:
    made = Provenance(None, 1, 1.0, 3, 4, "tiny", holds_camera=False, epoch=1)
    return Frame(1, np.zeros(SIZE.shape, np.uint8), 0.0, msgspec.structs.replace(made, **changes))


STAMP = SourceStamp(4, 0.0, 0, is_camera=True)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"source": STAMP}, "camera's picture"),
        ({"course": None, "progress": 0.5}, "too many transitions"),
        ({"version": 77}, "control version"),
        ({"course": (Waypoint(66, 1.0),), "progress": 0.5}, "control version"),
    ],
)
def test_what_is_not_all_there_any_more_is_refused_by_name(changes: dict[str, object], reason: str) -> None:
    origins = Origins(FIRST)
    assert origins.newest() is None
    origins.made(frame(**changes), None)
    with pytest.raises(NotReplayable, match=reason):
        origins.newest()
    origins.made(frame(), None)
    assert origins.newest() is not None
    origins.forget()
    assert origins.newest() is None


def test_only_the_newest_control_versions_are_kept() -> None:
    origins = Origins(FIRST)
    for version in range(2, KEPT_VERSIONS + 2):
        origins.wished(msgspec.structs.replace(FIRST, version=version))
    assert origins.control(frame(version=1)) is None
    assert origins.control(frame(version=2)) is not None


def test_a_replay_that_fails_is_answered_all_the_same(tiny: DiffusionAdapter, monkeypatch: pytest.MonkeyPatch) -> None:
    streams = Streams(tiny)
    streams.open("a", FIRST)
    streams.source("a", 1)
    streams.generate()
    origin = streams.origins["a"].newest()
    assert origin is not None

    def fail(*_: object) -> None:
        raise RuntimeError("no")

    monkeypatch.setattr(tiny, "denoise", fail)
    streams.inbox.put(m.Replay(9, SIZE, origin.wishes, b""))
    streams.sent.clear()
    streams.loop.step()
    [answer] = streams.sent
    assert isinstance(answer, m.Replayed)
    assert (answer.id, answer.error.code if answer.error else "") == (9, "model_failed")
