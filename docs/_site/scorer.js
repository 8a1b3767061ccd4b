// How Sphinx's search orders its results, see `html_search_scorer`. Without `score`, all pages that
// have the words in their text are equal, and come in alphabetical order.
var Scorer = {
  objNameMatch: 11,
  objPartialMatch: 6,
  objPrio: { 0: 15, 1: 5, 2: -5 },
  objPrioDefault: 0,
  title: 15,
  partialTitle: 7,
  term: 5,
  partialTerm: 2,
  // Pages with the words in their titles come first, then those that solve a problem rather than
  // mention it; names of the API come last.
  score: ([page, title, , , score, , kind]) => {
    if (kind === "object") return score - 8;
    // A page whose whole title is what was typed is what was meant.
    const typed = new URLSearchParams(window.location.search).get("q") ?? "";
    if (kind === "title" && title.toLowerCase() === typed.trim().toLowerCase()) return score + 20;
    if (kind !== "text") return score + (["options", "troubleshooting"].includes(page) ? 2 : 1);
    const query = new URLSearchParams(window.location.search).get("q") ?? "";
    const words = [...Search._parseQuery(query)[1]];
    const { docnames, titleterms } = Search._index;
    const file = docnames.indexOf(page);
    const inHeadings = words.filter((word) =>
      [titleterms.hasOwnProperty(word) ? titleterms[word] : []].flat().includes(file),
    );
    const inTitle = words.filter((word) => title.toLowerCase().includes(word));
    const first = { troubleshooting: 3, options: 2 };
    const last = ["api", "architecture", "benchmarks", "contributing", "from-others", "index", "proof"];
    return (
      5 +
      (8 * inHeadings.length + 6 * inTitle.length) / words.length +
      (first[page] ?? (last.includes(page) ? -2 : 0))
    );
  },
};
