// site.css shows tables with few columns as lists where the page is narrow. Each cell then needs the
// heading of its column.
for (const table of document.querySelectorAll("article table.docutils")) {
  const heads = [...table.querySelectorAll("thead th")].map((head) => head.textContent.trim());
  if (heads.length < 2 || heads.length > 4) continue;
  table.classList.add("stacked");
  for (const row of table.querySelectorAll("tbody tr")) {
    [...row.cells].forEach((cell, column) => {
      if (!cell.textContent.trim()) cell.classList.add("empty");
      else if (column && heads[column]) cell.dataset.label = heads[column];
    });
  }
}
