// What the agent did on winning and losing branches: instructions, tools and acts, with siblings as the control.

const FIRST_ACTIONS = 12;
const ACTION_COLUMNS = [
  ["", "name"],
  ["turns", "number"],
  ["golden", "number"],
  ["won", "number"],
  ["lost", "number"],
  ["reward below", "number"],
  ["", "wide"],
  ["less a sibling's", "number"],
  ["pairs", "number"],
];
const ACTION_TERMS = {
  golden: "The share of its turns that are on golden paths.",
  won: "The share of its turns that are on rewarded paths, golden ones included.",
  lost: "The share of its turns that are on paths that ended without a win.",
  "reward below": "The mean reward of the leaves below its turns. Leaves that a win cut off are left out.",
  "less a sibling's":
    "The same reward less that of a sibling without it, after the same words: the mean of all such pairs of siblings.",
  pairs: "Pairs of siblings of which one has it and the other does not.",
};

function actionsSection() {
  const { rows, turns, unknown } = head.actions;
  if (!rows.length) return null;
  const ends = rows.flatMap(({ siblings: { value, low, high } }) => [value, low, high]).filter((end) => end !== null);
  const [low, high] = [Math.min(0, ...ends), Math.max(0, ...ends)];
  const money = (value) => amount(value, head.unit);
  const plus = (value) => signed(value, money);
  const line = ({ name, siblings, reward, pairs, ...counts }) => [
    written(name, "span"),
    whole(counts.turns),
    ...["golden", "won", "lost"].map((part) => percent(counts[part] / counts.turns)),
    [money(reward.value), small(span(reward, money))],
    pairs ? whisker(siblings, low, high, 0) : null,
    pairs ? [plus(siblings.value), small(span(siblings, plus))] : NONE,
    whole(pairs),
  ];
  const columns = () => ACTION_COLUMNS.map(([name, kind]) => [explained(name, ACTION_TERMS[name]), kind]);
  const part = (kind) => {
    const found = rows.filter((row) => row.kind === kind);
    const [first, rest] = [found.slice(0, FIRST_ACTIONS), found.slice(FIRST_ACTIONS)];
    const shown = (some, caption) => h("div", { class: "scroll" }, table(caption, columns(), some.map(line), "actions"));
    if (!found.length) return null;
    return [
      shown(first, `${title(kind)}s`),
      rest.length ? h("details", {}, h("summary", {}, `${whole(rest.length)} rarer ones`), shown(rest, "")) : null,
    ];
  };
  const cut = unknown ? ` ${whole(unknown)} of them have no reward below: a win cut them off, or an error.` : "";
  const said =
    `${counted(turns, "turn")} of the ${head.speakers.agent}, in all branches.${cut} Siblings continue the same words, ` +
    "so they are the control; the dashed line is no difference. Intervals are over tasks, without a correction for " +
    "the number of rows: take small differences as hints.";
  return h(
    "section",
    {},
    h("h2", {}, `What the ${head.speakers.agent} did, and what came of it`),
    h("p", { class: "small" }, said),
    ["instruction", "tool", "act"].map(part).flat(),
  );
}
