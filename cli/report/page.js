// The layout of the page. Everything is redrawn when a switch changes.
const M = DATA.metrics;
const choice = { objective: null, score: "loss", whole: "from_rows" };
const SCORES = { loss: ["loss", "nats a token"], bits_per_byte: ["bits per byte", "bits per byte"], perplexity: ["perplexity", "perplexity"], accuracy: ["accuracy", "accuracy"] };

const below = (prefix) => (name) => (name.startsWith(prefix) ? name.slice(prefix.length) : null);
const ofSteps = (labels) => Object.entries(labels).filter(([name]) => M.steps.curves[name]).map(([name, label]) => ({ label, ...M.steps.curves[name] }));
// A corpus has one colour in all charts, and so has a denoiser.
const names = { corpora: [], denoisers: [] };
DATA.phases.forEach((phase) => Object.keys(names).forEach((kind) => Object.keys(phase[kind]).forEach((name) => names[kind].includes(name) || names[kind].push(name))));
const coloured = (kind, curves) => curves.map((curve) => ({ ...curve, hue: names[kind].indexOf(curve.label) })).sort((a, b) => a.hue - b.hue);
const layerName = (prefix) => (name) => (name.startsWith(prefix) ? `layer ${Number(name.slice(prefix.length)) + 1}` : null);
const fromZero = (_, low, high) => [0, Math.max(high ?? 1, 1e-9) * 1.08];
const atLeast = (limit) => (_, low, high) => [0, Math.max((high ?? 0) * 1.08, limit)];

function header() {
  document.title = `${DATA.name} · Millrace report`;
  byId("name").textContent = DATA.name;
  byId("status").textContent = DATA.status;
  byId("status").className = DATA.status;
  byId("when").textContent = `as of ${DATA.written}`;
  byId("made").textContent = `Made by millrace ${DATA.program} of ${DATA.folder}`;
  const before = DATA.from?.step ?? 0; // Steps that another run made.
  const done = DATA.total_steps > before ? Math.min(1, (DATA.step - before) / (DATA.total_steps - before)) : 0;
  const phase = DATA.phases.findLastIndex((one) => DATA.step > one.from_step);
  const items = [
    ["Step", whole(DATA.step), `of ${whole(DATA.total_steps)} (${percent(done)})`],
    ["Tokens", readable(DATA.tokens, 3), `of ${readable(DATA.total_tokens, 3)}`],
    ["Phase", phase < 0 ? "–" : `${phase + 1} of ${DATA.phases.length}`, phase < 0 ? "" : DATA.phases[phase].objective],
    ["Last loss", DATA.loss === null ? "–" : DATA.loss.toFixed(4), "nats a token"],
    ["Speed", readable(DATA.tokens_per_s, 3), "tokens/s, last steps"],
    DATA.status === "running" ? ["Time left", duration(DATA.seconds_left), "at this speed"] : null,
    ["Wall time", duration(DATA.seconds), DATA.status === "complete" ? "" : "of its steps"],
  ].filter(Boolean);
  byId("glance").append(...items.map(([name, value, more]) =>
    element("div", {}, element("dt", { textContent: name }), element("dd", { textContent: value }, element("small", { textContent: more })))));
  byId("glance").firstChild.append(element("progress", { value: done, max: 1 }));
  const notes = [];
  if (DATA.from) notes.push(before > 0
    ? `Begun with the weights, optimizer and step ${whole(before)} of ${DATA.from.checkpoint}. Tokens, phases and times are this run's own.`
    : `Begun with the weights of ${DATA.from.checkpoint}.`);
  DATA.phases.forEach((one, i) => {
    if (keysOf(one).length > 0) notes.push(`Phase ${i + 1}, from step ${whole(Math.ceil(one.from_step) + 1)}, has keys of its own: ${keysOf(one).join(", ")}.`);
  });
  if (DATA.step === before) notes.push("No step has been logged yet: there is nothing to draw. Make the report again once the run has begun.");
  if (DATA.status === "interrupted") notes.push(`The run stopped before its end. Resume it with: ${DATA.resume}`);
  if (DATA.skipped.count > 0) notes.push(`${whole(DATA.skipped.count)} steps were skipped: ` + DATA.skipped.first.map((one) => `step ${whole(one.step)} (${one.reason})`).join(", ") + (DATA.skipped.count > DATA.skipped.first.length ? " …" : ""));
  if (DATA.unreadable_lines > 0) notes.push(`${whole(DATA.unreadable_lines)} lines of metrics.jsonl could not be read and were passed over.`);
  const damaged = DATA.checkpoints.filter((one) => one.damage);
  if (damaged.length > 0) notes.push("Damaged checkpoints: " + damaged.map((one) => `${one.name} (${one.damage})`).join(", "));
  byId("notes").replaceChildren(...notes.map((textContent) => element("div", { className: "note", textContent })));
}

