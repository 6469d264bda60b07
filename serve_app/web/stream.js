// One push connection that always comes back: EventSource gives up for good on an HTTP error, we do not.
const KINDS = ["image", "delta", "heartbeat", "resync"];
const DEAD_MS = 8000; // heartbeats come every second; a silent connection is replaced
const SLOWEST_MS = 5000;

export function openStream(url, on) {
  let source = null;
  let cursor = "";
  let failures = 0;
  let heardAt = performance.now();

  function connect() {
    heardAt = performance.now();
    source = new EventSource(cursor ? `${url}?after=${encodeURIComponent(cursor)}` : url);
    source.onerror = lost;
    for (const kind of KINDS) source.addEventListener(kind, (event) => heard(kind, event));
  }

  function heard(kind, event) {
    heardAt = performance.now();
    failures = 0;
    try {
      on.message(kind, JSON.parse(event.data));
      cursor = event.lastEventId || cursor; // only what was taken in; else it comes again
    } catch (error) {
      console.error("stream message dropped, starting anew", error);
      cursor = "";
      lost();
    }
  }

  function lost() {
    source?.close();
    source = null;
    failures += 1;
    if (failures > 4) cursor = ""; // whatever the server dislikes about the position, images are always right
    on.lost();
    setTimeout(connect, Math.min(SLOWEST_MS, 250 * 2 ** failures) * (0.5 + Math.random() / 2));
  }

  setInterval(() => source && performance.now() - heardAt > DEAD_MS && lost(), 1000);
  connect();
}
