const box = document.getElementById("filter");
const cards = [...document.querySelectorAll("article[data-query]")];
const rows = [...document.querySelectorAll("li[data-query]")];
const counted = rows.length ? rows : cards;
const shown = document.getElementById("shown");
function filter() {
  const words = box.value.toLowerCase().split(/\s+/).filter(Boolean);
  for (const item of [...cards, ...rows]) {
    const text = item.textContent.toLowerCase();
    item.hidden = !words.every(word => text.includes(word));
  }
  const left = counted.filter(item => !item.hidden).length;
  shown.textContent = `${left} of ${counted.length} queries`;
  const list = document.getElementById("all-queries");
  if (list && words.length) list.open = true;
}
box.addEventListener("input", filter);
box.closest("label").hidden = false;
filter();
