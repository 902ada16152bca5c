// Curves over steps or positions, drawn by uPlot. `window.charts` holds what is drawn, by id.
const charts = (window.charts = {});
const settings = { log: false, smoothing: 0.4 };
const FONT = '12px system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif';

/// Curves of a group of DATA.metrics whose name `pick` gives a label for, as {label, value, mean}.
function curvesOf(group, pick) {
  return Object.entries(group.curves)
    .map(([name, curve]) => ({ label: pick(name), ...curve }))
    .filter((curve) => curve.label !== null && curve.label !== undefined);
}

/// An exponential moving average with bias correction; of the buckets' means if rows were merged.
function smoothed(curve) {
  const source = curve.mean || curve.value;
  const keep = settings.smoothing <= 0 ? 0 : 1 - 1 / (1 + Math.pow(source.length / 4, settings.smoothing));
  let sum = 0, weight = 0;
  const out = [];
  for (const value of source) {
    if (value === null) {
      out.push(null);
    } else {
      sum = keep * sum + (1 - keep) * value;
      weight = keep * weight + (1 - keep);
      out.push(sum / weight);
    }
    if (curve.mean) out.push(out[out.length - 1]);
  }
  return out;
}

const positive = (values) => values.map((value) => (value !== null && value > 0 ? value : null));

/// What a phase trains with of its own: ["learning_rate 0.5"].
const keysOf = (phase) => Object.entries(phase.keys).map(([name, value]) => `${name} ${value}`);

/// Vertical lines with names where phases begin.
function markPhases(plot) {
  if (DATA.phases.length < 2) return;
  const { ctx, bbox } = plot;
  const scale = devicePixelRatio || 1;
  ctx.save();
  ctx.strokeStyle = ctx.fillStyle = styleValue("--phase");
  ctx.lineWidth = scale;
  ctx.font = FONT.replace("12px", `${11 * scale}px`);
  ctx.textBaseline = "top";
  ctx.textAlign = "left";
  DATA.phases.forEach((phase, i) => {
    const begin = plot.valToPos(Math.max(phase.from_step, plot.scales.x.min), "x", true);
    const end = plot.valToPos(Math.min(phase.to_step, plot.scales.x.max), "x", true);
    if (end <= begin) return;
    if (i > 0 && phase.from_step > plot.scales.x.min) {
      ctx.setLineDash([4 * scale, 4 * scale]);
      ctx.beginPath();
      ctx.moveTo(begin, bbox.top);
      ctx.lineTo(begin, bbox.top + bbox.height);
      ctx.stroke();
    }
    const full = `${i + 1} ${phase.mix} · ${phase.objective}`;
    const fits = [[full, ...keysOf(phase)].join(" · "), full, `${i + 1} ${phase.objective}`, `${i + 1}`].find((text) => ctx.measureText(text).width + 10 * scale < end - begin);
    if (fits) ctx.fillText(fits, begin + 5 * scale, bbox.top - 15 * scale);
  });
  ctx.restore();
}

/// Vertical lines with small triangles where the run was changed by --accept-changes.
function markChanges(plot) {
  const { ctx, bbox } = plot;
  const scale = devicePixelRatio || 1;
  ctx.save();
  ctx.strokeStyle = ctx.fillStyle = styleValue("--warn");
  ctx.lineWidth = scale;
  ctx.setLineDash([2 * scale, 3 * scale]);
  changedSteps().forEach((step) => {
    if (step < plot.scales.x.min || step > plot.scales.x.max) return;
    const at = plot.valToPos(step, "x", true);
    ctx.beginPath();
    ctx.moveTo(at, bbox.top);
    ctx.lineTo(at, bbox.top + bbox.height);
    ctx.stroke();
    ctx.beginPath();
    ctx.moveTo(at - 4 * scale, bbox.top);
    ctx.lineTo(at + 4 * scale, bbox.top);
    ctx.lineTo(at, bbox.top + 6 * scale);
    ctx.fill();
  });
  ctx.restore();
}
const changedSteps = () => DATA.changes.filter((change) => change.changes.length > 0 && change.step !== null).map((change) => change.step);

function card(id, title, about, wide = false) {
  const head = element("div", { className: "card-head" }, element("h2", { textContent: title }));
  const made = element("article", { id, className: wide ? "card wide" : "card" }, head, element("p", { className: "about", textContent: about }));
  return { made, head };
}

