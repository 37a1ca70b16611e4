// Live plots: draws what the server put into the page, then asks again every two seconds.
(function () {
  "use strict";
  const element = document.getElementById("live");
  if (!element || typeof uPlot === "undefined") return;
  const style = getComputedStyle(document.documentElement);
  const ink = style.getPropertyValue("--ink").trim(), line = style.getPropertyValue("--line").trim();
  const blue = "#0072b2", orange = "#e69f00", green = "#009e73"; // Okabe-Ito
  const axis = { stroke: ink, grid: { stroke: line }, ticks: { stroke: line } };
  const zero = { range: (u, min, max) => [Math.min(0, min * 1.05), max > 0 ? max * 1.05 : 1] };
  const clock = Object.assign({ values: (u, times) => times.map(t => new Date(t * 1e3).toISOString().slice(11, 16)) }, axis);

  function columns(live) {
    const at = [], attempts = [], answered = [], asr = [], margin = [];
    for (const p of live.points) {
      at.push(p.at); attempts.push(p.attempts); answered.push(p.answered);
      asr.push(p.attempts ? 100 * p.answered / p.attempts : null);
      margin.push(Number(p.margin)); // drawn, not computed with: the exact figures are in the reports
    }
    return { calls: [at, attempts, answered], asr: [at, asr], margin: [at, margin] };
  }

  function plot(id, series, data, y) {
    const box = document.getElementById(id);
    const chart = new uPlot({
      width: box.clientWidth, height: 170, tzDate: ts => uPlot.tzDate(new Date(ts * 1e3), "Etc/UTC"),
      scales: { y: y }, axes: [clock, Object.assign({ size: 60 }, axis)],
      series: [{ value: "{YYYY}-{MM}-{DD} {HH}:{mm}" }].concat(series),
    }, data, box);
    addEventListener("resize", () => chart.setSize({ width: box.clientWidth, height: 170 }));
    return chart;
  }

  function tiles(live) {
    const last = live.points.slice(-60), recent = live.points.slice(-15);
    const sum = (points, key) => points.reduce((total, p) => total + Number(p[key]), 0);
    const attempts = sum(recent, "attempts");
    const set = (id, text) => { const e = document.getElementById(id); if (e) e.textContent = text; };
    set("tile-cps", (live.calls_per_second_tenths / 10).toFixed(1));
    set("tile-asr", attempts ? (100 * sum(recent, "answered") / attempts).toFixed(1) + "\u2009%" : "–");
    set("tile-attempts", sum(last, "attempts").toLocaleString("en").replace(/,/g, "\u2009"));
    set("tile-margin", sum(last, "margin").toFixed(2));
  }

  let live = JSON.parse(element.textContent), data = columns(live);
  const calls = plot("plot-calls", [{ label: "attempts", stroke: blue, width: 1.5 }, { label: "answered", stroke: green, width: 1.5 }], data.calls, zero);
  const asr = plot("plot-asr", [{ label: "ASR %", stroke: orange, width: 1.5, spanGaps: false }], data.asr, { range: [0, 100] });
  const margin = plot("plot-margin", [{ label: "margin", stroke: blue, width: 1.5 }], data.margin, zero);
  tiles(live);

  setInterval(async function () {
    if (document.hidden) return;
    try {
      const l = await fetch("/live.json");
      if (l.ok) {
        live = await l.json(); data = columns(live);
        calls.setData(data.calls); asr.setData(data.asr); margin.setData(data.margin); tiles(live);
      }
      document.body.classList.remove("stale");
    } catch (e) { document.body.classList.add("stale"); }
  }, 2000);
})();
