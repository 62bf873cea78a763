// What a reader chose, kept in the address after "#", so that a link shares it. A word without "=" there is an anchor.
"use strict";

window.cssbench ??= {};

(() => {
  const chosen = new URLSearchParams(location.hash.includes("=") ? location.hash.slice(1) : "");
  const PAUSE = 400; // ms: a slider moves more often than browsers let a page write its address
  let waiting = 0;

  function keep() {
    waiting = 0;
    const text = chosen.toString();
    if (text || location.hash.includes("=")) history.replaceState(null, "", `${location.href.split("#")[0]}${text && "#"}${text}`);
  }

  cssbench.state = {
    get: (key, fallback = "") => chosen.get(key) ?? fallback,
    // A value that is the page's own is not kept: the address says what differs.
    set(key, value, fallback = "") {
      if (String(value) === String(fallback)) chosen.delete(key);
      else chosen.set(key, value);
      waiting ||= setTimeout(keep, PAUSE);
    },
  };

  addEventListener("hashchange", () => {
    if (location.hash.includes("=")) location.reload();
  });
})();
