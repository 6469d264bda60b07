// What the page knows: one object per match, merged from the list, images, deltas and heartbeats.
const SILENT_MS = 3000;
const GOAL_SHOWN_MS = 20000;

export class State {
  matches = new Map();
  link = { heardAt: null, lostAt: null, backAt: null, goneMs: 0, anew: false };
  onGoal = () => {};

  // The list knows what exists; of matches that the stream already gave whole, only the kick-off is news.
  list(items) {
    const ids = new Set(items.map((item) => item.match_id));
    for (const id of this.matches.keys()) if (!ids.has(id)) this.matches.delete(id);
    for (const item of items) {
      const known = this.matches.get(item.match_id);
      if (known?.markets) known.kick_off = item.kick_off;
      else this.#take(item.match_id, item);
    }
  }

  image(body) {
    const kick_off = this.matches.get(body.match_id)?.kick_off ?? null;
    this.#take(body.match_id, { kick_off, ...body });
  }

  // Say whether it could be used: without the image it builds on, it cannot.
  delta(change) {
    const known = this.matches.get(change.match_id);
    if (!known?.markets) return false;
    const older = change.epoch < known.epoch || (change.epoch === known.epoch && change.seq < known.seq);
    if (!older) this.#take(change.match_id, change);
    return true;
  }

  // Say whether matches appeared or went, which only the list can tell in full.
  heartbeat({ matches }) {
    for (const [id, beat] of Object.entries(matches)) {
      const known = this.matches.get(id);
      if (known) Object.assign(known, beat, { at: performance.now() });
    }
    const gone = [...this.matches.values()].some((m) => m.markets && isLive(m) && !(m.match_id in matches));
    return gone || Object.keys(matches).some((id) => !this.matches.has(id));
  }

  #take(id, news) {
    const known = this.matches.get(id) ?? {};
    const clock = news.as_of ? { clock: news.as_of.clock } : {};
    const fresh = { ...known, ...news, ...clock, at: news.freshness ? performance.now() : known.at };
    if (known.score && news.score) this.#compare(known, fresh);
    this.matches.set(id, fresh);
  }

  #compare(was, is) {
    const side = [0, 1].find((i) => is.score[i] !== was.score[i]);
    if (side === undefined) return;
    is.goal = { side, back: is.score[side] < was.score[side], until: performance.now() + GOAL_SHOWN_MS };
    this.onGoal(is);
  }

  get silent() {
    return this.link.lostAt !== null || this.link.heardAt === null || performance.now() - this.link.heardAt > SILENT_MS;
  }

  heard() {
    const now = performance.now();
    if (this.link.lostAt !== null) Object.assign(this.link, { backAt: now, goneMs: now - this.link.lostAt, lostAt: null, anew: false });
    this.link.heardAt = now;
  }

  lost() {
    if (this.link.heardAt !== null) this.link.lostAt ??= performance.now();
  }
}

export const isLive = (m) => m.phase === "live" || m.phase === "break";
export const isOver = (m) => m.phase === "finished" || m.phase === "abandoned";
export const oneXTwo = (m) => m.markets?.one_x_two ?? m.headline ?? null;
export const goalNow = (m) => (m.goal && performance.now() < m.goal.until ? m.goal : null);

// Seconds since the number was made: what the server said, and what has passed since.
export const ageOf = (m) => (m.freshness ? m.freshness.age_s + (performance.now() - m.at) / 1000 : null);

// Between price and forecast, both by the provider's clock: wall clocks of two hosts are never compared.
export const priceAge = (m) => (m.as_of ? (Date.parse(m.as_of.occurred_at) - Date.parse(m.price.occurred_at)) / 1000 : null);

// A number is only as fresh as the line it came over.
export const freshness = (m, silent) => (silent ? "OFFLINE" : m.freshness?.state ?? "UNKNOWN");
export const tradable = (m, silent) => m.status === "OK" && freshness(m, silent) === "FRESH" && m.price?.suspended === false;
export const edgeOf = (m, silent) => (tradable(m, silent) ? m.price.edge : null);

export function warning(m, silent) {
  if (m.status === "VAR_REVIEW") return "VAR review: do not trade";
  if (m.status === "GAP") return "Gap in the feed: do not trade";
  if (silent || !isLive(m)) return null; // the banner says it for all
  return m.freshness?.state === "SUSPENDED" ? "Suspended: do not trade" : null;
}
