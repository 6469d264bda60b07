// Past matches that stood like this one, and what happened next; asked for when somebody wants to know.
import { h } from "./dom.js";
import { exact, percent, scoreText } from "./format.js";

const at = (minutes) => (minutes === 45 ? "HT" : minutes === 0 ? "start" : `${minutes}'`);
const head = (...names) => h("thead", {}, h("tr", {}, names.map((name) => h("th", { scope: "col" }, name))));

function frequencies({ result, intervals, next_goal: next }, m) {
  const row = (name, side) => {
    const [low, high] = intervals[side];
    return h("tr", {}, h("th", { scope: "row" }, name), h("td", { title: exact(result[side]) }, percent(result[side])),
      h("td", {}, `${percent(low)} to ${percent(high)}`), h("td", {}, side === "draw" ? `none ${percent(next.none)}` : percent(next[side])));
  };
  return h("table", { class: "moved" }, head("result", "how often", `at ${intervals.level * 100}%`, "next goal"),
    h("tbody", {}, row(m.home, "home"), row("Draw", "draw"), row(m.away, "away")));
}

function named({ match, minute, score, distance }) {
  return h("tr", {}, h("th", { scope: "row" }, `${match.home} – ${match.away}`), h("td", {}, `${match.league} ${match.day}`),
    h("td", {}, `${scoreText(score)} ${at(minute)}`), h("td", {}, scoreText(match.final)), h("td", {}, distance.toFixed(2)));
}

function found(c, m) {
  const goals = `${c.goals_to_come.home.toFixed(2)} – ${c.goals_to_come.away.toFixed(2)}`;
  const expected = `${c.to_come.home.toFixed(2)} – ${c.to_come.away.toFixed(2)}`;
  return [
    h("p", { class: "muted" }, `The nearest ${c.count} of ${c.searched} matches before ${c.before}. Goals that came: ${goals}, the model expects ${expected}.`),
    frequencies(c, m),
    h("table", { class: "moved" }, head("most alike", "when", "then", "final", "distance"), h("tbody", {}, c.nearest.map(named)))];
}

// `compared` is null, {text} while it is asked for or was refused, or {answer}.
export function comparablesBox(compared, m) {
  const answer = compared?.answer;
  const text = compared?.text ?? answer?.comparables_reason;
  return h("section", { class: "box", id: "comparables" },
    h("h2", {}, "Matches like it", h("button", { type: "button", "data-compare": m.match_id }, answer ? "Compare again" : "Compare")),
    h("div", { role: "status" },
      text && h("p", { class: "muted" }, text),
      answer?.comparables && found(answer.comparables, m)));
}
