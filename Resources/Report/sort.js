// Sorts a table by the column whose button is pressed; again for the other way round.
"use strict";
for (const button of document.querySelectorAll("th button")) {
  button.addEventListener("click", () => {
    const heading = button.closest("th");
    const table = heading.closest("table");
    const column = [...heading.parentNode.children].indexOf(heading);
    const descending = heading.getAttribute("aria-sort") === "ascending";
    for (const other of heading.parentNode.children) {
      if (other.hasAttribute("aria-sort")) other.setAttribute("aria-sort", "none");
    }
    heading.setAttribute("aria-sort", descending ? "descending" : "ascending");
    const numeric = heading.dataset.kind === "number";
    const value = (row) => row.children[column].dataset.value ?? row.children[column].textContent.trim();
    const compare = (first, second) => {
      const [a, b] = [value(first), value(second)];
      if (a === "" || b === "") return (a === "") - (b === ""); // what has no value comes last either way
      const order = numeric ? Number(a) - Number(b) : a.localeCompare(b, "en", { numeric: true });
      return descending ? -order : order;
    };
    const body = table.tBodies[0];
    body.append(...[...body.rows].sort(compare));
    document.getElementById("sorted").textContent =
      `Sorted by ${button.textContent.trim()}, ${descending ? "descending" : "ascending"}`;
  });
}
