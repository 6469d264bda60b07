"""What the driver's own log says: each thing once a minute, in one line, and nothing while a start is trying."""

import logging
import threading

import pytest

from actors.adapters.cassandra_errors import CONNECTING, OneLine, in_words, is_final, is_refused


def a_record(message: str, *args: object, level: int = logging.WARNING, line: int = 1) -> logging.LogRecord:
    try:
        raise ConnectionRefusedError(111, "Connection refused")
    except ConnectionRefusedError as error:
        problem = (type(error), error, error.__traceback__)
    return logging.LogRecord("cassandra.cluster", level, "cluster.py", line, message, args, problem)


def test_a_traceback_becomes_the_end_of_its_line() -> None:
    record = a_record("[control connection] Error connecting to %s:", "127.0.0.1:9042")
    assert OneLine().filter(record)
    text = logging.Formatter("%(message)s").format(record)
    assert text == "[control connection] Error connecting to 127.0.0.1:9042: Connection refused"


def test_what_is_said_each_second_is_written_each_minute() -> None:
    now = 0.0
    filtering = OneLine(lambda: now)
    written = []
    for second in range(130):
        now = float(second)
        written += [second] * filtering.filter(a_record("Error reconnecting to %s", second))
    assert written == [0, 60, 120]
    assert filtering.filter(a_record("Error reconnecting to %s", 1, line=2)), "another place, another thing"


def test_nothing_is_written_while_a_start_is_trying_since_it_says_itself_what_came_of_it() -> None:
    passed: list[bool] = []
    thread = threading.Thread(target=lambda: passed.append(OneLine().filter(a_record("Error"))), name=CONNECTING)
    thread.start()
    thread.join()
    assert passed == [False]


@pytest.mark.parametrize("level", [logging.DEBUG, logging.INFO])
def test_what_is_no_warning_is_left_as_it_is(level: int) -> None:
    filtering = OneLine()
    assert all(filtering.filter(a_record("Opening a connection", level=level)) for _ in range(3))


def test_an_error_without_words_has_at_least_a_name() -> None:
    assert in_words(ValueError()) == "ValueError"
    assert in_words(ValueError("first line\nsecond line")) == "first line"
    assert not is_refused(ValueError()) and not is_final(ValueError())
