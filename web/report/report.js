/* Draws the report from the JSON in #data (schema: head of src/eval/report.c). Everything from the data goes in as text,
   never as markup. Sections whose data is absent are left out. */
(function () {
  "use strict";
  const D = JSON.parse(document.getElementById("data").textContent);
  const page = document.getElementById("page");
  const redraw = []; /* charts to build again when colours change */

  /* ---- small tools ---- */
  function h(tag, attrs, ...children) {
    const node = document.createElement(tag);
    for (const [key, value] of Object.entries(attrs || {})) {
      if (value === null || value === undefined || value === false) continue;
      if (key === "style") Object.assign(node.style, value);
      else if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
      else node.setAttribute(key, value);
    }
    for (const child of children.flat(3)) if (child !== null && child !== undefined && child !== false) node.append(child);
    return node;
  }
  const list = (x) => (Array.isArray(x) ? x : []);
  const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const count = (n) => Number(n).toLocaleString("en-US");
  const day = (t) => new Date(t * 1000).toISOString().slice(0, 10);
  const month = (t) => new Date(t * 1000).toLocaleString("en-US", { month: "short", year: "numeric", timeZone: "UTC" });
  const isShare = (measure) => !/^(popularity|novelty)/.test(measure);
  function show(x, measure) {
    if (!isShare(measure)) return x >= 100 ? count(Math.round(x)) : x.toFixed(1);
    const p = 100 * x;
    return p.toFixed(Math.abs(p) >= 9.95 ? 1 : 2) + " %";
  }
  const bare = (x, measure) => show(x, measure).replace(" %", "");
  const signed = (x, measure) => (x >= 0 ? "+" : "−") + bare(Math.abs(x), measure);
  function seconds(s) {
    if (s < 1) return (1000 * s).toFixed(0) + " ms";
    if (s < 100) return s.toFixed(1).replace(/\.0$/, "") + " s";
    return Math.floor(s / 60) + " min " + Math.round(s % 60) + " s";
  }
  const bytes = (b) => (b >= 1e9 ? (b / 1e9).toFixed(2).replace(/\.?0+$/, "") + " GB" : Math.round(b / 1e6) + " MB");
  const pct = (x) => Math.max(0, Math.min(100, 100 * x)) + "%";
  function section(title, why, ...content) {
    page.append(h("section", {}, h("h2", {}, title), why && h("p", { class: "why" }, why), ...content));
  }
  function segmented(options, current, pick, label) {
    return h("div", { class: "seg", role: "group", "aria-label": label }, options.map((o) =>
      h("button", { type: "button", "aria-pressed": String(o.value === current), onclick: () => pick(o.value) }, o.text)));
  }
  function select(label, options, current, pick) {
    const box = h("select", { onchange: (e) => pick(e.target.value) }, options.map((o) =>
      h("option", { value: o.value, selected: o.value === current ? "" : null }, o.text)));
    return h("label", { class: "pick" }, label, box);
  }

  /* ---- top: one heading, one sentence ---- */
  const verdicts = list(D.verdicts);
  const stars = new Set([D.published].concat(verdicts.map((v) => v.model || v.strategy)).filter(Boolean));
  function top() {
    const theme = h("button", { class: "toggle", type: "button", onclick: () => setTheme(dark() ? "light" : "dark") }, "Light / dark");
    page.append(h("div", { class: "top" }, h("span", { class: "brand" }, h("b", {}, "kua"), " · recommendation report", D.generated ? " · " + D.generated : ""), theme));
    page.append(h("h1", {}, D.title || "Recommendation report"));
    const main = verdicts.find((v) => v.model && v.model === D.published) || verdicts[0], everybody = main && list(main.slices)[0];
    const tone = !main || !main.transfer ? "off" : main.partly || !everybody || everybody.low <= 0 ? "warn" : "good";
    if (D.headline)
      page.append(h("div", { class: "verdict tone-" + tone }, h("span", { class: "mark", "aria-hidden": "true" }, { good: "✓", warn: "◐", off: "○" }[tone]), h("p", {}, D.headline)));
    if (D.lead) page.append(h("p", { class: "lead", style: { marginTop: "14px" } }, D.lead));
    tiles();
  }
  function tiles() {
    const box = h("div", { class: "tiles" });
    const tile = (big, cap) => box.append(h("div", { class: "tile" }, h("div", { class: "big" }, big), h("div", { class: "cap" }, cap)));
    const t = list(D.tables)[0];
    const row = t && (t.rows.find((r) => r.model === D.published) || t.rows[0]);
    if (row) {
      const m = row.metrics, d = row.difference && row.difference["recall@10"];
      if (m["hit@10"] !== undefined) tile(show(m["hit@10"], "hit"), "of the people tested find at least one thing they then bought among ten recommendations by " + row.model);
      if (m["recall@10"] !== undefined) tile(show(m["recall@10"], "recall"), "of all they bought that ten recommendations could name was named (recall@10)");
      if (d) tile(signed(d.mean, "recall") + " pts", "found in addition to what " + t.baseline + " finds (points of recall@10); the true gain lies between " + signed(d.low, "r") + " and " + signed(d.high, "r") + " with 95 % certainty");
      tile(count(t.protocol.users), "people tested; all " + count(t.protocol.ranked_items) + " articles ranked");
    }
    for (const extra of list(D.tiles)) tile(extra.value, extra.text);
    if (box.children.length) page.append(box);
  }

  /* ---- result tables: bars with intervals, tables of one title side by side ---- */
  const measureNames = {
    "recall@10": "what was found", "ndcg@10": "what was found, the top counting more", "hit@10": "people for whom anything was found",
    "mrr@10": "how high the first hit stands", "map@10": "how densely hits stand at the top", "popularity@10": "how usual the articles are",
    "novelty@10": "how rare the articles are", "diversity@10": "how varied the articles are",
  };
  const measureWords = {
    "recall@10": "Of what a person went on to buy (at most ten things), the share that was among ten recommendations.",
    "ndcg@10": "As recall, but a hit at the top of the list counts more than one at its end.",
    "hit@10": "The share of people with at least one hit among ten recommendations.",
    "mrr@10": "How high the first hit stands: 100 % first, 50 % second, 33 % third.",
    "map@10": "How densely hits stand at the top of the list.",
    "popularity@10": "How often the recommended articles were bought before: lower means less of the usual.",
    "novelty@10": "How surprising the recommended articles are, in bits: higher means rarer.",
    "diversity@10": "How different the ten recommended articles are from each other, by their texts.",
  };
  /* What a row does, for somebody who meets its name for the first time. */
  const kindWords = {
    popularity: "what sells most", repeat: "what the person has bought before, again", itemknn: "what is bought by the same people as the person's own articles",
    userknn: "what people with similar purchases buy", ease: "what goes with the person's own articles, all of them weighed together",
    textknn: "articles with similar names and descriptions", sequence: "learned from the order of purchases, in this category alone",
  };
  const strategyWords = {
    "target-only": "learned from the order of purchases, in this category alone",
    crossknn: (from) => "what buyers of the person's articles in " + from + " buy here",
    frozen: (from) => "learned in " + from + ", kept as it was and only connected to this category",
    finetune: (from) => "learned in " + from + ", then trained further in this category",
  };
  function rowWords(name) {
    const raw = /:raw$/.test(name), m = list(D.models).find((k) => k.name === name.replace(/:raw$/, ""));
    if (!m) return null;
    const words = m.strategy ? strategyWords[m.strategy] : kindWords[m.kind];
    if (!words) return null;
    return (typeof words === "function" ? words(m.sources || "another category") : words) + (raw ? "; for everybody, without the guard" : m.strategy && m.strategy !== "target-only" ? "; only for whom the guard allows it" : "");
  }
  function pickBlock(row, slice) {
    return slice === "all" ? row : (row.slices || {})[slice] || (row.categories || {})[slice.replace(/^category:/, "")] || null;
  }
  function panel(table, measure, slice, top) {
    const first = pickBlock(table.rows[0], slice);
    const base = table.rows.find((r) => r.model === table.baseline);
    const ref = base && pickBlock(base, slice);
    const name = table.label || (table.protocol.new_only ? "Only what was new to the person" : "Everything that was bought");
    const users = !first ? 0 : first.users !== undefined ? first.users : table.protocol.users;
    const box = h("div", { class: "card" }, h("div", { class: "panel-head" }, h("h3", {}, name), h("small", {}, first ? count(users) + " people" : "nobody in this group")));
    const rows = h("div", { class: "rows" });
    for (const row of table.rows) {
      const block = pickBlock(row, slice);
      if (!block || !block.metrics || block.metrics[measure] === undefined) continue;
      const x = block.metrics[measure], span = (block.intervals || {})[measure];
      const d = block.difference && block.difference[measure];
      const better = d && (d.low > 0 ? "up" : d.high < 0 ? "down" : null);
      const kind = row.model === table.baseline ? " is-base" : stars.has(row.model) ? " is-star" : "";
      const tip = row.model + ": " + show(x, measure) + (d ? ", against " + table.baseline + " " + signed(d.mean, measure) + " (" + signed(d.low, measure) + " to " + signed(d.high, measure) + ")" : "");
      rows.append(h("div", { class: "row" + kind, title: tip },
        h("div", { class: "name" }, row.model, isShare(measure) && better === "up" && h("span", { class: "tag up", title: "better than " + table.baseline }, "▲"), isShare(measure) && better === "down" && h("span", { class: "tag down", title: "worse than " + table.baseline }, "▼")),
        h("div", { class: "track" }, h("div", { class: "fill", style: { width: pct(x / top) } }),
          ref && ref.metrics && h("div", { class: "ref", style: { left: pct(ref.metrics[measure] / top) } }),
          span && h("div", { class: "span", style: { left: pct(span[0] / top), width: pct((span[1] - span[0]) / top) } })),
        h("div", { class: "value" }, h("b", {}, show(x, measure)), span && h("small", {}, bare(span[0], measure) + " – " + bare(span[1], measure))),
        rowWords(row.model) && h("div", { class: "what" }, rowWords(row.model))));
    }
    box.append(rows);
    return box;
  }
  function results() {
    const tables = list(D.tables);
    if (!tables.length) return;
    const titles = [...new Set(tables.map((t) => t.title || ""))];
    const state = { title: titles[0], measure: "recall@10", slice: "all" };
    const host = h("div");
    function draw() {
      const shown = tables.filter((t) => (t.title || "") === state.title);
      const measures = Object.keys(measureWords).filter((m) => shown[0].rows[0].metrics[m] !== undefined);
      const slices = [{ value: "all", text: "everybody" }];
      for (const [key, s] of Object.entries(shown[0].rows[0].slices || {})) slices.push({ value: key, text: s.words || key });
      for (const key of Object.keys(shown[0].rows[0].categories || {})) slices.push({ value: "category:" + key, text: "category " + key });
      if (!slices.some((s) => s.value === state.slice)) state.slice = "all";
      const top = (t) => 1.04 * Math.max(1e-9, ...t.rows.map((r) => pickBlock(r, state.slice)).filter((b) => b && b.metrics).map((b) => Math.max(b.metrics[state.measure] || 0, ((b.intervals || {})[state.measure] || [0, 0])[1])));
      const set = (key) => (value) => { state[key] = value; draw(); };
      host.replaceChildren(
        titles.length > 1 ? h("div", { class: "bar" }, segmented(titles.map((t) => ({ value: t, text: t })), state.title, set("title"), "direction")) : "",
        h("div", { class: "bar" }, select("show", measures.map((m) => ({ value: m, text: measureNames[m] + " (" + m + ")" })), state.measure, set("measure")), select("for", slices, state.slice, set("slice"))),
        h("p", { class: "note", style: { margin: "8px 0 0" } }, measureWords[state.measure]),
        h("div", { class: "grid2" }, shown.map((t) => panel(t, state.measure, state.slice, top(t)))),
        h("div", { class: "legend" },
          h("span", {}, h("i", { style: { background: "var(--accent)" } }), "transfer"), h("span", {}, h("i", { style: { background: "var(--base)" } }), shown[0].baseline + " (compared with this; dashed line)"),
          h("span", {}, h("i", { style: { background: "var(--plain)" } }), "other rows"), h("span", {}, "├─┤ with other people the bar could as well end anywhere in here (95 % interval)"), h("span", {}, "▲ ▼ better or worse than " + shown[0].baseline + " by more than chance"), shown.length > 1 && h("span", {}, "each panel has its own scale")));
    }
    draw();
    section("Did transfer help?", "Each row is one way to recommend, tested on purchases that none of them had seen.", host);
  }

  /* ---- the guard ---- */
  function guard() {
    if (!verdicts.length) return;
    const cards = verdicts.map((v) => {
      const slices = list(v.slices);
      let far = 1e-9;
      for (const s of slices) far = Math.max(far, Math.abs(s.low), Math.abs(s.high));
      far *= 1.05;
      const at = (x) => pct((x / far + 1) / 2);
      const judge = (s) => h("div", { class: "row judge" },
        h("div", { class: "name" }, s.slice === "all" ? "everybody" : s.words, h("small", {}, count(s.users) + " people")),
        h("div", { class: "track" }, h("div", { class: "zero", style: { left: "50%" } }),
          h("div", { class: "span", style: { left: at(s.low), width: pct((s.high - s.low) / far / 2) } }),
          h("div", { class: "dot" + (s.low > 0 ? "" : s.high < 0 ? " neg" : " mid"), style: { left: at(s.mean) } })),
        h("div", { class: "value" }, h("b", {}, signed(s.mean, "ndcg")), s.slice === "all" || s.switch ? h("span", { class: "tag " + (s.transfer ? "on" : "off") }, s.transfer ? "on" : "off") : h("span", { class: "tag off" }, "shown"),
          h("small", {}, signed(s.low, "ndcg") + " to " + signed(s.high, "ndcg"))));
      const everybody = slices[0] || {}, plain = !v.transfer ? "Not shown to be as good as the model of " + v.target + " alone, so that one is used in its place."
        : everybody.low > 0 ? "Better than the model of " + v.target + " alone, by more than chance: it may be used." : "As good as the model of " + v.target + " alone, but not shown to be better: it may be used.";
      const off = slices.filter((s) => s.switch && !s.transfer).map((s) => s.words);
      return h("div", { class: "card" }, h("div", { class: "panel-head" }, h("h3", {}, (v.sources ? list(v.sources).join(", ") + " → " + v.target + ": " : "") + (v.strategy || "")), h("span", { class: "tag " + (v.transfer ? "on" : "off") }, v.partly ? "partly on" : v.transfer ? "on" : "off")),
        h("p", { style: { margin: "6px 0 0" } }, plain, v.transfer && off.length ? " Switched off for " + off.join(", ") + "." : ""), h("div", { class: "rows" }, slices.slice(0, 1).map(judge)),
        h("p", { class: "note", style: { margin: "4px 0 0" } }, "Difference to the model without transfer in " + v.measure + ", in points; right of the line is better. Where the whisker crosses the line, chance alone could explain the difference."),
        h("details", {}, h("summary", {}, "Group by group, and in the guard's own words"), h("p", { class: "note", style: { marginTop: "6px" } }, v.words), h("div", { class: "rows" }, slices.slice(1).map(judge)),
          h("p", { class: "note", style: { margin: "8px 0 0" } }, "“shown”: for information; there is no switch for this group.")));
    });
    section("Where is it switched on?", "Before anything is published, a guard compares the transferred model with one that was trained on the target alone, on validation purchases. Where transfer is not shown to be at least as good, it stays off.", h("div", { class: verdicts.length > 1 ? "cards" : "" , style: { marginTop: "14px" } }, cards));
  }

  /* ---- examples ---- */
  function entries(items, mark) {
    if (!list(items).length) return h("p", { class: "note" }, "nothing");
    return h("ul", { class: "list" }, items.map((i) => h("li", { class: mark && i.hit ? "hit" : null },
      h("span", {}, i.name, (i.category || i.domain) && h("small", {}, [i.domain, i.category].filter(Boolean).join(" · "))), i.times > 1 ? h("small", { style: { flex: "none" } }, "× " + i.times) : i.known ? h("small", { style: { flex: "none" } }, "again") : null)));
  }
  function examples() {
    const people = list(D.examples);
    if (!people.length) return;
    section("What would people see?", "Real people of the test. ✓ marks what was recommended and then bought; “again” what they had bought before.", h("div", { class: "cards" }, people.map((p) => {
      const hits = list(p.recommended).filter((i) => i.hit).length;
      return h("div", { class: "card" }, h("div", { class: "who" }, h("h3", {}, p.title || p.user), h("small", { class: "note" }, (p.note ? p.note + " · " : "") + hits + " of " + list(p.recommended).length + " bought")),
        h("div", { class: "cols" }, [["Bought before", p.before, false], ["Recommended", p.recommended, true], ["Bought after", p.after, true]].map(([title, items, mark]) => h("div", {}, h("h4", {}, title), entries(items, mark)))));
    })));
  }

  /* ---- charts ---- */
  const palette = ["--c1", "--c2", "--c3", "--c4", "--c5", "--c6", "--c7", "--c8"];
  function chart(host, series, x, options) {
    const o = Object.assign({ height: 230, time: false, unit: (v) => String(v) }, options);
    let plot = null;
    const axis = (extra) => Object.assign({ stroke: css("--soft"), grid: { stroke: css("--line"), width: 1 }, ticks: { stroke: css("--line"), width: 1 }, font: "12px system-ui, sans-serif", labelFont: "12px system-ui, sans-serif" }, extra);
    function build() {
      if (plot) plot.destroy();
      const width = Math.max(220, host.clientWidth);
      plot = new uPlot({
        width, height: o.height, tzDate: (ts) => uPlot.tzDate(new Date(ts * 1e3), "UTC"),
        scales: { x: { time: o.time, distr: o.logx ? 3 : 1, range: o.logx ? (u, min, max) => [min / 1.25, max * 1.25] : undefined }, y: { distr: o.logy ? 3 : 1, range: o.ysplits ? (u, min, max) => [min / 1.6, max * 1.6] : o.logy ? undefined : o.zero ? (u, min, max) => [0, max * 1.08 || 1] : undefined } },
        axes: [axis({ incrs: o.whole ? [1, 2, 5, 10, 20, 50, 100] : undefined, label: o.xlabel, labelSize: o.xlabel ? 20 : 0, values: o.xvalues ? (u, v) => v.map((k) => (k === null ? "" : o.xvalues(k))) : undefined, splits: o.xsplits ? () => o.xsplits : undefined, filter: o.xsplits ? (u, s) => s : undefined }), axis({ size: 68, splits: o.ysplits ? (u, i, low, high) => o.ysplits.filter((v) => v >= low && v <= high) : undefined, filter: o.ysplits ? (u, v) => v : undefined, values: (u, v) => v.map((k) => (k === null ? "" : o.unit(k))) })],
        series: [{ label: o.xname || "x", value: (u, v) => (v === null ? "" : o.xvalues ? o.xvalues(v) : o.time ? day(v) : v) }].concat(series.map((s, i) => ({
          label: s.name, stroke: css(palette[(s.color === undefined ? (o.logx && i > 3 ? i + 1 : i) : s.color) % palette.length]), width: 2, dash: s.dash, spanGaps: true,
          points: { show: s.y.length < 40, size: 5 }, value: (u, v) => (v === null || v === undefined ? "" : o.unit(v)) }))),
        cursor: { drag: { x: false, y: false } },
      }, [x].concat(series.map((s) => s.y)), host);
    }
    redraw.push(build);
    new ResizeObserver(() => { if (plot && host.clientWidth > 0) plot.setSize({ width: Math.max(220, host.clientWidth), height: o.height }); }).observe(host);
    requestAnimationFrame(build);
    return host;
  }
  const card = (title, note, ...content) => h("div", { class: "card" }, h("h3", {}, title), note && h("p", { class: "note", style: { margin: 0 } }, note), ...content);

  /* ---- data ---- */
  function heat(names, cells) {
    const box = h("div", { class: "heat", style: { gridTemplateColumns: "max-content repeat(" + names.length + ", minmax(52px, 1fr))" } }, h("div"), names.map((n) => h("div", { class: "lab t" }, n)));
    let high = 1;
    names.forEach((a, i) => names.forEach((b, j) => { if (i !== j) high = Math.max(high, cells[i][j]); }));
    names.forEach((a, i) => {
      box.append(h("div", { class: "lab" }, a));
      names.forEach((b, j) => {
        const share = i === j ? 0 : Math.sqrt(cells[i][j] / high);
        box.append(h("div", { title: i === j ? a + ": " + count(cells[i][j]) + " users" : count(cells[i][j]) + " users in both " + a + " and " + b,
          style: { background: i === j ? "var(--track)" : "color-mix(in srgb, var(--accent) " + Math.round(8 + 72 * share) + "%, var(--card))", color: i === j ? "var(--soft)" : share > .62 ? "var(--card)" : "var(--ink)" } }, count(cells[i][j])));
      });
    });
    return box;
  }
  function dataPicture() {
    const data = D.data;
    if (!data) return;
    const parts = [];
    const domains = list(data.domains);
    if (domains.length) parts.push(card("Categories of the shop", null, h("div", { class: "scroll" }, h("table", {}, h("thead", {}, h("tr", {}, h("th", {}, "category"), ["articles", "people", "purchases"].map((t) => h("th", { class: "n" }, t)))),
      h("tbody", {}, domains.map((d) => h("tr", {}, h("td", {}, d.name, d.role && h("br"), d.role && h("span", { class: "tag " + (d.role === "target" ? "on" : "off") }, { source: "learned from", target: "recommended in" }[d.role] || d.role)), [d.items, d.users, d.events].map((n) => h("td", { class: "n" }, count(n))))),
      data.others && h("tr", { class: "rest" }, h("td", {}, count(data.others.domains) + " smaller categories"), [data.others.items, "", data.others.events].map((n) => h("td", { class: "n" }, n === "" ? "" : count(n)))))))));
    const names = domains.map((d) => d.name), shared = list(data.shared_users);
    if (names.length > 1 && shared.length) {
      const cells = names.map((a, i) => names.map((b, j) => (i === j ? domains[i].users : 0)));
      for (const s of shared) { const i = names.indexOf(s.a), j = names.indexOf(s.b); if (i >= 0 && j >= 0) cells[i][j] = cells[j][i] = s.users; }
      parts.push(card("People known in both", "Transfer lives on people who buy in more than one category. On the diagonal: all people of a category.", h("div", { class: "scroll" }, heat(names, cells))));
    }
    const a = data.activity;
    if (a && list(a.time).length > 1) {
      const host = h("div", { class: "chart" });
      parts.push(card("Activity over time", "Purchases per " + (a.step || "week") + (a.log ? "; each line upwards is several times as much (logarithmic)" : ""), host));
      chart(host, a.series.map((s) => ({ name: s.name, y: s.count })), a.time, { time: true, zero: !a.log, logy: a.log, xname: a.step || "week", unit: (v) => (v >= 1e6 ? v / 1e6 + "M" : v >= 1e4 ? Math.round(v / 1e3) + "k" : count(v)) });
    }
    const cleaned = list(data.cleaned);
    const gone = cleaned.filter((c) => c.removed > 0), clean = cleaned.filter((c) => !(c.removed > 0)).map((c) => c.step);
    if (cleaned.length) parts.push(card("What was taken out, and why", null, h("div", { class: "scroll" }, h("table", {}, h("tbody", {}, gone.map((c) => h("tr", {}, h("td", {}, c.step, c.why && h("small", { class: "note", style: { display: "block" } }, c.why)), h("td", { class: "n" }, count(c.removed), c.unit ? " " + c.unit : "")))))),
      clean.length ? h("p", { class: "note", style: { margin: "10px 0 0" } }, "Looked for, and nothing found: " + clean.join(", ") + ".") : null));
    const total = domains.concat(data.others || []).reduce((sum, d) => sum + (d.events || 0), 0), named = (role) => domains.filter((d) => d.role === role).map((d) => d.name).join(", ");
    const dated = domains.filter((d) => d.first);
    const words = count(total) + " purchases" + (dated.length ? ", " + month(Math.min(...dated.map((d) => d.first))) + " to " + month(Math.max(...dated.map((d) => d.last))) : "") + (named("source") ? ". What people buy in " + named("source") + " was learned first, then carried over to " + named("target") : "") + ".";
    section("What was it learned from?", data.words || words, h("div", { class: "grid2" }, parts));
  }

  /* ---- training, cost, scaling ---- */
  function training() {
    const curves = list(D.training).filter((c) => list(c.epoch).length);
    if (!curves.length) return;
    const epochs = [...new Set(curves.flatMap((c) => c.epoch))].sort((p, q) => p - q);
    const align = (c, y) => epochs.map((e) => { const i = c.epoch.indexOf(e); return i < 0 || list(y)[i] === undefined ? null : y[i]; });
    const models = [...new Set(curves.map((c) => c.name.split(", ")[0]))], parts = [];
    for (const [key, title, note, unit] of [["valid", "How good it is after each round", "Found on purchases held back for choosing (ndcg@10); training stops when it no longer rises.", (v) => show(v, "x")], ["loss", "How surprised it still is", "By the purchases it learns from (training loss): falls as it learns.", (v) => v.toFixed(2)]]) {
      const lines = curves.filter((c) => list(c[key]).length).map((c) => {
        /* one colour a model, one dash pattern a seed */
        const model = c.name.split(", ")[0], seed = curves.filter((k) => k.name.split(", ")[0] === model).indexOf(c);
        return { name: c.name, y: align(c, c[key]), color: models.indexOf(model), dash: seed ? [2 + 4 * (seed % 3), 3] : undefined };
      });
      if (!lines.length) continue;
      const host = h("div", { class: "chart" });
      parts.push(card(title, note, host));
      chart(host, lines, epochs, { xname: "round", xlabel: "round through the data (epoch)", whole: true, unit });
    }
    section("How was it trained?", "The model reads people's purchases in order and learns to name the next one. One line a model and seed.", h("div", { class: "grid2" }, parts));
  }
  function bars(items, key, format, notes) {
    const top = Math.max(...items.map((i) => i[key] || 0), 1e-9);
    return h("div", { class: "rows" }, items.filter((i) => i[key]).map((i) => h("div", { class: "row wide" }, h("div", { class: "name", title: i.step }, i.step), h("div", { class: "track" }, h("div", { class: "fill", style: { width: pct(i[key] / top), background: "var(--c2)" } })), h("div", { class: "value" }, h("b", {}, format(i[key])), notes && i.note && h("small", {}, i.note)))));
  }
  function cost() {
    const steps = list(D.cost), s = D.scaling, parts = [];
    if (steps.some((i) => i.seconds)) parts.push(card("Time", "Preparing and training; all together " + seconds(steps.reduce((sum, i) => sum + (i.seconds || 0), 0)), bars(steps, "seconds", seconds, true)));
    if (steps.some((i) => i.bytes)) parts.push(card("Memory at the peak", null, bars(steps, "bytes", bytes)));
    if (s && list(s.events).length > 1) {
      const ticks = { xsplits: s.events, xvalues: (v) => (v >= 1e6 ? (v / 1e6).toFixed(2) + "M" : Math.round(v / 1e3) + "k"), logx: true, logy: true, height: 280, xname: "purchases", xlabel: "purchases in the shop" };
      const grow = (key, title, note, unit, ysplits) => {
        const lines = list(s.steps).filter((l) => list(l[key]).some((v) => v > 0));
        if (!lines.length) return;
        const host = h("div", { class: "chart" });
        parts.push(card(title, note, host));
        const drawn = lines.map((l) => ({ name: l.name, y: l[key].map((v) => (v > 0 ? v : null)) }));
        const starts = drawn.map((l) => l.y[0]).filter(Boolean), start = Math.sqrt(Math.min(...starts) * Math.max(...starts));
        drawn.push({ name: "as the purchases", y: s.events.map((n) => (start * n) / s.events[0]), color: 4, dash: [3, 5] });
        chart(host, drawn, s.events, Object.assign({ unit, ysplits }, ticks));
      };
      grow("seconds", "Time as the shop grows", "Measured on random shares of the customers. Both axes are logarithmic. The dashed line grows exactly as the purchases do; whatever is flatter costs less a purchase in a larger shop.", seconds, [0.1, 0.3, 1, 3, 10, 30, 100, 300, 1000, 3000]);
      grow("bytes", "Memory as the shop grows", "At the peak of each step. The dashed line grows exactly as the purchases do.", bytes, [1e7, 3e7, 1e8, 3e8, 1e9, 3e9, 1e10, 3e10]);
    }
    if (parts.length) section("What does it cost?", D.machine || "Measured on the machine where it was made, on the processor alone.", h("div", { class: "grid2" }, parts));
  }

  /* ---- method ---- */
  function method() {
    const tables = list(D.tables);
    if (!tables.length) return;
    const p = tables[0].protocol;
    const settings = tables[0].rows.filter((r) => r.settings || r.note || r.seconds);
    section("How was this measured?", null, h("div", { class: "card" }, tables.map((t) => h("p", {}, h("b", {}, [t.title, t.label || (t.protocol.new_only ? "new only" : "all")].filter(Boolean).join(", ") + ": "), t.protocol.words + ". " + count(t.protocol.users) + " people, " + count(t.protocol.relevant) + " articles to be found" + (t.protocol.dropped_relevant ? "; " + count(t.protocol.dropped_relevant) + " more did not exist before the cut and are left out" : "") + ".")),
      p.sampled ? h("p", { class: "tag down" }, "ranked among sampled items: not comparable with full rankings") : null,
      h("p", { class: "note" }, "Intervals: people were drawn again " + count(p.resamples || 2000) + " times with replacement; differences compare the same people. " + list(D.notes).join(" ")),
      h("dl", {}, Object.entries(measureWords).map(([k, w]) => [h("dt", {}, k), h("dd", {}, w)])),
      settings.length ? h("details", {}, h("summary", {}, "Settings and cost of every row"), h("div", { class: "scroll" }, h("table", {}, h("thead", {}, h("tr", {}, h("th", {}, "row"), h("th", {}, "settings"), ["seeds", "coverage", "training", "memory"].map((t) => h("th", { class: "n" }, t)))), h("tbody", {}, settings.map((r) => h("tr", {}, h("td", {}, r.model), h("td", {}, [r.note, r.settings ? Object.entries(r.settings).map(([k, v]) => k + " " + (typeof v === "object" ? JSON.stringify(v) : v)).join(", ") : null].filter(Boolean).join(" · ")), h("td", { class: "n" }, r.seeds || 1), h("td", { class: "n" }, r.coverage === undefined ? "" : show(r.coverage, "x")), h("td", { class: "n" }, r.seconds ? seconds(r.seconds) : ""), h("td", { class: "n" }, r.bytes ? bytes(r.bytes) : ""))))))) : null));
  }

  const dark = () => document.documentElement.dataset.theme === "dark";
  function setTheme(theme) {
    document.documentElement.dataset.theme = theme;
    redraw.forEach((build) => build());
  }
  const system = matchMedia("(prefers-color-scheme: dark)");
  document.documentElement.dataset.theme = system.matches ? "dark" : "light";
  system.addEventListener("change", (e) => setTheme(e.matches ? "dark" : "light"));
  document.title = "kua: " + (D.title || "report");
  /* Data that one section does not expect must not take the others with it. */
  for (const part of [top, results, guard, examples, dataPicture, training, cost, method]) {
    try { part(); } catch (error) {
      console.error(error);
      page.append(h("p", { class: "note" }, "A part of this report could not be drawn: " + error.message));
    }
  }
  page.append(h("footer", {}, "Made by kua " + (D.version || "") + ". This file is self-contained: it loads nothing and sends nothing. Charts: uPlot (MIT licence)."));
})();
