"use strict";
for (const button of document.querySelectorAll(".copy")) {
  if (!navigator.clipboard) continue;
  button.hidden = false;
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(button.parentElement.querySelector("code").textContent);
    button.textContent = "Copied";
    setTimeout(() => { button.textContent = "Copy"; }, 1500);
  });
}
// One moment in all drawings at once.
const charts = [...document.querySelectorAll("svg.time")];
const flag = document.createElement("output");
flag.className = "flag";
flag.hidden = true;
document.body.append(flag);
const hide = () => {
  flag.hidden = true;
  for (const chart of charts) chart.classList.remove("pointed-at");
};
for (const chart of charts) {
  chart.addEventListener("pointerleave", hide);
  chart.addEventListener("pointermove", (event) => {
    const { left, right, end } = chart.dataset;
    const box = chart.getBoundingClientRect();
    const x = (event.clientX - box.left) / box.width * chart.viewBox.baseVal.width;
    const part = (x - left) / (right - left);
    if (part < 0 || part > 1) return hide();
    flag.hidden = false;
    flag.textContent = (part * end / 1e9).toFixed(3) + " s";
    flag.style.left = event.clientX + "px";
    flag.style.top = event.clientY + "px";
    for (const other of charts) {
      other.classList.add("pointed-at");
      const line = other.querySelector(".cursor");
      line.setAttribute("x1", x);
      line.setAttribute("x2", x);
    }
  });
}
// A printed page has everything open.
addEventListener("beforeprint", () => {
  for (const closed of document.querySelectorAll("details:not([open])")) closed.open = true;
});
