// The HTTP side: JSON in, problem+json out as errors with one sentence.
async function ask(path, options) {
  const response = await fetch(path, { headers: { accept: "application/json" }, ...options });
  const body = await response.json().catch(() => null);
  if (response.ok && body !== null) return body;
  const error = new Error(body?.detail ?? body?.title ?? `${path} answered ${response.status}`);
  error.status = response.status;
  throw error;
}

async function pages(path, key, limit) {
  const found = [];
  let cursor = null;
  for (let page = 0; page < 200; page += 1) { // a bound, should a server hand out cursors without end
    const at = cursor === null ? "" : `&cursor=${encodeURIComponent(cursor)}`;
    const body = await ask(`${path}?limit=${limit}${at}`);
    found.push(...body[key]);
    cursor = body.next_cursor;
    if (cursor === null || cursor === undefined) break;
  }
  return found;
}

const of = (id) => `/v1/matches/${encodeURIComponent(id)}`;
export const matches = () => pages("/v1/matches", "matches", 100);
export const timeline = (id) => pages(`${of(id)}/forecasts`, "forecasts", 500);
export const forecast = (id) => ask(`${of(id)}/forecast`);
export const comparables = (id) => ask(`${of(id)}/comparables`);
export const explanation = (id) => ask(`${of(id)}/explanation`);

// History is written a moment after a forecast is shown, so "unknown" is asked again for a while.
export async function replay(predictionId) {
  for (let attempt = 0; ; attempt += 1) {
    try {
      return await ask(`/v1/predictions/${encodeURIComponent(predictionId)}/replay`, { method: "POST" });
    } catch (error) {
      if (error.status !== 404 || attempt === 4) throw error;
      await new Promise((go) => setTimeout(go, 700));
    }
  }
}
