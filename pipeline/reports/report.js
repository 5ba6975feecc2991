"use strict";
// Tables sort by their headings and filter by a text; the page is complete without this script.
const collator = new Intl.Collator("en", { numeric: true });
const asNumber = cell => parseFloat(cell.textContent.replaceAll(",", ""));

function sortBy(table, column, heading) {
  const descending = heading.getAttribute("aria-sort") === "ascending";
  const isNumber = heading.classList.contains("number");
  const compare = (one, other) => {
    if (!isNumber) return collator.compare(one.textContent, other.textContent);
    const [a, b] = [asNumber(one), asNumber(other)];
    return Number.isNaN(a) || Number.isNaN(b) ? 0 : a - b;
  };
  const rows = [...table.tBodies[0].rows].map(row => [row.cells[column], row]);
  const known = ([cell]) => !isNumber || !Number.isNaN(asNumber(cell));
  const sorted = rows.filter(known).sort(([one], [other]) => (descending ? -1 : 1) * compare(one, other));
  table.tBodies[0].append(...[...sorted, ...rows.filter(row => !known(row))].map(([, row]) => row));
  for (const other of heading.parentElement.cells) other.removeAttribute("aria-sort");
  heading.setAttribute("aria-sort", descending ? "descending" : "ascending");
}

for (const table of document.querySelectorAll("table.sortable")) {
  [...table.tHead.rows[0].cells].forEach((heading, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = heading.textContent;
    button.addEventListener("click", () => sortBy(table, column, heading));
    heading.replaceChildren(button);
  });
}

for (const region of document.querySelectorAll(".filtered")) {
  const label = document.createElement("label"), field = document.createElement("input");
  const count = document.createElement("span");
  const rows = [...region.querySelectorAll("tbody tr")];
  label.className = "filter";
  field.type = "search";
  count.setAttribute("role", "status");
  field.addEventListener("input", () => {
    const words = field.value.toLowerCase().split(/\s+/).filter(Boolean);
    for (const row of rows) {
      const text = [...row.cells].map(cell => cell.textContent.toLowerCase()).join(" ");
      row.hidden = !words.every(word => text.includes(word));
    }
    count.textContent = words.length ? ` ${rows.filter(row => !row.hidden).length} of ${rows.length}` : "";
  });
  label.append("Filter: ", field, count);
  region.before(label);
}

const opened = [];
window.addEventListener("beforeprint", () => {
  for (const details of document.querySelectorAll("details:not([open])")) {
    details.open = true;
    opened.push(details);
  }
});
window.addEventListener("afterprint", () => {
  for (const details of opened.splice(0)) details.open = false;
});
