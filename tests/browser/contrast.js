// Of every text that is seen its colour against what lies behind it, as WCAG 2.2 counts it:
// those below level AA, as the body of a function.
const parse = (colour) => {
  const found = colour.match(/^color\(srgb ([\d.]+) ([\d.]+) ([\d.]+)(?: \/ ([\d.]+))?\)/);
  if (found) return [...found.slice(1, 4).map((one) => 255 * Number(one)), found[4] === undefined ? 1 : Number(found[4])];
  const parts = colour.match(/[\d.]+/g).map(Number);
  return [...parts.slice(0, 3), parts.length > 3 ? parts[3] : 1];
};
const over = ([r, g, b, a], below) => [r, g, b].map((one, i) => one * a + below[i] * (1 - a)).concat(1);
const behind = (element) => {
  if (element === null) return [255, 255, 255, 1];
  const own = parse(getComputedStyle(element).backgroundColor);
  return own[3] >= 1 ? own : over(own, behind(element.parentElement));
};
const light = (colour) => {
  const [r, g, b] = colour.slice(0, 3).map((one) => one / 255)
    .map((one) => (one <= 0.04045 ? one / 12.92 : ((one + 0.055) / 1.055) ** 2.4));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
const ratio = (one, other) => {
  const [low, high] = [light(one), light(other)].sort((x, y) => x - y);
  return (high + 0.05) / (low + 0.05);
};
const poor = [];
for (const element of document.querySelectorAll("body *")) {
  const words = [...element.childNodes].filter((node) => node.nodeType === 3 && node.textContent.trim()).map((node) => node.textContent.trim()).join(" ");
  if (!words || element.closest("[hidden], :disabled, .spoken, .skip, script, style, noscript, dialog:not([open])")) continue;
  const style = getComputedStyle(element);
  if (style.visibility === "hidden" || style.display === "none" || !element.getClientRects().length) continue;
  const isSvg = element instanceof SVGElement;
  const circle = isSvg && element.closest("g") ? element.closest("g").querySelector("circle") : null;
  const ground = circle ? over(parse(getComputedStyle(circle).fill), behind(element.closest("svg").parentElement))
    : behind(isSvg ? element.closest("svg").parentElement : element);
  const ink = over(parse(isSvg ? style.fill : style.color), ground);
  const size = parseFloat(style.fontSize);
  const isLarge = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
  const found = ratio(ink, ground);
  if (found < (isLarge ? 3 : 4.5)) poor.push(`${element.tagName}.${element.getAttribute("class")} "${words.slice(0, 30)}" ${found.toFixed(2)}`);
}
return [...new Set(poor)];
