"""Every error survives the way back from a worker, and says something."""

import pickle

import pytest

from fetchcast import errors
from fetchcast.errors import FetchcastError


def every(kind: type[FetchcastError]) -> list[type[FetchcastError]]:
    return [kind, *(found for below in kind.__subclasses__() for found in every(below))]


ARGUMENTS = ("one", "two", "three")


@pytest.mark.parametrize("kind", every(FetchcastError), ids=lambda kind: kind.__name__)
def test_it_pickles_and_reads(kind: type[FetchcastError]) -> None:
    for count in (1, 2, 3):
        error = kind(*ARGUMENTS[:count])
        try:
            text = str(error)
        except ValueError:
            continue  # Not its number of arguments.
        again = pickle.loads(pickle.dumps(error))
        assert (type(again), again.args, str(again)) == (kind, error.args, text)
        assert text
        return
    pytest.fail(f"{kind.__name__} can be built with none of 1, 2, 3 arguments")


def test_every_error_stands_in_the_tree_of_the_docstring() -> None:
    tree = errors.__doc__ or ""
    missing = [
        kind.__name__ for kind in every(FetchcastError) if f"{kind.__name__} " not in tree + " "
    ]
    assert missing == []
