// One task: its tree on one side; on the other the chosen turn, the conversation down to it, and the pairs.

function panels() {
  return [
    ["agent", `${sideName("agent")}'s side`],
    ["user", `${sideName("user")}'s side`],
    ["pairs", "Pairs"],
  ];
}

/** The view of a task. `moved(index)` hears which turn is chosen. */
function taskView(row, tree, start, moved) {
  const SIDES = panels();
  const state = { side: "agent", matches: [], match: -1 };
  const panel = h("div", { class: "panel", role: "tabpanel", id: "panel", tabindex: 0 });
  const about = h("div", {});
  const drawn = drawnTree(tree.nodes, (index) => {
    update(index);
    moved(index);
  });
  const tabs = SIDES.map(([name, text]) => tab(name, name === "pairs" ? `${text} (${tree.pairs.length})` : text));

  function tab(name, text) {
    return h(
      "button",
      { type: "button", role: "tab", id: `tab-${name}`, "aria-controls": "panel", onclick: () => turnTo(name) },
      text,
    );
  }

  function turnTo(side) {
    state.side = side;
    tabs.forEach((each, at) => {
      const on = SIDES[at][0] === side;
      each.setAttribute("aria-selected", String(on));
      each.tabIndex = on ? 0 : -1;
    });
    panel.setAttribute("aria-labelledby", `tab-${side}`);
    update(drawn.chosen());
  }

  function update(index) {
    const node = tree.nodes[index];
    const place = drawn.places[index];
    const title = labelOf(node, place).split(":")[0];
    about.replaceChildren(h("h3", {}, title), facts(node, place));
    const shown =
      state.side === "pairs"
        ? pairsView(tree, index, drawn.places, drawn.choose)
        : conversation(tree, index, state.side);
    panel.replaceChildren(shown);
    panel.scrollTop = state.side === "pairs" ? 0 : panel.scrollHeight;
  }

  const tablist = h("div", { class: "tabs", role: "tablist", "aria-label": "Conversation" }, tabs);
  tablist.addEventListener("keydown", (event) => {
    const way = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!way) return;
    const at = SIDES.findIndex(([name]) => name === state.side);
    const next = (at + way + SIDES.length) % SIDES.length;
    turnTo(SIDES[next][0]);
    tabs[next].focus();
  });

  const finder = findField(tree, drawn, state);
  const left = h("div", { class: "left" }, legend(tree), drawn.element, finder.element);
  const right = h("div", { class: "right" }, about, tablist, panel);
  const element = h("div", {}, taskHead(row, tree), h("div", { class: "split" }, left, right));
  const opened = () => {
    drawn.choose(start in tree.nodes ? start : lastOfBest(0, tree.nodes, drawn.places));
    turnTo("agent");
    drawn.picture.focus({ preventScroll: true });
  };
  const choose = (index) => index in tree.nodes && drawn.choose(index);
  return { element, find: finder.field, opened, choose, place: () => `-${drawn.chosen()}` };
}

function taskHead(row, tree) {
  const numbers = [
    row.reward !== null && `reward ${amount(row.reward, head.unit)}`,
    row.rounds !== null && counted(row.rounds, "round", "rounds", roundsText),
    counted(row.turns, "turn"),
    tree.error && `error: ${tree.error}`,
  ];
  return h(
    "div",
    { class: "task-head" },
    links("Tasks", "task", row.number, head.tasks.length),
    h("h1", {}, idOf(row.id)),
    h("p", { class: "line" }, result(row), h("span", { dir: "auto" }, numbers.filter(Boolean).join(" · "))),
    h(
      "details",
      { class: "people" },
      h("summary", {}, peopleLine(tree)),
      given(tree.data),
      Object.keys(tree.metadata).length ? given(tree.metadata) : null,
    ),
  );
}

function peopleLine(tree) {
  const groups = Object.entries(tree.groups).map(([kind, name]) => `${kind.replaceAll("_", " ")}: ${name}`);
  const what = head.drawn_from === "people" ? `Persona of the ${head.speakers.user}` : "The task";
  return groups.length ? `${what}: ${groups.join(", ")}` : "The task's data";
}

/** Whatever a task holds, as nested lists of terms. */
function given(value) {
  if (value === null || typeof value !== "object") return h("span", { dir: "auto" }, String(value ?? NONE));
  const entries = Object.entries(value);
  if (!entries.length) return h("span", {}, NONE);
  const deep = ([, each]) => each !== null && typeof each === "object";
  const line = ([name, each]) =>
    h(
      "div",
      { class: deep([name, each]) ? "deep" : null },
      h("dt", {}, name.replaceAll("_", " ")),
      h("dd", {}, given(each)),
    );
  return h("dl", { class: "given" }, entries.map(line));
}

function legend(tree) {
  const counts = Object.fromEntries(RANKS.map((standing) => [standing, 0]));
  for (const node of tree.nodes) if (node.outcome !== undefined) counts[node.standing] += 1;
  const entry = (standing) =>
    h(
      "li",
      {},
      standingIcon(standing),
      term(STANDINGS[standing].name),
      " ",
      h("span", { class: "count" }, whole(counts[standing])),
    );
  const twice = tree.nodes.some((node) => node.duplicate) ? h("li", {}, duplicateIcon(), explained("repeats its sibling", TERMS.duplicates)) : null;
  return h("ul", { class: "legend", "aria-label": "Branches, with the leaves of each kind" }, RANKS.map(entry), twice);
}

/** The search within a tree: marks every turn with the words, Enter goes from one to the next. */
function findField(tree, drawn, state) {
  const count = h("span", { class: "small", role: "status" });
  const name = "Find in this tree";
  const field = searchField({ placeholder: name, "aria-label": name, onkeydown: press }, search);
  const texts = tree.nodes.map((node) =>
    node.parent < 0 ? "" : wordsOf(node.internal ?? node.messages).toLowerCase(),
  );

  function search(words) {
    state.matches = words ? texts.flatMap((text, index) => (text.includes(words) ? [index] : [])) : [];
    state.match = -1;
    drawn.mark(state.matches);
    count.textContent = words ? counted(state.matches.length, "turn") : "";
  }

  function press(event) {
    if (event.key === "Escape") {
      event.stopPropagation();
      drawn.picture.focus({ preventScroll: true });
    }
    if (event.key !== "Enter" || !state.matches.length) return;
    const way = event.shiftKey ? -1 : 1;
    state.match = (state.match + way + state.matches.length) % state.matches.length;
    drawn.choose(state.matches[state.match]);
    count.textContent = `${state.match + 1} of ${counted(state.matches.length, "turn")}`;
  }

  const keys = h(
    "p",
    { class: "small keys" },
    "Arrows walk the tree, End goes to the best leaf, / searches, Esc leaves. Hover over a turn to read it.",
  );
  return { element: h("div", { class: "find" }, drawn.words, field, count, keys), field };
}
