// An evaluation or a loop: its tables with intervals, the curve of a loop, and links to the pages of its runs.

function overview() {
  const loop = head.kind === "loop";
  const element = h(
    "div",
    { class: "run" },
    h("h1", {}, head.id),
    h("p", { class: "lead" }, head.headline),
    overviewSettings(),
    head.notes.map((note) => h("p", { class: "notice", dir: "auto" }, note)),
    loop ? loopSections() : evaluationSections(),
    runsSection(),
    glossary(),
  );
  return { element, find: null };
}

function overviewSettings() {
  const line = ([name, value]) => h("div", {}, h("dt", {}, name), h("dd", { dir: "auto" }, value));
  const said = head.played.map(([name, value]) => h("span", {}, `${name} `, h("b", {}, value)));
  if (!head.settings.length) return h("p", { class: "small played" }, said);
  return h(
    "details",
    { class: "settings" },
    h("summary", {}, h("span", { class: "played" }, said), " settings of all runs"),
    h("dl", { class: "given" }, head.settings.map(line)),
  );
}

const money = (value) => amount(value, head.unit);
const moneyMore = (value) => signed(value, money);
const pointsMore = (value) => signed(value, points);

function interval(estimate, show) {
  return span(estimate, show) ? explained(`95% interval ${ends(estimate, show)}`, TERMS["95% interval"]) : "";
}

/** The page of a policy's run, if it has one. */
function runLink(policy, user) {
  const run = head.runs.find((each) => each.policy === policy && each.user === user);
  const name = h("bdi", {}, policy);
  return run?.page ? h("a", { href: linkTo(run.page) }, name) : name;
}

function linkTo(page) {
  return page.split("/").map(encodeURIComponent).join("/");
}

/** The least and the greatest end of some estimates, with 0 among them. */
function scale(estimates) {
  const found = estimates.flatMap(({ value, low, high }) => [value, low, high]).filter((each) => each !== null);
  return [Math.min(0, ...found), Math.max(0, ...found)];
}

function evaluationSections() {
  if (!head.blocks.length) return null;
  return [
    h("p", { class: "small" }, head.held_out),
    head.suite ? suiteSections() : evaluationCards(),
    head.suite ? null : matrixSection(),
    head.blocks.map(blockSection),
  ];
}

/** The numbers of a suite: a table for each user model, and one of the paired differences. */
function suiteSections() {
  const { name, columns, results, order_gap: gaps, further } = head.suite;
  const two = (value) => fixed(value, 2);
  const twoMore = (value) => signed(value, two);
  const cellOf = (estimate, show) => [show(estimate.value), small(span(estimate, show))];
  const heads = [["", "name"], ...columns.map((each) => [each.replaceAll("_", " "), "number"])];
  const tableOf = (caption, cells, show, link) =>
    cells.length
      ? h(
          "div",
          { class: "scroll" },
          table(
            caption,
            heads,
            cells.map(([policy, cell, user]) => [
              link ? runLink(policy, user) : h("bdi", {}, policy),
              ...columns.map((each) => cellOf(cell[each], show)),
            ]),
            "policies",
          ),
        )
      : null;
  const gapText = (gap) =>
    h("p", {}, "Order gap of ", h("bdi", {}, gap.policy), `: ${two(gap.value)}`, gap.low === null ? "" : ` [${two(gap.low)}, ${two(gap.high)}]`);
  return [...new Set(results.map((cell) => cell.user))].map((user) => {
    const own = results.filter((cell) => cell.user === user);
    const others = own.filter((cell) => cell.difference);
    const from = [...new Set(others.map((cell) => cell.difference.from))].join(", ");
    return h(
      "section",
      {},
      h("h2", {}, `Suite ${name}, with `, h("bdi", {}, user)),
      tableOf("", own.map((cell) => [cell.policy, cell, user]), two, true),
      tableOf(["Less ", h("bdi", {}, from), ", paired"], others.map((cell) => [cell.policy, cell.difference, user]), twoMore, false),
      (gaps ?? []).filter((gap) => gap.user === user).map(gapText),
      further ? h("div", { class: "scroll" }, h("pre", {}, further.lines.join("\n"))) : null,
    );
  });
}

