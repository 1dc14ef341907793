// Two runs on the same tasks: what sets them apart, and the conversations that came out otherwise.

function comparisonView() {
  const { difference: less, runs, unit } = head;
  const money = (value) => amount(value, unit);
  head.changes.forEach((row, number) => {
    row.number = number;
    row.words = [row.task, ...row.groups].join("\n").toLowerCase();
    row.texts = ({ sides }) => sides.flat().map((node) => wordsOf(node.messages));
  });
  const list = changeList();
  const one = head.searched ? "best path" : "conversation";
  const flips = head.changes.filter(flipped).length;
  const test = less.mcnemar;
  const [single, many] = head.drawn_from === "people" ? ["person", "people"] : ["task", "tasks"];
  const won = single === "person" ? "with" : "on";
  const among = (count) => counted(count, single, many);
  const bootstrap =
    `All intervals are percentile bootstrap ones over ${many}, that of the rate too, for which a run's own page has ` +
    "Wilson's. Where all agree they have no width, which does not say that the next one would.";
  const p = test.p < 0.001 ? "p < 0.001" : `p = ${test.p.toPrecision(2)}`;
  const of = head.searched ? "the best path of each search" : `${counted(head.each, "conversation")} each`;
  const element = h(
    "div",
    { class: "run" },
    h("h1", {}, head.id),
    h(
      "p",
      { class: "lead" },
      `${counted(head.tasks_shared, "task")} that both played, ${of}; ` +
        `${single === "person" ? `${among(head.people)}, ` : ""}user ${runs[0].user}.`,
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
        `only ${runs[1].label} won ${won} ${among(test.only_here)}, only ${runs[0].label} ${won} ${whole(test.only_there)}`,
        head.searched
          ? `best path of every ${single === "person" ? "person's first " : ""}task`
          : `first conversation of every ${single}`,
      ),
      card("Flipped", whole(flips), `of ${counted(less.pairs, "pair")} of ${one}s`),
    ),
    h(
      "section",
      {},
      h("h2", {}, "Both runs"),
      h("p", { class: "small" }, bootstrap),
      h("div", { class: "scroll" }, bothTable(runs, one, money)),
    ),
    differingSection(),
    h(
      "section",
      {},
      h("h2", {}, `${title(one)}s that came out otherwise`),
      h("p", { class: "small" }, changesText(flips)),
      list.element,
    ),
  );
  return { element, find: list.find };
}

function differenceCard(name, estimate, show) {
  const plain = (value) => signed(value, show);
  return card(
    [`${title(name)}: `, h("bdi", {}, head.runs[1].label), " less ", h("bdi", {}, head.runs[0].label)],
    /[1-9]/.test(plain(estimate.value)) ? plain(estimate.value) : "no difference",
    span(estimate, plain) && `95% interval ${ends(estimate, plain)}`,
    head.drawn_from === "people" ? "paired, clustered by person" : "paired by task",
  );
}

/** The ends of an interval; a unit behind the numbers stands once. */
function ends({ low, high }, show) {
  return `${show(low).replace(/ points$/, "")} to ${show(high)}`;
}

function bothTable(runs, one, money) {
  const columns = [
    ["", null],
    [head.names.rate, "number"],
    ["95% interval", "number"],
    [head.names.mean, "number"],
    ["95% interval", "number"],
    [`${one}s`, "number"],
    ["errors", "number"],
    ["calls, all tasks", "number"],
    ["cost", "number"],
  ];
  const row = (run) => [
    h("bdi", {}, `${run.label}${run.label === run.name ? "" : ` (${run.name})`}`),
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

/** What was set otherwise in one of the runs. */
function differingSection() {
  const columns = [
    ["", "name"],
    ...head.runs.map((run) => [h("bdi", {}, run.label), "value"]),
  ];
  const rows = head.settings.map(([name, ...both]) => [name, ...both.map((value) => h("bdi", {}, value))]);
  const shown = rows.length ? table("", columns, rows) : h("p", { class: "small" }, "None.");
  return h("section", {}, h("h2", {}, "Settings that differ"), h("div", { class: "scroll" }, shown));
}

/** The filters: their names, and which changes they keep. */
function changeFilters() {
  const [one, two] = head.runs.map((run) => run.label);
  return [
    ["All", () => true],
    [`Only ${two} won`, (row) => row.won[0] < row.won[1]],
    [`Only ${one} won`, (row) => row.won[0] > row.won[1]],
    [`More with ${two}`, (row) => !flipped(row) && row.rewards[0] < row.rewards[1]],
    [`More with ${one}`, (row) => !flipped(row) && row.rewards[0] > row.rewards[1]],
  ];
}

function flipped({ won }) {
  return won[0] !== won[1];
}

/** What the list holds, in words. */
function changesText(flips) {
  const listed = head.changes.length - flips;
  const most = listed < head.moved ? `the ${whole(listed)} of ${whole(head.moved)} that moved most` : whole(listed);
  return `First those that only one of the two won: ${whole(flips)}. Then others whose reward moved: ${most}.`;
}

function changeList() {
  const rows = head.changes;
  const CHANGES = changeFilters();
  const state = { filter: 0, words: "" };
  const body = h("ul", { class: "flips", tabindex: 0, "aria-label": "What came out otherwise" });
  const count = h("p", { class: "small" });
  const search = searchField(TASK_SEARCH, (words) => {
    change({ words });
    if (words) readAll(rows).then(() => change({}), (error) => say(error.message));
  });
  const chips = CHANGES.map(([text, fits], at) => chip(text, rows.filter(fits).length, () => change({ filter: at })));

  function change(what) {
    Object.assign(state, what);
    const found = rows.filter((row) => CHANGES[state.filter][1](row) && row.words.includes(state.words));
    body.replaceChildren(...found.map((row) => (row.line ??= changeRow(row))));
    count.textContent = `${whole(found.length)} of ${whole(rows.length)}`;
    chips.forEach((each, at) => each.setAttribute("aria-pressed", String(at === state.filter)));
  }

  change({});
  const filters = h("div", { class: "chips", role: "group", "aria-label": "Filter" }, chips);
  return { element: h("div", {}, h("div", { class: "tools" }, filters, search), body, count), find: search };
}

function changeName(row) {
  return [idOf(row.task), row.path && `, conversation ${Number(row.path) + 1}`];
}

/** How one of the two came out: its state, and the same with the reward. */
function sideOf(row, at) {
  const state = row.won[at] ? "won" : "lost";
  return { icon: standingIcon(STATE_SHAPES[state]), state, text: `${state} ${amount(row.rewards[at], head.unit)}` };
}

function changeRow(row) {
  const [one, two] = [0, 1].map((at) => {
    const { icon, state, text } = sideOf(row, at);
    return h("span", { class: `state ${state}` }, icon, text);
  });
  return h(
    "li",
    {},
    h("a", { href: `#change-${row.number}`, id: `row-${row.number}` }, changeName(row)),
    h("span", { class: "change" }, one, " and ", two),
    row.last.map((words, at) =>
      h("span", { class: "small said" }, h("bdi", {}, `${head.runs[at].label}: `), written(words || "(nothing)", "span")),
    ),
  );
}

/** Both conversations that came out otherwise, side by side. */
function changeView(row, { sides }) {
  const side = (turns, at) =>
    h(
      "section",
      { class: "side" },
      h("h2", {}, sideOf(row, at).icon, h("bdi", {}, `${head.runs[at].label}: `), sideOf(row, at).text),
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
      links("Changes", "change", row.number, head.changes.length),
      h("h1", { tabindex: -1 }, changeName(row)),
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
