// The keyboard of the curators' pages. Every key presses a control that is on the page (data-key), so what works with a
// key works without one; keys rest while a field is being written in, and can be switched off (remembered in this browser).
"use strict";

const field = "textarea, select, input:not([type=checkbox])";
const on = document.getElementById("keys");
const edit = document.getElementById("edit");

if (on) {
  on.checked = localStorage.getItem("keys") !== "off";
  on.addEventListener("change", () => localStorage.setItem("keys", on.checked ? "on" : "off"));
}

function write() {
  edit.open = true;
  const text = edit.querySelector("textarea");
  text.focus();
  text.setSelectionRange(text.value.length, text.value.length);
}

for (const link of document.querySelectorAll('a[href="#edit"]')) {
  link.addEventListener("click", (event) => { event.preventDefault(); write(); });
}

for (const form of document.querySelectorAll("form[data-filters]")) {
  form.addEventListener("change", () => form.submit());
}

// one press, one decision: a second one would meet the next item
let sent = false;
document.addEventListener("submit", (event) => {
  if (sent && event.target.method === "post") event.preventDefault();
  if (event.target.id === "decide") sent = true;
});
addEventListener("pageshow", () => { sent = false; });

document.addEventListener("keydown", (event) => {
  const writing = event.target.matches(field);
  if (event.key === "Escape" && writing) return event.target.blur();
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && edit?.open) {
    return edit.querySelector("button").click();
  }
  if (writing || event.ctrlKey || event.metaKey || event.altKey || event.repeat || (on && !on.checked)) return;
  const control = document.querySelector(`[data-key="${CSS.escape(event.key.toLowerCase())}"]`);
  if (control && !control.disabled) {
    event.preventDefault();
    control.click();
  }
});
