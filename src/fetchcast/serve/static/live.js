// Runs as they go: each event holds the whole panel, so that a missed one does no harm.

const place = document.getElementById("live");
const lost = document.getElementById("lost");
const said = document.getElementById("said");
const REACHABLE = "a[href], button, summary, [tabindex]";
const SAY_EACH_MS = 10000;
const LONGEST_WAIT_MS = 30000;
let source;
let wait = 1000;
let waiting = 0;
let spoken = 0;
let over = !place.dataset.stream;

// Only what changed is exchanged: a reader keeps the focus, the selection and the place in a list.
function show(html) {
  const fresh = new DOMParser().parseFromString(html, "text/html").getElementById("panel");
  const panel = document.getElementById("panel");
  if (!fresh || !panel) return;
  for (const name of ["going", "said"]) panel.dataset[name] = fresh.dataset[name];
  const known = new Map([...panel.children].map((part) => [part.id, part]));
  let next = panel.firstElementChild;
  for (const part of [...fresh.children]) {
    const old = known.get(part.id);
    known.delete(part.id);
    if (old) {
      next = old.nextElementSibling;
      if (old.outerHTML !== part.outerHTML) exchange(old, part);
    } else {
      panel.insertBefore(part, next);
    }
  }
  for (const gone of known.values()) gone.remove();
  speak(panel.dataset.going === "false");
}

function exchange(old, part) {
  const held = [...old.querySelectorAll(REACHABLE)].indexOf(document.activeElement);
  const top = old.querySelector(".scroll")?.scrollTop ?? 0;
  old.replaceWith(part);
  const list = part.querySelector(".scroll");
  if (list) list.scrollTop = top;
  if (held >= 0) part.querySelectorAll(REACHABLE)[held]?.focus({ preventScroll: true });
}

// Those who listen are told now and then, and at the end at once.
function speak(now) {
  const text = document.getElementById("panel").dataset.said;
  if (text === said.textContent || (!now && Date.now() - spoken < SAY_EACH_MS)) return;
  spoken = Date.now();
  said.textContent = text;
}

function listen() {
  clearTimeout(waiting);
  source?.close();
  source = new EventSource(place.dataset.stream);
  source.addEventListener("open", () => {
    lost.hidden = true;
    wait = 1000;
  });
  source.addEventListener("error", () => {
    lost.hidden = false;
    // A broken connection is opened again by the browser; after another server's answer it is not.
    if (source.readyState !== EventSource.CLOSED) return;
    waiting = setTimeout(listen, wait);
    wait = Math.min(2 * wait, LONGEST_WAIT_MS);
  });
  source.addEventListener("panel", (event) => show(event.data));
  source.addEventListener("over", () => {
    over = true;
    source.close();
    for (const piece of document.querySelectorAll("[data-while-going]")) piece.hidden = true;
  });
}

// A browser has six connections for a server: pages that nobody looks at let go of theirs.
document.addEventListener("visibilitychange", () => {
  if (over) return;
  if (document.hidden) {
    clearTimeout(waiting);
    source?.close();
  } else {
    listen();
  }
});

if (!over && !document.hidden) listen();
