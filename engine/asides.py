"""Whose turn it is to have a picture made beside the streams. Event loop; one picture at a time for the whole server.

The worker makes such a picture between two frames, so that nobody's frame waits for more than one of them.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from liveglass.engine.errors import AtCapacity, GenerationTimeout

_WAITING = 4


class Asides:
    """The one turn, and who waits for it."""

    def __init__(self) -> None:
        self._one_at_a_time = asyncio.Lock()
        self._waiting = 0

    @asynccontextmanager
    async def turn(self, what: str, budget_s: float) -> AsyncIterator[None]:
        """Inside, nobody else has a picture made.

        Args:
            what: is made, for people.
            budget_s: for waiting and making together, seconds.

        Raises:
            AtCapacity: four others wait already.
            GenerationTimeout: it was not made in time.
        """
        if self._waiting >= _WAITING:
            raise AtCapacity("Other pictures are being made beside the streams.", retry_after_s=1)
        self._waiting += 1
        try:
            async with asyncio.timeout(budget_s), self._one_at_a_time:
                yield
        except TimeoutError:
            raise GenerationTimeout(f"There was no {what} within {budget_s:.0f} s.") from None
        finally:
            self._waiting -= 1
