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
from typing import Protocol

READ, WRITE = 1, 2  # The same bits as libcurl's CURL_POLL_* and CURL_CSELECT_*.


class Watch(Protocol):
    """The sockets that are waited for."""

    def change(self, fd: int, events: int) -> None:
        """From now on wait for ``events`` (`READ` | `WRITE`) of ``fd``; 0 for none."""

    def wait(self, seconds: float) -> list[tuple[int, int]]:
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
    # A socket that broke is handed over as readable and writable: libcurl finds out what it is.
    _BROKEN = select.EPOLLERR | select.EPOLLHUP

    class EpollWatch:
        """For Linux."""

        def __init__(self) -> None:
            self._epoll = select.epoll()
            self._known: set[int] = set()
            self._asleep: set[int] = set()

        def change(self, fd: int, events: int) -> None:
            """See `Watch.change`. A socket that is watched no more goes to sleep where it is."""
            if not events:
                self._asleep.add(fd)
                return
            self._asleep.discard(fd)
            if fd in self._known:
                try:
                    self._epoll.modify(fd, _TO_EPOLL[events])
                except FileNotFoundError:  # Closed meanwhile; another socket has its number.
                    self._epoll.register(fd, _TO_EPOLL[events])
                return
            self._known.add(fd)
            self._epoll.register(fd, _TO_EPOLL[events])

        def wait(self, seconds: float) -> list[tuple[int, int]]:
            """See `Watch.wait`."""
            ready = self._epoll.poll(seconds)
            if self._asleep:
                return [
                    (fd, _from_epoll(events))
                    for fd, events in ready
                    if fd not in self._asleep or self._wake(fd)
                ]
            return [(fd, _from_epoll(events)) for fd, events in ready]

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
        if events == select.EPOLLIN:
            return READ
        if events & _BROKEN:
            return READ | WRITE
        return (READ if events & select.EPOLLIN else 0) | (WRITE if events & select.EPOLLOUT else 0)


class SelectorWatch:
    """For every platform, with the system's best selector."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()

    def change(self, fd: int, events: int) -> None:
        """See `Watch.change`."""
        known = fd in self._selector.get_map()
        if not events:
            if known:
                self._selector.unregister(fd)
        elif known:
            self._selector.modify(fd, events)
        else:
            self._selector.register(fd, events)

    def wait(self, seconds: float) -> list[tuple[int, int]]:
        """See `Watch.wait`."""
        return [(key.fd, events) for key, events in self._selector.select(seconds)]

    def close(self) -> None:
        """See `Watch.close`."""
        self._selector.close()
