"""Laws of lending: the budget is never exceeded, and no permit is ever lost."""

from hypothesis import given, settings
from hypothesis import strategies as st

from fetchcast.extract.lease import Ask, Coordinator, Ended, Keys, Verdict
from fetchcast.extract.pace import PaceOptions, Quota
from fetchcast.testing.simulation.cluster import Cluster
from fetchcast.testing.simulation.gates import TokenBucket
from fetchcast.testing.simulation.world import Network, Server

WALL = 1_700_000_000.0

steps = st.lists(
    st.tuples(
        st.sampled_from(["ask", "report", "reuse", "refuse", "die", "close", "wait"]),
        st.integers(0, 5),
        st.integers(1, 40),
        st.floats(0.0, 0.4),
    ),
    max_size=60,
)


class Play:
    """Lessees that do whatever comes, and never more than they hold permits for."""

    def __init__(self, desk: Coordinator) -> None:
        self.desk, self.now = desk, 0.0
        self.held: dict[str, list[int]] = {}
        self.moments: list[float] = []
        self.reuse: dict[str, int] = {}

    def step(self, what: str, who: int, count: int, pause: float) -> None:
        self.now += pause
        name = f"w{who}/1"
        held = self.held.setdefault(name, [])
        if what == "wait":
            return
        if what == "die":
            self.held.pop(name)
            self.desk.lost(f"w{who}", self.now)
            return
        verdict = Verdict.REFUSED if what == "refuse" else Verdict.ACCEPTED
        told = held if what == "close" else held[:count] if what != "ask" else []
        # Another call leaves with each of these, where the last lease allowed it.
        kept = what == "reuse" and len(held) <= self.reuse.get(name, 0)
        ended = [Ended(permit, verdict, 0.01, 0.0, 200, {}, kept) for permit in told]
        self.held[name] = held[len(told) :] + (told if kept else [])
        ask = Ask(name, 0 if what == "close" else count, 1, ended, what == "close")
        lease = self.desk.lease(ask, self.now, WALL + self.now)
        if what == "close":
            self.held.pop(name)
            return
        self.held[name] += lease.permits
        self.reuse[name] = lease.reuse
        self.moments += [self.now + delay for delay in lease.delays_s]

    def end(self) -> None:
        """All go: one half well, the other half not."""
        for number, name in enumerate(list(self.held)):
            self.step("die" if number % 2 else "close", int(name[1]), 40, 0.01)
        self.desk.tally(self.now + 40.0, WALL)


keys = st.sampled_from([0, 1, 3]).map(
    lambda count: Keys(quota=None, memories=[None] * count, total=None) if count else None
)


@settings(max_examples=150, deadline=None)
@given(script=steps, rate=st.floats(1.0, 500.0), keys=keys)
def test_a_rate_is_never_exceeded(script: list, rate: float, keys: Keys | None) -> None:
    """Over any stretch no more permits begin than the cap allows, and one."""
    play = Play(Coordinator(PaceOptions(max_rate=rate), wall=WALL, keys=keys))
    for step in script:
        play.step(*step)
    moments = sorted(play.moments)
    for first in range(0, len(moments), 7):
        for last in range(first + 1, len(moments), 5):
            lasted = moments[last] - moments[first]
            assert last - first <= rate * lasted + 1.0 + 1e-6 * len(moments)


@settings(max_examples=150, deadline=None)
@given(script=steps, level=st.integers(1, 30), keys=keys)
def test_no_more_is_lent_at_once_than_fits(script: list, level: int, keys: Keys | None) -> None:
    play = Play(Coordinator(PaceOptions(max_concurrency=level), wall=WALL, keys=keys))
    for step in script:
        play.step(*step)
        assert len(play.desk.outstanding) <= level
        assert sum(map(len, play.held.values())) <= len(play.desk.outstanding)


@settings(max_examples=150, deadline=None)
@given(script=steps, keys=keys)
def test_every_permit_comes_back(script: list, keys: Keys | None) -> None:
    """However lessees end, in the end nothing is lent and nothing is in flight."""
    play = Play(Coordinator(PaceOptions(max_concurrency=50), wall=WALL, keys=keys))
    for step in script:
        play.step(*step)
    play.end()
    assert dict(play.desk.outstanding) == {}
    assert play.desk.pace.in_flight == 0


@settings(max_examples=150, deadline=None)
@given(script=steps, calls=st.integers(1, 40))
def test_a_quota_of_each_key_is_never_overrun(script: list, calls: int) -> None:
    """What is lent counts; what comes back unused may be lent again."""
    quota = Quota(requests=calls, per="day")
    keys = Keys(quota=quota, memories=[None] * 3, total=None)
    play = Play(Coordinator(PaceOptions(), wall=WALL, keys=keys))
    for step in script:
        play.step(*step)
    assert len(play.moments) <= 3 * calls


@settings(max_examples=15, deadline=None)
@given(
    seed=st.integers(0, 1000),
    workers=st.integers(1, 12),
    death=st.floats(0.2, 3.0),
)
def test_the_api_is_never_pressed_whoever_dies_when(seed: int, workers: int, death: float) -> None:
    """A known rate: nothing is refused, whatever happens to workers."""
    network = Network(one_way_s=0.002, jitter_s=0.001, service_s=0.02, spread=0.3)
    desk = Coordinator(PaceOptions(max_rate=195.0), wall=WALL)
    server = Server(network=network, gates=[TokenBucket(200, 10)])
    deaths = {death: 0} if workers > 1 else {}
    cluster = Cluster(server, desk, workers=workers, calls=600 // workers, seed=seed, deaths=deaths)
    assert cluster.run().refused == 0
