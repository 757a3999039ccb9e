"""A server's refusal becomes the same typed error in the client."""

import pytest

from liveglass.engine import errors
from liveglass.engine.events import ErrorEvent
from liveglass.transport.client_errors import UnknownProblem, error_from, error_of_close, error_of_event


def codes(root: type[errors.LiveglassError]) -> list[type[errors.LiveglassError]]:
    here = [] if root.__module__ != errors.__name__ else [root]
    return here + [kind for child in root.__subclasses__() for kind in codes(child)]


@pytest.mark.parametrize("kind", codes(errors.LiveglassError), ids=lambda kind: kind.code)
def test_every_error_of_the_engine_comes_back_as_itself(kind: type[errors.LiveglassError]) -> None:
    body = errors.ErrorBody(code=kind.code, message="No.", retryable=kind.retryable, hint="Do this.", field="size")
    error = error_from(body, retry_after_s=7)
    assert type(error) is kind
    assert error.message == "No."


def test_a_full_server_says_when_to_come_back() -> None:
    error = error_from(errors.ErrorBody(code="at_capacity", message="Full.", retryable=True), retry_after_s=7)
    assert isinstance(error, errors.AtCapacity)
    assert error.retry_after_s == 7


def test_a_code_of_a_later_version_is_told_by_its_name() -> None:
    error = error_from(errors.ErrorBody(code="too_beautiful", message="Stop.", retryable=False))
    assert isinstance(error, UnknownProblem)
    assert "too_beautiful" in error.message


def test_an_error_event_keeps_its_field_and_hint() -> None:
    event = ErrorEvent(code="invalid_value", message="No.", retryable=False, hint="Do this.", field="strength", id="1")
    error = error_of_event(event)
    assert isinstance(error, errors.InvalidValue)
    assert (error.field, error.hint) == ("strength", "Do this.")


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (1008, errors.Flood),
        (4401, errors.TokenRefused),
        (4403, errors.NotAllowed),
        (4404, errors.NoSuchSession),
        (4409, errors.PublisherReplaced),
    ],
)
def test_a_refusal_by_close_code_is_final(code: int, kind: type[errors.LiveglassError]) -> None:
    assert type(error_of_close(code)) is kind


def test_a_reason_that_names_its_error_says_more_than_the_number() -> None:
    assert type(error_of_close(1008, "invalid_value: format=gif is not known")) is errors.InvalidValue
    assert type(error_of_close(1008, "flood: too many frames")) is errors.Flood
    assert type(error_of_close(1008, "nobody knows why")) is errors.Flood


@pytest.mark.parametrize("code", [None, 1000, 1001, 1006, 1011, 1013])
def test_other_ends_are_worth_another_try(code: int | None) -> None:
    assert error_of_close(code, "server_closing: bye") is None
