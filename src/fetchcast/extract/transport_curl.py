"""The transport over libcurl: one thread that owns every socket, and a way in and out of it.

The event loop's side (`CurlTransport`) puts calls into an inbox and is told of their ends in
batches. The thread's side (`_Engine`) hands calls to libcurl, waits for its sockets with a
`Watch` of our own (libcurl's own waiting ends at 1,024 descriptors), and keeps the deadlines. A
`_Slot` is one of libcurl's easy handles with its buffers; it serves one call after another and
is touched by the engine's thread alone.
"""

from __future__ import annotations

import asyncio
import os
import socket
import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from math import inf
from typing import Final, TypeAlias

import msgspec
import pycurl

from fetchcast.errors import (
    BrokenAnswer,
    CallError,
    FetchcastError,
    RedirectRefused,
    TimedOut,
)
from fetchcast.extract.addresses import REDIRECTS, Trail, ascii_url, follow, redacted, with_query
from fetchcast.extract.decoding import ENCODINGS, Overlong, Undecodable, decoded
from fetchcast.extract.failures import (
    bug,
    merged,
    no_address,
    no_http,
    no_name,
    no_proxy,
    no_tls,
    nobody_there,
    not_begun,
    not_complete,
    not_connected,
    not_trusted,
    stopped,
    too_large,
    undecodable,
)
from fetchcast.extract.heads import HeadReader
from fetchcast.extract.proxies import Proxies
from fetchcast.extract.sockets import READ, Watch, open_watch
from fetchcast.extract.transport_contract import Done, TransportOptions
from fetchcast.records import Answer, Request

_CLOSING_S = 1.0  # A name lookup cannot be interrupted; the thread is a daemon and may outlive us.
_IDLE_S = 60.0
_RESTARTS = 3  # Of one call, where idle connections turn out to be dead.
_STREAMS = 1_000  # Of one HTTP/2 connection; a server's own setting is obeyed where it is lower.
# Options that libcurl has and pycurl has no name for.
_SUPPRESS_CONNECT_HEADERS, _QUICK_EXIT = 265, 322

_Result: TypeAlias = Answer | CallError


@asynccontextmanager
async def open_curl(options: TransportOptions) -> AsyncIterator[CurlTransport]:
    """Open the transport over libcurl; see `fetchcast.extract.transport.open_transport`.

    Raises:
        FetchcastError: On leaving, if the engine's thread had ended by a bug.
    """
    transport = CurlTransport(options)
    try:
        yield transport
    finally:
        await transport.close()
    if transport.crash is not None:
        raise FetchcastError(bug(transport.crash)) from transport.crash


class _Call(msgspec.Struct, eq=False):
    """One call on its way, and its `Handle`.

    ``done`` belongs to the loop's thread (None: ended or cancelled), the rest to the engine's.
    """

    request: Request
    headers: Mapping[str, str]
    lines: list[bytes]
    done: Done | None
    put: Callable[[_Call], None]
    query: str = ""
    slot: _Slot | None = None
    started: float = 0.0
    steps: int = 0
    restarts: int = 0
    alone: bool = False

    def cancel(self) -> None:
        """See `Handle.cancel`."""
        if self.done is not None:
            self.done = None
            self.put(self)