/// One curve per phase: constant from its beginning to its end, at the steps of the rows.
function asked(kind, name, steps) {
  return steps.map((step) => {
    const phase = DATA.phases.find((one) => step > one.from_step && step <= one.to_step) || DATA.phases[0];
    return phase[kind][name] ?? null;
  });
}

function shareCurves(kind, prefix) {
  return coloured(kind, curvesOf(M.shares, below(prefix)).map((curve) => ({ ...curve, asked: asked(kind, curve.label, M.shares.step) })));
}

function evaluationCurves() {
  return coloured("corpora", curvesOf(M.evaluations, (name) => {
    const [objective, score, ...corpus] = name.split("/");
    if (objective !== choice.objective || score !== choice.score) return null;
    return corpus.join("/") || "all";
  }));
}

function selection(values, chosen, use) {
  const made = element("select");
  made.append(...values.map(([value, textContent]) => element("option", { value, textContent, selected: value === chosen })));
  made.addEventListener("change", () => { use(made.value); draw(); });
  return made;
}

function evaluationChoices() {
  const objectives = [...new Set(Object.keys(M.evaluations.curves).map((name) => name.split("/")[0]))];
  choice.objective ??= objectives[0];
  const span = element("span");
  if (objectives.length > 1) span.append(selection(objectives.map((one) => [one, one]), choice.objective, (value) => (choice.objective = value)), " ");
  span.append(selection(Object.entries(SCORES).map(([key, [name]]) => [key, name]), choice.score, (value) => (choice.score = value)));
  return span;
}

/// By position in the sequence: the mean of each quarter of the run.
function droppedChart() {
  const parts = Object.keys(M.dropped_by_position.curves).map(Number).sort((a, b) => a - b);
  const rows = M.dropped_by_position.step.length;
  const quarters = Math.min(4, rows);
  const curves = [...Array(quarters).keys()].map((quarter) => {
    const from = Math.floor((quarter * rows) / quarters), to = Math.floor(((quarter + 1) * rows) / quarters);
    const value = parts.map((part) => {
      const values = M.dropped_by_position.curves[part].slice(from, to).filter((one) => one !== null);
      return values.length ? values.reduce((a, b) => a + b, 0) / values.length : null;
    });
    const step = M.dropped_by_position.step;
    return { label: from === to - 1 ? `step ${readable(step[from], 3)}` : `steps ${readable(step[from], 3)}–${readable(step[to - 1], 3)}`, value };
  });
  return { id: "dropped_by_position", title: "Dropped tokens by position", about: "Share of (token, choice) pairs over an expert's capacity, along the sequence; mean over MoE layers.",
    x: parts.map((part) => Math.ceil(part * DATA.sequence_length / parts.length)), curves, xLabel: "position", unit: "dropped", format: percent, y: fromZero, phases: false, points: true };
}

