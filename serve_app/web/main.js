// The page: which view, when to draw, and what the keyboard does.
import { matches } from "./api.js";
import { morph } from "./dom.js";
import { age, clockTime, scoreText } from "./format.js";
import { listView } from "./list.js";
import { MatchPage, matchView } from "./match.js";
import { State } from "./state.js";
import { openStream } from "./stream.js";

const REFRESH_MS = 30000; // fixtures are announced seldom
const EAGER_MS = 1500; // how soon the list is asked again when the stream knows more than it
const BACK_SHOWN_MS = 6000;

const state = new State();
const element = (id) => document.getElementById(id);
let page = null;
let asked = -Infinity;
let asking = null;
let drawing = false;

function draw() {
  drawing = false;
  const view = element("view");
  const width = Math.max(280, view.clientWidth);
  const fresh = view.cloneNode(false);
  fresh.append(page ? matchView(page, state, width) : listView(state));
  morph(view, fresh);
  banner();
}

function changed() {
  if (!drawing) requestAnimationFrame(draw);
  drawing = true;
}

// Its text stays the same while the state does, so that a screen reader says it once.
function banner() {
  const { link } = state;
  const now = performance.now();
  const back = link.backAt !== null && now - link.backAt < BACK_SHOWN_MS;
  const [text, tone] = link.heardAt === null ? ["Waiting for the server.", "warn"]
    : link.lostAt !== null ? [`Connection lost at ${clockTime(link.lostAt)}. These numbers are old: do not trade on them. Trying again.`, "bad"]
    : state.silent ? [`No heartbeat since ${clockTime(link.heardAt)}. These numbers are old: do not trade on them.`, "bad"]
    : back ? [`Connection is back after ${age(link.goneMs / 1000)}; ${link.anew ? "all numbers were loaded anew" : "it went on where it stopped"}.`, "good"]
    : ["", ""];
  const at = element("banner");
  if (at.textContent !== text) at.textContent = text;
  at.className = `banner ${tone}`;
  at.hidden = text === "" || (link.heardAt === null && now < 1500);
  element("link").textContent = state.silent ? "offline" : `live, ${state.matches.size} matches`;
  document.body.classList.toggle("silent", state.silent && link.heardAt !== null);
}

async function refresh() {
  if (asking || performance.now() - asked < EAGER_MS) return;
  asked = performance.now();
  asking = matches();
  try {
    state.list(await asking);
  } catch (error) {
    console.warn("list of matches not read", error);
  } finally {
    asking = null;
    changed();
  }
}

function message(kind, data) {
  state.heard();
  if (kind === "resync" || kind === "image") state.link.anew = true;
  const known = state.matches.has(data.match_id);
  if (kind === "image") state.image(data);
  const used = kind === "delta" ? state.delta(data) : true;
  const more = kind === "heartbeat" && state.heartbeat(data);
  if (kind === "resync" || more || !used || (kind === "image" && !known)) refresh();
  if (page && data.match_id === page.id && (kind === "image" || !used)) page.load(state);
  else if (page && data.match_id === page.id) page.add(state.matches.get(page.id));
  changed();
}

function route() {
  const id = location.hash.match(/^#\/match\/(.+)$/)?.[1];
  page = id ? new MatchPage(decodeURIComponent(id), changed) : null;
  page?.load(state);
  scrollTo(0, 0);
  changed();
}

function move(step) {
  const links = [...document.querySelectorAll("td.match a")];
  const at = links.indexOf(document.activeElement);
  links[Math.min(links.length - 1, Math.max(0, at + step))]?.focus();
}

state.onGoal = (m) => {
  element("news").textContent = `${m.goal.back ? "Goal taken back" : "Goal"}: ${m.home} ${scoreText(m.score)} ${m.away}`;
};

addEventListener("hashchange", route);
addEventListener("resize", changed);
addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "Escape" && page) location.hash = "#/";
  if (event.key === "j") move(1);
  if (event.key === "k") move(-1);
});
element("view").addEventListener("click", (event) => {
  const button = event.target.closest("[data-replay]");
  if (button && page) page.replay(button.dataset.replay);
  if (page && event.target.closest("[data-explain]")) page.explain();
  if (page && event.target.closest("[data-compare]")) page.compare();
  const row = event.target.closest("tr[data-id]");
  if (row && !event.target.closest("a") && !String(getSelection())) row.querySelector("a").click();
});
element("view").addEventListener("pointermove", (event) => {
  const svg = event.target.closest("#chart svg");
  const aim = svg ? event.clientX - svg.getBoundingClientRect().left : null;
  if (page && page.aim !== aim) {
    page.aim = aim;
    changed();
  }
});

setInterval(changed, 1000);
setInterval(refresh, REFRESH_MS);
route();
await refresh();
openStream("/v1/stream", { message, lost: () => { state.lost(); changed(); } });
