// The rows of a table: in which order, which of them pass the filter, and how many are in the page so far.
// Of a long table the first are in the page, more as the reader scrolls: laying out 500 rows takes longer than a sort may.
"use strict";

(() => {
  const PORTION = 40; // more than the largest window shows

  class Rows {
    constructor(table) {
      this.table = table;
      this.body = table.tBodies[0];
      this.all = [...this.body.rows];
      this.passes = () => true;
      this.box = table.closest(".scroll");
      this.portion = this.box && this.all.length > 3 * PORTION ? PORTION : Infinity;
      if (this.portion === Infinity) return;
      this.box.addEventListener("scroll", () => this.box.scrollTop + 2 * this.box.clientHeight > this.box.scrollHeight && this.more());
      this.body.addEventListener("focusin", (event) => this.near(event.target.closest("tr")) && this.more());
      addEventListener("beforeprint", () => this.render(Infinity));
      addEventListener("hashchange", () => this.reveal());
      this.render();
      this.reveal();
    }

    order(sorted) {
      this.all = sorted;
      this.render();
    }

    filter(passes) {
      this.passes = passes;
      return this.render();
    }

    // Put the first rows that pass into the page; how many pass is returned.
    render(count = this.portion) {
      const passing = this.all.filter(this.passes);
      this.shown = Math.min(count, passing.length);
      this.body.replaceChildren(...passing.slice(0, this.shown));
      if (this.box && this.portion !== Infinity) this.box.scrollTop = 0;
      return passing.length;
    }

    more() {
      const next = this.all.filter(this.passes).slice(this.shown, this.shown + PORTION);
      this.shown += next.length;
      this.body.append(...next);
    }

    near(row) {
      return row.rowIndex - this.table.tHead.rows.length > this.body.rows.length - 8;
    }

    // A row that the address names is shown, wherever it stands.
    reveal() {
      const name = location.hash.slice(1);
      const row = name && !name.includes("=") && this.all.find((each) => each.id === name);
      if (!row || row.isConnected) return;
      this.render(Infinity);
      row.scrollIntoView();
    }
  }

  cssbench.rows = (table) => (table.rowsInOrder ??= new Rows(table));
})();
