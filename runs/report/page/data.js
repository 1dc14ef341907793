// The data: what the page shows first, and the trees, each read when it is opened.

const head = JSON.parse(document.getElementById("head").textContent);
const pieces = new Map();

/** Files beside the page call this with the trees they hold. */
globalThis.joshChunk = (number, trees) => {
  pieces.set(number, trees);
};

/** The tree, or whatever else belongs to a row of the page's list. */
async function loaded(row) {
  if (!pieces.has(row.chunk)) {
    if (head.files.length) await fetched(row.chunk);
    else pieces.set(row.chunk, JSON.parse(document.getElementById(`chunk-${row.chunk}`).textContent));
  }
  return pieces.get(row.chunk)[row.place];
}

/** Read what is said in every conversation of a list into `words`, which its search looks through; once. */
function readAll(rows) {
  const read = async () => {
    for (const row of rows) {
      const tree = await loaded(row);
      row.words += `\n${row.texts(tree).join("\n").toLowerCase()}`;
    }
  };
  rows.reading ??= read();
  return rows.reading;
}

/** Load a piece by its script: a page on disk may read its neighbours in no other way. */
function fetched(number) {
  return new Promise((resolve, reject) => {
    const source = head.files[number].split("/").map(encodeURIComponent).join("/");
    const failed = () => reject(new Error(`${source} is missing or damaged; make the report anew with josh report`));
    const script = h("script", {
      src: source,
      onload: () => (pieces.has(number) ? resolve() : failed()),
      onerror: failed,
    });
    document.head.append(script);
    script.remove();
  });
}
