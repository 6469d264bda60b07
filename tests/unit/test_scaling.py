"""How many forecasters the load needs: by Serve's count of requests, or by what replicas say of themselves."""

from types import SimpleNamespace

import pytest

from serve_app.scaling import BUSY, Busy, replicas_wanted


@pytest.mark.parametrize(
    ("requests", "busy", "wanted"),
    [
        (0, {}, 1),
        (40, {}, 3),
        (0, {"a": 0.49}, 1),
        (0, {"a": 0.9}, 2),
        (0, {"a": 0.7, "b": 0.6}, 3),
        (100, {"a": 0.9}, 7),
    ],
)
def test_the_larger_need_counts(requests: float, busy: dict[str, float], wanted: int) -> None:
    config = SimpleNamespace(get_target_ongoing_requests=lambda: 16.0)
    context = SimpleNamespace(total_num_requests=requests, aggregated_metrics={BUSY: busy}, config=config)
    assert replicas_wanted(context) == (wanted, {})


def test_without_figures_of_replicas_requests_decide() -> None:
    config = SimpleNamespace(get_target_ongoing_requests=lambda: 16.0)
    assert replicas_wanted(SimpleNamespace(total_num_requests=17, aggregated_metrics=None, config=config))[0] == 2


def test_the_share_is_of_the_time_since_it_was_asked() -> None:
    cpu_s, now_s = iter([1.0, 1.5, 2.5, 2.5]), iter([10.0, 12.0, 13.0, 13.0])
    busy = Busy(lambda: next(cpu_s), lambda: next(now_s))
    assert [busy.share(), busy.share(), busy.share()] == [0.25, 1.0, 0.0]
