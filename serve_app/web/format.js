// Numbers and words as traders read them.
const PERIODS = ["", "1st half", "2nd half", "extra time", "extra time", "shoot-out"];
const STARTS = [0, 0, 45, 90, 105, 120]; // minute at which a period begins
const LENGTHS = [0, 45, 45, 15, 15, 0];

// Rounded to 0.5 %: more digits would promise what no model has. Never 0 or 100 unless it is certain.
export function percent(p) {
  if (p === null || p === undefined) return "–";
  if (p <= 0) return "0%";
  if (p >= 1) return "100%";
  const rounded = Math.round(p * 200) / 2;
  if (rounded < 0.5) return "<0.5%";
  return rounded > 99.5 ? ">99.5%" : `${rounded.toFixed(1)}%`;
}

export function exact(p) {
  if (p === null || p === undefined) return null;
  const odds = p > 0 ? `, odds ${(1 / p).toFixed(2)}` : "";
  return `${(p * 100).toFixed(4)}%${odds}${p > 0 && p < 0.05 ? `, 1 in ${Math.round(1 / p)}` : ""}`;
}

export const signed = (x) => `${x >= 0 ? "+" : "−"}${Math.abs(x * 100).toFixed(1)}%`;
export const change = (x) => (Math.abs(x) < 0.005 ? "0.00" : `${x < 0 ? "−" : "+"}${Math.abs(x).toFixed(2)}`); // of log-odds
export const line = (x) => (x > 0 ? `+${x}` : x < 0 ? `−${-x}` : "0");

export function age(seconds) {
  if (seconds === null || !Number.isFinite(seconds)) return "–";
  const at = Math.max(0, seconds);
  if (at < 120) return `${Math.floor(at)} s`;
  if (at < 7200) return `${Math.floor(at / 60)} min`;
  return at < 172800 ? `${Math.floor(at / 3600)} h` : `${Math.floor(at / 86400)} d`;
}

// "63'" or "45+2'": the minute that is being played.
export function minute({ period, ms, label }) {
  if (label) return label;
  if (period === 0 || period === 5) return "";
  const played = Math.floor(ms / 60000) + 1;
  const over = played - LENGTHS[period];
  return over > 0 ? `${STARTS[period] + LENGTHS[period]}+${over}'` : `${STARTS[period] + played}'`;
}

const WHEN = { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" };
const TIME = new Intl.DateTimeFormat("en-GB", { timeStyle: "medium" });
export const clockTime = (at) => TIME.format(performance.timeOrigin + at);

// In the reader's time zone; the year only if it is another one. Feeds without a kick-off time say 1970.
export function when(iso) {
  const at = iso ? new Date(iso) : null;
  if (!at || at.getUTCFullYear() <= 1970) return "";
  const year = at.getFullYear() === new Date().getFullYear() ? {} : { year: "numeric" };
  return at.toLocaleString("en-GB", { ...WHEN, ...year });
}

export function phaseName(m) {
  if (m.phase === "live") return PERIODS[m.clock?.period ?? 0] || "live";
  if (m.phase === "break") return m.clock?.period > 2 || m.extra_time ? "break" : "half-time";
  return m.phase === "finished" ? "full time" : m.phase;
}

export const scoreText = (score) => (score ? `${score[0]}–${score[1]}` : "–");
