"""The person mask of one server: its network is on the disk, or fetched when somebody first needs it. Any thread."""

import threading
from collections.abc import Callable
from pathlib import Path

from liveglass.engine.clock import now
from liveglass.engine.errors import Unavailable
from liveglass.engine.person import model_file
from liveglass.engine.person.masker import PersonMasker

_AGAIN_AFTER_S = 30.0

Get = Callable[[Path, Callable[[str], None]], Path]


class MaskSupply:
    """Makes maskers, once the network is there.

    Args:
        folder: where the network lies, or will.
        may_fetch: whether it may be fetched.
        get: fetches it into a folder, telling how far it is; blocking.
    """

    def __init__(self, folder: Path, *, may_fetch: bool, get: Get = model_file.get) -> None:
        self._folder = folder
        self._may_fetch = may_fetch
        self._get = get
        self._network = model_file.find(folder)
        self._lock = threading.Lock()
        self._is_fetching = False
        self._said = ""
        self._failed_at: float | None = None

    @property
    def can_mask(self) -> bool:
        """Whether there is a mask here, or one to be had."""
        return self._network is not None or self._may_fetch

    def masker(self) -> PersonMasker:
        """A masker for one stream; the first call fetches the network in a thread of its own if it is missing.

        Raises:
            Unavailable: it is on its way, or it could not be fetched: the message says which. Ask again.
        """
        with self._lock:
            if self._network is None and not self._is_fetching and self._may_try():
                self._is_fetching, self._failed_at = True, None
                self._said = f"The person mask is being fetched, once ({model_file.LICENCE})."
                threading.Thread(target=self._fetch, name="fetch-mask", daemon=True).start()
            if self._network is None:
                raise Unavailable(self._said, hint="")
            network = self._network
        return PersonMasker(network)

    def _may_try(self) -> bool:
        return self._failed_at is None or now() - self._failed_at > _AGAIN_AFTER_S

    def _fetch(self) -> None:
        network, said = None, ""
        try:
            network = self._get(self._folder, self._tell)
        except Unavailable as fault:
            said = f"{fault.message} {fault.hint}"
        with self._lock:
            self._network, self._is_fetching, self._said = network, False, said
            self._failed_at = now() if network is None else None

    def _tell(self, line: str) -> None:
        with self._lock:
            self._said = f"The person mask is being fetched, once: {line}."
