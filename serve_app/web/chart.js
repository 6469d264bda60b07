// The probability curve of one match: three lines over match time, goals and cards on two lanes above.
import { h, s } from "./dom.js";
import { minute, percent, scoreText } from "./format.js";

const SIDES = ["home", "draw", "away"];
const TOP = 50; // lanes of home and away incidents
const BOTTOM = 24;
const LEFT = 40;
const BREAK = 4; // minutes of paper between the halves
const BEFORE = 6; // minutes of paper for what was said before kick-off

const minutes = (clock) => clock.ms / 60000;
const regular = (point) => point.clock.period <= 2; // forecasts are of regular time

// Goals, cards and what was taken back, read from what changes between neighbouring points.
export function incidents(points) {
  const found = [];
  const tell = (point, side, kind, text) => found.push({ point, side, kind, text });
  points.slice(1).forEach((point, i) => {
    const was = points[i];
    for (const side of [0, 1]) {
      const goals = point.score[side] - was.score[side];
      if (goals) tell(point, side, goals > 0 ? "goal" : "back", `${goals > 0 ? "Goal" : "Goal taken back"}, ${scoreText(point.score)}`);
      for (const [colour, kind, name] of [["sent_off", "red", "Red card"], ["yellow", "yellow", "Yellow card"]]) {
        const cards = (point.cards[colour]?.[side] ?? 0) - (was.cards[colour]?.[side] ?? 0);
        if (cards) tell(point, side, kind, cards > 0 ? name : `${name} taken back`);
      }
    }
  });
  return found;
}

function paper(points, width, height) {
  const before = points.filter((point) => point.clock.period === 0);
  const longest = (period) => Math.max(45, ...points.filter((p) => p.clock.period === period).map((p) => minutes(p.clock)));
  const lengths = [before.length ? BEFORE : 0, longest(1), longest(2)];
  const starts = [0, lengths[0], lengths[0] + lengths[1] + BREAK];
  const right = width < 560 ? 88 : 120;
  const scale = (width - LEFT - right) / (starts[2] + lengths[2]);
  const rank = new Map(before.map((point, i) => [point, (i / before.length) * BEFORE]));
  const at = (period, minute) => LEFT + (starts[period] + minute) * scale;
  return {
    at,
    lengths,
    end: width - right,
    x: (point) => at(point.clock.period, point.clock.period ? minutes(point.clock) : rank.get(point)),
    y: (p) => TOP + (1 - p) * (height - TOP - BOTTOM),
  };
}

function axes(on, width, height) {
  const levels = [0, 0.25, 0.5, 0.75, 1].map((p) => [
    s("line", { class: "grid", x1: LEFT, x2: on.end, y1: on.y(p), y2: on.y(p) }),
    s("text", { class: "axis", x: LEFT - 6, y: on.y(p) + 4, "text-anchor": "end" }, `${p * 100}%`),
  ]);
  const steps = width < 560 ? [[1, 0], [1, 45], [2, 45]] : [[1, 0], [1, 15], [1, 30], [1, 45], [2, 15], [2, 30], [2, 45]];
  const ticks = steps.map(([period, m]) => [
    s("line", { class: "grid", x1: on.at(period, m), x2: on.at(period, m), y1: TOP, y2: on.y(0) }),
    s("text", { class: "axis", x: on.at(period, m), y: height - 8, "text-anchor": "middle" }, `${m + (period - 1) * 45}'`),
  ]);
  const half = on.at(1, on.lengths[1]);
  return [
    s("rect", { class: "pause", x: half, y: TOP, width: on.at(2, 0) - half, height: on.y(0) - TOP }),
    on.lengths[0] > 0 && s("rect", { class: "pause", x: LEFT, y: TOP, width: on.at(1, 0) - LEFT, height: on.y(0) - TOP }),
    levels, ticks,
    s("text", { class: "axis", x: LEFT - 6, y: 16, "text-anchor": "end" }, "Home"),
    s("text", { class: "axis", x: LEFT - 6, y: 34, "text-anchor": "end" }, "Away"),
  ];
}

