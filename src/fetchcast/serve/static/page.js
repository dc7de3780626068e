// What every page can do: switch light and dark, find the search field, show the keys, copy.

const root = document.documentElement;

function shownTheme() {
  return root.dataset.theme ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
}

function nameTheSwitch() {
  const other = shownTheme() === "dark" ? "light" : "dark";
  for (const button of document.querySelectorAll(".theme")) {
    button.value = other;
    button.textContent = other[0].toUpperCase() + other.slice(1);
  }
}

document.addEventListener("submit", (event) => {
  if (!event.target.matches('form[action="/theme"]')) return;
  event.preventDefault();
  root.dataset.theme = event.submitter?.value ?? "light";
  document.cookie = `theme=${root.dataset.theme}; path=/; max-age=31536000; SameSite=Strict`;
  nameTheSwitch();
  document.dispatchEvent(new CustomEvent("fetchcast:theme"));
});

matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
  nameTheSwitch();
  document.dispatchEvent(new CustomEvent("fetchcast:theme"));
});

document.addEventListener("keydown", (event) => {
  if (event.target.matches("input, textarea, select") || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "/") {
    const field = document.querySelector("[data-search]");
    event.preventDefault();
    if (field) field.focus();
    else location.assign("/forecast?find");
  } else if (event.key === "?") {
    document.querySelector("dialog#keys")?.showModal();
  }
});

document.addEventListener("change", (event) => {
  if (event.target.matches("select[data-go]")) event.target.form.requestSubmit();
});

document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy]");
  if (!button) return;
  const text = document.getElementById(button.dataset.copy).textContent;
  try {
    await navigator.clipboard.writeText(text);
    button.textContent = "Copied";
  } catch {
    button.textContent = "Select and copy it";
  }
});

// An answer that does not come must not look like the one that is still shown.
document.addEventListener("htmx:error", () => {
  if (document.getElementById("no-answer")) return;
  const words = document.createElement("p");
  words.id = "no-answer";
  words.className = "banner";
  words.setAttribute("role", "alert");
  words.textContent = "The app does not answer: what stands here is not about your new choice.";
  document.getElementById("content").prepend(words);
});

nameTheSwitch();
