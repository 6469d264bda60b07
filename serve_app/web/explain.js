// What moved the number: changes in log-odds by event, clock, prices and model, asked for when somebody wants to know.
import { h } from "./dom.js";
import { change, minute } from "./format.js";
import { SIDES } from "./list.js";

const NAMES = { goal: ["goal", "goals"], red_card: ["red card", "red cards"], shot: ["shot", "shots"] };

function called({ kind, side, count, clock }, m) {
  if (kind === "correction") return `correction ${minute(clock)}`;
  const times = Math.abs(count);
  const what = `${times > 1 ? `${times} ` : ""}${NAMES[kind][times > 1 ? 1 : 0]}${count < 0 ? " taken back" : ""}`;
  return `${what} ${clock ? `${minute(clock)} ` : ""}${side === "home" ? m.home : m.away}`;
}

const added = (changes) => Object.fromEntries(SIDES.map((side) => [side, changes.reduce((sum, c) => sum + c[side], 0)]));

// Shots are many and each moves little: they are one row of a side.
function rows(found, m) {
  const single = found.events.filter((event) => event.kind !== "shot").map((event) => [called(event, m), event.change]);
  const shots = ["home", "away"].flatMap((side) => {
    const of = found.events.filter((event) => event.kind === "shot" && event.side === side);
    const count = of.reduce((sum, event) => sum + event.count, 0);
    return of.length ? [[called({ kind: "shot", side, count }, m), added(of.map((event) => event.change))]] : [];
  });
  const others = [["clock", found.clock], ["prices", found.market], ["ratings and form", found.prior], ["model", found.model]];
  return [...single, ...shots, ...others.filter(([, part]) => SIDES.some((side) => part[side] !== 0))];
}

function table(title, found, m) {
  if (!found) return null;
  const row = ([name, part], kind) => h("tr", { class: kind }, h("th", { scope: "row" }, name), SIDES.map((side) => h("td", {}, change(part[side]))));
  return h("table", { class: "moved" },
    found.note && h("caption", {}, found.note),
    h("thead", {}, h("tr", {}, [title, ...SIDES].map((text) => h("th", { scope: "col" }, text)))),
    h("tbody", {}, rows(found, m).map((each) => row(each)), row(["all", found.change], "sum")));
}

// `explained` is null, {text} while it is asked for or was refused, or {id, answer}.
export function explanationBox(explained, m) {
  const answer = explained?.answer;
  const none = answer && !answer.since_kick_off && !answer.since_last;
  return h("section", { class: "box", id: "explanation" },
    h("h2", {}, "What moved it", h("button", { type: "button", "data-explain": m.match_id }, answer ? "Explain again" : "Explain")),
    h("div", { role: "status" },
      explained?.text && h("p", { class: "muted" }, explained.text),
      answer && h("p", { class: "muted" }, none ? "There is no forecast before it." : "Changes in log-odds, each against the rest, up to ", !none && h("code", {}, answer.prediction_id)),
      answer && table("since kick-off", answer.since_kick_off, m),
      answer && table("since the last one", answer.since_last, m)));
}
