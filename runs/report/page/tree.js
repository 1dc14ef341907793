// The tree of a task as a picture that the arrow keys walk: turns from left to right, leaves from top to bottom.

const STANDINGS = {
  golden: { name: "golden path", shape: "M0-8.5 2.3-3 8.1-2.6 3.7 1.2 5 6.9 0 3.8-5 6.9-3.7 1.2-8.1-2.6-2.3-3Z" },
  successful: { name: "successful", shape: "M-6.5 0a6.5 6.5 0 1 0 13 0a6.5 6.5 0 1 0-13 0Z" },
  lost: { name: "lost", shape: "M-5.5-5.5h11v11h-11Z" },
  dead: { name: "cut off", shape: "M0-7 7 0 0 7-7 0Z" },
  error: { name: "error", shape: "M0-7.5 7.5 6h-15Z" },
};
const RANKS = Object.keys(STANDINGS);
const COLUMN = 24;
const ROW = 22;
const MARGIN = 20;
const TOP = 34;
const LABEL = 64;
const WORDS = 84; // the narrowest column that has room for words
const WIDE = 176; // a column with words, where the reader asks for them
const WIDEST = 240;
const LETTER = 5.9; // a letter of the words, about
const HOVERED = 1200; // most characters of a turn that are shown on hover
const DIRECTIVE = 60; // most characters of a directive that are read out

function standingIcon(standing) {
  const path = s("path", { d: STANDINGS[standing].shape, class: `shape ${standing}` });
  return s("svg", { class: "icon", viewBox: "-9 -9 18 18", "aria-hidden": "true" }, path);
}

function duplicateIcon() {
  const ring = s("g", { class: "duplicate" }, s("circle", { r: 7, class: "halo" }));
  return s("svg", { class: "icon", viewBox: "-9 -9 18 18", "aria-hidden": "true" }, ring);
}

/** The sizes of a picture: columns that fill a width, and wide ones, which have room for words, where they are asked for. */
function sizes(nodes, words) {
  const depths = [];
  for (const node of nodes) depths.push(node.parent < 0 ? 0 : depths[node.parent] + 1);
  const deepest = Math.max(...depths, 1);
  const room = pictureRoom() - 2 * MARGIN - LABEL;
  const fitting = Math.floor(Math.min(Math.max(room / deepest, COLUMN), WIDEST));
  const column = words === true ? Math.max(fitting, WIDE) : words === false ? Math.min(fitting, WORDS - 1) : fitting;
  const worded = column >= WORDS;
  return { column, worded, row: worded ? 34 : ROW, label: worded ? WIDE : LABEL };
}

/** The width that a picture has at least: half of the page, or all of a narrow one. */
function pictureRoom() {
  const style = getComputedStyle(main);
  const inside = main.clientWidth - parseFloat(style.paddingLeft) - parseFloat(style.paddingRight);
  return (innerWidth > 1024 ? inside / 2 - 12 : inside) - 24;
}

/** Where every node goes: depth and round, children in order, and its place in the picture. */
function layout(nodes, size) {
  const at = nodes.map(() => ({ depth: 0, round: 0, children: [], y: 0 }));
  nodes.forEach((node, index) => {
    if (node.parent < 0) return;
    const parent = at[node.parent];
    at[index].depth = parent.depth + 1;
    at[index].round = parent.round + (node.speaker === "agent" ? 1 : 0);
    at[index].place = parent.children.push(index) - 1;
  });
  let row = 0;
  const stack = [0];
  while (stack.length) {
    const index = stack.pop();
    if (!at[index].children.length) at[index].y = TOP + size.row * row++;
    stack.push(...at[index].children.toReversed());
  }
  for (let index = nodes.length - 1; index >= 0; index--) {
    const { children } = at[index];
    if (children.length) at[index].y = (at[children[0]].y + at[children.at(-1)].y) / 2;
    at[index].x = MARGIN + size.column * at[index].depth;
  }
  return { at, rows: row };
}

/** What a leaf came to, in a word or two. */
function ending(node) {
  if (node.outcome === undefined) return "";
  if (["golden", "successful"].includes(node.standing)) return amount(node.reward ?? 0, head.unit);
  return outcomeText(node);
}

function outcomeText(node) {
  if (node.standing === "dead") return "cut off";
  if (node.outcome === "lost" && node.standing !== "lost") return "successful";
  return { user_left: "user left", truncated: "limit", infra_error: "error" }[node.outcome] ?? node.outcome;
}

/** What some messages say, and what they call. */
function wordsOf(messages) {
  return messages.flatMap((each) => [textOf(each.content), ...callsOf(each).map(callText)]).filter(Boolean).join(" ");
}

/** What a turn does and says to the user; its other thoughts are left out. */
function shownWords(node) {
  const calls = (node.internal ?? node.messages).flatMap(callsOf).map(callText);
  return [...calls, ...node.messages.map((each) => textOf(each.content))].filter(Boolean).join(" ");
}

