// A run that goes on: tiles and head line as the server draws them, the loss as a growing curve.
"use strict";

(() => {
  const live = document.getElementById("live");
  if (!live || !window.EventSource) return;
  const board = document.getElementById("board");
  const curve = document.getElementById("curve");
  const points = [[], []];
  for (const row of document.querySelectorAll("#chart-losses tbody tr")) {
    points[0].push(Number(row.children[0].textContent));
    points[1].push(Number(row.children[1].textContent.replace("−", "-")));
  }
  let plot = null;

  const colour = (name) => {
    const probe = document.createElement("span");
    probe.className = name;
    curve.append(probe);
    const found = getComputedStyle(probe).color;
    probe.remove();
    return found;
  };

  const draw = () => {
    if (!window.uPlot || points[0].length < 2) return;
    curve.hidden = false;
    if (plot) {
      plot.setData(points);
      return;
    }
    const ink = colour("muted");
    const axis = { stroke: ink, grid: { stroke: colour("faint"), width: 1 }, ticks: { show: false } };
    plot = new uPlot(
      {
        width: Math.max(240, curve.clientWidth - 24),
        height: 240,
        scales: { x: { time: false } },
        cursor: { y: false },
        series: [
          { label: live.dataset.round },
          { label: live.dataset.loss, stroke: colour("accent"), width: 2, value: (_, value) => (value == null ? "–" : value.toFixed(4)) },
        ],
        axes: [{ ...axis, incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000] }, axis],
      },
      points,
      curve,
    );
    const drawn = document.querySelector("#chart-losses .drawn");
    if (drawn) drawn.hidden = true;
  };

  const stream = new EventSource(live.dataset.stream);
  stream.addEventListener("board", (event) => {
    board.innerHTML = event.data;
  });
  stream.addEventListener("point", (event) => {
    const { round, loss } = JSON.parse(event.data);
    if (points[0].length && points[0][points[0].length - 1] >= round) return;
    points[0].push(round);
    points[1].push(loss);
    draw();
  });
  stream.addEventListener("ended", () => {
    stream.close();
    document.getElementById("over").hidden = false;
  });
  window.addEventListener("pagehide", () => stream.close());
  window.addEventListener("resize", () => plot && plot.setSize({ width: Math.max(240, curve.clientWidth - 24), height: 240 }));
  draw();
})();
