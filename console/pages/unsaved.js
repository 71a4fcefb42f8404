// Input that is not saved: the browser asks before it is lost with the page.

/** What may hold such input: {isChanged, discard}. */
const sources = [];

export function keep(source) {
  sources.push(source);
}

/** Keeps what is entered into the form. */
export function keepForm(form) {
  keep({
    get isChanged() {
      return hasInput(form);
    },
    discard: () => form.reset(),
  });
  return form;
}

/** Returns the sources that hold unsaved input. */
export function unsaved() {
  return sources.filter((source) => source.isChanged);
}

/** Whether somebody has written into the form, or ticked something, since it was made, reset or saved. */
export function hasInput(form) {
  return [...form.elements].some((control) => (control.type === "checkbox"
    ? control.checked !== control.defaultChecked
    : control.defaultValue !== undefined && control.value !== control.defaultValue));
}

/** Takes what the form holds as saved. */
export function markSaved(form) {
  for (const control of form.querySelectorAll("input, textarea")) control.defaultValue = control.value;
}

window.addEventListener("beforeunload", (event) => unsaved().length > 0 && event.preventDefault());
