"""Another model, or other low-rank weights, under running streams: checked first, and one change at a time.

Belongs to the event loop; the supervisor does the work.
"""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import structlog

from liveglass.engine.errors import LiveglassError, SwapUnderWay, WeightsRefused
from liveglass.engine.events import ModelChanged
from liveglass.engine.memory import ROOM
from liveglass.engine.models import registry
from liveglass.engine.models.base import ModelSpec, no_loras
from liveglass.engine.models.lora_files import LoraWish, find_loras
from liveglass.engine.worker import messages as m
from liveglass.engine.worker.supervisor import Supervisor

log = structlog.get_logger()


class Swaps:
    """The swaps of one engine.

    Args:
        streams: what the next worker has to have room for.
        tell: tells every session.
        switch: called with the model that takes over, right before it does.

    Attributes:
        newest: how the newest model swap went or goes; None before the first.
    """

    def __init__(
        self,
        supervisor: Supervisor,
        models_dir: Path,
        *,
        streams: Callable[[], Sequence[m.OpenStream]],
        tell: Callable[[ModelChanged], None],
        switch: Callable[[ModelSpec], None],
    ) -> None:
        self.newest: ModelChanged | None = None
        self._supervisor, self._models_dir = supervisor, models_dir
        self._streams, self._tell, self._switch = streams, tell, switch
        self._under_way = ""
        self._warming: asyncio.Task[None] | None = None

    async def begin(self, name: str) -> bool:
        """Begin to put the model `name` in the place of the one that serves; returns when it has begun to load.

        Returns:
            Whether it had to: False where it serves already.

        Raises:
            ModelNotFound: no model of that name.
            NotAvailable: its weights are not here.
            WeightsRefused: they are damaged, or do not fit beside what serves.
            SwapUnderWay: one at a time.
        """
        with self._alone(f"A swap to {name}"):
            spec = registry.spec(name)
            if name == self._supervisor.model:
                return False
            await self._check(name)
        self._under_way = f"A swap to {name}"
        self._say(ModelChanged(name, "warming", stage="starting"))
        self._warming = asyncio.get_running_loop().create_task(self._run(spec), name="model swap")
        return True

    async def set_loras(self, wishes: Sequence[LoraWish]) -> m.LorasSet:
        """Put these low-rank weights, and no others, into the model that serves; returns when pictures have them.

        Raises:
            InvalidValue: a name that is none.
            NotAvailable: this model takes none, or there is no such file.
            WeightsRefused: a file that is damaged, too large, or made for another model; nothing was changed.
            SwapUnderWay: one at a time.
            ModelNotReady, WorkerLost: not now.
        """
        with self._alone("A change of low-rank weights"):
            spec = registry.spec(self._supervisor.model)
            if not spec.takes_loras:
                raise no_loras(spec)
            files = await asyncio.to_thread(find_loras, self._models_dir, wishes)
            return await self._supervisor.set_loras(files)

    async def settled(self) -> None:
        """Return when no model is on its way any more."""
        if self._warming is not None:
            await asyncio.shield(self._warming)

    async def close(self) -> None:
        """End a swap that is under way; nothing is told."""
        if self._warming is not None:
            self._warming.cancel()
            await asyncio.gather(self._warming, return_exceptions=True)

    @contextmanager
    def _alone(self, what: str) -> Iterator[None]:
        """One swap at a time."""
        if self._under_way:
            raise SwapUnderWay(f"{self._under_way} is under way.")
        self._under_way = what
        try:
            yield
        finally:
            self._under_way = ""

    async def _check(self, name: str) -> None:
        status = self._supervisor.status
        takes = await asyncio.to_thread(registry.check, name, self._models_dir, status.device or "auto")
        if not takes or status.state != "ready":
            return  # the worker itself looks, too, before it loads
        free = await self._supervisor.free_bytes()
        if takes > ROOM * free:
            raise WeightsRefused(
                f"{name} takes {takes / 1e9:.1f} GB beside the model that serves, "
                f"and {free / 1e9:.1f} GB are free on {status.device}.",
                hint=f"End what else uses that memory, or start the server with --model {name}.",
                field="model",
            )

    async def _run(self, spec: ModelSpec) -> None:
        name = spec.name
        try:
            await self._supervisor.swap(
                name,
                streams=self._streams,
                on_stage=lambda stage: self._say(ModelChanged(name, "warming", stage=stage)),
                on_switch=lambda: self._switch(spec),
            )
        except LiveglassError as error:
            log.warning("model swap failed", model=name, cause=error.message)
            self._say(ModelChanged(name, "failed", cause=error.message))
        else:
            self._say(ModelChanged(name, "ready"))
        finally:
            self._under_way = ""

    def _say(self, news: ModelChanged) -> None:
        self.newest = news
        self._tell(news)
