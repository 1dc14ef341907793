// Small charts that are tables: every bar and whisker has its number beside it.

/** A bar of some share of its cell. */
function bar(share) {
  const rect = s("rect", {
    width: `${(100 * Math.max(share, 0)).toFixed(2)}%`,
    height: "100%",
    rx: 2,
    class: "bar-fill",
  });
  return s("svg", { class: "bar-chart", "aria-hidden": "true" }, rect);
}

/** A dot with its interval on a scale from `low` to `high`; a line across marks the whole run's value. */
function whisker(estimate, low, high, mark) {
  const place = (value) => `${(4 + (92 * (value - low)) / (high - low || 1)).toFixed(2)}%`;
  const chart = s("svg", { class: "whisker", "aria-hidden": "true" });
  const line = (x1, x2, name) => s("line", { x1: place(x1), x2: place(x2), y1: "50%", y2: "50%", class: name });
  if (mark !== null) chart.append(s("line", { x1: place(mark), x2: place(mark), y1: 0, y2: "100%", class: "mark" }));
  if (estimate.low !== null) chart.append(line(estimate.low, estimate.high, "interval"));
  if (estimate.value !== null) chart.append(s("circle", { cx: place(estimate.value), cy: "50%", r: 4, class: "dot" }));
  return chart;
}

/** A table; the first cell of every row is its header. Columns are `[heading, class]`. */
function table(caption, columns, rows, name = "") {
  const heading = ([text, kind]) => h("th", { scope: "col", class: kind }, text);
  const line = ([first, ...cells]) =>
    h(
      "tr",
      {},
      h("th", { scope: "row", class: columns[0][1] }, first),
      cells.map((cell, at) => h("td", { class: columns[at + 1][1] }, cell)),
    );
  return h(
    "table",
    { class: name },
    caption ? h("caption", {}, caption) : null,
    h("thead", {}, h("tr", {}, columns.map(heading))),
    h("tbody", {}, rows.map(line)),
  );
}

/** One figure that leads: its name, its value, and what is to be said of it. */
function card(name, value, ...notes) {
  return h("div", { class: "card" }, h("dt", {}, name), h("dd", {}, h("strong", {}, value), notes.map(small)));
}

function small(text) {
  return text ? h("span", { class: "small" }, text) : null;
}
