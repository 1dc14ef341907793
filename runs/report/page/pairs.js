// Preference pairs: what was chosen and what was rejected after the same words, side by side.

/** The pairs of a tree, at first the last one on the way to a turn; `onshow(index)` goes to a turn in the tree. */
function pairsView(tree, index, places, onshow) {
  if (!tree.pairs.length) {
    return h(
      "p",
      { class: "small" },
      unlabelledText(tree) || "No two turns after the same words led to different rewards, so there is no pair here.",
    );
  }
  const path = pathTo(tree.nodes, index);
  const own = tree.pairs.filter((pair) => path.includes(pair.chosen) || path.includes(pair.rejected));
  const shown = h("div", {});
  const picker = h(
    "select",
    { id: "pair", onchange: () => show(tree.pairs[Number(picker.value)]) },
    tree.pairs.map((pair, at) => h("option", { value: at }, pairName(pair, tree.nodes, places))),
  );
  function show(pair) {
    shown.replaceChildren(sideBySide(tree, pair, onshow));
  }
  const first = own.findLast((pair) => pair.chosen === index || pair.rejected === index) ?? own.at(-1) ?? tree.pairs[0];
  picker.value = String(tree.pairs.indexOf(first));
  show(first);
  const note = own.length
    ? `${counted(own.length, "pair")} on the way to this turn.`
    : "No pair on the way to this turn; this is another one.";
  return h(
    "div",
    {},
    h("p", { class: "small" }, [note, unlabelledText(tree)].filter(Boolean).join(" ")),
    h("p", {}, h("label", { for: "pair" }, "Pair "), picker),
    shown,
  );
}

/** The pairs of the record that have no label, by reason. */
function unlabelledText({ unlabelled }) {
  const parts = Object.entries(unlabelled ?? {}).map(([note, count]) => `${whole(count)} ${note || "without a reason"}`);
  return parts.length ? `Pairs without a label: ${parts.join(", ")}.` : "";
}

function pairName({ chosen, rejected, margin, label, values }, nodes, places) {
  const paths = `${nodes[chosen].path} over ${nodes[rejected].path}`;
  if (label) return `${label}, round ${places[chosen].round}: ${paths}, values ${values.map(textOf).join(" and ")}`;
  return `round ${places[chosen].round}: ${paths}, ${amount(margin, head.unit)} apart`;
}

function sideBySide(tree, pair, onshow) {
  const parent = tree.nodes[pair.chosen].parent;
  const before = conversation(tree, parent, "agent");
  return h(
    "div",
    {},
    h("details", {}, h("summary", {}, "The words before"), before),
    h(
      "div",
      { class: "sides" },
      half("Chosen", pair.chosen, tree, onshow),
      half("Rejected", pair.rejected, tree, onshow),
    ),
  );
}

function half(name, index, tree, onshow) {
  const node = tree.nodes[index];
  const best = `Best reward below: ${amount(node.best ?? node.reward ?? 0, head.unit)}`;
  return h(
    "section",
    { class: `side ${name.toLowerCase()}`, "aria-label": name },
    h("h3", {}, standingIcon(node.standing), name),
    h("ol", { class: "turns" }, turn(node, "agent")),
    h("p", { class: "small" }, best),
    h("button", { type: "button", onclick: () => onshow(index) }, "Show in the tree"),
  );
}
