"""What wrk and h2load say, as benches read it."""

from pathlib import Path

import numpy as np
import pytest

from bench.generators import load_of, read_h2load, read_wrk

WRK = """Running 2s test @ http://127.0.0.1:8000/
  1 threads and 16 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     2.72ms    3.33ms  34.38ms   86.42%
  11700 requests in 2.01s, 1.15MB read
Requests/sec:   5809.00
"""
SAID = (
    '{"requests":1000,"us":2000000,"p50_us":1800,"p90_us":2500,"p99_us":9000,"max_us":20000,'
    '"connect":0,"read":3,"write":0,"status":40,"timeout":0}\n'
)


def test_answers_of_wrk_with_an_error_status_are_errors_and_no_throughput() -> None:
    load = read_wrk(WRK + SAID)
    assert (load.n, load.achieved_per_s, load.offered_per_s) == (960, 480.0, 500.0)
    assert (load.p50_ms, load.p99_ms, load.max_ms) == (1.8, 9.0, 20.0)
    assert load.errors == {"read": 3, "status": 40}


def test_rows_of_h2load_are_read_in_the_order_of_their_start(tmp_path: Path) -> None:
    (tmp_path / "log").write_text("2000\t200\t50\n1000\t429\t70\n")
    assert read_h2load(tmp_path / "log").tolist() == [[1000, 429, 70], [2000, 200, 50]]


def test_one_request_is_a_log_too(tmp_path: Path) -> None:
    (tmp_path / "log").write_text("1000\t200\t50\n")
    assert read_h2load(tmp_path / "log").shape == (1, 3)


def at_100_per_s(starts_s: list[float], statuses: list[int] | None = None) -> np.ndarray:
    return np.array(
        [
            (round(start * 1e6), status, 2_000)
            for start, status in zip(starts_s, statuses or [200] * len(starts_s), strict=True)
        ],
        dtype=np.int64,
    )


def test_requests_on_time_are_timed_from_their_start() -> None:
    load = load_of(at_100_per_s([n / 100 for n in range(100)]), rate=100, seconds=1, connections=1, warm_up_s=0)
    assert (load.n, load.achieved_per_s, load.p50_ms, load.max_ms) == (100, 100.0, 2.0, 2.0)
    assert load.errors == {}


def test_a_stall_counts_in_full() -> None:
    starts = [n / 100 for n in range(50)] + [max(n / 100, 0.9) for n in range(50, 100)]
    load = load_of(at_100_per_s(starts), rate=100, seconds=1, connections=1, warm_up_s=0)
    assert load.max_ms == pytest.approx(1_000 * (0.9 - 0.5 - 0.01) + 2)


def test_what_was_refused_not_answered_or_not_sent_is_counted_by_kind() -> None:
    rows = at_100_per_s([n / 100 for n in range(50)], [200] * 40 + [429] * 8 + [-1] * 2)
    load = load_of(rows, rate=100, seconds=1, connections=1, warm_up_s=0)
    assert load.errors == {"429": 8, "no answer": 2, "not sent": 49}
    assert load.n == 40


def test_the_warm_up_is_left_out() -> None:
    rows = at_100_per_s([n / 100 for n in range(300)], [503] * 100 + [200] * 200)
    load = load_of(rows, rate=100, seconds=2, connections=1, warm_up_s=1)
    assert (load.n, load.errors) == (200, {})