function evaluationCards() {
  const { cells, user } = head.blocks[0];
  const [first, second] = cells;
  const policy = second?.difference && !head.references.includes(second.policy) ? second : first;
  const less = policy.difference;
  const cost = (cell) => cell.cost === null ? "unknown cost" : dollars(cell.cost);
  const all = head.blocks.flatMap((block) => block.cells);
  const calls = all.reduce((sum, cell) => sum + cell.calls, 0);
  const known = all.every((cell) => cell.cost !== null);
  const about = `${policy.policy} with ${user}`;
  return h(
    "dl",
    { class: "cards" },
    card(title(head.names.rate), percent(policy.success_rate.value), interval(policy.success_rate, percent), about + ofScored(policy)),
    card(title(head.names.mean), money(policy.average_reward.value), interval(policy.average_reward, money), about + ofScored(policy)),
    less
      ? card(
          [title(head.names.mean), ": less ", h("bdi", {}, less.from)],
          moneyMore(less.average_reward.value),
          interval(less.average_reward, moneyMore),
          `paired; McNemar's test of the wins: ${pText(less.mcnemar.p)}`,
        )
      : null,
    calls ? card("Model calls", whole(calls), "all policies, both sides") : null,
    calls ? card("Cost", known ? dollars(all.reduce((sum, cell) => sum + cell.cost, 0)) : cost({ cost: null })) : null,
  );
}

/** Of how many conversations a number is, where an error ended some of them. */
function ofScored(cell) {
  return cell.infra_errors ? ` of ${whole(cell.scored)} of ${whole(cell.conversations)}` : "";
}

function pText(p) {
  return p < 0.001 ? "p < 0.001" : `p = ${p.toPrecision(2)}`;
}

/** Every policy with every user model, in one table. */
function matrixSection() {
  if (head.blocks.length < 2) return null;
  const policies = [...new Set(head.blocks.flatMap((block) => block.cells.map((cell) => cell.policy)))];
  const columns = [["", "name"], ...head.blocks.map((block) => [h("bdi", {}, block.user), "number"])];
  const cellOf = (block, policy) => block.cells.find((cell) => cell.policy === policy);
  const shown = (cell) =>
    cell
      ? [
          money(cell.average_reward.value),
          small(span(cell.average_reward, money)),
          cell.difference ? small(lessText(cell.difference.average_reward)) : null,
          cell.less_reference ? small(`${lessText(cell.less_reference)} from people`) : null,
          small(`${percent(cell.success_rate.value)} won`),
        ]
      : NONE;
  const lessText = (less) =>
    `${moneyMore(less.value)}${less.low === null ? "" : ` [${moneyMore(less.low)}, ${moneyMore(less.high)}]`} paired`;
  const rows = policies.map((policy) => [
    h("bdi", {}, policy),
    ...head.blocks.map((block) => shown(cellOf(block, policy))),
  ]);
  if (head.people) rows.push([peopleText(), ...head.blocks.map(() => [money(head.people.value), small(span(head.people, money))])]);
  const base = head.blocks[0].cells[0].policy;
  return h(
    "section",
    {},
    h("h2", {}, "Every policy with every user model"),
    h(
      "p",
      { class: "small" },
      `The ${head.names.mean} with its 95% interval; below it the paired difference from `,
      h("bdi", {}, base),
      ", and the share that was won.",
    ),
    h("div", { class: "scroll" }, table("", columns, rows, "matrix")),
  );
}

function peopleText() {
  return explained("people on these dialogues", "What the people of the data did in the same dialogues.");
}

function blockSection({ user, note, cells }) {
  const rates = [0, 1];
  const means = scale([...cells.map((cell) => cell.average_reward), ...(head.people ? [head.people] : [])]);
  const columns = [
    ["", "name"],
    [head.names.rate, "number"],
    ["", "wide"],
    [head.names.mean, "number"],
    ["", "wide"],
    [explained("rounds", TERMS.rounds), "number"],
    [explained(`pass^${head.k}`, `The chance that ${head.k} conversations on a task all succeed.`), "number"],
    ["calls", "number"],
    ["cost", "number"],
    ["errors", "number"],
  ];
  const row = (cell) => [
    runLink(cell.policy, user),
    [percent(cell.success_rate.value), small(span(cell.success_rate, percent)), small(ofScored(cell))],
    whisker(cell.success_rate, ...rates, null),
    [money(cell.average_reward.value), small(span(cell.average_reward, money)), small(ofScored(cell))],
    whisker(cell.average_reward, ...means, head.people?.value ?? null),
    fixed(cell.mean_rounds.value, 1),
    fixed(cell.pass_hat[head.k]?.value),
    whole(cell.calls),
    cell.calls ? dollars(cell.cost) : NONE,
    cell.infra_errors ? h("span", { class: "bad" }, `${whole(cell.infra_errors)} left out`) : "0",
  ];
  const rows = cells.map(row);
  if (head.people)
    rows.push([
      peopleText(),
      NONE,
      null,
      [money(head.people.value), small(span(head.people, money))],
      whisker(head.people, ...means, head.people.value),
      ...Array(5).fill(NONE),
    ]);
  return h(
    "section",
    {},
    h("h2", {}, "User model ", h("bdi", {}, user), note ? ` (${note})` : ""),
    h("div", { class: "scroll" }, table("", columns, rows, "policies")),
    changesTable(cells),
  );
}

