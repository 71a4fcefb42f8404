// What the simulated platform keeps, read again whenever something has happened.

import { read } from "./api.js";

/** The answer of /sim/state, or null before the first. */
export let world = null;

let pending = null;

/** Reads it soon; calls that come close together are one. */
export function refreshWorld() {
  pending ??= new Promise((resolve) => setTimeout(resolve, 120)).then(async () => {
    pending = null;
    await loadWorld();
  });
  return pending;
}

export async function loadWorld() {
  const answer = await read("/console/sim/state");
  if (!answer.ok) return;
  world = answer.body;
  document.dispatchEvent(new Event("world"));
}