class CurlTransport:
    """See `fetchcast.extract.transport_contract.Transport`. Lives on the event loop's thread."""

    name = "curl"

    def __init__(self, options: TransportOptions) -> None:
        self._loop = asyncio.get_running_loop()
        self._outbox: deque[tuple[_Call, _Result]] = deque()
        self._posted = self._ring_due = False
        self._asked: Mapping[str, str] = {}
        self._secret: Mapping[str, str] = {}
        self._lines = _header_lines({}, {})
        self._engine = _Engine(options, self._post)
        self._engine.start()

    @property
    def crash(self) -> BaseException | None:
        """What ended the engine's thread; None if it was asked to end."""
        return self._engine.crash

    def start(
        self, request: Request, headers: Mapping[str, str], done: Done, query: str = ""
    ) -> _Call:
        """See `Transport.start`.

        Raises:
            ValueError: If a header has a line break in it.
        """
        if headers != self._secret or request.headers != self._asked:
            # Copies: the caller may change a token in place.
            self._asked, self._secret = dict(request.headers), dict(headers)
            self._lines = _header_lines(self._asked, self._secret)
        call = _Call(request, headers, self._lines, done, self._put, query)
        self._put(call)
        return call

    def _put(self, call: _Call) -> None:
        """Into the inbox; the engine is woken once for all that is put in one turn of the loop."""
        self._engine.inbox.append(call)
        if not self._ring_due:
            self._ring_due = True
            self._loop.call_soon(self._ring)

    def _ring(self) -> None:
        self._ring_due = False
        if self._engine.ended:
            self._refuse()
        else:
            self._engine.wake()

    def _refuse(self) -> None:
        """Nobody empties the inbox any more."""
        inbox = self._engine.inbox
        while inbox:
            call = inbox.popleft()
            self._outbox.append((call, stopped(call.request.url, self.crash)))
        self._deliver()

    def _post(self, batch: list[tuple[_Call, _Result]]) -> None:
        """Hand a batch to the loop. On the engine's thread."""
        self._outbox.extend(batch)
        if not self._posted:
            self._posted = True
            with suppress(RuntimeError):  # The loop was closed over our head: nobody listens.
                self._loop.call_soon_threadsafe(self._deliver)

    def _deliver(self) -> None:
        self._posted = False
        # What the callbacks start is rung in at the end, at once.
        was_due, self._ring_due = self._ring_due, True
        outbox = self._outbox
        try:
            while outbox:
                call, result = outbox.popleft()
                done = call.done
                if done is not None:  # Else it was cancelled.
                    call.done = None
                    done(result)
        finally:
            if outbox:  # A callback raised; the others are not to suffer for it.
                self._loop.call_soon(self._deliver)
            self._ring_due = was_due
            if self._engine.inbox and not was_due:
                if self._engine.ended:
                    self._ring_due = True  # Not at once: what is refused may start the next.
                    self._loop.call_soon(self._ring)
                else:
                    self._engine.wake()

    async def close(self) -> None:
        """End the thread, within a second; what has not ended ends with `TransportStopped`."""
        ended: asyncio.Future[None] = self._loop.create_future()
        self._engine.stop(lambda: self._tell(ended))
        await asyncio.wait([ended], timeout=_CLOSING_S)
        if ended.done():  # The thread has said its last word and is about to leave.
            self._engine.join(_CLOSING_S)
        self._refuse()

    def _tell(self, ended: asyncio.Future[None]) -> None:
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(_settle, ended)