/** The paired differences from the first policy. */
function changesTable(cells) {
  const others = cells.filter((cell) => cell.difference);
  if (!others.length) return null;
  const [rates, means] = ["success_rate", "average_reward"].map((name) =>
    scale(others.map((cell) => cell.difference[name])),
  );
  const columns = [
    ["", "name"],
    [head.names.rate, "number"],
    ["", "wide"],
    [head.names.mean, "number"],
    ["", "wide"],
    ["McNemar's test", "number"],
    ["pairs", "number"],
  ];
  const row = ({ policy, difference: less }) => [
    h("bdi", {}, policy),
    [pointsMore(less.success_rate.value), small(less.success_rate.low === null ? "" : ends(less.success_rate, pointsMore))],
    whisker(less.success_rate, ...rates, 0),
    [moneyMore(less.average_reward.value), small(span(less.average_reward, moneyMore))],
    whisker(less.average_reward, ...means, 0),
    pText(less.mcnemar.p),
    whole(less.pairs),
  ];
  const caption = [`Less `, h("bdi", {}, others[0].difference.from), ", paired; the dashed line is no difference"];
  return h("div", { class: "scroll" }, table(caption, columns, others.map(row), "policies"));
}

function loopSections() {
  if (!head.base) return null;
  const cells = [head.base, ...head.rounds];
  return [
    loopCards(),
    head.rounds.length ? curveSection(cells) : null,
    loopTable("By round", [...cells, head.control, ...head.references].filter(Boolean), head.user),
    head.other_users.map(({ user, cells: theirs }) =>
      loopTable(["With the user model ", h("bdi", {}, user), ", which it was not trained against"], theirs, user),
    ),
    searchSection(),
  ];
}

function loopCards() {
  const last = head.rounds.at(-1);
  const after = last ?? head.base;
  return h(
    "dl",
    { class: "cards" },
    card(`${title(head.names.mean)} before`, money(head.base.mean.value), interval(head.base.mean, money)),
    last ? card(`${title(head.names.mean)} after`, money(last.mean.value), interval(last.mean, money), last.label) : null,
    last
      ? card(
          "After less before",
          moneyMore(last.difference.value),
          interval(last.difference, moneyMore),
          `paired${last.gain_percent === null ? "" : `; ${signed(last.gain_percent, (value) => `${fixed(value, 0)}%`)}`}`,
        )
      : null,
    card(`${title(head.names.rate)} ${last ? "after" : "before"}`, percent(after.rate.value), interval(after.rate, percent)),
    card("Took", `${fixed(head.minutes, 1)} min`, `${counted(head.tasks_per_round, "task")} a round`),
  );
}

function curveSection(cells) {
  const named = { mean: money, rate: percent };
  return h(
    "section",
    {},
    h("h2", {}, "Round by round"),
    h("p", { class: "small" }, "Bars are 95% intervals; dashed lines are reference policies. The table below has the numbers."),
    h(
      "div",
      { class: "columns" },
      Object.entries(named).map(([kind, show]) =>
        h(
          "figure",
          {},
          h("figcaption", {}, title(head.names[kind])),
          curve(cells, kind, show),
          h("p", { class: "small" }, dashedText(kind, show)),
        ),
      ),
    ),
  );
}

/** What the dashed lines are, from above. */
function dashedText(kind, show) {
  const lines = head.references.filter((cell) => cell[kind].value !== null);
  lines.sort((one, other) => other[kind].value - one[kind].value);
  return lines.length ? `Dashed, from above: ${lines.map((cell) => `${cell.label} ${show(cell[kind].value)}`).join("; ")}.` : "";
}

const CURVE = { width: 460, height: 230, left: 52, right: 12, top: 12, bottom: 26 };

