// The ledger's filters; without this script every claim stands there.
const form = document.querySelector("form.filters");
const claims = [...document.querySelectorAll("details.claim")];
const words = new Map(claims.map((claim) => [claim, claim.textContent.toLowerCase()]));

function choose() {
  const chosen = Object.fromEntries(new FormData(form));
  const text = chosen.text.trim().toLowerCase();
  let shown = 0;
  for (const claim of claims) {
    const fits = ["status", "paper", "part", "network"].every((name) => !chosen[name] || claim.dataset[name] === chosen[name]);
    claim.hidden = !(fits && words.get(claim).includes(text));
    shown += !claim.hidden;
  }
  for (const section of document.querySelectorAll("section:has(> details.claim)"))
    section.hidden = !section.querySelector("details.claim:not([hidden])");
  form.querySelector("output").textContent = `${shown} of ${claims.length} claims`;
}

function reveal() {
  const claim = document.getElementById(location.hash.slice(1));
  if (claim?.matches("details.claim")) { claim.open = true; claim.scrollIntoView(); }
}

form.hidden = false;
form.addEventListener("input", choose);
form.addEventListener("submit", (event) => event.preventDefault());
addEventListener("hashchange", reveal);
reveal();
