"use strict";
// Heads of sortable tables become buttons, for pointer and keyboard: up, then down. What is empty stays last.
for (const table of document.querySelectorAll("table.sortable")) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, place) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const down = head.getAttribute("aria-sort") === "ascending";
      for (const each of heads) each.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      sortRows(table.tBodies[0], place, down);
    });
  });
}

function sortRows(body, place, down) {
  const keyed = [...body.rows].map((row) => {
    const cell = row.cells[place];
    const text = cell.textContent;
    return { row, text, empty: text === "–", number: "number" in cell.dataset ? Number(cell.dataset.number) : NaN };
  });
  const numbers = keyed.every((each) => each.empty || !Number.isNaN(each.number));
  keyed.sort((one, other) => {
    if (one.empty || other.empty) return one.empty - other.empty;
    const order = numbers ? one.number - other.number : one.text.localeCompare(other.text, "en", { numeric: true });
    return down ? -order : order;
  });
  body.append(...keyed.map((each) => each.row));
}

// Paper shows all: what is folded is unfolded while it is printed.
let folded = [];
addEventListener("beforeprint", () => {
  folded = [...document.querySelectorAll("details:not([open])")];
  for (const each of folded) each.open = true;
});
addEventListener("afterprint", () => {
  for (const each of folded) each.open = false;
});
