// -- main.js: what is chosen, the keys, light and dark ----------------------------------------

const $ = (id) => document.getElementById(id);
const state = { step: 0, example: 0, points: {} };
const panel = new Panel($("panel"), state, (index) => picture(index));

function picture(pointed) {
  const step = page.steps[state.step];
  drawNetwork($("picture"), state, step, pointed, pressed);
}

/** A layer of the picture was pressed, or one of its neurons. */
function pressed(layer, neuron) {
  if (layer === "cost") {
    goTo(page.steps.findIndex((step) => step.way === "cost" && step.cost === neuron));
    return;
  }
  if (layer < 0) {
    const values = arrayAt(page.x).of(state.example);
    say(neuron === null ? "the input" : `x[${neuron}] = ${text(values[neuron])}`);
    return;
  }
  const at = stepOfLayer(layer, page.steps[state.step]);
  if (at === null) return;
  if (neuron !== null) {
    const shape = arrayAt(page.layers[layer].a).shape.join("x");
    state.points[`${layer} ${shape}`] = [neuron];
    const { w, b } = page.layers[layer].parameters;
    if (w !== undefined) state.points[`${layer} ${arrayAt(w).shape.join("x")}`] = [neuron, 0];
    if (b !== undefined) state.points[`${layer} ${arrayAt(b).shape.join("x")}`] = [neuron, 0];
  }
  goTo(at);
  const again = neuron === null
    ? document.querySelector(`.card[data-layer="${layer}"]`)
    : document.querySelector(`.neuron[data-layer="${layer}"][data-neuron="${neuron}"]`);
  if (again) again.focus();
}

function goTo(at, focus = false) {
  state.step = Math.min(page.steps.length - 1, Math.max(0, at));
  const step = page.steps[state.step];
  const inPanel = $("panel").contains(document.activeElement);
  $("step-title").textContent = step.title[0].toUpperCase() + step.title.slice(1);
  $("where").textContent = `step ${state.step + 1} of ${page.steps.length}`;
  const [values, gradients] = page.kind === "graph" ? ["values", "gradients"] : ["a", "δ"];
  $("picture-title").textContent = { forward: `The network: ${values}, going forward`, cost: "The network: its output, and the cost",
    backward: `The network: ${gradients}, going back` }[step.way];
  $("picture-note").textContent = noteOnPicture(step);
  $("back").disabled = state.step === 0;
  $("next").disabled = state.step === page.steps.length - 1;
  if (step.layer >= 0) $("layer").value = step.layer;
  else $("layer").selectedIndex = -1;
  panel.show(step);
  if (panel.picked === null) picture(null);
  markStep($("list"), state.step);
  if (focus || inPanel) $("step-title").focus({ preventScroll: !focus });
  say(`${$("where").textContent}: ${step.title}`);
}

/** How the picture is to be read; of a gradient, of which cost it is. */
function noteOnPicture(step) {
  const how = isSmall ? "Edges are weights: full lines positive, dashed lines negative, the thicker the larger."
    : `Press a ${page.kind === "graph" ? "node" : "layer"} to go to its step.`;
  if (step.way !== "backward" || page.batch === 1) return how;
  return `Of example ${state.example}, as part of the mean cost: with 1/B, B = ${page.batch}. ${how}`;
}

function chooseExample(x) {
  state.example = (x + page.examples) % page.examples;
  $("example").value = state.example;
  $("about-example").textContent = wordsOnExample(state.example);
  const x_ = arrayAt(page.x);
  if (x_.image || x_.shape.length > 1) paintSmall($("thumbnail"), x_, state.example, 64);
  else $("thumbnail").hidden = true;
  goTo(state.step);
}

function chooseLayer(layer) {
  const at = stepOfLayer((layer + page.layers.length) % page.layers.length, page.steps[state.step]);
  if (at !== null) goTo(at);
}

function firstOf(way) {
  const at = page.steps.findIndex((step) => step.way === way);
  if (at >= 0) goTo(at);
}

