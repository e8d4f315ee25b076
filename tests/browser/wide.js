// What reaches beyond arguments[0] pixels, as the body of a function.
const width = arguments[0];
const out = [...document.querySelectorAll("body *")].filter((e) => {
  const box = e.getBoundingClientRect();
  return box.width > 0 && box.right > width + 1 && !e.closest(".groups, .scroll, .skip, .cards, pre, dialog:not([open])");
});
return out.map((e) => `${e.tagName} ${e.className} ${e.textContent}`.slice(0, 60));
