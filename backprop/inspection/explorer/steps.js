// -- steps.js: the steps as a list, and the choice of layer and example -----------------------

const WAYS = { forward: "Forward", cost: "Cost", backward: "Backward" };
const LABELS = { z: "z", a: "σ", delta: "δ", nabla_b: "∂C/∂b", nabla_w: "∂C/∂w", down: "∂C/∂a" };

/** The steps as buttons, layer by layer; `choose(number)` is called by what is pressed. */
function drawSteps(parent, choose) {
  let group = null;
  let key = "";
  const list = make("ol", { class: "groups" });
  page.steps.forEach((step, at) => {
    const here = `${step.way} ${step.layer}`;
    if (here !== key) {
      key = here;
      const name = step.layer < 0 ? "cost" : calledOf(page.layers[step.layer]);
      const arrow = { forward: "→ ", backward: "← ", cost: "" }[step.way];
      group = make("ol", { class: "buttons" });
      list.append(make("li", { class: `group ${step.way}` }, make("span", { class: "group-name" }, arrow + name), group));
    }
    const short = LABELS[step.role];
    const label = step.label.startsWith("BP") ? step.label : short || step.label;
    group.append(make("li", {}, make("button", { type: "button", class: "chip", "data-step": at,
      "aria-label": `step ${at + 1}, ${WAYS[step.way]}, ${step.title}: ${step.label}`, onclick: () => choose(at) }, label)));
  });
  parent.replaceChildren(list);
}

/** Mark the step that is shown, and bring it into view. */
function markStep(parent, at) {
  for (const button of parent.querySelectorAll(".chip")) {
    const isNow = Number(button.dataset.step) === at;
    if (isNow) button.setAttribute("aria-current", "step");
    else button.removeAttribute("aria-current");
    if (isNow) {
      const list = parent.querySelector(".groups");
      const [box, room] = [button.getBoundingClientRect(), list.getBoundingClientRect()];
      if (box.left < room.left || box.right > room.right) list.scrollLeft += box.left - room.left - room.width / 2;
    }
  }
}

function fillExamples(select, choose) {
  for (let x = 0; x < page.examples; x++) {
    const name = page.names[x];
    const words = name ? `: ${name.label}${name.right ? "" : " ✗"}` : "";
    select.append(make("option", { value: x }, `${x}${words}`));
  }
  select.addEventListener("change", () => choose(Number(select.value)));
}

function fillLayers(select, choose) {
  page.layers.forEach((layer, at) => {
    select.append(make("option", { value: at }, `${layer.name}${isNode(layer) ? " =" : ":"} ${layer.title}`));
  });
  select.addEventListener("change", () => choose(Number(select.value)));
}

/** The step of a layer that is most like the one that is shown. */
function stepOfLayer(layer, like) {
  const own = page.steps.map((step, at) => [step, at]).filter(([step]) => step.layer === layer);
  if (!own.length) return null;
  const found = own.find(([step]) => step.role === like.role && step.way === like.way)
    || own.find(([step]) => step.way === like.way) || own[0];
  return found[1];
}

/** What is known of an example, in words. */
function wordsOnExample(x) {
  const cost = page.costs.map(({ each, of }) => `Cₓ${page.costs.length > 1 ? ` of ${of}` : ""} = ${text(arrayAt(each).of(x)[0])}.`).join(" ");
  const name = page.names[x];
  if (!name) return cost;
  const verdict = name.right ? "right" : "wrong";
  return `It is “${name.label}”, the network says “${name.output}” (${name.how_much}): ${verdict}. ${cost}`;
}