/** Draw everything again, in other colours or as shapes. */
function drawAgain() {
  chooseExample(state.example);
}

function toggleShapes() {
  look.shapes = !look.shapes;
  $("shapes").setAttribute("aria-pressed", String(look.shapes));
  $("shapes").textContent = look.shapes ? "Colours" : "Shapes";
  drawAgain();
}

const isDark = () => (document.documentElement.dataset.theme
  || (window.matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark";

function toggleTheme() {
  document.documentElement.dataset.theme = isDark() ? "light" : "dark";
  nameTheme();
  drawAgain();
}

function nameTheme() {
  forgetColours();
  $("theme").textContent = isDark() ? "Light" : "Dark";
}

const KEYS = {
  n: () => goTo(state.step + 1), p: () => goTo(state.step - 1),
  ArrowRight: () => goTo(state.step + 1), ArrowLeft: () => goTo(state.step - 1),
  Home: () => goTo(0), End: () => goTo(page.steps.length - 1),
  e: () => chooseExample(state.example + 1), E: () => chooseExample(state.example - 1),
  l: () => chooseLayer(Number($("layer").value || -1) + 1), L: () => chooseLayer(Number($("layer").value || 0) - 1),
  f: () => firstOf("forward"), c: () => firstOf("cost"), b: () => firstOf("backward"),
  s: toggleShapes, d: toggleTheme, "?": () => $("help").showModal(),
};

document.addEventListener("keydown", (event) => {
  if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || $("help").open) return;
  if (["SELECT", "INPUT"].includes(event.target.tagName)) return; // which have keys of their own
  const act = KEYS[event.key] || (event.shiftKey ? undefined : KEYS[event.key.toLowerCase()]);
  if (!act) return;
  event.preventDefault();
  act();
});

function explainSigns() {
  const signs = [
    ["w·a+b, σ, BP1–BP4", "the equations of Nielsen's book, chapter 2"],
    ["δ, ∂C/∂a", "as the layer has them, of the mean cost C: they carry 1/B; times B they are those of the example's own cost Cₓ"],
    ["[3, 0]", "numbers of an array are counted from 0, as in Python; layers too"],
    ["z¹, a¹", "of layer 0: raised numbers count the layers from 1, as the book does"],
    ["colours", "orange is positive, blue negative, and of larger cells the negative have a dash"],
    ["shapes", "a full square is positive, a hollow one negative, its area the size"],
    ["edges", "a full line is a positive weight, a dashed one a negative; the thicker the larger"],
    ["▸", "the row of the example that is shown"],
  ];
  for (const [sign, words] of signs) $("signs").append(make("dt", {}, sign), make("dd", {}, words));
}

function start() {
  document.title = `backprop explorer: ${page.title}`;
  $("title").textContent = page.title;
  fillExamples($("example"), chooseExample);
  fillLayers($("layer"), chooseLayer);
  drawSteps($("list"), goTo);
  explainSigns();
  if (page.kind === "graph") document.querySelector("label[for=layer]").textContent = "Node";
  $("example-before").addEventListener("click", () => chooseExample(state.example - 1));
  $("example-after").addEventListener("click", () => chooseExample(state.example + 1));
  $("back").addEventListener("click", () => goTo(state.step - 1));
  $("next").addEventListener("click", () => goTo(state.step + 1));
  $("shapes").addEventListener("click", toggleShapes);
  $("theme").addEventListener("click", toggleTheme);
  $("help-button").addEventListener("click", () => $("help").showModal());
  window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
    nameTheme();
    drawAgain();
  });
  if (page.examples === 1) document.querySelector(".example .chooser").hidden = true;
  if (page.examples < page.batch) {
    const first = page.examples === 1 ? "the first one" : `the first ${page.examples}`;
    $("remarks").textContent = `Of ${page.batch} examples this page has ${first}: more would make it too large. `
      + "Gradients of parameters are those of all.";
  }
  nameTheme();
  chooseExample(0);
}

start();
