"""Every error that this package raises on purpose, and the exit status each one means.

    FetchcastError                      1   a bug, if nothing below fits
      ConfigError                       2   a value in the pipeline file cannot be used
        WrongTable                          a whole table; its values are not shown
        UnknownKey                          a key nobody reads; says what was probably meant
        FileUnreadable                      the file is not there, or is not TOML
        SecretMissing                       ${NAME} is not set
      InputError                        2   a parameter source (CSV, SQL) cannot be used
      CallError                         3   one call did not work; the run goes on without it
        ConnectFailed                       nobody answers at that address
        TimedOut                            a deadline passed: connect, first byte or total
        BrokenAnswer                        cut short, wrong length, undecodable
        BodyTooLarge                        more bytes than the limit allows
        RedirectRefused                     to a host that is not allowed, or round in circles
        TransportStopped                    closed, or ended by a bug of its own
        Unexpected                          the answer is not what the resource promises
      ShapeError                        5   rows cannot be made from the landed answers
      LandingError                      5   the landing cannot be used
        LandingInUse                        another run writes to it
        LandingFull                         the disk or `max_disk` is full
        LandingDamaged                      a file is not what was written
      DestinationError                  5   the destination cannot be used
        QueryError                          a query could not be answered
      ExecutorError                     5   the cluster, or what it shares, cannot be used
        CoordinatorLost                     nobody lends permits any more
      SeriesError                       2   a series cannot be forecast
      QuestionError                     2   a question cannot be answered from the data there are

Exit statuses 3 (calls failed or input rows were rejected), 4 (stopped by a quota or a cap) and
130 (Ctrl-C) are ends of a run, not errors: see `fetchcast.events.RunEnd`.

An error says what failed, with the values that identify it, what that means for the data, and
one thing to try. It keeps its arguments by position, so that it survives `pickle`.
"""

from __future__ import annotations


class FetchcastError(Exception):
    """Base of every error this package raises on purpose."""

    exit_status = 1


class ConfigError(FetchcastError):
    """A value in the pipeline file cannot be used; args: key, value, what was expected."""

    exit_status = 2

    def __str__(self) -> str:
        key, value, expected = self.args
        return f"{key} = {value!r}: expected {expected}"


class WrongTable(ConfigError):
    """A table of the file cannot be used as a whole; args: its key, what is wrong."""

    def __str__(self) -> str:
        key, problem = self.args
        return f"{key}: {problem}"


class UnknownKey(ConfigError):
    """A key that nobody reads; args: key, known keys' nearest or None, the known keys."""

    def __str__(self) -> str:
        key, nearest, known = self.args
        hint = f"did you mean {nearest!r}?" if nearest else f"known keys: {', '.join(known)}"
        return f"unknown key {key}: {hint}"


class FileUnreadable(ConfigError):
    """The pipeline file is not there or is not TOML; args: path, what is wrong."""

    def __str__(self) -> str:
        path, problem = self.args
        return f"{path}: {problem}"


class SecretMissing(ConfigError):
    """A ``${NAME}`` in the file is not set; args: key, the variable's name."""

    def __str__(self) -> str:
        key, name = self.args
        return (
            f"{key} needs the environment variable {name}, which is not set\n"
            f"hint: set it, or write {name}=... into a file .env beside the pipeline file"
        )


class InputError(FetchcastError):
    """A parameter source cannot be used; args: source, what is wrong."""

    exit_status = 2

    def __str__(self) -> str:
        source, problem = self.args
        return f"{source}: {problem}"


class CallError(FetchcastError):
    """One call did not work; args: url, what happened. The run goes on without it."""

    exit_status = 3
    retryable = True
    """Whether the same call may work a moment later."""

    def __str__(self) -> str:
        url, problem = self.args
        return f"{url}: {problem}"


class ConnectFailed(CallError):
    """Nobody answers at that address."""


class TimedOut(CallError):
    """A deadline passed."""


class BrokenAnswer(CallError):
    """The answer was cut short, has a wrong length, or is not what its encoding says."""


class BodyTooLarge(CallError):
    """The decoded body is larger than the limit."""

    retryable = False


class RedirectRefused(CallError):
    """A redirect to a host that is not allowed, or too many of them."""

    retryable = False


class TransportStopped(CallError):
    """The transport was closed, or ended by a bug of its own, before the answer was there."""

    retryable = False


class Unexpected(CallError):
    """The answer arrived whole and is not what the resource promises (HTML, an error object)."""

    retryable = False


class ShapeError(FetchcastError):
    """Rows cannot be made from landed answers; args: table, what is wrong."""

    exit_status = 5

    def __str__(self) -> str:
        table, problem = self.args
        return f"table {table}: {problem}\nthe landed answers are untouched"


class LandingError(FetchcastError):
    """The landing cannot be used; args: path, what is wrong, what to do."""

    exit_status = 5

    def __str__(self) -> str:
        path, problem, hint = self.args
        return f"{path}: {problem}\nhint: {hint}"


class LandingInUse(LandingError):
    """Another run writes to this landing."""


class LandingFull(LandingError):
    """No room is left; what had landed before is safe."""


class LandingDamaged(LandingError):
    """A file of the landing is not what was written."""


class DestinationError(FetchcastError):
    """The destination cannot be used; args: destination, what is wrong, what to do."""

    exit_status = 5

    def __str__(self) -> str:
        destination, problem, hint = self.args
        return f"{destination}: {problem}\nhint: {hint}"


class QueryError(DestinationError):
    """A query could not be answered."""


class ExecutorError(FetchcastError):
    """Work cannot be done where it was sent; args: executor, what is wrong, what to do."""

    exit_status = 5

    def __str__(self) -> str:
        executor, problem, hint = self.args
        return f"{executor}: {problem}\nhint: {hint}"


class CoordinatorLost(ExecutorError):
    """Nobody lends permits for calls any more; args: what was seen."""

    def __str__(self) -> str:
        return (
            f"the coordinator of the pace does not answer ({self.args[0]}); no call leaves without "
            "its permit\nhint: what was committed is safe; run again to go on"
        )


class SeriesError(FetchcastError):
    """A series cannot be forecast; args: series, what is wrong."""

    exit_status = 2

    def __str__(self) -> str:
        series, problem = self.args
        return f"series {series}: {problem}"


class QuestionError(FetchcastError):
    """A question cannot be answered; args: question, what is wrong."""

    exit_status = 2

    def __str__(self) -> str:
        question, problem = self.args
        return f"question {question}: {problem}"
