// Keys: / goes to the search field, j and k walk the rows of a table, Enter opens the row's first link.
(function () {
  "use strict";
  let at = -1;
  addEventListener("keydown", function (event) {
    if (event.target.matches("input, textarea, select") || event.ctrlKey || event.metaKey || event.altKey) return;
    const rows = document.querySelectorAll("tbody tr");
    if (event.key === "/") { event.preventDefault(); document.querySelector("input[type=search]").focus(); }
    if ((event.key === "j" || event.key === "k") && rows.length) {
      at = Math.max(0, Math.min(rows.length - 1, at + (event.key === "j" ? 1 : -1)));
      rows[at].tabIndex = -1; rows[at].focus(); rows[at].scrollIntoView({ block: "nearest" });
    }
    if (event.key === "Enter" && at >= 0 && rows[at]) { const a = rows[at].querySelector("a"); if (a) a.click(); }
  });
})();

// Trouble: every page says that there is some, the first page says which, since when and what to do.
(function () {
  "use strict";
  const words = { good: "good", warned: "waits", bad: "needs a person" };
  function make(tag, text, of) {
    const element = document.createElement(tag);
    if (text) element.textContent = text;
    Object.assign(element, of || {});
    return element;
  }

  function trouble(l) { // as pages.rs makes it
    const box = make("section", "", { className: "trouble " + l.state });
    box.setAttribute("role", "alert");
    const what = make("p"), since = make("p", "since ", { className: "small" });
    what.append(make("b", "What to do: "), l.advice);
    since.append(make("time", l.since, { dateTime: l.since }));
    box.append(make("h2", l.part + ": " + words[l.state]), make("p", l.detail), what, since);
    return box;
  }

  function row(l) {
    const row = make("tr");
    [["Part", l.part, ""], ["State", words[l.state], l.state], ["Detail", l.detail, ""]].forEach(function (c) {
      const cell = make("td", c[1], { className: c[2] });
      cell.dataset.label = c[0];
      row.append(cell);
    });
    return row;
  }

  function show(lines) {
    const wrong = lines.filter(l => l.state !== "good");
    const badge = document.getElementById("trouble-badge");
    if (badge) {
      badge.hidden = !wrong.length || document.getElementById("troubles") !== null; // there they stand themselves
      badge.textContent = wrong.length === 1 ? wrong[0].part + " is in trouble" : wrong.length + " parts are in trouble";
      badge.className = "badge " + (wrong.some(l => l.state === "bad") ? "bad" : "warned");
    }
    const boxes = document.getElementById("troubles"), body = document.querySelector("#health tbody");
    if (boxes) boxes.replaceChildren(...wrong.map(trouble));
    if (body) body.replaceChildren(...lines.map(row));
  }

  async function look() {
    if (document.hidden) return;
    try {
      const answer = await fetch("/health.json");
      if (answer.ok) show(await answer.json());
      document.body.classList.remove("stale");
    } catch (e) { document.body.classList.add("stale"); }
  }
  if (document.querySelector("header nav")) {
    look();
    setInterval(look, document.getElementById("troubles") ? 2000 : 10000);
  }
})();

// A job: the page asks how far it is, and loads anew when it has come to something.
(function () {
  "use strict";
  const job = document.querySelector("#job[data-job]"), stage = document.getElementById("stage");
  async function look() {
    try {
      const answer = await fetch("/jobs/" + job.dataset.job + "/state.json");
      if (!answer.ok) { stage.textContent = "not answered (" + answer.status + "), asking again"; return; }
      const now = await answer.json();
      if (now.state !== "waits" && now.state !== "works") { location.reload(); return; }
      stage.textContent = now.stage;
    } catch (e) { stage.textContent = "Tandem does not answer; asking again"; }
  }
  if (job) setInterval(look, 1000);

  // A file above the limit is said so before it is sent.
  const file = document.querySelector("input[type=file][data-most]");
  if (file) file.addEventListener("change", function () {
    const size = file.files.length ? file.files[0].size : 0, most = Number(file.dataset.most);
    const wrong = size > most ? "this file has " + size + " bytes, above " + most + "; split it, or send it as CSV" : "";
    document.getElementById("file-fault").textContent = wrong;
    file.setCustomValidity(wrong);
  });
})();