function labelOf(node, place) {
  const who = node.parent < 0 ? "Start" : `${node.speaker === "agent" ? sideName("agent") : sideName("user")}, round ${place.round}`;
  const marks = [
    STANDINGS[node.standing].name,
    ending(node),
    node.directive && `directive ${beginning(node.directive, DIRECTIVE)}`,
    node.known,
    ...(node.labels ?? []),
    node.duplicate && "duplicate",
    node.attempts && "tag attempt",
  ];
  const words = shownWords(node);
  return `${who}: ${marks.filter(Boolean).join(", ")}. ${words.length > 160 ? `${words.slice(0, 160)}…` : words}`;
}

/** All of a turn for who hovers over it: who speaks, what came of it, its reward, its words. */
function hoverText(node, place) {
  const reward = node.reward ?? (node.outcome === undefined ? node.best : undefined);
  const what = node.reward === undefined ? "best reward below" : "reward of this path";
  const said = node.error ? `(${node.error})` : shownWords(node) || (node.failure ? `(${node.failure})` : "");
  const lines = [
    labelOf(node, place).split(". ")[0].split(":")[0],
    [STANDINGS[node.standing].name, node.outcome && outcomeText(node), node.duplicate && "repeats its sibling"]
      .filter((each, index, all) => each && all.indexOf(each) === index)
      .join(", "),
    reward === undefined ? "" : `${what}: ${amount(reward, head.unit)}`,
    node.did ? `did: ${node.did.join(", ")}` : "",
    node.directive ? `directive: ${beginning(node.directive, HOVERED)}` : "",
    [node.known, ...(node.labels ?? [])].filter(Boolean).join(", "),
  ];
  return [...lines.filter(Boolean), "", beginning(said, HOVERED)].join("\n");
}

/**
 * Draw a tree.
 *
 * Returns its element, `words`, a button that shows or hides the words, `choose(index)`, which calls
 * `onchoose(index)`, and `mark(indices)`, which shows what was found.
 */
function drawnTree(nodes, onchoose) {
  const size = sizes(nodes, keptWords());
  const { at, rows } = layout(nodes, size);
  const deepest = at.reduce((most, place) => Math.max(most, place.depth), 0);
  const width = 2 * MARGIN + size.column * deepest + size.label;
  const height = TOP + size.row * rows;
  const picture = s("svg", {
    class: size.worded ? "tree worded" : "tree",
    width,
    height,
    role: "tree",
    tabindex: 0,
    "aria-label": "Turns of this task",
  });
  const ring = s("circle", { class: "ring", r: 11.5 });
  const items = nodes.map((node, index) => item(node, index, at, size));
  picture.append(rounds(at, deepest, size), edges(nodes, at), ring, ...items);
  const box = h("div", { class: "tree-box" }, picture);
  const words = h(
    "button",
    {
      type: "button",
      class: "quiet",
      "aria-pressed": String(size.worded),
      onclick: () => {
        keepWords(!size.worded);
        redraw();
      },
    },
    size.worded ? "Hide the words" : "Show the words",
  );
  let chosen = -1;

  function choose(index) {
    reveal(box, at[index], size); // first: reading where the box stands costs much once the picture has changed
    if (chosen >= 0) items[chosen].setAttribute("aria-selected", "false");
    chosen = index;
    items[index].setAttribute("aria-selected", "true");
    picture.setAttribute("aria-activedescendant", `node-${index}`);
    ring.style.transform = `translate(${at[index].x}px, ${at[index].y}px)`;
    onchoose(index);
  }

  const columns = byColumn(at);
  picture.addEventListener("keydown", (event) => {
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    const next = step(event.key, chosen, nodes, at, columns);
    if (next === undefined) return;
    event.preventDefault();
    if (next !== chosen) choose(next);
  });
  picture.addEventListener("click", (event) => {
    const found = event.target.closest("[role=treeitem]");
    if (found) choose(Number(found.id.slice("node-".length)));
    picture.focus({ preventScroll: true });
  });

  function mark(indices) {
    const found = new Set(indices);
    items.forEach((each, index) => each.classList.toggle("found", found.has(index)));
  }

  return { element: box, picture, words, choose, mark, places: at, chosen: () => chosen };
}

/** The nodes of every depth, from top to bottom. */
function byColumn(at) {
  const columns = [];
  at.forEach((place, index) => (columns[place.depth] ??= []).push(index));
  for (const column of columns) {
    column.sort((one, other) => at[one].y - at[other].y);
    column.forEach((index, row) => (at[index].row = row));
  }
  return columns;
}

/** Where a key leads from a node; undefined for keys that mean nothing here. */
function step(key, index, nodes, at, columns) {
  const column = columns[at[index].depth];
  const ways = {
    ArrowLeft: () => Math.max(nodes[index].parent, 0),
    ArrowRight: () => bestChild(index, nodes, at),
    ArrowUp: () => column[Math.max(at[index].row - 1, 0)],
    ArrowDown: () => column[Math.min(at[index].row + 1, column.length - 1)],
    Home: () => 0,
    End: () => lastOfBest(0, nodes, at),
  };
  return ways[key]?.();
}

