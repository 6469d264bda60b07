"""The page in a real browser, on the real app with embedded stores: it moves by push and outlives its server."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from actors.domain.events import Goal, VarStart
from tests.cluster.browser import a_page, chromium
from tests.cluster.page_server import PageServer
from tests.cluster.played_match import PlayedMatch, start_history
from tests.conftest import eventually

pytestmark = pytest.mark.browser

MATCH = "test:1"
HOSTILE = "<img src=x onerror=alert(1)> United"
MARK = "window.__loaded = 'once'"
IS_MARKED = "window.__loaded === 'once'"


@pytest.fixture
def match(tmp_path: Path) -> Iterator[PlayedMatch]:
    """A match in play that history is kept of."""
    chromium()
    history = start_history(tmp_path)
    played = PlayedMatch(tmp_path, match_id=MATCH, home="Rovers", away=HOSTILE, partition=0)
    try:
        played.start()
        yield played
    finally:
        played.stop()
        history.stop()


@pytest.fixture
def server(tmp_path: Path, match: PlayedMatch) -> Iterator[PageServer]:
    with PageServer(tmp_path, _free_port()) as running:
        yield running


@pytest.fixture
def base_url(server: PageServer) -> str:
    return server.url


@pytest.fixture
def page(base_url: str) -> Iterator[Page]:
    """The list of matches, opened once; what marks it is lost by a reload."""
    with a_page() as opened:
        opened.goto(base_url + "/")
        expect(_row(opened)).to_be_visible()
        opened.evaluate(MARK)
        yield opened
        assert opened.evaluate(IS_MARKED), "the page was loaded again"


def test_the_list_shows_a_live_match_with_clock_probabilities_price_and_edge(page: Page) -> None:
    row = _row(page)
    expect(row).to_contain_text("Rovers")
    expect(row.locator(".time")).to_contain_text("1st half")
    expect(row.locator(".state")).to_contain_text("FRESH")
    expect(row.locator(".price")).to_contain_text("Test Bets")
    expect(row.locator(".model").first).to_contain_text("%")
    expect(row.locator(".edge")).to_have_count(3)


def test_the_name_of_a_team_is_shown_as_text_whatever_it_holds(page: Page) -> None:
    expect(_row(page).locator(".name").nth(1)).to_have_text(HOSTILE)
    expect(page.locator("#view img")).to_have_count(0)


def test_a_goal_arrives_by_push(page: Page, match: PlayedMatch) -> None:
    expect(_score(page)).to_have_text(["0", "0"])
    match.send(Goal(side="home"))
    expect(_score(page)).to_have_text(["1", "0"])
    expect(page.locator("#news")).to_contain_text("Goal: Rovers 1–0")


def test_a_review_is_loud_and_takes_the_edge_away(page: Page, match: PlayedMatch) -> None:
    match.send(VarStart(about="goal"))
    expect(_row(page)).to_contain_text("VAR review: do not trade")
    expect(_row(page).locator(".edge")).to_have_count(0)


def test_the_page_outlives_a_restart_of_the_server(page: Page, match: PlayedMatch, server: PageServer) -> None:
    match.send(Goal(side="home"))
    expect(_score(page)).to_have_text(["1", "0"])

    server.kill()
    expect(page.locator("#banner")).to_contain_text("Connection lost")
    expect(_row(page).locator(".state")).to_contain_text("OFFLINE")
    match.send(Goal(side="away"))  # while nobody is there to push it
    server.start()

    expect(page.locator("#banner")).to_contain_text("Connection is back")
    expect(_score(page)).to_have_text(["1", "1"])
    match.send(Goal(side="away"))
    expect(_score(page)).to_have_text(["1", "2"])
    _moves(_row(page).locator(".time b"))


def test_one_match_shows_its_curve_its_goals_and_all_markets(page: Page, match: PlayedMatch) -> None:
    _row(page).locator("a").click()
    expect(page.locator(".curve")).to_have_count(3)
    match.send(Goal(side="home"))
    expect(page.locator("#chart circle.goal")).to_have_count(1)
    expect(page.locator(".story")).to_contain_text("Goal, 1–0")
    titles = page.locator(".boxes h3")
    for title in ("Total goals", "Handicap on home", "Correct score", "Double chance", "Next goal", "Clean sheet"):
        expect(titles.filter(has_text=title)).to_have_count(1)
    _moves(page.locator("#prediction"))


def test_a_published_number_is_computed_again_on_request(page: Page) -> None:
    _row(page).locator("a").click()
    page.locator("[data-replay]").click()
    expect(page.locator("#verdict")).to_contain_text("identical: true")


def _row(page: Page) -> Locator:
    return page.locator(f"tr[data-id='{MATCH}']")


def _score(page: Page) -> Locator:
    return _row(page).locator("td.score b")


def _moves(shown: Locator) -> None:
    before = shown.inner_text()
    eventually(lambda: shown.inner_text() != before, timeout_s=15.0, every_s=0.1)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
