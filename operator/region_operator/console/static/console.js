// Reads the page again every few seconds and puts the new content in the place of the old one. Without this script every
// page works; it only does not change by itself. What a reader is doing stays: focus, scroll, a selection, a half-filled
// field, opened details. Nothing is asked while the tab is hidden, or after "Pause refreshing".
"use strict";

const EVERY = 5000, AT_MOST = 60000;
const button = document.getElementById("refresh");
const note = document.getElementById("refresh-note");
let wait = EVERY, paused = false, timer = 0;

const name = (element) => element.id || element.getAttribute("href") || element.getAttribute("name");

function busy() {
  const field = document.activeElement && document.activeElement.closest("main form");
  return Boolean(field) || String(document.getSelection()) !== "";
}

function replace(fresh) {
  const main = document.querySelector("main");
  const focused = main.contains(document.activeElement) ? document.activeElement : null;
  const key = focused && name(focused), order = key ? [...main.querySelectorAll(focused.tagName)]
    .filter((element) => name(element) === key).indexOf(focused) : -1;
  const opened = new Set([...main.querySelectorAll("details[open][id]")].map((details) => details.id));
  const closed = new Set([...main.querySelectorAll("details:not([open])[id]")].map((details) => details.id));
  const scrolled = [...main.querySelectorAll(".wide")].map((box) => box.scrollLeft);
  const [x, y] = [scrollX, scrollY];
  for (const picture of fresh.querySelectorAll("main img")) { // a picture that is there is not loaded again
    const there = [...main.querySelectorAll("img")].find((img) => img.getAttribute("src") === picture.getAttribute("src"));
    if (there) picture.replaceWith(there);
  }
  main.replaceChildren(...fresh.querySelector("main").childNodes);
  for (const details of main.querySelectorAll("details[id]")) {
    if (opened.has(details.id)) details.open = true;
    if (closed.has(details.id)) details.open = false;
  }
  main.querySelectorAll(".wide").forEach((box, number) => { box.scrollLeft = scrolled[number] || 0; });
  scrollTo(x, y);
  if (key) {
    const same = [...main.querySelectorAll(focused.tagName)].filter((element) => name(element) === key);
    (same[order] || same[0])?.focus({ preventScroll: true });
  }
  document.title = fresh.title;
  const footer = fresh.querySelector("footer");
  if (footer) document.querySelector("footer").replaceChildren(...footer.childNodes);
}

async function refresh() {
  try {
    const answer = await fetch(location.href, { cache: "no-store", headers: { Accept: "text/html" }, signal: AbortSignal.timeout(20000) });
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
    if (!answer.ok) throw new Error(fresh.querySelector("main .banner strong")?.textContent.trim() || `the answer is ${answer.status}`);
    if (!fresh.querySelector("main")) throw new Error("the answer is no page of the console");
    if (!paused && !busy()) replace(fresh);
    wait = EVERY;
    note.textContent = "";
  } catch (error) {
    wait = Math.min(2 * wait, AT_MOST);
    note.textContent = `Not refreshed: ${error.message}. What you see may be old.`;
  }
}

function plan() {
  clearTimeout(timer);
  if (paused || document.hidden) return;
  timer = setTimeout(async () => { if (!busy()) await refresh(); plan(); }, wait * (0.9 + 0.2 * Math.random()));
}

// A click into the ledger leads to the ticks of that region and of that span of time. The link says so before the click,
// and the browser follows the link: so it may also open a tab, by any key, button or menu.
function narrow(event) {
  const row = event.target.closest("svg.heat a");
  const plot = row && row.closest("[data-from]");
  if (!plot) return;
  const box = plot.querySelector("svg").getBoundingClientRect();
  const column = Math.floor((event.clientX - box.left) / box.width * Number(plot.dataset.columns));
  const at = (number) => new Date(1000 * (Number(plot.dataset.from) + number * Number(plot.dataset.seconds))).toISOString();
  const address = new URL(row.getAttribute("href"), location.href);
  address.searchParams.set("since", at(column));
  address.searchParams.set("before", at(column + 1));
  row.setAttribute("href", address.href);
}

button.hidden = false;
button.addEventListener("click", () => {
  paused = !paused;
  button.setAttribute("aria-pressed", String(paused));
  plan();
});
document.addEventListener("visibilitychange", () => { if (!document.hidden && !paused) refresh().then(plan); else plan(); });
document.addEventListener("pointerdown", narrow);
plan();