/** The child on the best path, the first among equals; the node itself where it is a leaf. */
function bestChild(index, nodes, at) {
  const rank = (child) => RANKS.indexOf(nodes[child].standing);
  const { children } = at[index];
  return children.length ? children.reduce((best, child) => (rank(child) < rank(best) ? child : best)) : index;
}

function lastOfBest(index, nodes, at) {
  let leaf = index;
  while (at[leaf].children.length) leaf = bestChild(leaf, nodes, at);
  return leaf;
}

/**
 * What is known after a turn, and its first words, as many as have room beside it; a leaf has more room, but for its
 * ending.
 */
function firstWords(node, size, ends) {
  if (!size.worded || node.parent < 0) return null;
  const room = (ends ? size.label - 20 : size.column - 16) / LETTER;
  const text = shownWords(node).replace(/\s+/g, " ").trim() || (node.error ? "(error)" : node.failure ? "(failed)" : "(nothing)");
  const known = beginning(node.known ?? "", room);
  const rest = room - known.length - 3;
  const words = known ? (rest > 8 ? ` · ${beginning(text, rest)}` : "") : beginning(text, room);
  const first = known ? s("tspan", { class: "known" }, known) : null;
  return s("text", { x: ends ? 13 : 4, y: -9, class: "words", "aria-hidden": "true" }, first, words);
}

/** The directive of a turn, above or below the line that leads to it, away from the words of the turn before. */
function onTheWay(node, place, from, size) {
  if (!size.worded || !node.directive) return null;
  const text = beginning(node.directive.replace(/\s+/g, " "), (size.column - 24) / LETTER);
  return s("text", { x: -13, y: place.y < from.y ? -5 : 13, class: "directive", "aria-hidden": "true" }, text);
}

function item(node, index, at, size) {
  const place = at[index];
  const scale = node.speaker === "user" ? 0.72 : 1;
  const shape = s("path", {
    d: STANDINGS[node.standing].shape,
    transform: `scale(${scale})`,
    class: `shape ${node.standing}`,
  });
  const text = [ending(node), ...(node.labels ?? [])].filter(Boolean).join(" · ");
  const siblings = node.parent < 0 ? 1 : at[node.parent].children.length;
  return s(
    "g",
    {
      id: `node-${index}`,
      role: "treeitem",
      class: node.duplicate ? "duplicate" : null,
      transform: `translate(${place.x} ${place.y})`,
      "aria-level": place.depth + 1,
      "aria-posinset": (place.place ?? 0) + 1,
      "aria-setsize": siblings,
      "aria-selected": "false",
      "aria-label": labelOf(node, place),
    },
    s("title", {}, hoverText(node, place)),
    s("rect", { x: -COLUMN / 2, y: -ROW / 2, width: size.worded ? size.column : COLUMN, height: ROW, class: "target" }),
    s("circle", { r: 11, class: "halo" }),
    shape,
    onTheWay(node, place, at[node.parent], size),
    firstWords(node, size, !place.children.length),
    text ? s("text", { x: 13, y: 4, class: `ending ${node.standing}` }, text) : null,
  );
}

function edges(nodes, at) {
  const lines = Object.fromEntries(RANKS.map((standing) => [standing, []]));
  nodes.forEach((node, index) => {
    if (node.parent < 0) return;
    const [from, to] = [at[node.parent], at[index]];
    const middle = (from.x + to.x) / 2;
    lines[node.standing].push(`M${from.x} ${from.y}C${middle} ${from.y} ${middle} ${to.y} ${to.x} ${to.y}`);
  });
  const path = (standing) => s("path", { d: lines[standing].join(""), class: `edge ${standing}` });
  return s("g", { "aria-hidden": "true" }, RANKS.toReversed().map(path));
}

function rounds(at, deepest, size) {
  const first = at.map((place) => place.round);
  const texts = [];
  for (let depth = 1; depth <= deepest; depth++) {
    const index = at.findIndex((place) => place.depth === depth);
    const before = at.findIndex((place) => place.depth === depth - 1);
    if (first[index] !== first[before]) texts.push([depth, first[index]]);
  }
  const label = ([depth, round]) => s("text", { x: MARGIN + size.column * depth, y: 14, class: "round" }, String(round));
  return s("g", { "aria-hidden": "true" }, s("text", { x: 4, y: 14, class: "round-name" }, "round"), texts.map(label));
}

/** Bring a node into its box, which scrolls by itself; the page stays where it is. */
function reveal(box, place, size) {
  const near = 48;
  const inside = (value, start, length, after) =>
    Math.min(Math.max(start, value + after - length), Math.max(value - near, 0));
  box.scrollTo(
    inside(place.x, box.scrollLeft, box.clientWidth, MARGIN + size.label),
    inside(place.y, box.scrollTop, box.clientHeight, near),
  );
}
