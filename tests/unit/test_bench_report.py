"""The page that is written from lines of benches."""

import json
from pathlib import Path
from typing import Any

from bench.goals import Goal, judge
from bench.harness import of_rounds
from bench.loaded import answers, normal_after_s
from bench.plots import draw
from bench.report import newest, page, read, table, verdicts
from tests.unit.test_bench_generators import at_100_per_s
from tests.unit.test_bench_plan import PUSH, growth

MACHINE = {"cores": 2, "memory_gb": 24, "cpu": "EPYC", "kernel": "6.1", "load_before": 0.4}


def a_line(way: str, rate: float, **more: Any) -> dict[str, Any]:
    rounds = [{"achieved_per_s": each, "p99_ms": 9.0, "errors": {}} for each in (rate - 1, rate, rate + 1)]
    config = {"way": way, "connections": 64}
    said = {"bench": "what_ifs", "question": "How many?", "config": config, "commit": "abc", "machine": MACHINE}
    return said | of_rounds(rounds) | {"cpu_s": {"wrk": 3.0, "ours": 4.0}} | more


def test_only_lines_of_benches_are_read(tmp_path: Path) -> None:
    path = tmp_path / "lines"
    path.write_text("Setting up\n" + json.dumps(a_line("ours", 5.0)) + "\n")
    assert [line["bench"] for line in read(path)] == ["what_ifs"]


def test_of_one_bench_and_config_the_last_line_counts() -> None:
    kept = newest([a_line("ours", 5.0), a_line("peer", 3.0), a_line("ours", 6.0)])
    assert [(line["config"]["way"], line["achieved_per_s"]) for line in kept] == [("ours", 6.0), ("peer", 3.0)]


def test_a_table_has_a_row_a_line_and_tells_once_what_all_share() -> None:
    text = table([a_line("ours", 9.0), a_line("peer", 3.0)])
    assert text.startswith("For all: connections 64.\n")
    assert "| way | achieved_per_s | p99_ms | errors | spread | rounds |" in text
    assert "| ours | 9 | 9 | none | 8 - 10 | 3 |" in text


def test_a_goal_is_reached_missed_or_was_not_measured() -> None:
    lines = [a_line("ours", 9.0), a_line("peer", 3.0)]
    goal = Goal(bench="what_ifs", says="enough", where={"way": "ours"}, figure="achieved_per_s", at_least=9)
    assert judge(goal, lines).reached is True
    twice = Goal(bench="what_ifs", says="x", where={"way": "peer"}, figure="achieved_per_s", at_least=4)
    assert judge(twice, lines).reached is False
    assert judge(goal, lines[1:]).reached is None
    assert "| x | 3 | **missed** |" in verdicts([judge(twice, lines)])


def test_a_goal_may_be_a_multiple_of_another_line() -> None:
    lines = [a_line("ours", 9.0), a_line("peer", 6.0)]
    times = Goal(bench="what_ifs", says="", where={"way": "ours"}, figure="achieved_per_s", at_least=1.5,
                 times={"way": "peer"})  # fmt: skip
    assert judge(times, lines).reached is True
    assert judge(times, [lines[0], a_line("peer", 6.1)]).reached is False
    assert judge(times, lines[:1]).reached is None


def test_the_page_says_what_was_not_run_and_plans_from_what_was() -> None:
    skipped = {"bench": "reads", "question": "Reads?", "config": {}, "skipped": "needs wrk", "commit": "abc"}
    lines = [a_line("listener", 9_000.0), skipped | {"machine": MACHINE}]
    text = page(lines, {"what_ifs": "plots/what_ifs.svg"})
    assert "## Reads?" in text and "Not run: needs wrk." in text
    assert "![How many?](plots/what_ifs.svg)" in text
    assert "CPU seconds by process: listener: ours 4, wrk 3." in text
    assert "Not computed: no line of growth" in text
    said = [line | {"question": "?", "commit": "abc", "machine": MACHINE} for line in (growth(16), PUSH)]
    assert "1,024 partitions of the feed" in page(said, {})


def test_plots_are_small(tmp_path: Path) -> None:
    drawn = draw([a_line("ours", 9.0), a_line("peer", 3.0), growth(1), growth(16)], tmp_path)
    assert set(drawn) == {"what_ifs", "growth"}
    assert all(0 < path.stat().st_size < 60_000 for path in drawn.values())


def test_rounds_are_summed_up_by_medians_and_their_errors_by_sums() -> None:
    rounds = [{"achieved_per_s": rate, "errors": {"429": 2}, "latency_from": "x"} for rate in (1.0, 5.0, 3.0)]
    line = of_rounds(rounds)
    assert (line["achieved_per_s"], line["spread"], line["errors"]) == (3.0, [1.0, 5.0], {"429": 6})
    assert (line["latency_from"], line["rounds"]) == ("x", rounds)


def test_answers_and_refusals_are_told_apart() -> None:
    rows = at_100_per_s([n / 100 for n in range(100)], [200] * 70 + [429] * 20 + [503] * 9 + [-1])
    said = answers(rows, 1.0)
    assert (said.good_per_s, said.refused_share, said.refused_ms_p99) == (70.0, 0.2, 2.0)
    assert said.errors == {"503": 9, "no answer": 1}


def test_it_is_normal_behind_the_last_bad_request() -> None:
    rows = at_100_per_s([0.0, 1.0, 2.0], [200, 429, 200])
    assert normal_after_s(rows, limit_ms=5.0) == 1.0
    assert normal_after_s(rows, limit_ms=1.0) == 2.0
    assert normal_after_s(rows[:1], limit_ms=5.0) == 0.0
    assert normal_after_s(rows[:0], limit_ms=5.0) is None
