// One match: header, curve, the number's provenance, and every market.
import { comparables, explanation, forecast, replay, timeline } from "./api.js";
import { chart, incidents } from "./chart.js";
import { comparablesBox } from "./compare.js";
import { h, s } from "./dom.js";
import { explanationBox } from "./explain.js";
import { age, exact, line, minute, percent, phaseName, signed, when } from "./format.js";
import { badge, bar, priceBadges, SIDES, stateBadges } from "./list.js";
import { ageOf, edgeOf, freshness, goalNow, isLive, isOver, oneXTwo, priceAge, warning } from "./state.js";

const LINES_SHOWN = 6;
const SCORES_SHOWN = 8;
const seconds = (x) => (x === null ? "unknown" : `${x.toFixed(1)} s`);

// What the page holds of the match in view beside its newest forecast.
export class MatchPage {
  constructor(id, changed) {
    Object.assign(this, { id, changed, points: [], problem: null, verdict: null, explained: null, compared: null, aim: null });
  }

  async load(state) {
    try {
      if (!state.matches.get(this.id)?.markets) state.image(await forecast(this.id));
      const loaded = await timeline(this.id);
      const last = loaded.at(-1)?.seq ?? -1;
      this.points = [...loaded, ...this.points.filter((point) => point.seq > last)];
      this.add(state.matches.get(this.id)); // history may be a moment behind
      this.problem = null;
    } catch (error) {
      this.problem = error.message;
    }
    this.changed();
  }

  // A forecast came by push: it is the timeline's next point.
  add(m) {
    if (!m?.markets || m.seq <= (this.points.at(-1)?.seq ?? -1)) return;
    this.points.push({ seq: m.seq, clock: m.as_of.clock, score: m.score, cards: m.cards, one_x_two: m.markets.one_x_two });
  }

  async explain() {
    this.explained = { text: "computing" };
    this.changed();
    this.explained = await explanation(this.id).then((answer) => ({ answer }), (error) => ({ text: error.message }));
    this.changed();
  }

  async compare() {
    this.compared = { text: "computing" };
    this.changed();
    this.compared = await comparables(this.id).then((answer) => ({ answer }), (error) => ({ text: error.message }));
    this.changed();
  }

  async replay(id) {
    this.verdict = { id, text: "computing" };
    this.changed();
    try {
      const answer = await replay(id);
      const more = Object.entries(answer).filter(([, value]) => value !== null && typeof value !== "object");
      this.verdict = { id, good: answer.identical === true, text: `identical: ${answer.identical}`, more: more.map((pair) => pair.join(": ")).join(", ") };
    } catch (error) {
      this.verdict = { id, text: error.message };
    }
    this.changed();
  }
}

function heading(m, silent) {
  const goal = goalNow(m);
  const name = (side) => h("span", { class: "side" }, h("span", { class: "name" }, side ? m.away : m.home),
    (m.cards?.sent_off?.[side] ?? 0) > 0 && h("span", { class: "red" }, `${m.cards.sent_off[side]} red`));
  const extra = [m.extra_time && `extra time ${m.extra_time.join("–")}`, m.shoot_out && `shoot-out ${m.shoot_out.join("–")}`].filter(Boolean);
  return h("div", { class: "heading" },
    h("a", { class: "muted", href: "#/" }, "← all matches"),
    h("h1", {}, name(0), h("span", { class: "result" }, (m.score ?? ["–", "–"]).join("–")), name(1)),
    h("p", {}, h("b", {}, isLive(m) ? minute(m.clock ?? { period: 0 }) : ""), ` ${phaseName(m)} `, h("span", { class: "muted" }, [...extra, m.competition, when(m.kick_off)].filter(Boolean).join(" · "))),
    h("p", { class: "badges" }, stateBadges(m, silent), goal && badge(goal.back ? "goal taken back" : "GOAL", goal.back ? "bad" : "goal")));
}

