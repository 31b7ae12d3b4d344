// Search: chapters come before the reference, which has every word of the code.
var Scorer = {
  score: ([docname, , , , score]) => (docname.includes("book/reference/") ? score / 1000 : score),
  objNameMatch: 11,
  objPartialMatch: 6,
  objPrio: { 0: 15, 1: 5, 2: -5 },
  objPrioDefault: 0,
  title: 15,
  partialTitle: 7,
  term: 5,
  partialTerm: 2,
};
