"""The person mask: the real network, what is laid over what, and the file itself."""

import io
import shutil
import tarfile
import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from person import SIZE, network, portrait

from liveglass.engine.errors import CameraNotVisible, NotAvailable, Unavailable
from liveglass.engine.frame import SourceFrame, SourceStamp
from liveglass.engine.options import check_apply
from liveglass.engine.person import model_file
from liveglass.engine.person.masker import PersonMasker
from liveglass.engine.person.matting import Matte, Matting
from liveglass.engine.person.supply import MaskSupply


def source(picture, seq=1, at=0.0):
    return SourceFrame(SourceStamp(seq, at, seq, is_camera=True), picture)


class Here(Executor):
    """Does everything at once, in this thread."""

    def submit(self, fn, /, *args, **kwargs):
        fn(*args, **kwargs)
        return Future()


class Later(Executor):
    """Does nothing until it is told to."""

    def __init__(self):
        self.work = []

    def submit(self, fn, /, *args, **kwargs):
        self.work.append(fn)
        return Future()


class Masker:
    """Finds whoever is brighter than 100, and breaks on a picture of zeros."""

    def __init__(self):
        self.seen = []

    def alpha(self, picture):
        self.seen.append(int(picture[0, 0, 0]))
        if not picture.any():
            raise ValueError("nothing to see")
        return (picture[:, :, 0] > 100).astype(np.float32)


def test_the_person_is_found_with_a_narrow_edge() -> None:
    alpha = PersonMasker(network()).alpha(portrait())
    assert alpha.shape == SIZE.shape[:2]
    assert alpha.dtype == np.float32
    assert 0 <= alpha.min() < alpha.max() <= 1
    assert alpha[100:160, 260:320].min() > 0.95, "the face"
    assert alpha[:120, 480:].max() < 0.05, "the room"
    # A row through the head: from all to nothing within a few pixels on either side.
    assert np.count_nonzero((alpha[80] > 0.1) & (alpha[80] < 0.9)) < 24


def test_a_person_who_moves_takes_the_mask_along() -> None:
    masker = PersonMasker(network())
    masker.alpha(portrait())
    for _ in range(3):
        alpha = masker.alpha(portrait(120))
    assert alpha[100:160, 380:440].min() > 0.95


def test_a_still_picture_has_a_still_mask() -> None:
    masker, noise = PersonMasker(network()), np.random.default_rng(1)
    masks = []
    for _ in range(6):
        grain = noise.normal(0, 4, SIZE.shape)
        masks.append(masker.alpha(np.clip(portrait() + grain, 0, 255).astype(np.uint8)))
    assert np.abs(masks[-1] - masks[-2]).mean() < 0.01


def test_either_the_person_or_the_room_is_kept() -> None:
    camera, made = np.full((4, 8, 3), 200, np.uint8), np.full((4, 8, 3), 40, np.uint8)
    alpha = np.zeros((4, 8), np.float32)
    alpha[:, :4] = 1
    matte = Matte(source(camera), alpha)
    person, room = matte.lay(made, "person"), matte.lay(made, "room")
    assert (person[:, :4] == 200).all()
    assert (person[:, 4:] == 40).all()
    assert (room[:, :4] == 40).all()
    assert (room[:, 4:] == 200).all()
    assert not person.flags.writeable


def test_the_newest_picture_wins() -> None:
    masker, pool = Masker(), Later()
    matting = Matting(lambda: masker, pool)
    for level in (10, 20, 30):
        matting.submit(source(np.full((4, 4, 3), level, np.uint8), level), lambda _: None)
    [work] = pool.work
    work()
    assert masker.seen == [30]
    newest = matting.newest(None)
    assert newest is not None
    assert newest.source.stamp.seq == 30


def test_a_failed_mask_shows_nobody_and_says_why_and_the_next_picture_is_a_new_try() -> None:
    masker = Masker()
    matting = Matting(lambda: masker, Here())
    matting.submit(source(np.full((4, 4, 3), 200, np.uint8), 1), lambda _: None)
    assert matting.newest(None) is not None
    matting.submit(source(np.zeros((4, 4, 3), np.uint8), 2), lambda _: None)
    assert matting.newest(None) is None
    assert "ValueError" in matting.fault
    matting.submit(source(np.full((4, 4, 3), 200, np.uint8), 3), lambda _: None)
    assert matting.newest(None) is not None
    assert not matting.fault


def test_a_picture_that_comes_while_the_pool_is_being_shut_is_let_go() -> None:
    pool = ThreadPoolExecutor(1)
    pool.shutdown()
    matting = Matting(Masker, pool)
    matting.submit(source(np.full((4, 4, 3), 200, np.uint8)), lambda _: None)
    assert matting.newest(None) is None


def test_a_mask_far_behind_the_camera_is_of_no_use() -> None:
    matting = Matting(Masker, Here())
    matting.submit(source(np.full((4, 4, 3), 200, np.uint8), 1, at=1.0), lambda _: None)
    assert matting.newest(source(np.full((4, 4, 3), 200, np.uint8), 2, at=1.4)) is not None
    assert matting.newest(source(np.full((4, 4, 3), 200, np.uint8), 3, at=1.6)) is None