// At most about one point per pixel: a match has thousands.
function path(points, on, side) {
  let drawn = -1;
  return points.map((point, i) => {
    const x = on.x(point);
    if (i && i < points.length - 1 && x - drawn < 0.5 && Math.abs(point.one_x_two[side] - points[i - 1].one_x_two[side]) < 0.01) return "";
    drawn = x;
    return `${i ? "L" : "M"}${x.toFixed(1)} ${on.y(point.one_x_two[side]).toFixed(1)}`;
  }).join("");
}

function labels(last, on) {
  const placed = SIDES.map((side) => ({ side, p: last.one_x_two[side], y: on.y(last.one_x_two[side]) })).sort((a, b) => a.y - b.y);
  placed.forEach((label, i) => { if (i) label.y = Math.max(label.y, placed[i - 1].y + 14); });
  const below = placed[2].y - on.y(0);
  if (below > 0) placed.reduceRight((limit, label) => { label.y = Math.min(label.y, limit); return label.y - 14; }, on.y(0));
  return placed.map(({ side, p, y }) => s("text", { class: `label ${side}`, x: on.x(last) + 7, y: y + 4 },
    `${side[0].toUpperCase()}${side.slice(1)} ${percent(p)}`));
}

function marker({ point, side, kind, text }, on) {
  const x = on.x(point);
  const y = side ? 30 : 12;
  const shape = {
    goal: () => [s("circle", { class: "goal", cx: x, cy: y, r: 7 }), s("text", { class: "sign", x, y: y + 3.5 }, "G")],
    back: () => [s("circle", { class: "back", cx: x, cy: y, r: 7 }), s("text", { class: "sign back", x, y: y + 3.5 }, "×")],
    red: () => [s("rect", { class: "card red", x: x - 5, y: y - 7, width: 10, height: 14, rx: 1.5 }), s("text", { class: "sign", x, y: y + 3.5 }, "R")],
    yellow: () => s("rect", { class: "card yellow", x: x - 3, y: y - 5, width: 6, height: 10, rx: 1 }),
  }[kind]();
  const stem = kind === "yellow" ? null : s("line", { class: `stem ${kind}`, x1: x, x2: x, y1: y + 7, y2: on.y(0) });
  return s("g", {}, s("title", {}, `${minute(point.clock)} ${text}`), stem, shape);
}

// Points: {clock, score, cards, one_x_two}, oldest first. `aim` is the pointer's x in pixels, or null.
export function chart(timeline, names, width, aim) {
  const points = timeline.filter((point) => point.one_x_two && regular(point));
  if (!points.length) return h("p", { class: "empty" }, "No estimate yet.");
  const height = width < 560 ? 260 : 320;
  const on = paper(points, width, height);
  const last = points[points.length - 1];
  const near = aim === null ? null : points.reduce((best, p) => (Math.abs(on.x(p) - aim) < Math.abs(on.x(best) - aim) ? p : best));
  const shown = near ?? last;
  const story = `Probability of ${names[0]}, draw and ${names[1]} since the first estimate; now ${SIDES.map((side) => `${side} ${percent(last.one_x_two[side])}`).join(", ")}`;
  return h("figure", { class: "chart" },
    h("figcaption", {}, `${minute(shown.clock) || "Before kick-off"}, ${scoreText(shown.score)}: `,
      SIDES.map((side) => h("span", { class: side }, `${side} ${percent(shown.one_x_two[side])} `))),
    s("svg", { width, height, viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": story },
      axes(on, width, height),
      incidents(points).map((incident) => marker(incident, on)),
      SIDES.map((side) => s("path", { class: `curve ${side}`, d: path(points, on, side) })),
      SIDES.map((side) => s("circle", { class: `dot ${side}`, cx: on.x(shown), cy: on.y(shown.one_x_two[side]), r: 3.5 })),
      near && s("line", { class: "aim", x1: on.x(near), x2: on.x(near), y1: TOP, y2: on.y(0) }),
      labels(last, on)));
}
