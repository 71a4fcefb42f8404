// The simulated platform's state, read again after every event.

import { oneAtATime, read } from "../api.js";

/** The latest answer of /sim/state; null before the first. */
export let world = null;

let pending = null;

/** Reads the state soon. Calls that come close together share one read. */
export function refreshWorld() {
  pending ??= new Promise((resolve) => setTimeout(resolve, 120)).then(() => {
    pending = null;
    return loadWorld();
  });
  return pending;
}

/** Reads the state as it is after this call. */
export const loadWorld = oneAtATime(async () => {
  const answer = await read("/console/sim/state");
  if (!answer.ok) return;
  world = answer.body;
  document.dispatchEvent(new Event("world"));
});
