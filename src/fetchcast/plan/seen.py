"""Which of millions of values have been seen, in 12 to 24 bytes each."""

from __future__ import annotations

from array import array
from collections.abc import Iterator

_SMALLEST = 1 << 10


class Seen:
    """A set of 64-bit numbers, which should be spread evenly (digests are); 0 counts as 1.

    A set of Python's keeps an object for each, five times the memory. Two of a million values
    share their 64 bits with a probability of 1 to 37 million.
    """

    def __init__(self) -> None:
        self._slots = array("Q", bytes(8 * _SMALLEST))
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def __contains__(self, number: int) -> bool:
        mask = len(self._slots) - 1
        place = (number or 1) & mask
        while (found := self._slots[place]) and found != (number or 1):
            place = (place + 1) & mask
        return found != 0

    def add(self, number: int) -> bool:
        """Remember ``number``; True if it is new."""
        slots = self._slots
        mask = len(slots) - 1
        number = number or 1
        place = number & mask
        while found := slots[place]:
            if found == number:
                return False
            place = (place + 1) & mask
        slots[place] = number
        self._count += 1
        if 3 * self._count > 2 * len(slots):
            self._grow()
        return True

    def _grow(self) -> None:
        old = self._slots
        self._slots = slots = array("Q", bytes(16 * len(old)))
        mask = len(slots) - 1
        for number in self._kept(old):
            place = number & mask
            while slots[place]:
                place = (place + 1) & mask
            slots[place] = number

    def _kept(self, slots: array[int]) -> Iterator[int]:
        return filter(None, slots)
