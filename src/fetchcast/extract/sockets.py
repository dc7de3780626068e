"""Waits for many sockets at once, where what is waited for changes with every call.

libcurl stops watching a connection when an answer is complete and watches it again for the next
call a moment later. `EpollWatch` leaves such a socket where it is, so that each call costs one
system call instead of two and none of the bookkeeping of `selectors`; `SelectorWatch` is for
platforms without epoll.
"""

from __future__ import annotations

import select
import selectors
import sys
from collections.abc import Mapping, Sequence
from typing import Protocol

READ, WRITE, NOTHING = 1, 2, 4  # As in libcurl's CURL_POLL_* and CURL_CSELECT_*.


class Watch(Protocol):
    """The sockets that are waited for."""

    def change(self, wanted: Mapping[int, int]) -> None:
        """From now on wait for these events of these sockets: `READ` | `WRITE`, or `NOTHING`."""

    def wait(self, seconds: float) -> Sequence[tuple[int, int]]:
        """``(fd, events)`` of the sockets that are ready, after at most ``seconds``."""

    def close(self) -> None:
        """Forget all sockets; they stay open."""


def open_watch() -> Watch:
    """The best that this platform has."""
    return EpollWatch() if sys.platform == "linux" else SelectorWatch()


if sys.platform == "linux":
    _TO_EPOLL = (
        0,
        select.EPOLLIN,
        select.EPOLLOUT,
        select.EPOLLIN | select.EPOLLOUT,
    )

    class EpollWatch:
        """For Linux."""

        def __init__(self) -> None:
            self._epoll = select.epoll()
            self._known: set[int] = set()
            self._asleep: set[int] = set()

        def change(self, wanted: Mapping[int, int]) -> None:
            """See `Watch.change`. A socket that is watched no more goes to sleep where it is."""
            for fd, events in wanted.items():
                if events == NOTHING:
                    self._asleep.add(fd)
                    continue
                self._asleep.discard(fd)
                if fd in self._known:
                    try:
                        self._epoll.modify(fd, _TO_EPOLL[events])
                        continue
                    except FileNotFoundError:
                        pass  # Closed meanwhile, and another socket has its number.
                self._known.add(fd)
                self._epoll.register(fd, _TO_EPOLL[events])

        def wait(self, seconds: float) -> Sequence[tuple[int, int]]:
            """See `Watch.wait`."""
            asleep = self._asleep
            return [
                (fd, READ if events == select.EPOLLIN else _from_epoll(events))
                for fd, events in self._epoll.poll(seconds)
                if fd not in asleep or self._wake(fd)
            ]

        def _wake(self, fd: int) -> bool:
            """A sleeping socket has news (mostly: the server closed it), which nobody wants."""
            self._asleep.discard(fd)
            self._known.discard(fd)
            self._epoll.unregister(fd)
            return False

        def close(self) -> None:
            """See `Watch.close`."""
            self._epoll.close()

    def _from_epoll(events: int) -> int:
        if events & (select.EPOLLERR | select.EPOLLHUP):
            return READ | WRITE  # It broke; libcurl finds out how by using it.
        return (READ if events & select.EPOLLIN else 0) | (WRITE if events & select.EPOLLOUT else 0)


class SelectorWatch:
    """For every platform, with the system's best selector."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()

    def change(self, wanted: Mapping[int, int]) -> None:
        """See `Watch.change`."""
        for fd, events in wanted.items():
            # Anew each time: the number may belong to another socket by now.
            if fd in self._selector.get_map():
                self._selector.unregister(fd)
            if events != NOTHING:
                self._selector.register(fd, events)

    def wait(self, seconds: float) -> Sequence[tuple[int, int]]:
        """See `Watch.wait`."""
        return [(key.fd, events) for key, events in self._selector.select(seconds)]

    def close(self) -> None:
        """See `Watch.close`."""
        self._selector.close()