function draw() {
  Object.values(charts).forEach((chart) => chart.destroy && chart.destroy());
  Object.keys(charts).forEach((id) => delete charts[id]);
  const parent = byId("charts");
  const height = parent.offsetHeight;
  parent.style.minHeight = `${height}px`; // Redrawing must not scroll the page.
  parent.replaceChildren();
  const x = M.steps.step;
  const lines = (chart) => lineChart(parent, { x, ...chart });
  lines({ id: "loss", title: "Training loss", about: "Mean loss of each step's tokens, and the cross-entropy in it; pale: each step, strong: smoothed.", unit: "nats a token", wide: true, height: 300, smooth: true, log: true, curves: ofSteps({ loss: "loss", ce: "cross-entropy" }) });
  lines({ id: "accuracy", title: "Training accuracy", about: "Share of each step's loss tokens that had the largest logit.", unit: "of the loss tokens", format: percent, smooth: true, y: fromZero, curves: ofSteps({ accuracy: "accuracy" }) });
  if (M.evaluations.step.length > 0) {
    const choices = evaluationChoices();
    lines({ id: "heldout", title: `Held-out ${SCORES[choice.score][0]}`, about: `Documents that were never trained on, by corpus; objective ${choice.objective}.`, x: M.evaluations.step, curves: evaluationCurves(), choices, unit: SCORES[choice.score][1], log: true, points: true, format: choice.score === "accuracy" ? percent : readable });
  }
  lines({ id: "lr", title: "Learning rate", about: "As the schedule gave it.", unit: "learning rate", log: true, y: fromZero, curves: ofSteps({ lr: "learning rate" }) });
  lines({ id: "loss_by_corpus", title: "Loss by corpus", about: "Mean cross-entropy of the step's loss tokens of each corpus.", unit: "nats a token", smooth: true, log: true, curves: coloured("corpora", curvesOf(M.steps, below("ce_by_corpus/"))) });
  lines({ id: "loss_by_denoiser", title: "Loss by denoiser", about: "Mean cross-entropy of the step's loss tokens of each denoiser.", unit: "nats a token", smooth: true, log: true, curves: coloured("denoisers", curvesOf(M.steps, below("ce_by_denoiser/"))) });
  lines({ id: "shares", title: "Shares of the corpora", about: "Of the raw tokens since the phase began: realised (lines) against asked (dashed, in brackets).", x: M.shares.step, unit: "share of raw tokens", format: percent, y: fromZero, curves: shareCurves("corpora", "corpus/") });
  lines({ id: "denoisers", title: "Shares of the denoisers", about: "Of the examples since the phase began: realised (lines) against asked (dashed, in brackets).", x: M.shares.step, unit: "share of examples", format: percent, y: fromZero, curves: shareCurves("denoisers", "denoiser/") });
  mixingCharts(parent, DATA.mixing);
  lines({ id: "throughput", title: "Throughput", about: "Positions trained on a second, data and update included.", unit: "tokens/s", smooth: true, y: fromZero, curves: ofSteps({ tokens_per_s: "tokens/s" }) });
  lines({ id: "limit", title: "Share of the machine's limit", about: "The step's matrix-product operations a second, of what oneDNN alone reaches here.", unit: "of the limit", format: percent, smooth: true, y: fromZero, curves: ofSteps({ limit_share: "share of limit" }) });
  lines({ id: "data_wait", title: "Waiting for data", about: "Share of a step's time in which the trainer had no batch. Should stay below 1 %.", unit: "of the step", format: percent, smooth: true, y: atLeast(0.01), curves: ofSteps({ data_wait_share: "waiting" }) });
  lines({ id: "memory", title: "Memory", about: "Resident memory of the process.", unit: "bytes", format: bytes, y: fromZero, curves: ofSteps({ memory_bytes: "resident" }) });
  lines({ id: "norms", title: "Norms", about: "L2 over all parameters: of the gradient before clipping, and of what the step changed.", unit: "L2 norm", smooth: true, log: true, curves: ofSteps({ grad_norm: "gradient", update_norm: "update" }) });
  lines({ id: "param_norm", title: "Parameter norm", about: "L2 over all parameters.", unit: "L2 norm", log: true, curves: ofSteps({ param_norm: "parameters" }) });
  heatMaps(parent, M.experts);
  lines({ id: "router_entropy", title: "Router entropy", about: "How undecided routers are, by MoE layer.", unit: "nats", smooth: true, log: true, curves: curvesOf(M.steps, layerName("router/entropy/")) });
  lines({ id: "router_load_balance", title: "Load-balance loss", about: "Before its factor, by MoE layer; lower is more even.", unit: "loss", smooth: true, log: true, curves: curvesOf(M.steps, layerName("router/load_balance/")) });
  lines({ id: "router_z", title: "Router z-loss", about: "Before its factor, by MoE layer.", unit: "loss", smooth: true, log: true, curves: curvesOf(M.steps, layerName("router/z/")) });
  lines({ id: "router_dropped", title: "Dropped tokens", about: "Share of (token, choice) pairs over an expert's capacity, by MoE layer.", unit: "dropped", format: percent, smooth: true, y: fromZero, curves: curvesOf(M.steps, layerName("router/dropped/")) });
  lines({ id: "router_left_behind", title: "Tokens left behind", about: "Share of tokens that no expert took, by MoE layer.", unit: "left behind", format: percent, smooth: true, y: fromZero, curves: curvesOf(M.steps, layerName("router/left_behind/")) });
  lines({ id: "router_expert_usage", title: "Expert usage", about: "Share of the experts' places that were taken, by MoE layer.", unit: "of the places", format: percent, smooth: true, y: fromZero, curves: curvesOf(M.steps, layerName("router/expert_usage/")) });
  lines({ id: "router_confidence", title: "Router confidence", about: "Mean gate of the (token, choice) pairs that were kept, by MoE layer.", unit: "gate", smooth: true, y: fromZero, curves: curvesOf(M.steps, layerName("router/confidence/")) });
  lines({ id: "router_losses", title: "Router losses", about: "Means over MoE layers, before their factors.", unit: "loss", smooth: true, log: true, curves: ofSteps({ aux_loss: "load balance", router_z_loss: "router z" }) });
  if (M.dropped_by_position.step.length > 0) lineChart(parent, droppedChart());
  parent.style.minHeight = "";
}

