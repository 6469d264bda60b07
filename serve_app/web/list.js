// The list of matches.
import { h, s } from "./dom.js";
import { age, exact, minute, percent, phaseName, signed, when } from "./format.js";
import { edgeOf, freshness, goalNow, isLive, isOver, oneXTwo, priceAge, warning } from "./state.js";

export const SIDES = ["home", "draw", "away"];
const TITLES = ["Home", "Draw", "Away"];
const FINISHED_SHOWN = 20;
const LEGEND = "large: our probability · small: price without margin (pre: before kick-off), edge";

export const badge = (text, tone, title) => h("span", { class: `badge ${tone}`, title }, text);

export function stateBadges(m, silent) {
  const badges = [];
  if (m.status && m.status !== "OK") badges.push(badge(m.status.replace("_", " "), m.status === "MODEL_FALLBACK" ? "warn" : "bad", m.reasons?.join(", ")));
  if (isOver(m)) return badges;
  const state = freshness(m, silent);
  if (m.freshness || silent) badges.push(badge(state, { FRESH: "good", STALE: "warn" }[state] ?? "bad"));
  if (m.status === "OK") badges.push(badge("OK", "plain"));
  return badges;
}

export function priceBadges({ price }) {
  return [
    price.provider === "simulated" && badge("simulated", "warn", "not a real price"),
    price.suspended && badge("market suspended", "bad"),
    !price.in_play && badge("before kick-off", "plain"),
  ];
}

// The three probabilities as one bar; the numbers beside it say the same.
export function bar(p) {
  if (!p) return null;
  const rects = SIDES.map((side, i) => {
    const before = SIDES.slice(0, i).reduce((sum, other) => sum + p[other], 0);
    return s("rect", { class: side, x: (before * 100).toFixed(2), width: (p[side] * 100).toFixed(2), height: 4 });
  });
  return s("svg", { class: "bar", viewBox: "0 0 100 4", preserveAspectRatio: "none", "aria-hidden": "true" }, rects);
}

function probability(m, i, silent) {
  const p = oneXTwo(m)?.[SIDES[i]];
  const fair = isOver(m) ? null : m.price?.fair[i];
  const edge = edgeOf(m, silent)?.[i];
  return h("td", { class: "p", "data-label": TITLES[i] },
    h("span", { class: "model", title: exact(p) }, percent(p)),
    h("span", { class: "under" },
      fair !== null && fair !== undefined && h("span", { title: `price ${m.price.prices[i]}, without margin ${exact(fair)}` }, isLive(m) && !m.price.in_play ? `pre ${percent(fair)}` : percent(fair)),
      edge !== null && edge !== undefined && h("span", { class: edge > 0 ? "edge up" : "edge", title: "edge: model probability x price - 1" }, signed(edge))));
}

function team(m, side) {
  const reds = m.cards?.sent_off?.[side] ?? 0;
  const goal = goalNow(m);
  const name = side ? m.away : m.home;
  return h("span", { class: "team" },
    h("span", { class: "name", title: name }, name ?? ""),
    reds > 0 && h("span", { class: "red" }, reds === 1 ? "red card" : `${reds} red cards`),
    goal?.side === side && badge(goal.back ? "taken back" : "GOAL", goal.back ? "bad" : "goal"));
}

function priceCell(m) {
  if (!m.price || isOver(m)) return h("td", { class: "price" });
  const seconds = priceAge(m);
  const name = m.price.bookmaker || m.price.provider;
  return h("td", { class: "price" },
    h("span", { title: `overround ${signed(m.price.overround)}, removed by ${m.price.method}` }, name),
    seconds !== null && h("span", { class: "muted" }, `${age(seconds)} old`),
    h("span", { class: "badges" }, priceBadges(m)));
}

function row(m, silent) {
  const loud = warning(m, silent);
  const old = isLive(m) && freshness(m, silent) !== "FRESH";
  const time = m.phase === "scheduled" ? when(m.kick_off) : isLive(m) ? minute(m.clock ?? { period: 0 }) : "";
  return h("tr", { "data-id": m.match_id, class: [old && "old", loud && "loud"].filter(Boolean).join(" ") },
    h("td", { class: "time" }, h("b", {}, time), h("span", { class: "muted" }, m.phase === "scheduled" ? "" : phaseName(m))),
    h("td", { class: "match" },
      h("a", { href: `#/match/${encodeURIComponent(m.match_id)}` }, team(m, 0), team(m, 1)),
      loud && h("strong", { class: "alarm" }, loud)),
    h("td", { class: "score" }, [0, 1].map((side) => h("b", {}, m.phase === "scheduled" ? "–" : String(m.score?.[side] ?? "–")))),
    SIDES.map((_, i) => probability(m, i, silent)),
    priceCell(m),
    h("td", { class: "state" }, h("span", { class: "badges" }, stateBadges(m, silent)), isOver(m) ? null : bar(oneXTwo(m))));
}

function section(title, id, rows, silent) {
  if (!rows.length) return null;
  const head = ["Time", "Match", "Score", ...TITLES, "Price", "State"].map((text) => h("th", { scope: "col", class: text.toLowerCase() }, text));
  return h("section", { id, "aria-labelledby": `${id}-title` },
    h("h2", { id: `${id}-title` }, title, h("span", { class: "count" }, String(rows.length)), id === "live" && h("span", { class: "legend" }, LEGEND)),
    h("table", { class: "matches" }, h("thead", {}, h("tr", {}, head)), h("tbody", {}, rows.map((m) => row(m, silent)))));
}

export function listView(state) {
  const all = [...state.matches.values()];
  const order = (a, b) => (a.kick_off ?? "").localeCompare(b.kick_off ?? "") || a.match_id.localeCompare(b.match_id);
  const pick = (test) => all.filter(test).sort(order);
  const over = pick(isOver).reverse().slice(0, FINISHED_SHOWN);
  const live = pick(isLive);
  return h("div", { class: "list" },
    section("Live", "live", live, state.silent) ?? h("p", { class: "empty" }, "No match is being played."),
    section("Scheduled", "scheduled", pick((m) => !isLive(m) && !isOver(m)), state.silent),
    section("Finished", "finished", over, state.silent));
}
