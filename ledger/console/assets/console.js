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
