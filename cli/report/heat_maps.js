// Expert load over time: one canvas per MoE layer, steps from left to right, experts from top to bottom.
const mix = (low, high, part) => low.map((value, i) => Math.round(value + (high[i] - value) * part));
const rgb = (hex) => [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));

/// `group` is DATA.metrics.experts: curves "LAYER/EXPERT" over group.step.
function layersOf(group) {
  const layers = [];
  for (const [name, values] of Object.entries(group.curves)) {
    const [layer, expert] = name.split("/").map(Number);
    (layers[layer] ||= [])[expert] = values;
  }
  return layers;
}

function drawHeat(place, layer, experts, steps, most) {
  const canvas = element("canvas");
  const value = element("div", { className: "value", textContent: "\u00a0" });
  place.append(element("h3", { textContent: `MoE layer ${layer + 1}` }), canvas, value);
  const scale = devicePixelRatio || 1;
  const [left, bottom] = [34, 22];
  const width = Math.max(280, place.clientWidth);
  const cell = Math.max(5, Math.min(22, Math.floor(200 / experts.length)));
  const height = cell * experts.length + bottom;
  canvas.width = width * scale;
  canvas.height = height * scale;
  canvas.style.height = height + "px";
  const context = canvas.getContext("2d");
  context.scale(scale, scale);
  const low = rgb(styleValue("--cold")), high = rgb(styleValue("--hot"));
  const column = (width - left) / steps.length;
  experts.forEach((values, expert) => values.forEach((share, i) => {
    if (share === null) return;
    context.fillStyle = `rgb(${mix(low, high, Math.min(1, share / most)).join(",")})`;
    context.fillRect(left + i * column, expert * cell, column + 0.6, cell - (cell > 8 ? 1 : 0));
  }));
  context.fillStyle = styleValue("--faint");
  context.font = FONT.replace("12px", "11px");
  context.textAlign = "right";
  context.textBaseline = "middle";
  const every = Math.ceil(14 / cell);
  experts.forEach((_, expert) => expert % every === 0 && context.fillText(expert, left - 6, (expert + 0.5) * cell));
  context.textBaseline = "top";
  const first = steps[0], last = steps[steps.length - 1];
  for (const part of [0, 0.25, 0.5, 0.75, 1]) {
    context.textAlign = part === 0 ? "left" : part === 1 ? "right" : "center";
    const at = Math.min(steps.length - 1, Math.round(part * (steps.length - 1)));
    context.fillText(readable(steps[at], 3), left + part * (width - left), height - bottom + 6);
  }
  context.strokeStyle = styleValue("--text");
  context.setLineDash([4, 4]);
  DATA.phases.slice(1).forEach((phase, i) => {
    if (phase.from_step <= first || phase.from_step >= last) return;
    const at = left + steps.findIndex((step) => step > phase.from_step) * column;
    context.beginPath();
    context.moveTo(at, 0);
    context.lineTo(at, height - bottom);
    context.stroke();
    context.fillStyle = styleValue("--text");
    context.textAlign = "left";
    context.fillText(`${i + 2}`, at + 3, height - bottom + 6);
  });
  canvas.addEventListener("mousemove", (event) => {
    const box = canvas.getBoundingClientRect();
    const i = Math.floor((event.clientX - box.left - left) / column);
    const expert = Math.floor((event.clientY - box.top) / cell);
    const share = experts[expert] && experts[expert][i];
    value.textContent = share === null || share === undefined ? "\u00a0" : `step ${whole(steps[i])} · expert ${expert} · ${percent(share)} of its pairs`;
  });
  canvas.addEventListener("mouseleave", () => (value.textContent = "\u00a0"));
  return { layer, experts, steps };
}

function heatMaps(parent, group) {
  const layers = layersOf(group);
  if (layers.length === 0) return;
  const even = 1 / layers[0].length;
  let most = 2 * even;
  layers.forEach((experts) => experts.forEach((values) => values.forEach((share) => (most = Math.max(most, share ?? 0)))));
  most = Math.min(most, 4 * even);
  const { made } = card("experts", "Expert load", `Share of a layer's (token, choice) pairs that each expert gets, step by step; even would be ${percent(even)}.`, true);
  made.classList.add("heat");
  made.append(element("div", { className: "scale" }, "0 %", element("span", { className: "ramp" }), percent(most) + " and more"));
  const grid = element("div", { className: "layers" });
  made.append(grid);
  parent.append(made);
  const places = layers.map(() => grid.appendChild(element("div")));
  charts.experts = layers.map((experts, layer) => drawHeat(places[layer], layer, experts, group.step, most));
}