class _Engine(threading.Thread):
    """Owns libcurl's multi handle and every socket.

    Only `inbox`, `wake`, `stop`, `ended` and `crash` are for other threads.
    """

    def __init__(
        self, options: TransportOptions, post: Callable[[list[tuple[_Call, _Result]]], None]
    ) -> None:
        super().__init__(name="fetchcast-curl", daemon=True)
        self.inbox: deque[_Call] = deque()
        self.ended = False
        self.crash: BaseException | None = None
        self._options, self._post = options, post
        self._stopping = self._asleep = False
        self._when_ended: Callable[[], None] | None = None
        self._bell, self._ear = socket.socketpair()
        self._bell.settimeout(0)
        self._ear.settimeout(0)
        self._ear_fd = self._ear.fileno()
        self._watch: Watch = open_watch()
        self._watch.change({self._ear_fd: READ})
        self._wanted: dict[int, int] = {}
        self._multi = _multi_handle(options, self._want)
        self._settings = _Settings(options)
        self._heads = HeadReader()
        self._waiting: deque[_Call] = deque()
        self._busy: dict[_Slot, None] = {}  # Oldest first.
        self._free: list[_Slot] = []
        self._slots: dict[pycurl.Curl, _Slot] = {}
        self._shared: dict[str, bool] = {}  # Origin -> whether its connections carry many calls.
        self._alone = 0  # Calls under way that may need a connection for themselves.
        self._next_deadline = inf
        self._batch: list[tuple[_Call, _Result]] = []

    def wake(self) -> None:
        """There is something in the inbox. From any thread."""
        if self._asleep:
            self._asleep = False
            with suppress(OSError):  # Full: it rings already. Closed: the thread has ended.
                self._bell.send(b"\0")

    def stop(self, when_ended: Callable[[], None]) -> None:
        """Drop everything and end; ``when_ended`` is called once the thread serves no more."""
        self._when_ended = when_ended
        self._stopping = True
        with suppress(OSError):
            self._bell.send(b"\0")
        if self.ended:
            when_ended()

    def run(self) -> None:
        """Serve until stopped."""
        try:
            while not self._stopping:
                self._turn()
        except BaseException as crash:  # noqa: BLE001  shown by whoever closes the transport
            self.crash = crash
        finally:
            self._end()

    def _turn(self) -> None:
        """Take in what came, wait for a socket, a timer or the bell, hand over what has ended."""
        self._admit()
        while self._launch():
            self._multi.socket_action(pycurl.SOCKET_TIMEOUT, 0)
            # What fails at once has no socket to wait for, and a near server answers at once.
            self._collect()
        self._hand_over()
        self._tell_watch()
        self._asleep = True
        ready = self._watch.wait(self._patience())
        self._asleep = False
        drive, ear = self._multi.socket_action, self._ear_fd
        for fd, events in ready:
            if fd != ear:
                drive(fd, events)
            else:
                self._ear.recv(4096)
        if not ready:
            drive(pycurl.SOCKET_TIMEOUT, 0)
        if time.monotonic() >= self._next_deadline:
            self._keep_deadlines()
        self._collect()

    def _patience(self) -> float:
        """How long there is nothing to do but for sockets and the bell, in seconds."""
        if self.inbox or self._stopping:  # After `_asleep` was set: nothing slips through.
            return 0.0
        timer_ms = self._multi.timeout()
        timer = timer_ms / 1000 if timer_ms >= 0 else _IDLE_S
        if self._next_deadline == inf:
            return timer
        return max(0.0, min(timer, self._next_deadline - time.monotonic()))

    def _want(self, events: int, fd: int, _multi: object, _data: object) -> None:
        """Note what libcurl waits for; many of these cancel each other out within a turn."""
        self._wanted[fd] = events

    def _tell_watch(self) -> None:
        if self._wanted:
            self._watch.change(self._wanted)
            self._wanted.clear()

    def _admit(self) -> None:
        """Sort what is in the inbox: new calls wait for their turn, cancelled ones are dropped."""
        inbox = self.inbox
        while inbox:
            call = inbox.popleft()
            if call.done is not None:
                self._waiting.append(call)
            elif call.slot is not None:
                self._release(call.slot)

    def _launch(self) -> bool:
        """Start what has room; False if there was nothing."""
        waiting, launched = self._waiting, False
        now = time.monotonic() if waiting else 0.0
        while waiting:
            call = waiting[0]
            if call.done is None:
                waiting.popleft()
                continue
            url = call.request.url
            # A call may take up a connection, until its host is known to share them.
            alone = url.startswith("http:") or not self._shared.get(_origin(url), False)
            if alone and self._alone >= self._options.max_connections:
                break
            waiting.popleft()
            call.alone = alone
            self._send(call, now)
            launched = True
        return launched

    def _send(self, call: _Call, now: float) -> None:
        slot = self._free.pop() if self._free else self._new_slot()
        try:
            slot.load(call, now)
        except (pycurl.error, UnicodeError, ValueError) as unusable:
            slot.unload()
            self._free.append(slot)
            self._batch.append((call, no_address(call.request.url, unusable)))
            return
        self._alone += call.alone
        self._busy[slot] = None
        # All have the same time, so whoever came before is due before; but for what goes on
        # after a redirect.
        if self._next_deadline == inf or call.steps:
            self._next_deadline = min(self._next_deadline, slot.due())
        self._multi.add_handle(slot.easy)

    def _new_slot(self) -> _Slot:
        slot = _Slot(self._settings)
        self._slots[slot.easy] = slot
        return slot

    def _release(self, slot: _Slot) -> None:
        """Take the call out of libcurl; what it was in the middle of is dropped."""
        self._multi.remove_handle(slot.easy)
        del self._busy[slot]
        self._alone -= slot.unload()
        self._free.append(slot)

    def _collect(self) -> None:
        """Take what has ended out of libcurl."""
        left = 1
        while left:
            left, whole, broken = self._multi.info_read()
            if whole:
                now = time.monotonic()
                for easy in whole:
                    self._finish(self._slots[easy], now)
            for easy, code, text in broken:
                self._give_up(self._slots[easy], code, text)

    def _give_up(self, slot: _Slot, code: int, text: str) -> None:
        """End a call that broke; or try again, if it met a connection that the server had left."""
        call = slot.call
        assert call is not None
        if slot.met_a_dead_connection(code) and call.restarts < _RESTARTS:
            call.restarts += 1
            self._release(slot)
            self._waiting.appendleft(call)
            return
        self._batch.append((call, _call_error(slot, code, text, self._options)))
        self._release(slot)

    def _finish(self, slot: _Slot, now: float) -> None:
        """The last byte is here; read the head, unpack the body."""
        call, lines, body = slot.call, slot.lines, slot.body()
        assert call is not None
        url = call.request.url
        result: _Result
        try:
            status, version, headers = self._heads.read(lines)
            if "content-encoding" in headers:
                limit = self._options.max_body_bytes
                body = decoded(body, headers["content-encoding"], limit)
        except Overlong:
            result = too_large(url, self._options)
        except Undecodable as why:
            result = undecodable(url, why)
        except ValueError:
            result = no_http(url, "it has no readable status line")
        else:
            if version == "2" and call.alone:
                self._shared[_origin(url)] = True
            if status in REDIRECTS and "location" in headers:
                self._release(slot)
                self._redirect(call, status, headers["location"])
                return
            result = Answer(
                status=status,
                headers=headers,
                body=body,
                url=url,
                elapsed_s=now - call.started,
                http_version=version,
            )
        self._release(slot)
        self._batch.append((call, result))

    def _redirect(self, call: _Call, status: int, location: str) -> None:
        trail = Trail(
            request=call.request, headers=call.headers, query=call.query, steps=call.steps
        )
        options = self._options
        try:
            trail = follow(
                trail,
                status,
                location,
                allowed=options.allowed_hosts,
                at_most=options.max_redirects,
            )
        except RedirectRefused as refused:
            self._batch.append((call, refused))
            return
        call.request, call.headers, call.steps = trail.request, trail.headers, trail.steps
        call.query = trail.query
        call.lines = _header_lines(trail.request.headers, trail.headers)
        self._waiting.appendleft(call)

    def _keep_deadlines(self) -> None:
        """End what has taken too long. All calls have the same time, so this is rare."""
        now, self._next_deadline = time.monotonic(), inf
        for slot in list(self._busy):
            due, call = slot.due(), slot.call
            if due > now or call is None:
                self._next_deadline = min(self._next_deadline, due)
                continue
            self._batch.append((call, slot.lateness()))
            self._release(slot)

    def _hand_over(self) -> None:
        if self._batch:
            self._post(self._batch)
            self._batch = []

    def _end(self) -> None:
        """Drop what is under way and say so, then give everything back."""
        self.ended = True
        self._waiting.extend(slot.call for slot in self._busy if slot.call is not None)
        while self.inbox:  # What comes later is refused on the loop's side.
            self._waiting.append(self.inbox.popleft())
        self._batch += [(call, stopped(call.request.url, self.crash)) for call in self._waiting]
        self._hand_over()
        with suppress(pycurl.error, OSError):
            for slot in self._busy:
                self._multi.remove_handle(slot.easy)
            for easy in self._slots:
                easy.close()
            self._multi.close()
        self._watch.close()
        self._ear.close()
        self._bell.close()
        if self._when_ended is not None:
            self._when_ended()


