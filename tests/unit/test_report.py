"""The report of an evaluation: one file, nothing of the lines is markup, and bins say what is in them."""

from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from training.calibration import reliability
from training.metrics import Interval
from training.report import gains_figure, reliability_figure, write_report


def test_the_file_stands_alone_and_its_lines_are_text(tmp_path: Path) -> None:
    random = np.random.default_rng(1)
    figures = [
        reliability_figure({"0'": random.dirichlet([1, 1, 1], 50)}, random.integers(0, 3, 50)),
        gains_figure("gains", {"rps": [Interval(mean=0.1, low=0.0, high=0.2)] * 2}, ("0'", "15'")),
    ]
    path = tmp_path / "new" / "report.html"
    write_report(path, "a <model>", ["n < 5 & more"], figures)
    text = path.read_text()
    assert "a &lt;model&gt;" in text
    assert "n &lt; 5 &amp; more" in text
    assert text.count("<svg") == 2
    assert "<script" not in text
    assert 'src="' not in text


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=60))
def test_bins_hold_every_forecast_once(pairs: list[tuple[float, bool]]) -> None:
    said, came = np.array([pair[0] for pair in pairs]), np.array([pair[1] for pair in pairs])
    means, shares, counts = reliability(said, came)
    assert counts.sum() == len(pairs)
    assert (np.diff(means) > 0).all()
    np.testing.assert_allclose([means @ counts, shares @ counts], [said.sum(), came.sum()])
