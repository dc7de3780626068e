"""The rate of a bucket from the moments at which it was empty: tokens are conserved."""

from __future__ import annotations

from math import inf

import pytest

from fetchcast.extract.pace.bucket import Bucket
from fetchcast.testing.simulation.gates import TokenBucket


class _Caller:
    """Sends evenly at a pace, against a bucket, and tells what it sees of it."""

    def __init__(self, rate: float, burst: float) -> None:
        self.server, self.bucket = TokenBucket(rate, burst), Bucket()
        self.now, self.serial = 0.0, 0

    def stretch(self, pace: float) -> tuple[float, int]:
        """Send until one is refused; when that was sent, and as which."""
        self.bucket.begin(self.now, self.serial)
        while True:
            self.serial += 1
            self.bucket.mark(self.now, self.serial - 1)
            if not self.server.admits(self.now):
                return self.now, self.serial
            self.now += 1 / pace

    def wait(self, seconds: float) -> None:
        self.now += seconds


@pytest.mark.parametrize(("rate", "burst"), [(50, 10), (50, 100), (400, 20), (3, 2)])
def test_two_stretches_tell_the_rate(rate: float, burst: float) -> None:
    """From a full bucket and from one that filled for a second: the curves cross at the rate."""
    caller = _Caller(rate, burst)
    at, serial = caller.stretch(3 * rate)
    assert caller.bucket.emptied(at, serial, most=inf) is None, "one curve crosses nothing"

    caller.wait(1.0)
    at, serial = caller.stretch(1.5 * rate)
    found = caller.bucket.emptied(at, serial, most=1.5 * rate)

    assert found == pytest.approx(rate, rel=0.1)


def test_the_rate_found_is_never_above_the_pace_that_was_refused() -> None:
    """What was refused is known to be too fast, whatever the curves say."""
    caller = _Caller(rate=50, burst=1000)
    caller.bucket.emptied(*caller.stretch(500), most=inf)
    caller.wait(0.1)

    found = caller.bucket.emptied(*caller.stretch(60), most=60)

    assert found is not None
    assert found <= 60


def test_a_wait_is_known_and_a_stretch_of_nothing_tells_nothing() -> None:
    """No call passed between two refusals: no rate, and no error."""
    bucket = Bucket()
    bucket.begin(0.0, 0)
    assert bucket.emptied(0.0, 1, most=inf) is None
    bucket.begin(2.0, 1)

    assert bucket.waited == pytest.approx(2.0)
    assert bucket.emptied(1.0, 2, most=10.0) is None, "no mark lies before the refusal"


def test_long_stretches_are_thinned_out_and_measure_the_same() -> None:
    """Half of the marks go whenever there are too many; their steps double."""
    caller = _Caller(rate=100, burst=20_000)
    first = caller.stretch(400)
    assert first[1] > 20_000
    caller.bucket.emptied(*first, most=inf)
    caller.wait(1.0)

    found = caller.bucket.emptied(*caller.stretch(130), most=130)

    assert found == pytest.approx(100, rel=0.1)
