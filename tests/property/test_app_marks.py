"""Laws of the picture that people count in."""

from __future__ import annotations

from itertools import combinations

from hypothesis import given
from hypothesis import strategies as st

from fetchcast.serve.marks import dot_plot, plain_axis

VALUES = st.lists(
    st.floats(-500, 5000, allow_nan=False).map(lambda value: round(value, 2)),
    min_size=20,
    max_size=20,
)


@given(values=VALUES, limit=st.floats(-600, 6000, allow_nan=False))
def test_every_dot_is_there_to_be_counted_on_its_side(values, limit):
    """Twenty dots; none hides another; those in time lie left of the line, the others right."""
    plot = dot_plot(values, limit, axis=plain_axis(str))
    assert len(plot.dots) == 20
    assert sum(dot.in_time for dot in plot.dots) == sum(value <= limit for value in values)
    for dot in plot.dots:
        assert (dot.x < plot.deadline_x) is dot.in_time
        assert 0 <= dot.y <= plot.baseline
    for one, other in combinations(plot.dots, 2):
        apart = ((one.x - other.x) ** 2 + (one.y - other.y) ** 2) ** 0.5
        assert apart >= 2 * (plot.radius - 1), (one, other)


@given(values=VALUES, limit=st.floats(-600, 6000, allow_nan=False))
def test_the_axis_has_labels_within_the_picture(values, limit):
    plot = dot_plot(values, limit, axis=plain_axis(str))
    assert len(plot.ticks) >= 1
    assert all(0 <= tick.x <= plot.width for tick in plot.ticks)
