// What the page of a run shows first: its figures, when and by whom rewards were earned, what it cost, its tasks.

function runView() {
  head.tasks.forEach((row, number) => {
    row.number = number;
    row.words = [row.id, ...row.groups].join("\n").toLowerCase();
    row.texts = (tree) => tree.nodes.slice(1).map(shownWords);
  });
  const list = taskList(head.tasks);
  const element = h(
    "div",
    { class: "run" },
    h("h1", {}, head.id),
    h("p", { class: "lead" }, head.headline),
    settingsLine(),
    head.notes.map((note) => h("p", { class: "notice", dir: "auto" }, note)),
    cards(),
    glossary(),
    h("section", {}, h("h2", {}, "Tasks"), list.element),
    turnTableSection(),
    actionsSection(),
    h("div", { class: "columns" }, roundsSection(), costsSection()),
    groupsSection(),
    measuresSection(),
  );
  return { element, find: list.find };
}

function cards() {
  const { counts } = head;
  const money = (value) => amount(value, head.unit);
  const of = head.searched ? "best path of each search" : counted(counts.conversations, "conversation");
  const interval = (estimate, show) => (span(estimate, show) ? `95% interval ${span(estimate, show)}` : "");
  return h(
    "dl",
    { class: "cards" },
    card(title(head.names.rate), percent(head.rate.value), interval(head.rate, percent), of),
    card(title(head.names.mean), money(head.mean.value), interval(head.mean, money), of),
    head.confirmed && head.confirmed.share !== null
      ? card(
          explained("Wins again", TERMS["wins again"]),
          percent(head.confirmed.share),
          `${money(head.confirmed.reward)} on average`,
          `${percent(head.confirmed.in_most)} of ${counted(head.confirmed.golden, "golden path")} with four of five users`,
        )
      : null,
    card(
      explained("Mean rounds", TERMS.rounds),
      fixed(head.mean_rounds.value, 1),
      interval(head.mean_rounds, (value) => fixed(value, 1)),
    ),
    card(
      explained("Turns played", TERMS.turns),
      whole(counts.turns),
      `${whole(counts.scored)} of ${counted(counts.tasks, "task")} scored`,
    ),
    counts.training_examples
      ? card(
          explained("Training examples", TERMS["training examples"]),
          whole(counts.training_examples),
          `${whole(counts.golden_examples)} golden`,
        )
      : null,
    spendingCards(),
  );
}

/** Calls and cost, where a model was asked. */
function spendingCards() {
  const { sides, cost } = head.costs;
  const sum = (name) => sides.reduce((total, side) => total + side[name], 0);
  if (!sum("calls")) return null;
  const each = (name) =>
    sides
      .filter((side) => side[name])
      .map((side) => `${whole(side[name])} ${head.speakers[side.side] ?? side.side}`)
      .join(", ");
  const tasks = head.counts.finished;
  const per = cost > 0 && tasks ? `${dollars(cost / tasks)} a task` : "";
  return [
    card("Model calls", whole(sum("calls")), each("calls")),
    card("Cost", dollars(cost), per, `${whole(sum("prompt_tokens"))} + ${whole(sum("completion_tokens"))} tokens`),
  ];
}

function roundsSection() {
  const most = Math.max(...head.rounds.map((each) => each.reward), 0);
  const rows = head.rounds.map((each) => [
    String(each.round),
    bar(most ? each.reward / most : 0),
    amount(each.reward, head.unit),
    whole(each.count),
  ]);
  const columns = [
    ["round", null],
    ["", "wide"],
    ["earned", "number"],
    ["times", "number"],
  ];
  const of = head.searched ? "best paths" : "conversations";
  const shown = rows.length ? table("", columns, rows) : h("p", { class: "small" }, "Nothing was earned.");
  return h("section", {}, h("h2", {}, "Rewards by round"), h("p", { class: "small" }, `When the ${of} earned.`), shown);
}

