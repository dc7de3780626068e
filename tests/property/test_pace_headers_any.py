"""No header, however odd, breaks the reader or makes it promise the impossible."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fetchcast.extract.pace.headers import KNOWN, read_hints

_TEXT = st.one_of(
    st.text(max_size=40),
    st.from_regex(r'"?[a-z]{0,5}"?(;[a-z]{1,2}=[0-9"x.-]{0,12}){0,4}', fullmatch=True),
    st.integers(-(10**15), 10**15).map(str),
    st.floats().map(str),
)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(headers=st.dictionaries(st.sampled_from(sorted(KNOWN | {"date"})), _TEXT, max_size=6))
def test_any_headers_are_read_without_harm(headers: dict[str, str]) -> None:
    """Waits are finite and not negative; what is left is never more than the limit."""
    hints = read_hints(headers, 1.79e9)

    assert hints.retry_after_s is None or 0 <= hints.retry_after_s <= 366 * 86400
    assert hints.concurrent is None or hints.concurrent >= 1
    for budget in hints.budgets:
        assert budget.remaining is None or budget.remaining >= 0
        if budget.limit is not None and budget.remaining is not None:
            assert budget.remaining <= budget.limit
        assert budget.reset_s is None or 0 <= budget.reset_s <= 366 * 86400
