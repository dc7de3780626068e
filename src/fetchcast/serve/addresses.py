"""What the address of a question may say, for the pages and for the API alike."""

from __future__ import annotations

from typing import Annotated, TypeAlias

from fastapi import Depends, Query

from fetchcast.serve.asked import Controls


def controls(
    *,
    date: Annotated[
        str | None,
        Query(
            description="A day: `2026-11-25`, `tomorrow`, `next wednesday`, `today+3`.",
            examples=["tomorrow"],
        ),
    ] = None,
    deadline: Annotated[
        str | None, Query(description="A time on the wall: `16:00`.", examples=["16:00"])
    ] = None,
    threshold: Annotated[
        float | None,
        Query(
            allow_inf_nan=False,
            description="Instead of a deadline: the largest value that is a yes.",
        ),
    ] = None,
    unique_id: Annotated[
        str | None, Query(description="The question's own series, or another one that it offers.")
    ] = None,
    place: Annotated[
        str | None,
        Query(description="Another place, for a question whose `parts` say where it stands."),
    ] = None,
    walk_min: Annotated[
        float | None,
        Query(
            ge=0,
            le=1440,
            allow_inf_nan=False,
            description="Minutes from the arrival to the deadline.",
        ),
    ] = None,
) -> Controls:
    """What an address changes of a question; what it leaves out stays as the file says."""
    return Controls(
        date=date or None,
        deadline=deadline or None,
        threshold=threshold,
        unique_id=unique_id or None,
        place=place or None,
        walk_min=walk_min,
    )


Asking: TypeAlias = Annotated[Controls, Depends(controls)]
