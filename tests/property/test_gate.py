"""Laws of the sandbox's limits and of its failures."""

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from fetchcast.sandbox.gate import Fault, Faults, Gate
from fetchcast.sandbox.options import SandboxOptions

calm = settings(max_examples=60, deadline=None)  # A busy machine is not a fault.


@calm
@given(
    gaps=st.lists(st.integers(0, 40), max_size=60),
    limit=st.integers(1, 8),
    window_s=st.sampled_from([0.5, 1.0, 300.0]),
)
def test_no_window_holds_more_than_the_limit_and_no_place_is_wasted(gaps, limit, window_s) -> None:
    """Wherever a window is laid, at most ``limit`` calls are in it; a refused one found it full."""
    options = SandboxOptions(rate=limit / window_s, rate_window_s=window_s)
    gate, now, let_in = Gate(options, concurrency=None), 0.0, []
    for gap in gaps:
        now += gap * window_s / 40
        before = [at for at in let_in if now - window_s < at]
        if gate.enter(now) is None:
            let_in.append(now)
            assert len(before) < limit
        else:
            assert len(before) == limit


@calm
@given(moves=st.lists(st.booleans(), max_size=80), most=st.integers(1, 5))
def test_no_more_are_inside_than_allowed(moves, most) -> None:
    """Any order of coming and going; a refused call takes no place and leaves none."""
    gate, inside = Gate(SandboxOptions(), concurrency=most), 0
    for comes in moves:
        if comes:
            refused = gate.enter(0.0)
            assert (refused is None) == (inside < most)
            inside += refused is None
        elif inside:
            gate.leave()
            inside -= 1
        assert gate.inside == inside <= gate.peak <= most


@calm
@given(
    asked=st.lists(st.sampled_from("abcd"), max_size=60),
    share=st.floats(0, 0.99),
    seed=st.integers(),
)
def test_failures_depend_on_path_and_attempt_alone(asked, share, seed) -> None:
    """However the paths are mixed, each one sees the same row of failures, never three together."""
    mixed, seen = Faults(share=share, seed=seed), {name: [] for name in "abcd"}
    for name in asked:
        seen[name].append(mixed.draw(name))
    for name, count in Counter(asked).items():
        alone = Faults(share=share, seed=seed)
        assert seen[name] == [alone.draw(name) for _ in range(count)]
    for drawn in seen.values():
        for place in range(len(drawn) - 2):
            assert None in drawn[place : place + 3]


def test_a_share_of_one_fails_always_and_of_zero_never() -> None:
    always, never = Faults(share=1.0, seed=1), Faults(share=0.0, seed=1)
    drawn = [always.draw("a") for _ in range(60)]
    assert set(drawn) == set(Fault)
    assert {never.draw("a") for _ in range(60)} == {None}
