// What a reader chose, kept in the address after "#", so that a link shares it. A word without "=" there is an anchor.
"use strict";

window.cssbench ??= {};

(() => {
  const chosen = new URLSearchParams(location.hash.includes("=") ? location.hash.slice(1) : "");

  function keep() {
    const text = chosen.toString();
    history.replaceState(null, "", text ? `#${text}` : location.pathname + location.search);
  }

  cssbench.state = {
    get: (key, fallback = "") => chosen.get(key) ?? fallback,
    // A value that is the page's own is not kept: the address says what differs.
    set(key, value, fallback = "") {
      if (String(value) === String(fallback)) chosen.delete(key);
      else chosen.set(key, value);
      keep();
    },
  };

  addEventListener("hashchange", () => {
    if (location.hash.includes("=")) location.reload();
  });
})();
