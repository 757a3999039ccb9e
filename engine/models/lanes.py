"""The lanes of an adapter: rows of arenas, an arena for each picture size; runs in the worker process."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from liveglass.engine.frame import Pixels, Size
from liveglass.engine.models.arena import FrameArena
from liveglass.engine.models.base import Schedule

LANES = 32
"""Of an arena."""

A = TypeVar("A", bound=FrameArena)


@dataclass
class Lane(Generic[A]):
    """Where a lane is, and what it was written with, as long as it may have to be written again."""

    arena: A
    row: int
    schedule: Schedule | None = None
    noise: NDArray[np.float32] | None = None
    has_source: bool = True

    @property
    def written(self) -> Schedule:
        """The schedule that it was written with."""
        if self.schedule is None:
            raise RuntimeError("a lane is written before it begins")
        return self.schedule

    def write_noise(self, noise: NDArray[np.float32]) -> None:
        """The noise of its stream: a transition writes its words for every frame, and the same noise each time."""
        if self.noise is not noise:
            self.arena.write_noise(self.row, noise)
            self.noise = noise


L = TypeVar("L", bound=Lane[Any])


class Lanes(Generic[A, L]):
    """Lanes by number.

    Args:
        cut: an arena for pictures of a size.
        place: a lane, of its arena and its row.
        forget: told of an arena that nobody will ask for again.
        kept: so many arenas that nobody uses stay, with what was captured on them: a session of that size may come
            again.
    """

    def __init__(
        self, cut: Callable[[Size], A], place: Callable[[A, int], L], forget: Callable[[A], None], *, kept: int
    ) -> None:
        self._cut, self._place, self._forget, self._kept = cut, place, forget, kept
        self._arenas: dict[Size, A] = {}
        self._lanes: dict[int, L] = {}

    def __getitem__(self, lane: int) -> L:
        """A lane that is open."""
        return self._lanes[lane]

    @property
    def every(self) -> Iterable[L]:
        """Each that is open."""
        return self._lanes.values()

    def open(self, size: Size) -> int:
        """Take a free lane for pictures of `size`; raises OutOfMemory where none fits."""
        arena = self._arenas.pop(size, None) or self._room(size)
        self._arenas[size] = arena  # at the end: the one used last
        row = arena.take()
        lane = next(number for number in range(len(self._lanes) + 1) if number not in self._lanes)
        self._lanes[lane] = self._place(arena, row)
        return lane

    def close(self, lane: int) -> None:
        """Give a lane back."""
        closed = self._lanes.pop(lane)
        closed.arena.give(closed.row)
        self._let_go_of_empty(self._kept)

    def put(
        self, lanes: Sequence[int], pixels: Sequence[Pixels | None], changed: Callable[[L], None]
    ) -> tuple[L, Tensor]:
        """Sources into the lanes of a cohort; its first lane and all of its rows.

        Args:
            changed: told of a lane that has a source now and had none, or the other way round.
        """
        for lane, picture in zip(lanes, pixels, strict=True):
            place = self._lanes[lane]
            if place.has_source != (picture is not None):
                place.has_source = picture is not None
                changed(place)
            if picture is not None:
                place.arena.put(place.row, picture)
        return self.cohort(lanes)

    def cohort(self, lanes: Sequence[int]) -> tuple[L, Tensor]:
        """The first lane of a cohort, whose arena is everybody's, and all of its rows."""
        places = [self._lanes[lane] for lane in lanes]
        return places[0], places[0].arena.cohort(place.row for place in places)

    def fetch(self, lanes: Sequence[int]) -> list[Pixels]:
        """What was made in the lanes of a cohort, uint8 [H, W, 3] each; valid until their next fetch."""
        made: list[Pixels] = self._lanes[lanes[0]].arena.fetch([self._lanes[lane].row for lane in lanes])
        return made

    def _room(self, size: Size) -> A:
        """Memory for lanes of a size; where there is not enough, what nobody uses is given up for it."""
        try:
            return self._cut(size)
        except torch.OutOfMemoryError:
            self._let_go_of_empty(0)
            return self._cut(size)

    def _let_go_of_empty(self, kept: int) -> None:
        """Free all but so many of the arenas that nobody uses; the ones used last stay."""
        empty = [size for size, arena in self._arenas.items() if arena.is_empty]
        for size in empty[: max(0, len(empty) - kept)]:
            self._forget(self._arenas.pop(size))