/// chart: {id, title, about, x, curves, unit, format, smooth, log, points, phases, xLabel, y}
///   curves: [{label, value, mean?, asked?, hue?}]; `asked` values are a dashed line in the curve's colour.
///   smooth: shows the smoothed curve, and the values themselves behind it. log: follows the log switch.
function drawLines(place, chart) {
  const format = chart.format || readable;
  const log = settings.log && chart.log;
  const data = [chart.x];
  // While the pointer is elsewhere, the legend shows the last values.
  const at = (values, i) => (i === null || i === undefined ? values.findLast((v) => v !== null) : values[i]) ?? null;
  const series = [{ label: chart.xLabel || "step", value: (_, v, s, i) => (chart.xFormat || whole)(at(chart.x, i)) }];
  const companions = []; // [series, the one it belongs to]: without a legend entry.
  const prepare = (values) => (log ? positive(values) : values);
  chart.curves.forEach((curve, number) => {
    const hue = curve.hue ?? number;
    const stroke = hue < 0 ? styleValue("--text") : colour(hue);
    const own = chart.smooth && settings.smoothing > 0 ? smoothed(curve) : curve.value;
    if (own !== curve.value) {
      data.push(prepare(curve.value));
      series.push({ label: curve.label, stroke: stroke + "50", width: 1, points: { show: false } });
      companions.push([series.length - 1, series.length]);
    }
    const shown = data.push(prepare(own)) - 1;
    series.push({
      label: curve.label, stroke, width: 1.75, spanGaps: true, dash: dashes(Math.max(hue, 0)),
      points: { show: chart.points && chart.x.length < 80, size: 5, fill: stroke },
      value: (_, v, s, i) => format(at(own, i)) + (curve.asked ? ` (${format(at(curve.asked, i))})` : ""),
    });
    if (curve.asked) {
      data.push(prepare(curve.asked));
      series.push({ label: curve.label, stroke, width: 1.25, dash: [5, 4], points: { show: false } });
      companions.push([series.length - 1, shown]);
    }
  });
  const axis = { stroke: styleValue("--faint"), grid: { stroke: styleValue("--grid"), width: 1 }, ticks: { stroke: styleValue("--line"), width: 1, size: 5 }, font: FONT, labelFont: FONT, labelSize: 18 };
  const width = Math.max(280, place.clientWidth);
  const plot = new uPlot({
    width, height: chart.height || 250,
    padding: [DATA.phases.length > 1 && chart.phases !== false ? 20 : 8, 12, 0, 0],
    scales: { x: { time: false }, y: log ? { distr: 3 } : { range: chart.y || ((_, low, high) => uPlot.rangeNum(low ?? 0, high ?? 1, 0.08, true)) } },
    series,
    axes: [
      { ...axis, size: 36, label: chart.xLabel || "step", space: 70, values: (_, ticks) => ticks.map((v) => (chart.xFormat || ((n) => readable(n, 3)))(v)) },
      { ...axis, size: 62, label: chart.unit, labelGap: 2, values: (_, ticks) => ticks.map((v) => (v === null ? "" : format(v, 3))) },
    ],
    cursor: { sync: chart.phases === false ? undefined : { key: "steps", setSeries: false }, points: { size: 7 } },
    legend: { live: true },
    hooks: { draw: chart.phases === false ? [] : [markPhases, markChanges] },
  }, data, place);
  const rows = [...plot.root.querySelectorAll(".u-legend .u-series")];
  companions.forEach(([i, owner]) => {
    rows[i].remove();
    rows[owner].addEventListener("click", () => plot.setSeries(i, { show: plot.series[owner].show }));
  });
  return plot;
}

/// A card with a line chart, unless no curve has a value.
function lineChart(parent, chart) {
  const curves = chart.curves.filter((curve) => curve.value.some((value) => value !== null));
  if (curves.length === 0) return;
  const { made, head } = card(chart.id, chart.title, chart.about, chart.wide);
  const place = element("div", { className: "plot" });
  made.append(place);
  if (chart.choices) head.append(chart.choices);
  parent.append(made);
  charts[chart.id] = drawLines(place, { ...chart, curves });
}