function rejects() {
  const { made } = card("rejects", "Rejected records by cause", "What the readers passed over, and why; each is named in rejects.jsonl.");
  const rows = Object.entries(DATA.rejects.counts || {}).flatMap(([corpus, causes]) => Object.entries(causes).map(([cause, count]) => ({ name: `${corpus}: ${cause}`, count })));
  rows.sort((a, b) => b.count - a.count);
  if (rows.length === 0) made.append(element("p", { className: "empty", textContent: "No record was rejected." }));
  const bars = element("div", { className: "bars" });
  const most = Math.max(1, ...rows.map((row) => row.count));
  rows.forEach((row) => {
    const bar = element("div", { className: "bar", title: `${row.name}: ${whole(row.count)}` });
    bar.style.width = `${(100 * row.count) / most}%`;
    bars.append(element("span", { textContent: row.name }), bar, element("b", { textContent: whole(row.count) }));
  });
  made.append(bars);
  if (DATA.rejects.first.length > 0) {
    const list = DATA.rejects.first.map((one) => `${one.shard ?? ""}, record ${one.record ?? "?"}: ${one.reason ?? one.cause}`);
    made.append(element("details", {}, element("summary", { textContent: `The first ${list.length}` }), element("pre", { textContent: list.join("\n") })));
  }
  return made;
}

function changes() {
  const { made } = card("changes", "Changes", "What was changed during the run. A line with a triangle marks changes of rows or losses (--accept-changes) in the charts.");
  made.append(table(["after step", "when", "what"], DATA.changes.map((one) => [
    one.step === null ? "–" : whole(one.step), one.time ?? "–", element("td", {}, element("pre", { textContent: [...one.changes, ...one.free.map((change) => change + " (neither rows nor losses)")].join("\n") }))])));
  return made;
}

function table(head, rows) {
  const cells = (tag, values) => element("tr", {}, ...values.map((value) => (value instanceof Node ? value : element(tag, { textContent: value }))));
  return element("div", { className: "scroll" }, element("table", {}, element("thead", {}, cells("th", head)), element("tbody", {}, ...rows.map((row) => cells("td", row)))));
}

function checkpoints() {
  const { made } = card("checkpoints", "Checkpoints", "Checked by names and sizes here; loading one checks every byte.");
  if (DATA.checkpoints.length === 0) made.append(element("p", { className: "empty", textContent: "None yet." }));
  else made.append(table(["step", "folder", "size", "written (UTC)", "state"], DATA.checkpoints.map((one) => [
    whole(one.step), one.name, bytes(one.bytes), one.written,
    element("td", { className: one.damage ? "bad" : "ok", textContent: one.damage || "valid" })])));
  return made;
}

/// The run file's sections as tables; mixes and objectives as they are written.
function runSettings() {
  const { made } = card("settings", "Settings", "The resolved run file, defaults filled in.", true);
  const sections = [];
  const texts = [];
  for (const { file, text } of DATA.settings) {
    if (file !== "run.toml") {
      texts.push(element("details", {}, element("summary", { textContent: file }), element("pre", { textContent: text })));
      continue;
    }
    sections.push(["run", []]);
    for (const line of text.split("\n")) {
      const at = line.indexOf(" = ");
      if (line.startsWith("[")) sections.push([line.replace(/[[\]]/g, ""), []]);
      else if (at > 0) sections.at(-1)[1].push([line.slice(0, at), line.slice(at + 3)]);
    }
  }
  if (DATA.versions) sections.push(["versions", Object.entries(DATA.versions).map(([key, value]) => [key, String(value)])]);
  const columns = element("div", { className: "columns" });
  columns.append(...sections.map(([name, rows]) => table([name, ""], rows)));
  made.append(columns, ...texts);
  return made;
}

const showTheme = () => (byId("theme").textContent = isDark() ? "Light" : "Dark");
function start() {
  header();
  showTheme();
  byId("smoothing-value").textContent = byId("smoothing").value + " %";
  draw();
  byId("tables").append(mixingTables(DATA.mixing), rejects(), checkpoints(), ...(DATA.changes.length > 0 ? [changes()] : []), runSettings());
  byId("log").addEventListener("change", () => { settings.log = byId("log").checked; draw(); });
  byId("smoothing").addEventListener("input", () => {
    settings.smoothing = byId("smoothing").value / 100;
    byId("smoothing-value").textContent = byId("smoothing").value + " %";
    draw();
  });
  byId("theme").addEventListener("click", () => {
    document.documentElement.dataset.theme = isDark() ? "light" : "dark";
    showTheme();
    draw();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { showTheme(); draw(); });
  let width = innerWidth, later;
  addEventListener("resize", () => {
    if (innerWidth === width) return;
    width = innerWidth;
    clearTimeout(later);
    later = setTimeout(draw, 150);
  });
}
start();
