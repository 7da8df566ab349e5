"use strict";
const page = JSON.parse(document.getElementById("data").textContent);
const at = (id) => document.getElementById(id);
const make = (tag, text, className) => {
  const element = document.createElement(tag);
  if (text !== undefined) element.textContent = text;
  if (className) element.className = className;
  return element;
};
const number = (value) => (value === null ? "–" : value.toFixed(3));
let place = 0;
let asker = null;

// Viridis at five places (van der Walt and Smith, 2015), linear in between.
const STOPS = [[68, 1, 84], [59, 82, 139], [33, 145, 140], [94, 201, 98], [253, 231, 37]];
function colour(share) {
  const x = Math.min(0.9999, Math.max(0, share)) * (STOPS.length - 1);
  const low = Math.floor(x);
  return STOPS[low].map((value, i) => Math.round(value + (STOPS[low + 1][i] - value) * (x - low)));
}

function line() {
  const NS = "http://www.w3.org/2000/svg";
  const strip = at("line");
  const count = page.moments.length;
  strip.setAttribute("viewBox", `0 0 ${count} 1`);
  strip.setAttribute("aria-valuemax", count);
  const rect = (x, y, width, height, fill) => {
    const made = document.createElementNS(NS, "rect");
    for (const [name, value] of Object.entries({ x, y, width, height, fill })) made.setAttribute(name, value);
    strip.append(made);
    return made;
  };
  page.moments.forEach((moment, index) => {
    let floor = 1;
    for (const name of page.names) {
      const share = moment.contributions[name] || 0;
      floor -= share;
      if (share) rect(index + 0.05, floor, 0.9, share, page.colours[name]);
    }
  });
  const mark = rect(0, 0, 1, 1, "none");
  mark.id = "mark";
  mark.setAttribute("stroke", "var(--mark)");
  mark.setAttribute("stroke-width", "3");
  mark.setAttribute("vector-effect", "non-scaling-stroke");
  strip.addEventListener("pointerdown", (event) => {
    const box = strip.getBoundingClientRect();
    show(Math.floor(((event.clientX - box.left) / box.width) * count));
  });
}

function bars(shares) {
  at("shares").replaceChildren(...Object.entries(shares).sort((a, b) => b[1] - a[1]).map(([name, share]) => {
    const row = make("div", undefined, "bar");
    const label = make("span", name);
    label.title = name;
    const bar = make("i");
    bar.style.width = `${100 * share}%`;
    bar.style.background = page.colours[name];
    row.append(label, bar, make("b", number(share)));
    return row;
  }));
}

function draw(moment) {
  const canvas = at("map");
  const map = moment.maps && moment.maps[asker];
  if (!map) { canvas.width = canvas.width; return; }
  const rows = map.length;
  const columns = map[0].length;
  canvas.width = columns;
  canvas.height = rows;
  const top = Math.max(...map.flat()) || 1;
  const strength = at("strength").value / 100;
  const image = canvas.getContext("2d").createImageData(columns, rows);
  map.flat().forEach((share, i) => {
    image.data.set([...colour(share / top), Math.round(255 * strength * (share / top))], 4 * i);
  });
  canvas.getContext("2d").putImageData(image, 0, 0);
}

function picture(moment) {
  const askers = Object.keys(moment.maps || {});
  if (!askers.includes(asker)) asker = askers[0] || null;
  at("frame").className = moment.picture ? "" : "empty";
  if (moment.picture) at("picture").src = moment.picture; else at("picture").removeAttribute("src");
  at("picture").alt = moment.title;
  at("askers").replaceChildren(...askers.map((name) => {
    const button = make("button", name);
    button.setAttribute("aria-pressed", name === asker);
    button.addEventListener("click", () => { asker = name; picture(moment); });
    return button;
  }));
  at("strength").parentElement.hidden = askers.length === 0;
  draw(moment);
}

function show(index) {
  place = Math.max(0, Math.min(page.moments.length - 1, index));
  const moment = page.moments[place];
  at("place").textContent = `${moment.title} · ${place + 1} of ${page.moments.length}`;
  at("mark").setAttribute("x", place);
  at("line").setAttribute("aria-valuenow", place + 1);
  at("line").setAttribute("aria-valuetext", moment.title);
  at("back").disabled = place === 0;
  at("on").disabled = place === page.moments.length - 1;
  picture(moment);
  bars(moment.contributions);
  at("labels").replaceChildren(...Object.entries(moment.labels).map(([name, row]) => {
    const line = make("p", undefined, "stream");
    line.append(make("em", `${name}: `), row.map(([word, p]) => `${word} ${p === null ? "–" : p.toFixed(2)}`).join(", "));
    return line;
  }));
  at("texts").replaceChildren(...moment.texts.map((text) => make("li", text)));
  at("numbers").tBodies[0].replaceChildren(...Object.entries(moment.numbers).map(([name, value]) => {
    const row = make("tr");
    row.append(make("td", name), make("td", number(value)));
    return row;
  }));
}

line();
show(0);
at("back").addEventListener("click", () => show(place - 1));
at("on").addEventListener("click", () => show(place + 1));
at("strength").addEventListener("input", () => draw(page.moments[place]));
document.addEventListener("keydown", (event) => {
  const steps = { ArrowLeft: -1, ArrowRight: 1, PageUp: -10, PageDown: 10 };
  if (event.target === at("strength")) return;
  if (event.key in steps) { show(place + steps[event.key]); event.preventDefault(); }
  if (event.key === "Home") show(0);
  if (event.key === "End") show(page.moments.length - 1);
});