class _Settings:
    """What all easy handles of a transport have in common."""

    def __init__(self, options: TransportOptions) -> None:
        self.options = options
        self.http2 = options.http2 == "auto"
        self.ca_file = options.ca_file or os.environ.get("SSL_CERT_FILE")
        self.proxies = Proxies(options)
        self._pattern = pycurl.Curl()
        self.apply(self._pattern)

    def new_handle(self) -> pycurl.Curl:
        """A handle that is set up; copying one costs an eighth of setting up another."""
        return self._pattern.duphandle()

    def apply(self, easy: pycurl.Curl) -> None:
        """Set up ``easy`` for GET calls; address, headers and what TLS decides come later."""
        options = self.options
        for option, value in (
            (pycurl.NOSIGNAL, 1),
            (_QUICK_EXIT, 1),
            (_SUPPRESS_CONNECT_HEADERS, 1),
            (pycurl.PROTOCOLS, pycurl.PROTO_HTTP | pycurl.PROTO_HTTPS),
            (
                pycurl.HTTP_VERSION,
                pycurl.CURL_HTTP_VERSION_2TLS if self.http2 else pycurl.CURL_HTTP_VERSION_1_1,
            ),
            (pycurl.ACCEPT_ENCODING, ENCODINGS),
            (pycurl.HTTP_CONTENT_DECODING, 0),  # See `fetchcast.extract.decoding`.
            (pycurl.CONNECTTIMEOUT_MS, max(1, round(options.connect_timeout_s * 1000))),
            (pycurl.MAXFILESIZE_LARGE, options.max_body_bytes),
            (pycurl.USERAGENT, options.user_agent),
            (pycurl.SSL_VERIFYPEER, int(options.verify)),
            (pycurl.SSL_VERIFYHOST, 2 if options.verify else 0),
            (pycurl.NOPROXY, self.proxies.exceptions),
        ):
            easy.setopt(option, value)
        if self.ca_file:
            easy.setopt(pycurl.CAINFO, self.ca_file)
            easy.setopt(pycurl.PROXY_CAINFO, self.ca_file)


