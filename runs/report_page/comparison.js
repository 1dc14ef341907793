// Two runs on the same tasks: what sets them apart, and the conversations that one won and the other lost.

const BOOTSTRAP =
  "All intervals are percentile bootstrap ones over people, that of the rate too, for which a run's own page has " +
  "Wilson's. Where all conversations agree they have no width, which does not say that the next one would.";

function comparisonView() {
  const { difference: less, runs, unit } = head;
  const money = (value) => amount(value, unit);
  head.flips.forEach((row, number) => {
    row.number = number;
    row.words = [row.task, ...row.groups].join("\n").toLowerCase();
  });
  const list = flipList();
  const test = less.mcnemar;
  const people = (count) => counted(count, "person", "people");
  const p = test.p < 0.001 ? "p < 0.001" : `p = ${test.p.toPrecision(2)}`;
  const of = head.searched ? "the best path of each search" : `${counted(head.each, "conversation")} each`;
  const element = h(
    "div",
    { class: "run" },
    h("h1", {}, head.id),
    h(
      "p",
      { class: "lead" },
      `${counted(head.tasks_shared, "task")} that both played, ${of}; ${people(head.people)}, user ${runs[0].user}.`,
    ),
    head.notes.map((note) => h("p", { class: "notice", dir: "auto" }, note)),
    h(
      "dl",
      { class: "cards" },
      differenceCard(head.names.rate, less.success_rate, points),
      differenceCard(head.names.mean, less.average_reward, money),
      card(
        "McNemar's test",
        p,
        `only the second won with ${people(test.only_here)}, only the first with ${whole(test.only_there)}`,
        "first conversation of every person",
      ),
      card("Flipped", whole(head.flips.length), `of ${counted(less.pairs, "pair")} of conversations`),
    ),
    h("section", {}, h("h2", {}, "Both runs"), h("p", { class: "small" }, BOOTSTRAP), h("div", { class: "scroll" }, bothTable(runs, money))),
    differingSection(),
    h("section", {}, h("h2", {}, "Flipped conversations"), list.element),
  );
  return { element, find: list.find };
}

function differenceCard(name, estimate, show) {
  const plain = (value) => signed(value, show);
  return card(
    `${title(name)}: second less first`,
    plain(estimate.value),
    span(estimate, plain) && `95% interval ${span(estimate, plain)}`,
    "paired, clustered by person",
  );
}

function bothTable(runs, money) {
  const columns = [
    ["", null],
    [head.names.rate, "number"],
    ["95% interval", "number"],
    [head.names.mean, "number"],
    ["95% interval", "number"],
    ["conversations", "number"],
    ["errors", "number"],
    ["calls, all tasks", "number"],
    ["cost", "number"],
  ];
  const row = (run, at) => [
    `${at ? "second" : "first"}: ${run.name} (${run.policy})`,
    percent(run.success_rate.value),
    span(run.success_rate, percent),
    money(run.average_reward.value),
    span(run.average_reward, money),
    whole(run.scored),
    whole(run.infra_errors),
    whole(run.calls),
    dollars(run.cost),
  ];
  return table("", columns, runs.map(row));
}

/** What was set otherwise in the second run. */
function differingSection() {
  const columns = [
    ["", "name"],
    ["first", "value"],
    ["second", "value"],
  ];
  const rows = head.settings.map(([name, ...both]) => [name, ...both.map((value) => h("bdi", {}, value))]);
  const shown = rows.length ? table("", columns, rows) : h("p", { class: "small" }, "None.");
  return h("section", {}, h("h2", {}, "Settings that differ"), h("div", { class: "scroll" }, shown));
}

const FLIPS = [
  ["all", "All", () => true],
  ["gained", "Lost, then won", (row) => row.won === 1],
  ["dropped", "Won, then lost", (row) => row.won === 0],
];

function flipList() {
  const rows = head.flips;
  const state = { filter: 0, words: "" };
  const body = h("ul", { class: "flips", tabindex: 0, "aria-label": "Flipped conversations" });
  const count = h("p", { class: "small" });
  const search = h("input", {
    type: "search",
    placeholder: "Task or group of people",
    "aria-label": "Search tasks",
    oninput: () => change({ words: search.value.toLowerCase() }),
  });
  const chips = FLIPS.map(([, text, fits], at) => chip(text, rows.filter(fits).length, () => change({ filter: at })));

  function change(what) {
    Object.assign(state, what);
    const found = rows.filter((row) => FLIPS[state.filter][2](row) && row.words.includes(state.words));
    body.replaceChildren(...found.map(flipRow));
    count.textContent = `${whole(found.length)} of ${whole(rows.length)}`;
    chips.forEach((each, at) => each.setAttribute("aria-pressed", String(at === state.filter)));
  }

  change({});
  const filters = h("div", { class: "chips", role: "group", "aria-label": "Filter" }, chips);
  return { element: h("div", {}, h("div", { class: "tools" }, filters, search), body, count), find: search };
}

function flipName(row) {
  return [idOf(row.task), row.path && `, conversation ${Number(row.path) + 1}`];
}

function flipRow(row) {
  const states = row.won ? ["lost", "won"] : ["won", "lost"];
  const one = (state, at) =>
    h(
      "span",
      { class: `state ${state}` },
      standingIcon(STATE_SHAPES[state]),
      `${state} ${amount(row.rewards[at], head.unit)}`,
    );
  return h(
    "li",
    {},
    h("a", { href: `#flip-${row.number}`, id: `row-${row.number}` }, flipName(row)),
    h("span", { class: "change" }, one(states[0], 0), " then ", one(states[1], 1)),
  );
}

/** Both conversations of a flipped task, side by side. */
function flipView(row, { sides }) {
  const side = (turns, at) =>
    h(
      "section",
      { class: "side" },
      h(
        "h2",
        {},
        standingIcon(at === row.won ? "successful" : "lost"),
        `${at ? "Second" : "First"}: ${at === row.won ? "won" : "lost"} ${amount(row.rewards[at], head.unit)}`,
      ),
      h("p", { class: "small" }, `${head.runs[at].name}, ${counted(row.rounds[at], "round")}`),
      h(
        "ol",
        { class: "turns" },
        turns.flatMap((node) => turn({ parent: 0, ...node }, "agent")),
      ),
    );
  const element = h(
    "div",
    {},
    h(
      "div",
      { class: "task-head" },
      links("Flips", "flip", row.number, head.flips.length),
      h("h1", { tabindex: -1 }, flipName(row)),
      row.groups.length ? h("p", { class: "small" }, row.groups.join(", ")) : null,
    ),
    h("div", { class: "sides" }, sides.map(side)),
  );
  return {
    element,
    find: null,
    opened: () => element.querySelector("h1").focus({ preventScroll: true }),
    choose: null,
  };
}
