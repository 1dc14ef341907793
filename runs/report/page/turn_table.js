// The table of turns that the rewards count, such as what the learner of a debate did by who was right before.

function turnTableSection() {
  const found = head.turn_table;
  if (!found) return null;
  const share = (cell) => [
    cell.count ? percent(cell.value) : NONE,
    small(cell.count ? `${whole(cell.count)}; ${span(cell, percent)}` : ""),
  ];
  const columns = [["", "name"], ["turns", "number"], ...found.columns.map((name) => [name, "number"])];
  const line = ({ row, turns, cells }) => [row, whole(turns), ...cells.map(share)];
  const part = (directive) =>
    h(
      "div",
      { class: "scroll" },
      table(
        directive ? `Under the directive ${beginning(directive, 40)}` : "All turns",
        columns,
        found.rows.filter((row) => row.directive === directive).map(line),
        "turn-table",
      ),
    );
  const directives = [...new Set(found.rows.map((row) => row.directive))];
  const said =
    `${found.about} The shares of a row, the numbers of turns, and 95% intervals (Wilson's); turns of one task are ` +
    "related, so an interval is as wide as that of one turn a task.";
  return h(
    "section",
    {},
    h("h2", {}, found.title),
    h("p", { class: "small" }, said),
    part(""),
    directives.length > 1
      ? h("details", {}, h("summary", {}, "By directive"), directives.filter(Boolean).map(part))
      : null,
  );
}
