// Light or dark, before the first paint: as Airflow's own pages are, else as the reader's system is.
// Airflow keeps its choice in localStorage, key "theme" (light, dark or system), and as a class of its document;
// both are read only, and either may be missing.
(function () {
  "use strict";

  function ofAirflow() {
    try {
      if (window.parent === window) return "";
      const classes = window.parent.document.documentElement.classList;
      return ["dark", "light"].find((name) => classes.contains(name)) || "";
    } catch {
      return ""; // another origin's frame
    }
  }

  function chosen() {
    try {
      return window.localStorage.getItem("theme") || "";
    } catch {
      return ""; // storage is switched off
    }
  }

  function follow() {
    const theme = ofAirflow() || chosen();
    const classes = document.documentElement.classList;
    classes.toggle("dark", theme === "dark");
    classes.toggle("light", theme === "light");
  }

  follow();
  window.addEventListener("storage", follow);
  try {
    if (window.parent !== window) {
      const watched = { attributes: true, attributeFilter: ["class"] };
      new MutationObserver(follow).observe(window.parent.document.documentElement, watched);
    }
  } catch {
    // another origin's frame: the system's choice holds
  }
})();