/** A line through the rounds with the interval of each, from 0 up; `kind` is `mean` or `rate`. */
function curve(cells, kind, show) {
  const { width, height, left, right, top, bottom } = CURVE;
  const lines = head.references.map((cell) => ({ label: cell.label, value: cell[kind].value })).filter((one) => one.value !== null);
  const [, high] = scale([...cells.map((cell) => cell[kind]), ...lines.map(({ value }) => ({ value, low: null, high: null }))]);
  const most = high || 1;
  const rounds = cells.map((cell) => cell.round ?? 0);
  const last = Math.max(...rounds, 1);
  const x = (round) => left + ((width - left - right) * (round + 0.15)) / (last + 0.3);
  const y = (value) => height - bottom - ((height - top - bottom) * value) / most;
  const at = (value) => value.toFixed(1);
  const picture = s("svg", { class: "curve", viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": curveText(cells, kind, show) });
  for (const share of [0, 0.5, 1]) {
    const level = y(share * most);
    picture.append(
      s("line", { x1: left, x2: width - right, y1: at(level), y2: at(level), class: "grid" }),
      s("text", { x: left - 6, y: at(level + 4), class: "tick end" }, show(share * most)),
    );
  }
  for (const { label, value } of lines) {
    const mark = s("line", { x1: left, x2: width - right, y1: at(y(value)), y2: at(y(value)), class: "mark" });
    mark.append(s("title", {}, `${label}: ${show(value)}`));
    picture.append(mark);
  }
  const points = cells.map((cell) => [x(cell.round ?? 0), y(cell[kind].value ?? 0), cell]);
  picture.append(s("polyline", { class: "line", points: points.map(([px, py]) => `${at(px)},${at(py)}`).join(" ") }));
  const step = Math.ceil(cells.length / 12);
  points.forEach(([px, py, cell], index) => {
    const { low, high: top95 } = cell[kind];
    if (low !== null) picture.append(s("line", { x1: at(px), x2: at(px), y1: at(y(low)), y2: at(y(top95)), class: "interval" }));
    const dot = s("circle", { cx: at(px), cy: at(py), r: 4, class: "dot" });
    dot.append(s("title", {}, `${cell.label}: ${show(cell[kind].value)}${low === null ? "" : `, 95% interval ${span(cell[kind], show)}`}`));
    picture.append(dot);
    if (index % step === 0 || index === points.length - 1)
      picture.append(s("text", { x: at(px), y: height - 8, class: "tick middle" }, index ? String(cell.round) : "base"));
  });
  return picture;
}

function curveText(cells, kind, show) {
  return `${head.names[kind]}: ${cells.map((cell) => `${cell.label} ${show(cell[kind].value)}`).join(", ")}`;
}

function loopTable(heading, cells, user) {
  const [means, changes] = [scale(cells.map((cell) => cell.mean)), scale(cells.map((cell) => cell.difference).filter(Boolean))];
  const columns = [
    ["", "name"],
    [head.names.rate, "number"],
    [head.names.mean, "number"],
    ["", "wide"],
    ["less the base, paired", "number"],
    ["", "wide"],
    ["gain", "number"],
    ["rows", "number"],
    ["calls", "number"],
    ["errors", "number"],
  ];
  const row = (cell) => [
    runLink(cell.policy, user),
    [percent(cell.rate.value), small(span(cell.rate, percent))],
    [money(cell.mean.value), small(span(cell.mean, money))],
    whisker(cell.mean, ...means, head.base.mean.value),
    cell.difference ? [moneyMore(cell.difference.value), small(span(cell.difference, moneyMore))] : NONE,
    cell.difference ? whisker(cell.difference, ...changes, 0) : null,
    cell.difference && cell.gain_percent !== null ? signed(cell.gain_percent, (value) => around(value, 0, "", "%")) : NONE,
    whole(cell.rows),
    whole(cell.calls),
    whole(cell.infra_errors),
  ];
  return h(
    "section",
    {},
    h("h2", {}, heading),
    h("div", { class: "scroll" }, table("", columns, cells.map(row), "policies")),
  );
}

/** The first search beside plain conversations of the same model on the same tasks. */
function searchSection() {
  const { search } = head;
  if (!search) return null;
  const lines = [
    ["beam", search.beam],
    [`best of ${whole(search.conversations)}`, search.best_of_n],
    ["plain conversations, mean", search.plain],
  ];
  const columns = [
    ["", "name"],
    ["tasks won", "number"],
    ["reward", "number"],
    ["replies", "number"],
    ["calls", "number"],
  ];
  const both = (cell, rate, mean) => [
    [rate(cell.tasks_won.value), small(span(cell.tasks_won, rate))],
    [mean(cell.reward.value), small(span(cell.reward, mean))],
  ];
  const rows = lines.map(([name, cell]) => [name, ...both(cell, percent, money), whole(cell.replies), whole(cell.calls)]);
  rows.push(["beam less best of n", ...both(search.beam_less_best_of_n, pointsMore, moneyMore), "", ""]);
  return h(
    "section",
    {},
    h("h2", {}, `The first search, on its ${counted(search.tasks, "task")}, with the base`),
    h("div", { class: "scroll" }, table("", columns, rows)),
  );
}

/** All runs of the folder, with the links to their pages. */
function runsSection() {
  const row = (run) => [
    run.page ? h("a", { href: linkTo(run.page) }, run.folder) : run.folder,
    run.state,
    whole(run.tasks),
    percent(run.rate),
    money(run.mean),
    whole(run.calls),
    run.calls ? dollars(run.cost) : NONE,
  ];
  const columns = [
    ["", "name"],
    ["state", null],
    ["tasks", "number"],
    [head.names.rate, "number"],
    [head.names.mean, "number"],
    ["calls", "number"],
    ["cost", "number"],
  ];
  return h(
    "section",
    {},
    h("h2", {}, "All runs"),
    h("div", { class: "scroll" }, table("", columns, head.runs.map(row))),
  );
}
