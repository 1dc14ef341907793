// Which view is shown, by the address's fragment; keys that work everywhere; light and dark.

const main = document.getElementById("main");
const VIEWS = { run: runView, comparison: comparisonView, evaluation: overview, loop: overview, index: indexView };
const rows = head.tasks ?? head.changes ?? [];
const first = VIEWS[head.kind]();
const view = { now: null, number: -1, scroll: 0 };

function show(next) {
  main.replaceChildren(next.element);
  view.now = next;
}

async function route() {
  const [, number, index] = /^#(?:task|change)-(\d+)(?:-(\d+))?$/.exec(location.hash) ?? [];
  const row = rows[number];
  if (!row) return back();
  if (row.number === view.number) {
    if (index !== undefined) view.now.choose?.(Number(index));
    return undefined;
  }
  if (view.number < 0) view.scroll = scrollY;
  view.number = row.number;
  try {
    const tree = await loaded(row);
    if (view.number !== row.number) return undefined; // another one was opened meanwhile
    const leaf = index === undefined ? -1 : Number(index);
    show(head.kind === "run" ? taskView(row, tree, leaf, (node) => remember(row, node)) : changeView(row, tree));
    view.now.opened();
    scrollTo(0, 0);
  } catch (error) {
    show({
      element: h(
        "div",
        {},
        h("p", { class: "notice", role: "alert" }, error.message),
        h("a", { class: "button", href: "#" }, "All tasks"),
      ),
    });
  }
  return undefined;
}

function back() {
  const from = view.number;
  view.number = -1;
  show(first);
  if (from < 0) return;
  scrollTo(0, view.scroll);
  document.getElementById(`row-${from}`)?.focus({ preventScroll: true });
}

/** Draw the task that is shown again, at the same turn. */
function redraw() {
  const { number } = view;
  view.number = -1;
  const at = /-(\d+)$/.exec(view.now.place?.() ?? "")?.[1];
  history.replaceState(null, "", at === undefined ? `#task-${number}` : `#task-${number}-${at}`);
  route();
}

let wordsShown = { shown: true, hidden: false }[kept("josh-words")];

/** Whether the reader wants words in the tree: true or false, undefined where the room decides. */
function keptWords() {
  return wordsShown;
}

function keepWords(shown) {
  wordsShown = shown;
  keep("josh-words", shown ? "shown" : "hidden");
}

let remembering = 0;

/** Keep the chosen turn in the address, once the walk has come to rest: browsers bear only so many changes. */
function remember(row, node) {
  clearTimeout(remembering);
  remembering = setTimeout(() => {
    if (view.number === row.number) history.replaceState(null, "", `#task-${row.number}-${node}`);
  }, 300);
}

addEventListener("hashchange", route);
addEventListener("keydown", (event) => {
  const typing = event.target.closest?.("input, select, textarea");
  if (event.altKey || event.ctrlKey || event.metaKey || typing) return;
  if (event.key === "/" && view.now.find) {
    event.preventDefault();
    view.now.find.focus();
    view.now.find.select();
  }
  if (event.key === "Escape" && view.number >= 0) location.hash = "";
});

const theme = document.getElementById("theme");

function dress(name) {
  document.documentElement.dataset.theme = name;
  theme.textContent = name === "dark" ? "Light" : "Dark";
  theme.setAttribute("aria-label", `Use ${name === "dark" ? "light" : "dark"} colours`);
}

function kept(name) {
  try {
    return localStorage.getItem(name);
  } catch {
    return null; // a browser may keep nothing for pages on disk
  }
}

function keep(name, value) {
  try {
    localStorage.setItem(name, value);
  } catch {
    // Then the next page begins as the system is set.
  }
}

theme.addEventListener("click", () => {
  const name = document.documentElement.dataset.theme === "dark" ? "light" : "dark";
  dress(name);
  keep("josh-theme", name);
});
dress(kept("josh-theme") ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light"));
route();
