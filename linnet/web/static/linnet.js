// What the page needs besides htmx: a picture dropped, pasted or chosen, and what is chosen on the discovery desk.
"use strict";

const find = (selector) => document.querySelector(selector);

function notice(text) {
  const box = document.createElement("div");
  box.className = "problem";
  const told = document.createElement("p");
  told.textContent = text;
  box.append(told);
  find("#notice").replaceChildren(box);
}

// Identify ----------------------------------------------------------------------------------------------------------

let shown = null;

function show() {
  const file = find("#file").files[0], form = find("#upload"), preview = find("#preview");
  find("#notice").replaceChildren();
  if (shown) URL.revokeObjectURL(shown);
  shown = null;
  preview.hidden = !file;
  find("#drop").classList.toggle("filled", Boolean(file));
  if (!file) return;
  if (file.size > Number(form.dataset.most)) {
    notice(`${file.name} has ${(file.size / 1048576).toFixed(1)} MB, more than the limit. Choose a smaller picture.`);
    find("#file").value = "";
    preview.hidden = true;
    find("#drop").classList.remove("filled");
    return;
  }
  shown = URL.createObjectURL(file);
  preview.src = shown;
  form.requestSubmit();
}

function take(transfer) {
  const files = [...transfer.files].filter((file) => file.type.startsWith("image/") || !file.type);
  if (!files.length) return false;
  const one = new DataTransfer();
  one.items.add(files[0]);
  find("#file").files = one.files;
  show();
  return true;
}

function identify() {
  const drop = find("#drop");
  find("#file").addEventListener("change", show);
  find("#preview").addEventListener("error", () => { find("#preview").hidden = true; });
  const over = (event) => {
    if (![...event.dataTransfer.types].includes("Files")) return;
    event.preventDefault();
    drop.classList.add("over");
  };
  document.addEventListener("dragenter", over);
  document.addEventListener("dragover", over);
  document.addEventListener("dragleave", (event) => { if (!event.relatedTarget) drop.classList.remove("over"); });
  document.addEventListener("drop", (event) => {
    drop.classList.remove("over");
    if (![...event.dataTransfer.types].includes("Files")) return;
    event.preventDefault();
    if (!take(event.dataTransfer)) notice("This is no picture; drop a JPEG, PNG or WebP file.");
  });
  document.addEventListener("paste", (event) => { if (event.clipboardData && take(event.clipboardData)) event.preventDefault(); });
  find("#within")?.addEventListener("change", () => { if (find("#file").files.length) find("#upload").requestSubmit(); });
  if (find("#file").files.length) show(); // the browser kept it over a reload
}

// Discover ----------------------------------------------------------------------------------------------------------

let last = null;

// An image can stand in a cluster twice, as an example and in the list of all; both are one choice.
const chosen = (name) => [...new Set([...document.querySelectorAll(`#desk input[name=${name}]:checked`)].map((box) => box.value))];

function dock() {
  if (!find("#dock")) return;
  const places = chosen("place"), clusters = chosen("cluster");
  find("#dock").hidden = !places.length && !clusters.length;
  const told = [];
  if (clusters.length) told.push(`${clusters.length} ${clusters.length === 1 ? "cluster" : "clusters"}`);
  if (places.length) told.push(`${places.length} ${places.length === 1 ? "image" : "images"}`);
  find("#chosen").textContent = told.length ? `${told.join(" and ")} chosen` : "";
  find("#merge").hidden = clusters.length < 2;
  find("#moving").hidden = !places.length;
}

function clear() {
  document.querySelectorAll("#desk input[type=checkbox]:checked").forEach((box) => { box.checked = false; });
  last = null;
  dock();
}

function desk() {
  const form = find("#desk");
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("click", (event) => {
    const box = event.target.closest("input[name=place]");
    if (!box) return;
    const boxes = [...form.querySelectorAll("input[name=place]")];
    if (event.shiftKey && last && boxes.includes(last)) {
      const [from, to] = [boxes.indexOf(last), boxes.indexOf(box)].sort((a, b) => a - b);
      boxes.slice(from, to + 1).forEach((each) => { each.checked = box.checked; });
    }
    last = box;
    form.querySelectorAll(`input[name=place][value="${box.value}"]`).forEach((each) => { each.checked = box.checked; });
    dock();
  });
  form.addEventListener("change", dock);
  form.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && !event.target.matches("[data-name]")) clear();
    if (event.key !== "Enter" || !event.target.matches("[data-name]")) return;
    event.preventDefault();
    const names = [...form.querySelectorAll("[data-name]")], next = names[names.indexOf(event.target) + 1];
    if (next) { next.focus(); next.select(); } else event.target.blur();
  });
  document.addEventListener("click", (event) => { if (event.target.closest("[data-clear]")) clear(); });
  // A name can be typed before the scripts are there to send it; htmx listens from this event on, and it asked first.
  document.addEventListener("DOMContentLoaded", () => {
    for (const box of form.querySelectorAll("[data-name]")) {
      if (box.value.trim() !== box.defaultValue) box.dispatchEvent(new Event("change", { bubbles: true }));
    }
  });
}

function told() {
  const version = find("#version");
  if (!version) return;
  find("#what").textContent = version.dataset.undoable;
  find("#undo").disabled = !version.dataset.undoable;
  find("#discard").disabled = version.dataset.unsaved !== "true";
}

document.addEventListener("htmx:afterSettle", dock);
document.addEventListener("htmx:oobAfterSwap", told);

// A step that was answered lies on disk, as a draft. What is typed and not yet sent, refused or under way does not.
let leaving = false, sent = 0;

function pending() {
  if (!find("#state") || leaving) return false;
  const typed = [...document.querySelectorAll("[data-name]")].some((box) => box.value.trim() !== box.defaultValue);
  return typed || sent > 0;
}

window.addEventListener("beforeunload", (event) => { if (pending()) event.preventDefault(); });
document.addEventListener("click", (event) => { if (event.target.closest("[data-leave]")) leaving = true; });
const count = (by) => (event) => { if (event.detail.requestConfig.verb === "post") sent += by; };
document.addEventListener("htmx:beforeSend", count(1));
["htmx:beforeOnLoad", "htmx:sendError", "htmx:sendAbort", "htmx:timeout"].forEach((name) => document.addEventListener(name, count(-1)));
document.addEventListener("htmx:afterRequest", (event) => {
  const box = event.detail.elt;
  if (event.detail.successful && box.matches("[data-name]")) box.defaultValue = event.detail.requestConfig.formData.get(box.name).trim();
});

document.addEventListener("keydown", (event) => {
  const key = event.key.toLowerCase();
  if (!(event.ctrlKey || event.metaKey) || event.shiftKey || !find("#state")) return;
  if (key === "s") { event.preventDefault(); document.activeElement.blur(); find("#save").click(); }
  if (key === "z" && !event.target.matches("input:not([type=checkbox])") && !find("#undo").disabled) {
    event.preventDefault();
    find("#undo").click();
  }
});

// Everywhere --------------------------------------------------------------------------------------------------------

document.addEventListener("click", (event) => { if (event.target.closest("[data-close]")) find("#notice").replaceChildren(); });
document.addEventListener("htmx:beforeRequest", () => find("#notice").replaceChildren());
document.addEventListener("htmx:sendError", () => notice("The server does not answer. Is linnet serve still running?"));

// Deferred: the document is whole.
if (find("#upload")) identify();
if (find("#desk")) desk();
told();
dock();
