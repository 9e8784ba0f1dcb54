"use strict";
(() => {
  const figures = JSON.parse(document.getElementById("figures").textContent);
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const narrow = matchMedia("(max-width: 640px)");
  const touch = matchMedia("(pointer: coarse)");
  const hidden = new Set();
  const COLOUR = /^--[a-z]+(-[a-z0-9]+)?$/;

  // Replace the names of colours by their values in the style sheet, light or dark.
  function painted(node, style) {
    if (typeof node === "string") return COLOUR.test(node) ? style.getPropertyValue(node).trim() || node : node;
    if (Array.isArray(node)) return node.map((item) => painted(item, style));
    if (node === null || typeof node !== "object") return node;
    return Object.fromEntries(Object.entries(node).map(([key, item]) => [key, painted(item, style)]));
  }

  function layoutOf(own, style) {
    const colour = (name) => style.getPropertyValue(name).trim();
    const axis = { gridcolor: colour("--grid"), linecolor: colour("--grid-strong"), zerolinecolor: colour("--grid-strong"),
      title: { standoff: 10, font: { size: 13 } }, ticks: "", ticklabelstandoff: 6, automargin: true };
    const base = {
      autosize: true,
      paper_bgcolor: "rgba(0,0,0,0)",
      plot_bgcolor: "rgba(0,0,0,0)",
      font: { family: getComputedStyle(document.body).fontFamily, size: 13, color: colour("--ink") },
      hoverlabel: { bgcolor: colour("--paper"), bordercolor: colour("--grid-strong"), font: { color: colour("--ink") }, align: "left" },
      showlegend: false,
      margin: { l: 8, r: 16, t: 12, b: 8 },
      // A touch scrolls the page; a mouse zooms.
      dragmode: own.meta && own.meta.brush && !touch.matches ? "select" : touch.matches ? false : "zoom",
      template: { layout: { xaxis: axis, yaxis: axis } },
    };
    return Object.assign(base, own);
  }

  const isShown = (trace) => !hidden.has(trace.legendgroup);

  function draw(id, plot) {
    const box = document.getElementById(id);
    const style = getComputedStyle(document.documentElement);
    const small = narrow.matches && plot.narrow;
    const spec = painted(small ? plot.narrow : plot.spec, style);
    for (const trace of spec.data) trace.visible = isShown(trace);
    box.style.height = `${small ? plot.narrow_height : plot.height}px`;
    const config = { responsive: true, displaylogo: false, displayModeBar: touch.matches ? false : undefined,
      modeBarButtonsToRemove: ["lasso2d", "select2d", "autoScale2d"] };
    return Plotly.react(box, spec.data, layoutOf(spec.layout, style), config).then(() => brush(box, spec));
  }

  // In the plot of trials, draw the trials that are pointed at or brushed over the others.
  function brush(box, spec) {
    if (!spec.layout.meta || !spec.layout.meta.brush) return;
    const over = spec.data.length - 1;
    const show = (trials) => {
      const x = [], y = [];
      for (const trace of spec.data.slice(0, over)) {
        trace.customdata.forEach((trial, place) => {
          if (trials.has(trial)) { x.push(trace.x[place]); y.push(trace.y[place]); }
        });
      }
      Plotly.restyle(box, { x: [x], y: [y] }, [over]);
    };
    let kept = new Set();
    box.removeAllListeners("plotly_hover"); box.removeAllListeners("plotly_unhover");
    box.removeAllListeners("plotly_selected"); box.removeAllListeners("plotly_deselect");
    box.on("plotly_hover", (event) => show(new Set(event.points.map((point) => point.customdata))));
    box.on("plotly_unhover", () => show(kept));
    box.on("plotly_selected", (event) => { kept = new Set(event ? event.points.map((point) => point.customdata) : []); show(kept); });
    box.on("plotly_deselect", () => { kept = new Set(); show(kept); });
  }

  async function drawAll() {
    for (const [id, plot] of Object.entries(figures)) {
      try {
        await draw(id, plot);
      } catch (error) {
        document.getElementById(id).textContent = `This figure could not be drawn: ${error.message}`;
        console.error(error);
      }
    }
    document.documentElement.dataset.drawn = String(document.querySelectorAll(".plot .main-svg").length > 0);
  }

  // The legend shows and hides a study in all figures.
  function toggle(button) {
    const series = button.dataset.series;
    if (!hidden.delete(series)) hidden.add(series);
    button.setAttribute("aria-pressed", String(!hidden.has(series)));
    for (const panel of document.querySelectorAll(`.panel[data-series="${series}"]`)) panel.hidden = hidden.has(series);
    for (const box of document.querySelectorAll(".plot")) {
      Plotly.restyle(box, { visible: box.data.map(isShown) });
      if (!box.parentElement.hidden) Plotly.Plots.resize(box);
    }
  }

  // Fade the right edge of a table while more of it is there.
  function fade(box) {
    const more = () => box.classList.toggle("more", box.scrollLeft + box.clientWidth < box.scrollWidth - 1);
    box.addEventListener("scroll", more, { passive: true });
    new ResizeObserver(more).observe(box);
  }

  for (const box of document.querySelectorAll(".scroll")) fade(box);
  for (const button of document.querySelectorAll(".legend button")) button.addEventListener("click", () => toggle(button));
  for (const query of [dark, narrow, touch]) query.addEventListener("change", drawAll);
  drawAll();
})();
