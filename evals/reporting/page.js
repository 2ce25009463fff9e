// Sorts the tables marked for it and filters the samples; the page reads well without it.
(() => {
  "use strict";
  const UNITS = { s: 1000, ms: 1 };

  function value(cell) {
    const text = (cell.querySelector(".cell") || cell).firstChild?.textContent.trim() ?? "";
    const match = text.replace(/[$,]/g, "").replace("−", "-").match(/^(-?\d+(?:\.\d+)?)\s*(ms|s)?/);
    return match ? parseFloat(match[1]) * (UNITS[match[2]] || 1) : null;
  }

  function compare(a, b, words, sign) {
    if (words) return sign * a.textContent.trim().localeCompare(b.textContent.trim());
    const [x, y] = [value(a), value(b)];
    if (x === null || y === null) return (x === null) - (y === null);
    return sign * (x - y);
  }

  for (const table of document.querySelectorAll("table.sortable")) {
    const heads = [...table.querySelectorAll("thead th")];
    table.classList.add("sorts");
    heads.forEach((head, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = head.textContent;
      head.replaceChildren(button);
      button.addEventListener("click", () => {
        const words = !head.classList.contains("num");
        // Of scores the highest is wanted first, of money, time and names the lowest.
        const first = words || head.dataset.first === "low" ? "ascending" : "descending";
        const other = first === "ascending" ? "descending" : "ascending";
        const order = head.getAttribute("aria-sort") === first ? other : first;
        heads.forEach((one) => one.removeAttribute("aria-sort"));
        head.setAttribute("aria-sort", order);
        const rows = [...table.tBodies[0].rows];
        rows.sort((a, b) => compare(a.cells[column], b.cells[column], words, order === "ascending" ? 1 : -1));
        table.tBodies[0].append(...rows);
      });
    });
  }

  const samples = [...document.querySelectorAll("details.sample")];
  const controls = document.getElementById("filter");
  if (samples.length > 1 && controls) {
    const search = document.createElement("input");
    search.type = "search";
    search.placeholder = "Find in samples";
    search.setAttribute("aria-label", "Find in samples");
    const only = document.createElement("input");
    only.type = "checkbox";
    const label = document.createElement("label");
    label.append(only, " only where systems disagree");
    const shown = document.createElement("span");
    shown.setAttribute("role", "status");
    const apply = () => {
      const words = search.value.trim().toLowerCase();
      let count = 0;
      for (const sample of samples) {
        const divided = !only.checked || Number(sample.dataset.spread) > 0;
        sample.hidden = !divided || (words !== "" && !sample.textContent.toLowerCase().includes(words));
        count += !sample.hidden;
      }
      shown.textContent = count === samples.length ? "" : `${count} of ${samples.length}`;
    };
    search.addEventListener("input", apply);
    only.addEventListener("change", apply);
    controls.append(search, label, shown);
  }
})();
