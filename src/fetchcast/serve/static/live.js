// A run as it goes: each event holds the whole panel, so that a missed one does no harm.

const place = document.getElementById("live");
const lost = document.getElementById("lost");

function show(html) {
  const fresh = new DOMParser().parseFromString(html, "text/html").getElementById("panel");
  if (fresh) place.replaceChildren(fresh);
}

if (place.querySelector('[data-going="true"]')) {
  const source = new EventSource(place.dataset.stream);
  source.addEventListener("open", () => { lost.hidden = true; });
  source.addEventListener("error", () => { lost.hidden = false; });
  source.addEventListener("panel", (event) => show(event.data));
  source.addEventListener("over", () => source.close());
}
