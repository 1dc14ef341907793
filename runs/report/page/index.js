// All runs, evaluations and loops of a folder, the latest first, with links to their pages.

const KINDS = [
  ["All", () => true],
  ["Runs", (entry) => entry.kind === "run"],
  ["Evaluations", (entry) => entry.kind === "evaluation"],
  ["Loops", (entry) => entry.kind === "loop"],
  ["Not finished", (entry) => entry.state !== "finished"],
];

function indexView() {
  const state = { filter: 0, words: "" };
  const rows = head.entries.map((entry) => ({ entry, words: JSON.stringify(Object.values(entry)).toLowerCase() }));
  const box = h("div", { class: "scroll" });
  const count = h("p", { class: "small" });
  const search = searchField({ placeholder: "Name, model or world", "aria-label": "Search runs" }, (words) => change({ words }));
  const chips = KINDS.map(([text, fits], at) => chip(text, head.entries.filter(fits).length, () => change({ filter: at })));

  function change(what) {
    Object.assign(state, what);
    const found = rows.filter(({ entry, words }) => KINDS[state.filter][1](entry) && words.includes(state.words));
    box.replaceChildren(table("", INDEX_COLUMNS, found.map(({ entry }) => indexRow(entry)), "records"));
    count.textContent = `${whole(found.length)} of ${whole(rows.length)}`;
    chips.forEach((each, at) => each.setAttribute("aria-pressed", String(at === state.filter)));
  }

  change({});
  const filters = h("div", { class: "chips", role: "group", "aria-label": "Filter runs" }, chips);
  const element = h(
    "div",
    { class: "run" },
    h("h1", {}, head.id),
    h("p", { class: "lead" }, "All runs, evaluations and loops of this folder, the latest first."),
    h("div", { class: "tools" }, filters, search),
    box,
    count,
    head.left_out ? h("p", { class: "small", dir: "auto" }, `Not listed: ${head.left_out}.`) : null,
  );
  return { element, find: search };
}

const INDEX_COLUMNS = [
  ["", "name"],
  ["played", null],
  ["what", null],
  ["agent", null],
  ["user", null],
  ["tasks", "number"],
  ["success", "number"],
  ["reward", "number"],
  ["calls", "number"],
  ["cost", "number"],
  ["state", null],
];

function indexRow(entry) {
  const name = h("bdi", {}, entry.name);
  const worth = (value) => amount(value, entry.unit);
  const tasks = entry.finished === null || entry.finished === entry.tasks ? "" : `${whole(entry.finished)} of `;
  return [
    entry.page ? h("a", { href: linkTo(entry.page) }, name) : name,
    entry.started,
    [`${entry.world} ${entry.kind}`, small(entry.played)],
    h("bdi", {}, entry.agent),
    h("bdi", {}, entry.user),
    entry.tasks === null ? NONE : `${tasks}${whole(entry.tasks)}`,
    percent(entry.success),
    [worth(entry.reward), entry.before === null ? null : small(`before: ${worth(entry.before)}`)],
    whole(entry.calls),
    entry.calls ? dollars(entry.cost) : NONE,
    entry.damaged ? explained(entry.state, entry.damaged) : entry.state,
  ];
}
