// A task's page: the boxes of the leaderboard and of the baselines choose whose curves are drawn.
import { LossChart } from "./chart.js";

// From this script's own address, /static/<digest>/: the service may have a prefix at a proxy.
const api = (path) => new URL(`../../${path}`, import.meta.url);

document.documentElement.classList.add("scripted");
const room = document.querySelector("[data-chart]");
const most = Number(room.dataset.max);
const boxes = [...document.querySelectorAll('input[type="checkbox"][name="run"]')];
const chart = new LossChart(room, { range: "end" });
const wanted = new Set();

async function draw(box) {
  const key = box.value;
  const baseline = box.closest(".baseline, .choices") !== null;
  const answer = await fetch(api(`v1/results/${encodeURIComponent(key)}/curve`));
  if (!answer.ok || !wanted.has(key)) return;
  const curve = await answer.json();
  const row = box.closest("tr");
  const name = row ? `${row.querySelector('th[scope="row"] a').textContent} ${row.querySelector("td a").textContent.trim()}` : box.parentElement.firstChild.nextSibling.textContent.trim();
  chart.set({ key, name, baseline, step: curve.step, train_loss: curve.train_loss, val_loss: curve.val_loss });
}

function choose(box) {
  for (const other of boxes) if (other.value === box.value) other.checked = box.checked;
  if (box.checked) {
    wanted.add(box.value);
    draw(box);
  } else {
    wanted.delete(box.value);
    chart.remove(box.value);
  }
  for (const other of boxes) other.disabled = !other.checked && wanted.size >= most;
}

// The address says what is shown, so that it can be passed on.
function remember() {
  const address = new URL(location.href);
  address.searchParams.delete("run");
  for (const key of wanted) address.searchParams.append("run", key);
  history.replaceState(null, "", address);
}

for (const box of boxes) {
  box.addEventListener("change", () => { choose(box); remember(); });
  if (box.checked && !wanted.has(box.value)) choose(box);
}
