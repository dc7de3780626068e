"""Both ways of waiting for sockets do the same, also when numbers are used again."""

import os
import socket

import pytest

from fetchcast.extract.sockets import NOTHING, READ, WRITE, SelectorWatch, open_watch


@pytest.fixture(params=[open_watch, SelectorWatch])
def watch(request):
    opened = request.param()
    yield opened
    opened.close()


def test_events_come_and_go(watch):
    here, there = socket.socketpair()
    with here, there:
        watch.change({here.fileno(): READ})
        assert list(watch.wait(0)) == []
        there.send(b"x")
        assert list(watch.wait(1)) == [(here.fileno(), READ)]
        watch.change({here.fileno(): READ | WRITE})
        assert list(watch.wait(1)) == [(here.fileno(), READ | WRITE)]
        watch.change({here.fileno(): NOTHING})
        assert list(watch.wait(0)) == []
        watch.change({here.fileno(): READ})
        assert list(watch.wait(1)) == [(here.fileno(), READ)]


def test_a_closed_socket_s_number_serves_the_next(watch):
    """The number is watched for the new socket, though nobody said that the old one was closed."""
    first, other = socket.socketpair()
    number = first.fileno()
    watch.change({number: READ})
    watch.change({number: NOTHING})
    first.close()
    other.close()
    second, there = socket.socketpair()
    if second.fileno() != number:
        os.dup2(second.fileno(), number)
    watch.change({number: READ})
    there.send(b"x")
    assert list(watch.wait(1)) == [(number, READ)]
    if second.fileno() != number:
        os.close(number)
    second.close()
    there.close()