function costsSection() {
  const { sides, cost, retries, unpriced } = head.costs;
  const sum = (name) => sides.reduce((total, side) => total + side[name], 0);
  const names = ["calls", "prompt_tokens", "completion_tokens"];
  const rows = [
    ...sides.map((side) => [head.speakers[side.side] ?? side.side, ...names.map((name) => whole(side[name])), dollars(side.cost)]),
    ["both", ...names.map((name) => whole(sum(name))), dollars(cost)],
  ];
  const columns = [
    ["", null],
    ["calls", "number"],
    ["prompt tokens", "number"],
    ["reply tokens", "number"],
    ["cost", "number"],
  ];
  const why = unpriced.length ? ` No price or token counts for ${unpriced.join(", ")}.` : "";
  const none = "There is no summary yet: the run goes on, or was killed.";
  const missing = head.costs.damaged ? "The summary is damaged." : none;
  const unknown = `${missing} Calls and tokens are the journal's; retries and prices are not known.`;
  return h(
    "section",
    {},
    h("h2", {}, "Calls, tokens and cost"),
    h("p", { class: "small" }, retries === null ? unknown : `${counted(retries, "retry", "retries")}.${why}`),
    h("div", { class: "scroll" }, table("", columns, rows)),
  );
}

function groupsSection() {
  if (!head.groups.length) return null;
  const ends = head.groups.flatMap(({ mean }) => [mean.value, mean.low, mean.high]).filter((value) => value !== null);
  const [low, high] = [Math.min(0, ...ends), Math.max(0, ...ends)];
  const money = (value) => amount(value, head.unit);
  const kinds = [...new Set(head.groups.map((group) => group.kind))];
  const row = ({ name, tasks, rate, mean }) => [
    name,
    whole(tasks),
    percent(rate.value),
    [money(mean.value), h("span", { class: "small under" }, span(mean, money))],
    whisker(mean, low, high, head.mean.value),
    span(mean, money),
  ];
  const columns = [
    ["", "name"],
    ["tasks", "number"],
    ["rate", "number"],
    ["mean", "number mean"],
    ["", "wide"],
    ["95% interval", "number ends"],
  ];
  const said =
    `The ${head.names.rate}, and the ${head.names.mean} with its interval, drawn from ${money(low)} to ` +
    `${money(high)}; the dashed line is all of them together. Many groups, no correction: take them as hints.`;
  const part = (kind) => table(kind, columns, head.groups.filter((group) => group.kind === kind).map(row), "group");
  return h(
    "details",
    { class: "fold" },
    h("summary", {}, h("h2", {}, `By group of ${head.drawn_from}`), ` ${counted(kinds.length, "kind")} of groups`),
    h("p", { class: "small" }, said),
    h("div", { class: "groups" }, kinds.map(part)),
  );
}

function measuresSection() {
  if (!head.measures.length) return null;
  const show = (value) => fixed(value, 2);
  const rows = head.measures.map((each) => [each.name, show(each.value), span(each, show), whole(each.n)]);
  const columns = [
    ["", null],
    ["mean", "number"],
    ["95% interval", "number"],
    ["observations", "number"],
  ];
  const leaves = Object.entries(head.leaves).map(([name, count]) => `${whole(count)} ${name}`);
  const said =
    `Leaves of all trees: ${leaves.join(", ") || "none"}. The interval of the ${head.names.rate} is Wilson's, ` +
    `over tasks; all others are percentile bootstrap ones, over ${head.drawn_from}.`;
  return h(
    "section",
    {},
    h("h2", {}, "Other measures"),
    h("p", { class: "small" }, said),
    h("div", { class: "scroll" }, table("", columns, rows)),
  );
}

/** When and how the run was played; all other settings are folded. */
function settingsLine() {
  const line = ([name, value]) => h("div", {}, h("dt", {}, name), h("dd", { dir: "auto" }, value));
  const said = head.played.map(([name, value]) => h("span", {}, `${name} `, h("b", { dir: "auto" }, value)));
  return h(
    "details",
    { class: "settings" },
    h("summary", {}, h("span", { class: "played" }, said), " all settings and versions"),
    h("dl", { class: "given" }, head.settings.map(line)),
  );
}