class _Slot:
    """One easy handle and what libcurl has written for the call that it serves."""

    __slots__ = (
        "_fresh",
        "_last_lines",
        "_plain",
        "_settings",
        "call",
        "chunks",
        "easy",
        "lines",
        "sent",
    )

    def __init__(self, settings: _Settings) -> None:
        self._settings = settings
        self.easy = settings.new_handle()
        self.call: _Call | None = None
        self.lines: list[bytes] = []
        self.chunks: list[bytes] = []
        self.sent = 0.0
        self._prepare()

    def _prepare(self) -> None:
        self._fresh = True
        self._last_lines: list[bytes] | None = None
        self._plain: bool | None = None
        self.easy.setopt(pycurl.HEADERFUNCTION, self.lines.append)
        # A C function called from C: a body costs no Python code until it is complete.
        self.easy.setopt(pycurl.WRITEFUNCTION, self.chunks.append)

    def load(self, call: _Call, now: float) -> None:
        """Make the handle ready for ``call``.

        Raises:
            pycurl.error, ValueError, UnicodeError: If the address cannot be called.
        """
        easy, request, settings = self.easy, call.request, self._settings
        url = request.url
        if call.query:
            url = with_query(url, call.query)
        if not url.isascii() or " " in url:
            url = ascii_url(url)
        easy.setopt(pycurl.URL, url)
        if call.lines is not self._last_lines:
            easy.setopt(pycurl.HTTPHEADER, call.lines)
            self._last_lines = call.lines
        plain = url.startswith("http:")
        if plain is not self._plain:
            proxies = settings.proxies
            easy.setopt(pycurl.PROXY, proxies.plain if plain else proxies.tls)
            # Better wait for the first connection to offer HTTP/2 than open one per call. Over
            # plain HTTP there is no offer, and the wait would be for the whole first answer.
            easy.setopt(pycurl.PIPEWAIT, int(not plain and settings.http2))
            self._plain = plain
        if request.method != "GET" or request.body is not None:
            self._fresh = False
            _set_method(easy, request)
        self.call, call.slot = call, self
        self.sent = now
        call.started = call.started or now  # A redirect goes on with the same time.

    def unload(self) -> bool:
        """Forget the call; returns whether it had needed a connection for itself."""
        call, self.call = self.call, None
        self.lines.clear()
        self.chunks.clear()
        if not self._fresh:
            self.easy.reset()
            self._settings.apply(self.easy)
            self._prepare()
        if call is None:
            return False
        call.slot = None
        return call.alone

    def body(self) -> bytes:
        """What was written, in one piece."""
        return b"".join(self.chunks)

    def met_a_dead_connection(self, code: int) -> bool:
        """Whether a call that may be repeated went into a used connection and nothing came out.

        libcurl sees by itself that an idle connection is closed, but not always that it is reset.
        """
        return (
            code in (pycurl.E_SEND_ERROR, pycurl.E_RECV_ERROR, pycurl.E_GOT_NOTHING)
            and self._fresh
            and not self.lines
            and not self.easy.getinfo(pycurl.NUM_CONNECTS)
        )

    def due(self) -> float:
        """When the call has to have ended, or its answer to have begun."""
        assert self.call is not None
        options = self._settings.options
        whole = self.call.started + options.total_timeout_s
        return whole if self.lines else min(whole, self.sent + options.first_byte_timeout_s)

    def lateness(self) -> TimedOut:
        """What to say when `due` has passed."""
        assert self.call is not None
        options, url = self._settings.options, self.call.request.url
        if self.lines or options.total_timeout_s < options.first_byte_timeout_s:
            return not_complete(url, options)
        return not_begun(url, options)


