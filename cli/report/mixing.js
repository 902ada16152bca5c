// How well rows are mixed, beside perfect shuffles of the same examples: what report --mixing measured.
const WHOLES = { from_rows: ["from these rows", "all these rows"], from_epoch: ["from the epoch", "the corpus's epoch"] };
const fixed = (digits) => (value) => (value === null || value === undefined ? "–" : value.toFixed(digits));
const timesShuffled = (one) => fixed(2)(one.shuffled > 0 ? one.found / one.shuffled : null);

/// A chart for each property: windows' distances, and dashed those of the perfect shuffle.
function mixingCharts(parent, mixing) {
  if (!mixing) return;
  mixing.curves.forEach((spread, i) => {
    const from = spread.from_epoch ? choice.whole : "from_rows";
    const group = spread[from];
    const curves = curvesOf(group, below("found/")).map((curve) => ({ ...curve, asked: group.curves[`shuffled/${curve.label}`].value }));
    const choices = spread.from_epoch && selection(Object.entries(WHOLES).map(([key, [name]]) => [key, name]), from, (value) => (choice.whole = value));
    lineChart(parent, { id: i === 0 ? "mixing_shard" : "mixing_field", title: `Mixing by ${spread.by}`,
      about: `How far each window of ${whole(mixing.window_rows)} rows is from ${WHOLES[from][1]} (total variation), against a perfect shuffle of the same examples (dashed, in brackets). Well mixed is as near as the shuffle.`,
      x: group.step, curves: coloured("corpora", curves), choices, unit: "distance", format: fixed(3), y: fromZero, points: true });
  });
}

function mixingTables(mixing) {
  if (!mixing) {
    const { made } = card("mixing", "Mixing", "Pairs of rows in a batch that share a document, and how far windows of rows are from the whole, against a perfect shuffle.");
    made.append(element("p", { className: "empty", textContent: `Not measured yet. Measure it with: ${DATA.measure_mixing}` }));
    return made;
  }
  const { made } = card("mixing", "Mixing", `Of rows ${whole(mixing.first_row)} to ${whole(mixing.first_row + mixing.rows)}, against the mean of ${mixing.shuffles} perfect shuffles of the same examples. ` +
    "A ratio of 1 is as good as it gets; few pairs are chance. Where one is above 2 by more than chance, raise shuffle_tokens or shuffle_memory in [data]: a note says which.", true);
  const notes = [...mixing.advice];
  if (mixing.run_changed) notes.push(`The run was changed since. Measure it again with: ${DATA.measure_mixing}`);
  made.append(...notes.map((textContent) => element("div", { className: "note", textContent })));
  if (mixing.batch_rows)
    made.append(element("h3", { textContent: `Pairs of rows of a batch of ${whole(mixing.batch_rows)} that share a document` }), table(
      ["corpus", "examples", "documents", "pairs", "perfect shuffle", "ratio"],
      mixing.corpora.filter((one) => one.pairs).map((one) => [one.name, whole(one.examples), whole(one.documents), whole(one.pairs.found), fixed(1)(one.pairs.shuffled), timesShuffled(one.pairs)])));
  if (mixing.curves.length === 0) {
    made.append(element("p", { className: "empty", textContent: `No distances: fewer than two windows of ${whole(mixing.window_rows)} rows.` }));
    return made;
  }
  const rows = mixing.corpora.flatMap((one) => one.distances.flatMap((spread) => Object.keys(WHOLES).filter((from) => spread[from]).map((from) => [
    one.name, spread.by, whole(spread.values), whole(spread.windows), WHOLES[from][1],
    ...["mean", "max"].flatMap((key) => [fixed(3)(spread[from][key].found), fixed(3)(spread[from][key].shuffled), timesShuffled(spread[from][key])])])));
  made.append(element("h3", { textContent: `Distance of windows of ${whole(mixing.window_rows)} rows` }), table(
    ["corpus", "by", "values", "windows", "from", "mean", "perfect shuffle", "ratio", "greatest", "perfect shuffle", "ratio"], rows));
  return made;
}
