// Elements, and numbers as text. Whatever was written by a model passes through here, as text and nothing else.

const SVG = "http://www.w3.org/2000/svg";

/** An element: attributes by name (`on...` listens, false and null are left out), then children, strings among them. */
function h(tag, attributes = {}, ...children) {
  return filled(document.createElement(tag), attributes, children);
}

/** The same for SVG. */
function s(tag, attributes = {}, ...children) {
  return filled(document.createElementNS(SVG, tag), attributes, children);
}

function filled(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "aria-label") element.setAttribute(name, visible(value));
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(name, value);
  }
  const shown = children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== "");
  element.append(...shown.map((child) => (typeof child === "string" ? visible(child) : child)));
  return element;
}

const ACTS = /[\p{Cc}\p{Cs}\p{Zl}\p{Zp}\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/gu;

/** A text with what acts instead of showing spelt as `josh show` does: control characters, what turns directions. */
function visible(text) {
  if (/^[ -~\n]*$/.test(text)) return text;
  return text.replaceAll("\r\n", "\n").replace(ACTS, (one) => {
    if (one === "\n" || one === "\t") return one;
    const code = one.codePointAt(0);
    if (one === "\r") return "\\r";
    return code < 256 ? `\\x${code.toString(16).padStart(2, "0")}` : `\\u${code.toString(16).padStart(4, "0")}`;
  });
}

/** Text that a model or a person wrote: a script that runs the other way stays within it. */
function written(text, tag = "p") {
  return h(tag, { class: "written", dir: "auto" }, String(text));
}

/** A task's id, which may run the other way, or be blank. */
function idOf(id) {
  return h("bdi", {}, id.trim() ? id : `(blank id ${JSON.stringify(id)})`);
}

/** What a message says: servers may give parts instead of a text. */
function textOf(content) {
  if (content === null || content === undefined) return "";
  return typeof content === "string" ? content : JSON.stringify(content, null, 1);
}

/** The tool calls of a message, each as a function's name and arguments. */
function callsOf(said) {
  return (Array.isArray(said.tool_calls) ? said.tool_calls : []).map((call) => call?.function ?? call ?? {});
}

function callText(call) {
  return `${call.name}(${textOf(call.arguments)})`;
}

/** A field to search with: `onsearch(words)` hears, in lower case, what stands in it; Escape empties it. */
function searchField(attributes, onsearch) {
  const hear = () => onsearch(field.value.toLowerCase());
  const field = h("input", { type: "search", ...attributes, oninput: hear });
  field.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    event.preventDefault(); // of browsers some empty it, and tell nobody
    field.value = "";
    hear();
  });
  return field;
}

/** Words with their explanation on hover; `glossary` lists the same explanations for readers who cannot hover. */
function explained(name, why) {
  return why ? h("span", { class: "term", title: why }, name) : name;
}

const TERMS = {
  "golden path": "The branch that the search kept: from the start to its best win.",
  successful: "A branch that leads to another win than the golden one.",
  lost: "Ended without a win.",
  "cut off": "Still open when another branch won; nobody knows how it would have ended.",
  error: "A failed call or a plug-in's error ended it; it counts in no mean.",
  "winning leaves": "Ends of branches that met every goal, in the whole tree of the task.",
  pairs: "Preference pairs for DPO: two turns after the same words of which one led to more reward.",
  "wins again": "The share of fresh users with whom the golden paths' words, said again, win again.",
  duplicates: "Turns that say and do the same as a sibling, even after a second try.",
  "tag attempts": "Reward tags that the agent wrote itself. They earn nothing.",
  "training examples": "Branches that are written as labelled conversations; golden ones are the branches kept.",
  rounds: "A round is a turn of each side.",
  turns: "Everything one side says and does until the other goes on, in all branches of the tree.",
  "95% interval": "From 95 % of repeated samples of people or tasks; it shows chance, not other causes.",
};

function term(name) {
  return explained(name, TERMS[name]);
}

/** All terms with their meaning, folded. */
function glossary() {
  const line = ([name, why]) => h("div", {}, h("dt", {}, name), h("dd", {}, why));
  return h(
    "details",
    { class: "glossary" },
    h("summary", {}, "What the words mean"),
    h("dl", { class: "given" }, Object.entries(TERMS).map(line)),
  );
}

/** The first characters of a text, up to the end of a word. */
function beginning(text, most) {
  if (text.length <= most) return text;
  const cut = text.slice(0, most - 1);
  const space = cut.lastIndexOf(" ");
  return `${space > most / 2 ? cut.slice(0, space) : cut}…`;
}

/** What the world calls a side: `agent` or `user`. */
function sideName(side) {
  return title(head.speakers?.[side] ?? side);
}

function title(text) {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

/** Tell a screen reader what has changed. */
function say(text) {
  document.getElementById("status").textContent = text;
}

const NONE = "–";
const JOINED = "\u2060"; // no line ends here

function fixed(value, digits = 2) {
  return value === null || value === undefined ? NONE : value.toFixed(digits);
}

/** A number with what stands before and behind it; what rounds to nothing has no sign. */
function around(value, digits, before, behind) {
  if (value === null || value === undefined) return NONE;
  const text = Math.abs(value).toFixed(digits);
  return `${value < 0 && Number(text) ? `−${JOINED}` : ""}${before}${text}${behind}`;
}

function amount(value, unit) {
  return around(value, 2, unit, "");
}

function percent(value) {
  return around(value && 100 * value, 0, "", "%");
}

function points(value) {
  return around(value && 100 * value, 1, "", " points");
}

/** The same with a plus, where it is one. */
function signed(value, show) {
  const text = show(value);
  return value > 0 && /[1-9]/.test(text) ? `+${JOINED}${text}` : text;
}

function whole(value) {
  return value === null || value === undefined ? NONE : value.toLocaleString("en");
}

function dollars(value) {
  if (value === null || value === undefined) return "unknown";
  return value > 0 && value < 0.01 ? `$${value.toPrecision(2)}` : `$${value.toFixed(2)}`;
}

function counted(count, thing, things = `${thing}s`, show = whole) {
  return `${show(count)} ${count === 1 ? thing : things}`;
}

/** Rounds, which may be a mean of several conversations. */
function roundsText(rounds) {
  return fixed(rounds, rounds % 1 ? 1 : 0);
}

/** The links above one of many: to the list of all, and to its neighbours. Addresses begin with `kind`. */
function links(name, kind, number, count) {
  const beside = (other, text) => {
    const there = other >= 0 && other < count;
    const href = there ? `#${kind}-${other}` : null;
    return h("a", { class: "button", href, "aria-disabled": there ? null : "true" }, text);
  };
  return h(
    "nav",
    { "aria-label": name },
    h("a", { class: "button", href: "#" }, `All ${name.toLowerCase()}`),
    beside(number - 1, "Previous"),
    beside(number + 1, "Next"),
  );
}

/** An interval in words; nothing where there is none. */
function span(estimate, show) {
  if (estimate.low === null || estimate.low === undefined) return "";
  return `${show(estimate.low)} to ${show(estimate.high)}`;
}