// Where the probability lies, as a band on a scale from 0 to 100 %, and in words. Nothing once all is certain.
function interval(bounds, p, side, level) {
  const [low, high] = bounds ?? [0, 0];
  if (high <= low) return null;
  const width = (x) => (x * 100).toFixed(2);
  return [
    s("svg", { class: "band", viewBox: "0 0 100 4", preserveAspectRatio: "none", "aria-hidden": "true" },
      s("rect", { class: side, x: width(low), width: width(high - low), height: 4 }),
      s("rect", { class: "point", x: width(p - 0.004), width: "0.8", height: 4 })),
    h("span", { class: "interval", title: `${exact(low)} to ${exact(high)}` }, `${percent(low)} to ${percent(high)}, at ${level * 100}%`)];
}

function headline(m, silent) {
  const p = oneXTwo(m);
  const edge = edgeOf(m, silent);
  return h("div", { class: "triple" }, SIDES.map((side, i) => h("div", { class: side },
    h("span", { class: "what" }, [m.home, "Draw", m.away][i]),
    h("b", { title: exact(p?.[side]) }, percent(p?.[side])),
    interval(m.intervals?.[side], p?.[side], side, m.intervals?.level),
    h("span", { class: "under" }, m.price ? h("span", { title: exact(m.price.fair[i]) }, `${m.price.in_play ? "fair price" : "before kick-off"} ${percent(m.price.fair[i])}`) : "",
      edge && h("span", { class: edge[i] > 0 ? "edge up" : "edge" }, `edge ${signed(edge[i])}`)))), bar(p));
}

function provenance(m, page, silent) {
  const fact = (name, ...value) => [h("dt", {}, name), h("dd", {}, ...value)];
  const { freshness: f, price } = m;
  const verdict = page.verdict;
  return h("section", { class: "box" }, h("h2", {}, "This number"), h("dl", {},
    fact("Status", m.status ?? "–", m.reasons?.length ? ` (${m.reasons.join(", ")})` : ""),
    f && !isOver(m) && fact("Freshness", freshness(m, silent), h("span", { class: "muted" }, ` feed silent ${seconds(f.feed_silent_s)}, own lag ${seconds(f.own_lag_s)}`)),
    fact("Age", h("span", { id: "age" }, age(ageOf(m)))),
    price && fact("Price", `${price.prices.join(" / ")} ${price.bookmaker} (${price.provider}), ${age(priceAge(m))} old, `,
      h("span", { title: price.method }, `overround ${(price.overround * 100).toFixed(1)}% removed (${price.method}) `), priceBadges(m)),
    price && !edgeOf(m, silent) && fact("Edge", h("span", { class: "muted" }, "none shown unless status is OK, number fresh and market open")),
    fact("Model", m.model_version ?? "–", m.basis && h("span", { class: "muted" }, ` ${m.basis}`)),
    m.markets && fact("Interval", m.intervals ? `at ${m.intervals.level * 100}%, beside each probability` : h("span", { class: "muted" }, `none: ${m.intervals_reason}`)),
    m.trigger && fact("Cause", m.trigger, m.conflated ? ` (${m.conflated} conflated)` : ""),
    m.prediction_id && fact("Prediction", h("code", { id: "prediction" }, m.prediction_id), " ", h("button", { type: "button", "data-replay": m.prediction_id }, "Replay")),
    verdict && fact("Replay", h("span", { id: "verdict", role: "status", title: verdict.more }, h("code", {}, verdict.id), " ", badge(verdict.text, verdict.good ? "good" : verdict.good === false ? "bad" : "plain")))));
}

function market(title, head, rows) {
  if (!rows.length) return null;
  const cell = (value, i) => (i === 0 ? h("th", { scope: "row" }, value) : h("td", { title: exact(value) }, value === null ? "" : percent(value)));
  return h("section", { class: "box" }, h("h3", {}, title), h("table", {},
    head && h("thead", {}, h("tr", {}, head.map((text) => h("th", { scope: "col" }, text)))),
    h("tbody", {}, rows.map((row) => h("tr", {}, row.map(cell))))));
}

