"""The JSON of the markets of many matches at once: the bytes that msgspec writes for each, without an object a line.

Which texts stand between the numbers, and which numbers, depends on the score alone: they are read once from what
msgspec makes of markets whose values are their places. Numbers that stand more than once are written once.
"""

import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from operator import itemgetter

import msgspec
import numpy as np
from msgspec import Struct

from actors.domain import market_values as at
from actors.domain.distribution import Distributions, ScoreDistribution, stacked
from actors.domain.events import Score
from actors.domain.grid import IntArray
from actors.domain.markets import read_markets

_MARK = 1_000_000  # added to a place, so that no line of a market looks like one
_MARKED = re.compile(rb"(1\d{6})\.0")

_encoder = msgspec.json.Encoder()


class _Template(Struct, frozen=True, kw_only=True):
    """What is written for one score: texts with gaps between them, and what stands in the gaps."""

    texts: list[bytes]  # with every second one empty, for the numbers
    places: IntArray  # of the numbers, in a row of `market_values`
    in_gaps: Callable[[list[bytes]], tuple[bytes, ...]]  # puts the written numbers in the order of the gaps


def markets_json(rows: Sequence[ScoreDistribution]) -> list[bytes]:
    """Return `msgspec.json.encode(derive_markets(row))` of each row, byte for byte.

    Raises:
        ValueError: One of the distributions is none, as by `derive_markets`.
    """
    return distributions_json(stacked(rows)) if rows else []


def distributions_json(rows: Distributions) -> list[bytes]:
    """Return the JSON of the markets of each row of one or more; raises ValueError as `markets_json` does."""
    values = at.market_values(rows)
    keys = zip(rows.home_goals.tolist(), rows.away_goals.tolist(), (values[:, at.DECIDED] > 0).tolist(), strict=True)
    templates = [_template(*key) for key in keys]
    counts = [len(template.places) for template in templates]
    starts = np.repeat(np.arange(len(templates)) * at.WIDTH, counts)
    places = np.concatenate([template.places for template in templates]) + starts
    numbers = _encoder.encode(values.ravel()[places].tolist())[1:-1].split(b",")
    written, start = list[bytes](), 0
    for template, count in zip(templates, counts, strict=True):
        texts = template.texts.copy()
        texts[1::2] = template.in_gaps(numbers[start : start + count])
        written.append(b"".join(texts))
        start += count
    return written


@lru_cache(maxsize=512)
def _template(home: int, away: int, can_be_decided: bool) -> _Template:
    values = [float(_MARK + place) for place in range(at.WIDTH)]
    values[at.ZERO], values[at.ONE] = 0.0, 1.0
    if not can_be_decided:
        values[at.DECIDED] = 0.0
    texts = _MARKED.split(_encoder.encode(read_markets(Score(home, away), values)))
    gaps = [int(mark) - _MARK for mark in texts[1::2]]
    places = sorted(set(gaps))
    return _Template(
        texts=[text if i % 2 == 0 else b"" for i, text in enumerate(texts)],
        places=np.array(places),
        in_gaps=itemgetter(*(places.index(gap) for gap in gaps)),
    )
