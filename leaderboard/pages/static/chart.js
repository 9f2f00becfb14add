// Loss curves over one another, with axes to choose, a legend that switches curves, and the same points as a table.
/* global uPlot */

const COLOURS = 8;
const TABLE_ROWS = 16;

const styled = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const figure = (value) => (value === null || value === undefined ? "–" : value.toFixed(4));

// All text goes in as text: what agents wrote is never read as markup.
function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

export class LossChart {
  #room; #plotRoom; #legend; #table; #plot = null; #runs = new Map(); #free = [...Array(COLOURS).keys()];
  #axes = { loss: "linear", steps: "linear", series: "val_loss", range: "all" };
  #pending = false;

  constructor(room, { range = "all" } = {}) {
    this.#room = room;
    this.#axes.range = range;
    room.hidden = false;
    this.#plotRoom = element("div", { className: "chart" });
    this.#plotRoom.setAttribute("role", "img");
    this.#legend = element("ul", { className: "legend" });
    this.#table = element("div", { className: "scroll", tabIndex: 0 });
    this.#table.setAttribute("role", "region");
    this.#table.setAttribute("aria-label", "Points of the loss curves");
    const points = element("details", { className: "fold" }, element("summary", {}, "Points as a table"), this.#table);
    points.addEventListener("toggle", () => this.#draw());
    this.points = points;
    room.replaceChildren(this.#controls(), this.#plotRoom, this.#legend, points);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.#draw());
    new ResizeObserver(() => this.#resize()).observe(this.#plotRoom);
  }

  // A run: {key, name, baseline, href, step: [], train_loss: [], val_loss: []}. Given again, it replaces the one before.
  set(run) {
    const before = this.#runs.get(run.key);
    const colour = before ? before.colour : (this.#free.shift() ?? this.#runs.size % COLOURS);
    this.#runs.set(run.key, { shown: true, ...before, ...run, colour });
    this.#soon();
  }

  remove(key) {
    const run = this.#runs.get(key);
    if (!run) return;
    this.#runs.delete(key);
    if (![...this.#runs.values()].some((other) => other.colour === run.colour)) {
      this.#free = [...this.#free, run.colour].sort((a, b) => a - b);
    }
    this.#soon();
  }

  has(key) { return this.#runs.has(key); }

  // Several changes in a row are drawn once.
  #soon() {
    if (this.#pending) return;
    this.#pending = true;
    requestAnimationFrame(() => { this.#pending = false; this.#draw(); });
  }

  #controls() {
    const choose = (legend, name, options) => {
      const group = element("fieldset", {}, element("legend", {}, legend));
      for (const [value, title] of options) {
        const radio = element("input", { type: "radio", name: `${name}-${LossChart.#count}`, value, checked: this.#axes[name] === value });
        radio.addEventListener("change", () => { this.#axes[name] = value; this.#draw(); });
        group.append(element("label", {}, radio, title));
      }
      return group;
    };
    LossChart.#count += 1;
    return element("div", { className: "axes" },
      choose("Curve", "series", [["val_loss", "dev"], ["train_loss", "training"]]),
      choose("Loss", "loss", [["linear", "linear"], ["log", "log"]]),
      choose("Steps", "steps", [["linear", "linear"], ["log", "log"]]),
      choose("Show", "range", [["all", "everything"], ["end", "the end of training"]]));
  }
  static #count = 0;

  #draw() {
    const runs = [...this.#runs.values()];
    this.#drawLegend(runs);
    const shown = runs.filter((run) => run.shown && run.step.length);
    this.#drawTable(shown);
    this.#plot?.destroy();
    this.#plot = null;
    this.#plotRoom.setAttribute("aria-label", this.#inWords(shown));
    if (!shown.length) {
      this.#plotRoom.replaceChildren(element("p", { className: "note" }, runs.length ? "No curve is switched on, or none has points yet." : "No run is chosen."));
      return;
    }
    this.#plotRoom.replaceChildren();
    const positive = this.#axes.steps === "log" ? (step) => step > 0 : () => true;
    const tables = shown.map((run) => {
      const kept = run.step.map((_, i) => i).filter((i) => positive(run.step[i]));
      return [kept.map((i) => run.step[i]), kept.map((i) => run[this.#axes.series][i])];
    });
    this.#plot = new uPlot(this.#options(shown), uPlot.join(tables.map((table) => this.#ending(table))), this.#plotRoom);
  }

  // Losses fall from ten to between two and three at once: what runs differ in is in the last part.
  #ending([steps, losses]) {
    if (this.#axes.range === "all" || steps.length < 8) return [steps, losses];
    const from = steps.findIndex((step) => step >= steps.at(-1) * 0.4);
    return [steps.slice(from), losses.slice(from)];
  }

  #inWords(shown) {
    const what = this.#axes.series === "val_loss" ? "Dev loss" : "Training loss";
    const names = shown.map((run) => `${run.name} ends at ${figure(this.#last(run))}`);
    return `${what} by step. ${names.join("; ") || "No curve"}. The points are in the table below.`;
  }

  #last(run) { return run[this.#axes.series].findLast((value) => value !== null); }

  #size() { return { width: Math.max(240, this.#plotRoom.clientWidth), height: Math.round(Math.min(420, Math.max(240, this.#plotRoom.clientWidth * 0.5))) }; }

  #resize() {
    const size = this.#size();
    if (this.#plot && this.#plot.width !== size.width) this.#plot.setSize(size);
  }

  #options(shown) {
    const [ink, rule] = [styled("--muted"), styled("--rule")];
    const axis = { stroke: ink, grid: { stroke: rule, width: 1 }, ticks: { stroke: rule, width: 1, size: 5 }, font: "12px system-ui, sans-serif", labelFont: "12px system-ui, sans-serif", labelSize: 20 };
    const log = (name) => this.#axes[name] === "log";
    return {
      ...this.#size(),
      legend: { show: false },
      scales: {
        x: { time: false, distr: log("steps") ? 3 : 1, range: (_, min, max) => (min === max ? [min * 0.9, max * 1.1 + 1] : [min, max]) },
        y: { distr: log("loss") ? 3 : 1, range: (_, min, max) => this.#span(min, max, log("loss")) },
      },
      axes: [
        { ...axis, label: "Step", size: 42, values: (_, splits) => splits.map((step) => (step === null ? null : step.toLocaleString("en").replaceAll(",", "\u202f"))), ...(log("steps") && ticksOnLog) },
        { ...axis, label: "Loss, nats per token", size: 52, values: (_, splits) => splits.map((loss) => (loss === null ? null : String(+loss.toPrecision(4)))), ...(log("loss") && ticksOnLog) },
      ],
      series: [{}, ...shown.map((run) => ({
        label: run.name, stroke: styled(`--s${run.colour}`), width: run.baseline ? 1.6 : 2, dash: run.baseline ? [6, 5] : undefined,
        spanGaps: true, points: { show: run.step.length < 3 },
      }))],
      cursor: { points: { size: 7 }, y: false },
    };
  }

  #span(min, max, log) {
    if (min === null || max === null) return [0, 1];
    if (log) return [min * 0.98, max * 1.02];
    const margin = (max - min) * 0.04 || 0.05;
    return [min - margin, max + margin];
  }

  #drawLegend(runs) {
    const focused = document.activeElement?.dataset?.legend;
    this.#legend.replaceChildren(...runs.map((run) => {
      const box = element("input", { type: "checkbox", checked: run.shown });
      box.dataset.legend = run.key;
      box.addEventListener("change", () => { run.shown = box.checked; this.#draw(); });
      const name = element("span", { className: "name", title: run.name }, run.baseline ? `${run.name} (baseline)` : run.name);
      const swatch = element("span", { className: `swatch c${run.colour}${run.baseline ? " dashed" : ""}` });
      return element("li", {}, element("label", {}, box, swatch, name, element("span", { className: "last" }, figure(this.#last(run)))));
    }));
    if (focused) [...this.#legend.querySelectorAll("input")].find((box) => box.dataset.legend === focused)?.focus();
  }

  #drawTable(shown) {
    if (!this.points.open) return;
    const steps = [...new Set(shown.flatMap((run) => run.step))].sort((a, b) => a - b);
    const some = steps.length <= TABLE_ROWS ? steps
      : Array.from({ length: TABLE_ROWS }, (_, i) => steps[Math.floor((i * (steps.length - 1)) / (TABLE_ROWS - 1))]);
    const number = (tag, text) => { const cell = element(tag, { className: "n" }, text); if (tag === "th") cell.scope = "row"; return cell; };
    const head = element("tr", {}, ...["Step", ...shown.map((run) => run.name)].map((title) => element("th", { scope: "col", className: "n" }, title)));
    const value = (run, step) => { const i = run.step.findLastIndex((one) => one <= step); return figure(i < 0 ? null : run[this.#axes.series][i]); };
    const rows = some.map((step) => element("tr", {}, number("th", String(step)), ...shown.map((run) => number("td", value(run, step)))));
    const caption = element("caption", { className: "hidden" }, "Loss in nats per token at some of the steps; each value is the last one reported up to the step");
    this.#table.replaceChildren(element("table", { className: "plain" }, caption, element("thead", {}, head), element("tbody", {}, ...rows)));
  }
}

// A loss spans less than a decade: 1, 2, 5 alone would leave its logarithmic axis empty.
const ticksOnLog = {
  splits: (_, __, min, max) => {
    const wanted = max / min > 30 ? [1, 2, 5] : max / min > 4 ? [1, 1.5, 2, 3, 4, 5, 6, 8] : [1, 1.25, 1.5, 1.75, 2, 2.25, 2.5, 2.75, 3, 3.5, 4, 4.5, 5, 6, 7, 8, 9];
    const found = [];
    for (let power = Math.floor(Math.log10(min)); power <= Math.ceil(Math.log10(max)); power += 1) {
      for (const digit of wanted) { const at = +(digit * 10 ** power).toPrecision(6); if (at >= min && at <= max) found.push(at); }
    }
    return found;
  },
  filter: (_, splits) => splits,
};
