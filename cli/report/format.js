// Numbers, times and small elements.
const DATA = JSON.parse(document.getElementById("data").textContent);
const element = (tag, properties = {}, ...children) => {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
};
const byId = (id) => document.getElementById(id);

const trimmed = (value, digits) => String(Number(value.toPrecision(digits)));

/// 4 significant digits, decimal prefixes from ten thousand on: 5.412, 16.2 k, 1.05 M, 3.1e-6.
function readable(value, digits = 4) {
  if (value === null || value === undefined || !Number.isFinite(value)) return "–";
  const size = Math.abs(value);
  for (const [limit, unit] of [[1e12, "T"], [1e9, "G"], [1e6, "M"], [1e4, "k"]]) {
    const step = unit === "k" ? 1e3 : limit;
    if (size >= limit) return trimmed(value / step, Math.min(digits, 3)) + " " + unit;
  }
  if (size !== 0 && size < 1e-3) return value.toExponential(2);
  return trimmed(value, digits);
}
const whole = (value) => Math.round(value).toLocaleString("en-US");
const percent = (value, digits = 3) => (value === null || value === undefined ? "–" : trimmed(100 * value, digits) + " %");
const bytes = (value) => readable(value, 3) + (readable(value, 3).includes(" ") ? "B" : " B");

function duration(seconds) {
  if (seconds === null || seconds === undefined) return "–";
  const all = Math.round(seconds);
  const [days, hours, minutes] = [Math.floor(all / 86400), Math.floor(all / 3600) % 24, Math.floor(all / 60) % 60];
  const two = (n) => String(n).padStart(2, "0");
  if (days > 0) return `${days} d ${hours} h`;
  return hours > 0 ? `${hours}:${two(minutes)}:${two(all % 60)}` : `${minutes}:${two(all % 60)}`;
}

// Colours that colour-blind readers can distinguish (after Okabe and Ito); a ninth curve reuses the first one, dashed.
const COLOURS = {
  light: ["#0072b2", "#d55e00", "#008f68", "#b8478d", "#a87400", "#3d9bd6", "#5b4db5", "#5f6975"],
  dark: ["#56a8ee", "#ff8a4c", "#2fd09c", "#ee92c6", "#f2bd42", "#9bd5f7", "#aa9df5", "#b4bec9"],
};
const isDark = () => {
  const chosen = document.documentElement.dataset.theme;
  return chosen ? chosen === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
};
const colour = (i) => COLOURS[isDark() ? "dark" : "light"][i % 8];
const dashes = (i) => [undefined, [8, 4], [2, 3], [12, 3, 2, 3]][Math.floor(i / 8) % 4];
const styleValue = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
