// A session's page. Open sessions take a token, which stays in this tab and travels in a header; a test that runs is
// followed over server-sent events.
import { LossChart } from "./chart.js";

// From this script's own address, /static/<digest>/: the service may have a prefix at a proxy.
const api = (path) => new URL(`../../${path}`, import.meta.url);

const session = document.getElementById("session").dataset.session;
const slot = `ringfence:${session}`;
const headers = () => { const token = sessionStorage.getItem(slot); return token ? { Authorization: `Bearer ${token}` } : {}; };

// The page again, as the holder of the token gets it. The server renders it; nothing in it can run.
async function load(address = location.href) {
  const answer = await fetch(address, { headers: headers() });
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  document.querySelector("main").replaceWith(page.querySelector("main"));
  document.title = page.title;
  begin();
}

function begin() {
  const locked = document.querySelector("[data-locked]");
  if (locked) return unlock();
  if (sessionStorage.getItem(slot)) withToken();
  for (const test of document.querySelectorAll(".test")) show(test);
}

function unlock() {
  const form = document.getElementById("unlock");
  if (sessionStorage.getItem(slot) && !document.getElementById("token-error").textContent) { load(); return; }
  sessionStorage.removeItem(slot);
  form.hidden = false;
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const token = document.getElementById("token").value.trim();
    if (!/^[\x21-\x7e]+$/.test(token)) { document.getElementById("token-error").textContent = "A token has no spaces and no special characters."; return; }
    sessionStorage.setItem(slot, token);
    load();
  });
}

// Links cannot carry a header: pages of the trajectory and JSON are fetched.
function withToken() {
  const leave = Object.assign(document.createElement("button"), { type: "button", className: "plain", textContent: "Forget the token" });
  leave.addEventListener("click", () => { sessionStorage.removeItem(slot); load(); });
  document.querySelector(".facts").after(leave);
  for (const link of document.querySelectorAll(".pager a")) {
    link.addEventListener("click", (event) => { event.preventDefault(); history.pushState(null, "", link.href); load(); });
  }
  for (const link of document.querySelectorAll("a[data-api]")) {
    link.addEventListener("click", async (event) => {
      event.preventDefault();
      const answer = await fetch(link.href, { headers: headers() });
      const saved = URL.createObjectURL(await answer.blob());
      const save = Object.assign(document.createElement("a"), { href: saved, download: `${link.href.split("/").at(-1)}.json` });
      save.click();
      URL.revokeObjectURL(saved);
    });
  }
}

async function show(test) {
  const room = test.querySelector("[data-chart]");
  if (!room) return;
  if ("live" in test.dataset) { follow(test, room); return; }
  // What has no row on the leaderboard, a probe for one, tells its losses itself.
  const place = room.dataset.run ? `v1/results/${encodeURIComponent(room.dataset.run)}/curve` : `v1/sessions/${session}/${test.dataset.place}`;
  const answer = await fetch(api(place), room.dataset.run ? {} : { headers: headers() });
  if (!answer.ok) return;
  const told = await answer.json();
  const curve = room.dataset.run ? told : columns(told.progress.series);
  if (curve.step.length) new LossChart(room).set({ key: "run", name: room.dataset.name, ...curve });
}

const columns = (points) => Object.fromEntries(["step", "train_loss", "val_loss"].map((key) => [key, points.map((point) => point[key])]));

const duration = (seconds) => seconds < 60 ? `${seconds.toFixed(0)} s`
  : seconds < 3600 ? `${Math.floor(seconds / 60)} min ${String(Math.floor(seconds % 60)).padStart(2, "0")} s`
  : `${Math.floor(seconds / 3600)} h ${String(Math.floor(seconds / 60) % 60).padStart(2, "0")} min`;

async function follow(test, room) {
  const run = { key: "run", name: room.dataset.name, step: [], train_loss: [], val_loss: [] };
  let chart = null;
  for await (const [name, data] of events(api(`v1/sessions/${session}/${test.dataset.place}/events`))) {
    if (!test.isConnected) return;
    if (name === "status") badge(test, data.status);
    if (name === "reset") for (const key of ["step", "train_loss", "val_loss"]) run[key].length = Math.min(run[key].length, data.points);
    if (name === "metrics") {
      for (const key of ["step", "train_loss", "val_loss"]) run[key].push(data[key]);
      chart ??= new LossChart(room);
      chart.set(run);
    }
    if (name === "progress") tell(test, data);
    if (name === "result") { load(); return; }
  }
}

function badge(test, status) {
  const shown = test.querySelector("h3 .status");
  shown.className = `status ${status}`;
  shown.textContent = status.replace("_", " ");
}

function tell(test, progress) {
  const parts = [];
  if (progress.evaluating) parts.push(`Evaluating ${progress.stage}`);
  else if (progress.stage) parts.push(`${progress.stage}: step ${progress.step}${progress.total_steps ? ` of ${progress.total_steps}` : ""}`);
  else parts.push("Waiting for devices");
  if (!progress.evaluating && progress.eta_s !== null) parts.push(`${duration(progress.eta_s)} left`);
  const line = test.querySelector("[data-progress]");
  if (line) line.textContent = `${parts.join(", ")}.`;
  const bar = test.querySelector("[data-bar]");
  if (bar && progress.total_steps) { bar.hidden = false; bar.max = progress.total_steps; bar.value = progress.step; }
}

// EventSource cannot send a header, so the stream is read here: `event:` and `data:` lines, a blank line after each.
async function* events(address) {
  const answer = await fetch(address, { headers: headers() });
  if (!answer.ok) return;
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    text += value;
    const blocks = text.split("\n\n");
    text = blocks.pop();
    for (const block of blocks) {
      const fields = Object.fromEntries(block.split("\n").filter((line) => !line.startsWith(":")).map((line) => [line.slice(0, line.indexOf(":")), line.slice(line.indexOf(":") + 2)]));
      if (fields.event) yield [fields.event, JSON.parse(fields.data)];
    }
  }
}

addEventListener("popstate", () => { if (sessionStorage.getItem(slot)) load(); });
begin();