def test_a_file_that_is_no_network_is_a_fault_and_no_crash(tmp_path) -> None:
    path = tmp_path / "mask.tflite"
    path.write_bytes(b"no network at all")
    matting = Matting(lambda: PersonMasker(path), Here())
    matting.submit(source(portrait()), lambda _: None)
    assert matting.newest(None) is None
    assert matting.fault


@pytest.mark.parametrize(
    ("apply", "camera_visible", "has_mask", "error"),
    [
        ("all", "none", False, None),
        ("background", "person", True, None),
        ("background", "all", True, None),
        ("person", "all", True, None),
        ("background", "person", False, NotAvailable),
        ("person", "all", False, NotAvailable),
        ("background", "none", True, CameraNotVisible),
        ("person", "none", True, CameraNotVisible),
        ("person", "person", True, CameraNotVisible),
    ],
)
def test_only_what_the_session_shows_of_its_camera_can_be_kept(apply, camera_visible, has_mask, error) -> None:
    if error is None:
        check_apply(apply, camera_visible, has_mask=has_mask)
        return
    with pytest.raises(error) as refused:
        check_apply(apply, camera_visible, has_mask=has_mask)
    assert refused.value.field == "apply"
    assert refused.value.hint


def package(path, content: bytes) -> str:
    with tarfile.open(path, "w:gz") as archive:
        member = tarfile.TarInfo(f"package/{model_file.FILE}")
        member.size = len(content)
        archive.addfile(member, io.BytesIO(content))
    return path.as_uri()


class Fetcher:
    """What fetches the network, held until the test lets it go."""

    def __init__(self, *, comes: bool = True) -> None:
        self.comes = comes
        self.calls = 0
        self.told = threading.Event()
        self.may_end = threading.Event()

    def __call__(self, folder: Path, tell: Callable[[str], None]) -> Path:
        self.calls += 1
        tell("1.0 of 4.0 MB")
        self.told.set()
        self.may_end.wait(10)
        if not self.comes:
            raise Unavailable("person-mask cannot be fetched: no way there.", hint="Put it there.")
        return Path(shutil.copy(network(), folder))


def fetchers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "fetch-mask"]


def ended() -> None:
    for thread in fetchers():
        thread.join(10)


def test_the_first_use_fetches_the_mask_once_and_tells_how_far_it_is(tmp_path) -> None:
    get = Fetcher()
    supply = MaskSupply(tmp_path, may_fetch=True, get=get)
    assert supply.can_mask
    assert not fetchers(), "nothing is fetched before it is needed"
    matting = Matting(supply.masker, Here())
    matting.submit(source(portrait()), lambda _: None)
    assert matting.newest(None) is None
    assert "Apache-2.0" in matting.fault or "being fetched" in matting.fault
    assert get.told.wait(10)
    matting.submit(source(portrait()), lambda _: None)
    assert "1.0 of 4.0 MB" in matting.fault
    get.may_end.set()
    ended()
    matting.submit(source(portrait()), lambda _: None)
    assert matting.newest(None) is not None
    assert not matting.fault
    assert get.calls == 1


def test_what_cannot_be_fetched_is_told_and_not_asked_for_again_at_every_picture(tmp_path) -> None:
    get = Fetcher(comes=False)
    get.may_end.set()
    matting = Matting(MaskSupply(tmp_path, may_fetch=True, get=get).masker, Here())
    for _ in range(3):
        matting.submit(source(portrait()), lambda _: None)
        ended()
    assert get.calls == 1
    assert "no way there" in matting.fault
    assert "Put it there." in matting.fault


def test_a_server_that_may_not_fetch_has_a_mask_only_where_it_lies(tmp_path) -> None:
    assert not MaskSupply(tmp_path, may_fetch=False).can_mask
    shutil.copy(network(), tmp_path)
    supply = MaskSupply(tmp_path, may_fetch=False)
    assert supply.can_mask
    assert supply.masker().alpha(portrait()).max() > 0.9


def test_the_file_is_fetched_checked_and_kept(tmp_path) -> None:
    address, said = package(tmp_path / "right.tgz", network().read_bytes()), []
    assert model_file.find(tmp_path / "models") is None
    path = model_file.get(tmp_path / "models", said.append, address)
    assert path == model_file.find(tmp_path / "models")
    assert any("Apache-2.0" in line for line in said)
    model_file.get(tmp_path / "models", said.append, "file:///nowhere.tgz")
    assert "here already" in said[-1]


def test_a_folder_that_cannot_be_written_is_an_answer_and_no_crash(tmp_path) -> None:
    address = package(tmp_path / "right.tgz", network().read_bytes())
    (tmp_path / "models").write_text("a file where a folder should be")
    with pytest.raises(Unavailable, match="cannot be kept"):
        model_file.get(tmp_path / "models", lambda _: None, address)


@pytest.mark.parametrize("wrong", ["content", "archive", "missing"])
def test_another_file_is_refused_and_nothing_kept(tmp_path, wrong) -> None:
    address = package(tmp_path / "wrong.tgz", b"something else")
    if wrong == "archive":
        (tmp_path / "wrong.tgz").write_bytes(b"no archive")
    elif wrong == "missing":
        address = (tmp_path / "nowhere.tgz").as_uri()
    with pytest.raises(Unavailable):
        model_file.get(tmp_path / "models", lambda _: None, address)
    assert model_file.find(tmp_path / "models") is None
