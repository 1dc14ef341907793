// A conversation, turn by turn: as the agent's model is trained on it, or as the user's is.

/** The nodes from the root down to one. */
function pathTo(nodes, index) {
  const path = [];
  for (let at = index; at >= 0; at = nodes[at].parent) path.unshift(at);
  return path;
}

/** The conversation down to a node, from one side: `agent` or `user`. */
function conversation(tree, index, side) {
  const path = pathTo(tree.nodes, index);
  const turns = path.map((at) => turn(tree.nodes[at], side));
  // Runs recorded before the user's view was kept have its prompt beside the tree.
  const untold = side === "user" && tree.user_prompt && !tree.nodes[0].user_internal;
  const prompt = untold ? [systemPrompt(tree.user_prompt)] : [];
  const list = h("ol", { class: "turns" }, prompt, turns.flat());
  return list.children.length ? list : h("p", { class: "small" }, "Nothing was said yet.");
}

/** A turn's messages as list items; what the turn earned and cost stands below the last. */
function turn(node, side) {
  const items = side === "agent" ? trainedOn(node) : seenByUser(node);
  const last = items.at(-1);
  if (last && node.parent >= 0) last.append(turnMarks(node));
  return items;
}

/** All that the agent is trained on. In its own turn the user says nothing: there a tool answers in the user's role. */
function trainedOn(node) {
  const told = (each) => node.parent >= 0 && node.speaker === "agent" && each.role === "user";
  return (node.internal ?? node.messages).map((each) => message(each, told(each) ? "tool" : each.role));
}

/** All that the user's model is trained on, if it was recorded; else the roles swapped, tool calls left out. */
function seenByUser(node) {
  if (node.user_internal) {
    const told = node.parent >= 0 && node.speaker === "user" ? "tool" : "assistant";
    const from = { assistant: "user", user: told };
    return node.user_internal.map((each) => message(each, from[each.role] ?? each.role));
  }
  const spoken = node.messages.filter((each) => each.role !== "system" && each.role !== "tool" && each.content);
  const flipped = (each) => ({ role: each.role === "assistant" ? "user" : "assistant", content: each.content });
  return spoken.map((each) => message(flipped(each), each.role));
}

function speakerOf(role) {
  if (role === "tool") return "Tool result";
  return { assistant: sideName("agent"), user: sideName("user") }[role] ?? role;
}

/** One message. `from` is the role of who wrote it, where that is not the role it has on this side. */
function message(said, from = said.role) {
  if (said.role === "system") return systemPrompt(textOf(said.content));
  const who = speakerOf(from);
  const role = from === said.role ? null : h("span", { class: "small" }, `as ${said.role}`);
  const calls = callsOf(said).map(toolCall);
  const text = textOf(said.content);
  return h("li", { class: `turn ${from}` }, h("h4", {}, who, " ", role), text ? written(text) : null, calls);
}

function systemPrompt(text) {
  const fold = h("details", {}, h("summary", {}, "System prompt"), written(text));
  return h("li", { class: "turn system" }, fold);
}

function toolCall(call) {
  return h("pre", { class: "call" }, h("code", {}, callText(call)));
}

function turnMarks(node) {
  const marks = h("p", { class: "marks" });
  for (const hit of met(node)) marks.append(badge("earned", `${hit.worth === null ? "" : "earned "}${hitText(hit)}`));
  const again = repeated(node);
  if (again) marks.append(badge("", `already met: ${again}`));
  if (node.attempts)
    marks.append(badge("warn", `${counted(node.attempts, "reward tag")} of the agent's, which earns nothing`));
  if (node.directive) marks.append(badge("", `directive ${beginning(node.directive, DIRECTIVE)}`));
  if (node.known) marks.append(badge("", node.known));
  for (const label of node.labels ?? []) marks.append(badge("", label));
  if (node.duplicate) marks.append(badge("warn", "repeats its sibling"));
  if (node.error) marks.append(badge("bad", node.error));
  if (node.failure) marks.append(badge("bad", node.failure));
  if (node.cut) marks.append(badge("warn", `cut off by ${node.cut}`));
  const cost = costText(node);
  if (cost) marks.append(h("span", { class: "small" }, cost));
  return marks;
}