def _multi_handle(
    options: TransportOptions, on_socket: Callable[[int, int, object, object], None]
) -> pycurl.CurlMulti:
    multi = pycurl.CurlMulti()
    multi.setopt(pycurl.M_SOCKETFUNCTION, on_socket)
    multi.setopt(pycurl.M_PIPELINING, pycurl.PIPE_MULTIPLEX)
    multi.setopt(pycurl.M_MAX_CONCURRENT_STREAMS, _STREAMS)
    multi.setopt(pycurl.M_MAX_TOTAL_CONNECTIONS, options.max_connections)
    multi.setopt(pycurl.M_MAXCONNECTS, options.max_connections)
    return multi


def _set_method(easy: pycurl.Curl, request: Request) -> None:
    """Anything but a GET without a body; the handle is reset afterwards."""
    if request.method == "HEAD":
        easy.setopt(pycurl.NOBODY, 1)
        return
    if request.body is not None:
        easy.setopt(pycurl.POST, 1)
        easy.setopt(pycurl.POSTFIELDS, request.body)
    easy.setopt(pycurl.CUSTOMREQUEST, request.method)


def _header_lines(asked: Mapping[str, str], secret: Mapping[str, str]) -> list[bytes]:
    """The headers as libcurl takes them; a semicolon stands for one without a value."""
    headers = merged(asked, secret)
    # A large body would otherwise wait for "100 Continue", which hardly any API sends.
    headers.setdefault("expect", "")
    return [
        b"expect:"
        if name == "expect" and not value
        else f"{name}: {value}".encode()
        if value
        else f"{name};".encode()
        for name, value in headers.items()
    ]


def _origin(url: str) -> str:
    return url[: (url.find("/", 8) + 1 or len(url) + 1) - 1]


def _settle(ended: asyncio.Future[None]) -> None:
    if not ended.done():
        ended.set_result(None)


_CONNECT_ERRORS: Final[Mapping[int, Callable[[str, object], CallError]]] = {
    pycurl.E_UNSUPPORTED_PROTOCOL: no_address,
    pycurl.E_URL_MALFORMAT: no_address,
    pycurl.E_COULDNT_RESOLVE_PROXY: no_proxy,
    pycurl.E_COULDNT_RESOLVE_HOST: no_name,
    pycurl.E_SSL_CONNECT_ERROR: no_tls,
    pycurl.E_PEER_FAILED_VERIFICATION: not_trusted,
    pycurl.E_SSL_CACERT_BADFILE: not_trusted,
    97: no_proxy,  # CURLE_PROXY
}
_WEIRD: Final = 8  # CURLE_WEIRD_SERVER_REPLY
_ANSWER_TEXTS: Final = {
    pycurl.E_HTTP2: "the HTTP/2 connection broke",
    pycurl.E_PARTIAL_FILE: "the answer was cut short",
    pycurl.E_GOT_NOTHING: "the server closed the connection without an answer",
    pycurl.E_SEND_ERROR: "the connection broke while sending",
    pycurl.E_RECV_ERROR: "the connection broke",
    92: "the HTTP/2 stream broke",  # CURLE_HTTP2_STREAM
    100: "the head of the answer is too large",  # CURLE_TOO_LARGE
}


def _call_error(slot: _Slot, code: int, text: str, options: TransportOptions) -> CallError:
    """What libcurl's verdict means, in plain words."""
    assert slot.call is not None
    url = slot.call.request.url
    if code == pycurl.E_OPERATION_TIMEDOUT:  # The only deadline that libcurl keeps for us.
        return not_connected(url, options)
    if code == pycurl.E_FILESIZE_EXCEEDED:
        return too_large(url, options)
    if code == pycurl.E_COULDNT_CONNECT:
        number = slot.easy.getinfo(pycurl.OS_ERRNO)
        return nobody_there(url, os.strerror(number) if number else text)
    if code == _WEIRD or (code == pycurl.E_UNSUPPORTED_PROTOCOL and "0.9" in text):
        return no_http(url, text)
    if code in _CONNECT_ERRORS:
        return _CONNECT_ERRORS[code](url, text)
    meaning = _ANSWER_TEXTS.get(code, f"libcurl error {code}")
    return BrokenAnswer(redacted(url), f"{meaning} ({text})" if text else meaning)
