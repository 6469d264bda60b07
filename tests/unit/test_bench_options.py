"""What benches are called with: words of the command line, and the short lengths of `make bench`."""

import inspect
from importlib import import_module

import pytest

from actors.domain.errors import SetupError
from bench.__main__ import BENCHES, main, options_of


def run(matches: tuple[int, ...] = (), seconds: float = 1.0, only: str | None = None) -> None:
    """Stand for the `run` of a bench."""


def test_words_are_read_as_what_the_bench_takes() -> None:
    assert options_of(run, ["matches=1,16", "seconds=2", "only=listener"]) == {
        "matches": (1, 16),
        "seconds": 2.0,
        "only": "listener",
    }


@pytest.mark.parametrize(
    ("word", "problem"),
    {
        "minutes=2": "minutes=2: expected option=value with one of matches, seconds, only",
        "seconds": "seconds: Expected `float`, got `str`",
        "matches=1,x": r"matches=1,x: Expected `int`, got `str` - at `\$\[1\]`",
    }.items(),
)
def test_a_word_that_is_no_option_is_one_sentence(word: str, problem: str) -> None:
    with pytest.raises(SetupError, match=f"^{problem}$"):
        options_of(run, [word])


def test_an_unknown_bench_is_told_with_those_that_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["whatifs"]) == 2
    assert capsys.readouterr().err.startswith("no bench 'whatifs'; there are autoscale, batch,")


@pytest.mark.parametrize("name", BENCHES)
def test_the_short_lengths_are_options_of_the_bench(name: str) -> None:
    inspect.signature(import_module(f"bench.{name}").run).bind(**BENCHES[name])
