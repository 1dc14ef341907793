// The list of tasks: sorted by a column's heading, filtered by what became of them and by a word.

const PAGE = 15;
const MORE = 100;
const TASK_SEARCH = { placeholder: "Task, group or words said", "aria-label": "Search tasks and conversations" };
const FILTERS = [
  ["all", "All", () => true],
  ["won", "Won", (row) => row.state === "won"],
  ["lost", "Lost", (row) => row.state === "lost"],
  ["unscored", "Not scored", (row) => row.state === "error" || row.state === "unrated"],
  ["error", "With errors", (row) => row.errors > 0],
  ["duplicate", "Duplicates", (row) => row.duplicates > 0],
];
const ATTEMPTS = ["attempt", "Reward-tag attempts", (row) => row.attempts > 0];

function taskFilters() {
  return head.tagged ? [...FILTERS, ATTEMPTS] : FILTERS;
}

function taskColumns() {
  return [
    { name: "task", key: (row) => row.number, show: taskLink, header: true },
    { name: "result", key: (row) => STATE_ORDER.indexOf(row.state) - row.success, show: result },
    { name: "reward", key: (row) => row.reward, show: (row) => amount(row.reward, head.unit), number: true },
    { name: "rounds", key: (row) => row.rounds, show: (row) => roundsText(row.rounds), number: true },
    { name: "turns", key: (row) => row.turns, show: (row) => whole(row.turns), number: true },
    { name: "winning leaves", key: (row) => row.wins, show: (row) => whole(row.wins), number: true },
    { name: "pairs", key: (row) => row.pairs, show: (row) => whole(row.pairs), number: true },
    { name: "duplicates", key: (row) => row.duplicates, show: (row) => whole(row.duplicates), number: true },
    head.tagged && { name: "tag attempts", key: (row) => row.attempts, show: (row) => whole(row.attempts), number: true },
    { name: "errors", key: (row) => row.errors, show: (row) => whole(row.errors), number: true },
  ].filter(Boolean);
}

const STATE_ORDER = ["won", "lost", "unrated", "error"];

function taskLink(row) {
  return h("a", { href: `#task-${row.number}`, id: `row-${row.number}` }, idOf(row.id));
}

function result(row) {
  const part = row.success > 0 && row.success < 1 ? ` ${percent(row.success)}` : "";
  return h("span", { class: `state ${row.state}` }, standingIcon(STATE_SHAPES[row.state]), `${row.state}${part}`);
}

const STATE_SHAPES = { won: "successful", lost: "lost", unrated: "dead", error: "error" };

/** The list, with its filters; `find` puts the cursor in its search field. */
function taskList(rows) {
  const columns = taskColumns();
  const state = { filter: "all", words: "", column: 0, down: false, limit: PAGE, shown: [] };
  const body = h("tbody", {});
  const count = h("p", { class: "small" });
  const more = h("button", { type: "button", onclick: () => change({ limit: state.limit + MORE }) });
  const search = searchField({ id: "task-search", ...TASK_SEARCH }, (words) => {
    change({ words, limit: PAGE });
    if (words) read();
  });
  const filters = taskFilters();
  const chips = filters.map(([name, text, fits]) =>
    chip(text, rows.filter(fits).length, () => change({ filter: name, limit: PAGE })),
  );
  const headings = columns.map((column, at) => heading(column, () => sortBy(at)));

  function sortBy(at) {
    change({ column: at, down: state.column === at ? !state.down : columns[at].number === true });
  }

  async function read() {
    await readAll(rows).catch((error) => say(error.message));
    change({});
  }

  function change(what) {
    Object.assign(state, what);
    const found = chosen();
    list(found.slice(0, state.limit));
    const left = found.length - state.limit;
    const part = left > 0 ? `The first ${whole(state.limit)} of ` : "";
    count.textContent = `${part}${counted(found.length, "task")}${found.length < rows.length ? ` of ${whole(rows.length)}` : ""}`;
    more.hidden = left <= 0;
    more.textContent = `Show ${whole(Math.min(left, MORE))} more`;
    chips.forEach((each, at) => each.setAttribute("aria-pressed", String(filters[at][0] === state.filter)));
    headings.forEach((each, at) => each.setAttribute("aria-sort", order(at)));
    if (what.filter || what.words !== undefined) say(count.textContent);
  }

  /** Put rows in the table; laying it out is what takes time, so one that stays the same is left alone. */
  function list(shown) {
    if (shown.length === state.shown.length && shown.every((row, at) => row === state.shown[at])) return;
    state.shown = shown;
    body.replaceChildren(...shown.map((row) => (row.line ??= taskRow(row, columns))));
  }

  function order(at) {
    if (state.column !== at) return "none";
    return state.down ? "descending" : "ascending";
  }

  function chosen() {
    const [, , fits] = filters.find(([name]) => name === state.filter);
    const { key } = columns[state.column];
    const way = state.down ? -1 : 1;
    const none = (row) => Number(key(row) === null); // they come last, whichever way
    return rows
      .filter((row) => fits(row) && row.words.includes(state.words))
      .sort((a, b) => none(a) - none(b) || way * (key(a) - key(b)) || a.number - b.number);
  }

  change({});
  const scroll = h("div", { class: "scroll task-box", tabindex: 0, role: "region", "aria-label": "Tasks" });
  scroll.append(h("table", { class: "tasks" }, h("thead", {}, h("tr", {}, headings)), body));
  const choice = h("div", { class: "chips", role: "group", "aria-label": "Filter tasks" }, chips);
  const foot = h("div", { class: "foot" }, count, more);
  return { element: h("div", {}, h("div", { class: "tools" }, choice, search), scroll, foot), find: search };
}

function chip(text, count, onclick) {
  const name = [text, " ", h("span", { class: "count" }, whole(count))];
  return h("button", { type: "button", class: "chip", disabled: count ? null : "", onclick }, name);
}

function heading(column, onclick) {
  const button = h("button", { type: "button", class: "sort", title: TERMS[column.name], onclick }, column.name);
  return h("th", { scope: "col", class: column.number ? "number" : null }, button);
}

function taskRow(row, columns) {
  const cell = (column) => {
    const kind = column.number ? "number" : null;
    return column.header ? h("th", { scope: "row" }, column.show(row)) : h("td", { class: kind }, column.show(row));
  };
  return h("tr", {}, columns.map(cell));
}
