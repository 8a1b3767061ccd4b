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
  // Pages that solve a problem come before those that mention it, and names of the API last.
  score: ([page, , , , score, , kind]) => {
    if (kind === "object") return score - 8;
    if (kind !== "text") return score + 1;
    const first = { troubleshooting: 3, options: 2 };
    const last = [
      "api", "architecture", "benchmarks", "changelog", "contributing",
      "from-others", "index", "proof",
    ];
    return score + (first[page] ?? (last.includes(page) ? -2 : 0));
  },
};