function badge(kind, text) {
  return h("span", { class: `badge ${kind}` }, text);
}

/** The hits of a turn that met a goal which was still open. */
function met(node) {
  return (node.hits ?? []).filter((hit) => hit.goals.length);
}

/** The goals that a turn would have met, had they still been open; each once. */
function repeated(node) {
  return [...new Set((node.hits ?? []).flatMap((hit) => hit.again).map(textOf))].join(", ");
}

function hitText({ goals, worth }) {
  const named = goals.map(textOf).join(", ");
  return worth === null ? `met ${named}` : `${amount(worth, head.unit)} for ${named}`;
}

function costText(node) {
  if (!node.usage && node.seconds === undefined) return "";
  const parts = [node.model, node.usage && tokensText(node), node.seconds !== undefined && `${fixed(node.seconds)} s`];
  return parts.filter(Boolean).join(" · ");
}

function tokensText({ usage }) {
  return `${whole(usage.prompt_tokens)} + ${whole(usage.completion_tokens)} tokens`;
}

/** What is known of one turn, as a list of terms. */
function facts(node, place) {
  const rows = [
    ["Branch", [standingIcon(node.standing), term(STANDINGS[node.standing].name)]],
    [
      "Outcome",
      node.outcome && [outcomeText(node), node.standing === "dead" ? " (another branch was kept)" : ""],
    ],
    ["Path's reward", node.reward !== undefined && amount(node.reward, head.unit)],
    ["Best below", node.best !== undefined && !node.outcome && amount(node.best, head.unit)],
    ["Reward events", met(node).map(hitText).join("; ") || "none"],
    ["Already met", repeated(node)],
    ["Tokens", node.usage ? `${tokensText(node)}, ${counted(node.usage.calls, "call")}` : shared(node)],
    ["Latency", node.seconds === undefined ? "not recorded" : `${fixed(node.seconds)} s`],
    ["Seed", node.seed === undefined ? "none" : `${node.seed}${node.choice ? `, reply ${node.choice + 1} to it` : ""}`],
    ["Model", node.model || "none"],
    ["Place", `path ${node.path || "root"}, turn ${place.depth}`],
    ["Did", node.did?.join(", ") ?? (node.actions ?? []).flat().map(actionText).join(", ")],
    ["Directive", node.directive],
    ["Facts", plain(node.facts)],
    ["Labels", node.labels?.join(", ")],
    ["Error", node.error],
    ["Failure", node.failure],
    ["Cut off by", node.cut],
  ];
  const known = rows.filter(([, value]) => value && value.length);
  return h(
    "dl",
    { class: "facts" },
    known.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", { dir: "auto" }, value))),
  );
}

/** A value in one line: `answers: agent soup, user rice; agree: false`. */
function plain(value, deep = false) {
  if (value === null || value === undefined) return deep ? NONE : "";
  if (typeof value !== "object") return String(value);
  const join = deep ? " " : ": ";
  return Object.entries(value).map(([name, each]) => `${name}${join}${plain(each, true)}`).join(deep ? ", " : "; ");
}

/** What the agent did: a tool call without what it returned, which stands in the conversation. */
function actionText(action) {
  if (typeof action?.name !== "string") return textOf(action);
  const given = Object.entries(action.arguments ?? {}).map(([name, value]) => `${name}: ${textOf(value)}`);
  return `${action.name || "(unreadable)"}(${given.join(", ")})${"error" in action ? " refused" : ""}`;
}

function shared(node) {
  return node.choice ? "with its elder sibling" : "none counted";
}