// The lines around the one that is closest to even.
function central(lines, balance) {
  return [...lines].sort((a, b) => Math.abs(balance(a)) - Math.abs(balance(b))).slice(0, LINES_SHOWN).sort((a, b) => a.line - b.line);
}

function markets(m) {
  const k = m.markets;
  const halves = k.totals.filter((t) => t.line % 1 === 0.5);
  const handicaps = central(k.asian_handicap, (l) => l.win + l.half_win - l.half_loss - l.loss);
  const scores = [...k.correct_score].sort((a, b) => b[2] - a[2]).slice(0, SCORES_SHOWN);
  return h("div", { class: "boxes" },
    market("Total goals", ["Line", "Over", "Under"], central(halves, (t) => t.over - t.under).map((t) => [String(t.line), t.over, t.under])),
    market("Handicap on home", ["Line", "Win", "½ win", "Push", "½ loss", "Loss"], handicaps.map((l) => [line(l.line), l.win, l.half_win || null, l.push || null, l.half_loss || null, l.loss])),
    market("Correct score", null, [...scores.map(([a, b, p]) => [`${a}–${b}`, p]), ["any other", k.correct_score.length > scores.length ? 1 - scores.reduce((sum, row) => sum + row[2], 0) : k.other_score]]),
    market("Double chance", null, [["home or draw", k.double_chance.home_or_draw], ["home or away", k.double_chance.home_or_away], ["draw or away", k.double_chance.draw_or_away]]),
    market("Draw no bet", null, k.draw_no_bet ? [["home", k.draw_no_bet.home], ["away", k.draw_no_bet.away]] : []),
    market("Both teams to score", null, [["yes", k.both_teams_to_score.yes], ["no", k.both_teams_to_score.no]]),
    market("Next goal", null, [["home", k.next_goal.home], ["none", k.next_goal.none], ["away", k.next_goal.away]]),
    market("Clean sheet", null, [["home", k.clean_sheet.home], ["away", k.clean_sheet.away]]),
    h("section", { class: "box" }, h("h3", {}, "Expected goals"), h("p", {}, `${k.expected_goals.home.toFixed(2)} – ${k.expected_goals.away.toFixed(2)}`)),
    m.settled && h("section", { class: "box" }, h("h3", {}, "Settled"), h("table", {}, h("tbody", {}, Object.entries(m.settled).map(([name, won]) => h("tr", {}, h("th", { scope: "row" }, name.replaceAll("_", " ")), h("td", {}, won)))))));
}

function story(points, m) {
  const rows = incidents(points).reverse();
  return h("section", { class: "box" }, h("h2", {}, "Goals and cards"), rows.length
    ? h("ol", { class: "story" }, rows.map(({ point, side, kind, text }) => h("li", {}, h("b", {}, minute(point.clock)), badge(text, { goal: "goal", yellow: "yellow" }[kind] ?? "bad"), side ? m.away : m.home)))
    : h("p", { class: "muted" }, "None yet."));
}

export function matchView(page, state, width) {
  const m = state.matches.get(page.id);
  if (!m) return h("div", { class: "one" }, h("a", { href: "#/" }, "← all matches"), h("p", { class: "empty" }, page.problem ?? "This match is not known (any more)."));
  const silent = state.silent && !isOver(m);
  const loud = warning(m, silent);
  const old = isLive(m) && freshness(m, silent) !== "FRESH";
  return h("div", { class: `one${old ? " old" : ""}`, "data-id": m.match_id },
    heading(m, silent),
    loud && h("p", { class: "alarm", role: "alert" }, loud, m.reasons?.length ? ` (${m.reasons.join(", ")})` : ""),
    headline(m, silent),
    page.problem && h("p", { class: "muted" }, page.problem),
    h("div", { id: "chart" }, chart(page.points, [m.home, m.away], width, page.aim)),
    h("div", { class: "pair" }, provenance(m, page, silent), story(page.points, m)),
    m.markets && explanationBox(page.explained, m),
    m.markets && comparablesBox(page.compared, m),
    m.markets && markets(m));
}
