// Redraws the figure in which the cut is moved; the records are the JSON beside it.
for (const figure of document.querySelectorAll("figure.touch")) {
  const records = JSON.parse(figure.querySelector("script").text);
  const range = figure.querySelector("[type=range]");
  const output = figure.querySelector("output");
  const chosen = (name) => figure.querySelector(`[name=${name}]:checked`).value;
  const layers = [...figure.querySelectorAll(".layer")];
  const draw = () => {
    const cut = records.cuts[range.value];
    output.value = `${cut} of ${layers.length} layers`;
    range.setAttribute("aria-valuetext", output.value);
    layers.forEach((layer, place) =>
      layer.classList.toggle("back", place >= layers.length - cut),
    );
    const accuracies =
      records.values[chosen("made")][chosen("threat")][range.value];
    figure.querySelectorAll(".bar").forEach((bar, row) => {
      const [box, value] = [
        bar.querySelector("rect"),
        bar.querySelector(".value"),
      ];
      const width = accuracies[row] * records.scale;
      box.setAttribute("width", Math.max(1, width));
      value.setAttribute("x", Number(box.getAttribute("x")) + 6 + width);
      value.textContent = `${(100 * accuracies[row]).toFixed(1)}%`;
    });
  };
  figure
    .querySelectorAll("input")
    .forEach((input) => input.addEventListener("input", draw));
}
