"""The page in a real browser, on the real app with embedded stores: it moves by push and outlives its server."""

import itertools
import re
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

HOSTILE = "<img src=x onerror=alert(1)> United"
MARK = "window.__loaded = 'once'"
IS_MARKED = "window.__loaded === 'once'"
_numbers = itertools.count()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where log and history are, which a history writer keeps in step."""
    chromium()
    path = tmp_path_factory.mktemp("page")
    history = start_history(path)
    try:
        yield path
    finally:
        history.stop()


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[PageServer]:
    with PageServer(folder, _free_port()) as running:
        yield running


@pytest.fixture
def match(folder: Path, server: PageServer) -> Iterator[PlayedMatch]:
    """A match in play, each test's own."""
    number = next(_numbers)
    played = PlayedMatch(folder, match_id=f"test:{number}", home="Rovers", away=HOSTILE, partition=number)
    try:
        played.start()
        yield played
    finally:
        played.stop()


@pytest.fixture
def base_url(server: PageServer) -> str:
    return server.url


@pytest.fixture
def page(base_url: str, match: PlayedMatch) -> Iterator[Page]:
    """The list of matches, opened once; what marks it is lost by a reload."""
    with a_page() as opened:
        opened.goto(base_url + "/")
        expect(_row(opened, match)).to_be_visible()
        opened.evaluate(MARK)
        yield opened
        assert opened.evaluate(IS_MARKED), "the page was loaded again"


def test_the_list_shows_a_live_match_with_clock_probabilities_price_and_edge(page: Page, match: PlayedMatch) -> None:
    row = _row(page, match)
    expect(row).to_contain_text("Rovers")
    expect(row.locator(".time")).to_contain_text("1st half")
    expect(row.locator(".state")).to_contain_text("FRESH")
    expect(row.locator(".price")).to_contain_text("Test Bets")
    expect(row.locator(".model").first).to_contain_text("%")
    expect(row.locator(".edge")).to_have_count(3)


def test_the_name_of_a_team_is_shown_as_text_whatever_it_holds(page: Page, match: PlayedMatch) -> None:
    expect(_row(page, match).locator(".name").nth(1)).to_have_text(HOSTILE)
    expect(page.locator("#view img")).to_have_count(0)


def test_a_goal_arrives_by_push(page: Page, match: PlayedMatch) -> None:
    expect(_score(page, match)).to_have_text(["0", "0"])
    match.send(Goal(side="home"))
    expect(_score(page, match)).to_have_text(["1", "0"])
    expect(page.locator("#news")).to_contain_text("Goal: Rovers 1–0")


def test_a_review_is_loud_and_takes_the_edge_away(page: Page, match: PlayedMatch) -> None:
    match.send(VarStart(about="goal"))
    expect(_row(page, match)).to_contain_text("VAR review: do not trade")
    expect(_row(page, match).locator(".edge")).to_have_count(0)


def test_the_page_outlives_a_restart_of_the_server(page: Page, match: PlayedMatch, server: PageServer) -> None:
    match.send(Goal(side="home"))
    expect(_score(page, match)).to_have_text(["1", "0"])

    server.kill()
    expect(page.locator("#banner")).to_contain_text("Connection lost")
    expect(_row(page, match).locator(".state")).to_contain_text("OFFLINE")
    match.send(Goal(side="away"))  # while nobody is there to push it
    server.start()

    expect(page.locator("#banner")).to_contain_text("Connection is back")
    expect(_score(page, match)).to_have_text(["1", "1"])
    match.send(Goal(side="away"))
    expect(_score(page, match)).to_have_text(["1", "2"])
    _moves(_row(page, match).locator(".time b"))


def test_one_match_shows_its_curve_its_goals_and_all_markets(page: Page, match: PlayedMatch) -> None:
    _row(page, match).locator("a").click()
    expect(page.locator(".curve")).to_have_count(3)
    match.send(Goal(side="home"))
    expect(page.locator("#chart circle.goal")).to_have_count(1)
    expect(page.locator(".story")).to_contain_text("Goal, 1–0")
    titles = page.locator(".boxes h3")
    for title in ("Total goals", "Handicap on home", "Correct score", "Double chance", "Next goal", "Clean sheet"):
        expect(titles.filter(has_text=title)).to_have_count(1)
    _moves(page.locator("#prediction"))


def test_a_published_number_is_computed_again_on_request(page: Page, match: PlayedMatch) -> None:
    _row(page, match).locator("a").click()
    page.locator("[data-replay]").click()
    expect(page.locator("#verdict")).to_contain_text("identical: true")


def test_one_match_shows_how_sure_each_probability_is(page: Page, match: PlayedMatch) -> None:
    _row(page, match).locator("a").click()
    expect(page.locator(".triple .home .interval")).to_have_text("50.0% to 62.5%, at 90%")
    expect(page.locator(".triple .band")).to_have_count(3)


def test_what_moved_the_number_is_told_on_request(page: Page, match: PlayedMatch) -> None:
    _row(page, match).locator("a").click()
    match.send(Goal(side="home"))
    expect(page.locator(".story")).to_contain_text("Goal, 1–0")
    page.locator("[data-explain]").click()
    moved = page.locator(".moved").first
    expect(moved).to_contain_text("since kick-off")
    expect(moved.locator("tr", has_text=re.compile(r"goal \d+' Rovers")).locator("td").first).to_contain_text("+")
    expect(moved.locator("tr", has_text="clock").locator("td")).to_have_count(3)
    expect(moved.locator("tr.sum td")).to_have_count(3)


def test_past_matches_like_it_are_named_on_request(page: Page, match: PlayedMatch) -> None:
    _row(page, match).locator("a").click()
    page.locator("[data-compare]").click()
    box = page.locator("#comparables")
    expect(box.locator("table").first.locator("tbody th")).to_have_text(["Rovers", "Draw", HOSTILE])
    expect(box.locator("table").last.locator("tbody tr")).to_have_count(10)


def _row(page: Page, match: PlayedMatch) -> Locator:
    return page.locator(f"tr[data-id='{match.match_id}']")


def _score(page: Page, match: PlayedMatch) -> Locator:
    return _row(page, match).locator("td.score b")


def _moves(shown: Locator) -> None:
    before = shown.inner_text()
    eventually(lambda: shown.inner_text() != before, timeout_s=15.0, every_s=0.1)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
