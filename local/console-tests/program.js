// A program that is started for a test.

import { spawn } from "node:child_process";
import { createInterface } from "node:readline";

/** Starts a program that prints "ready URL", with this environment alone: a FORWARD_URL of yours would change the tests. */
export async function start(command, parameters, environment = {}) {
  const child = spawn(command, parameters, {
    env: { PATH: process.env.PATH, AWS_EC2_METADATA_DISABLED: "true", ...environment },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const complaints = [];
  child.stderr.on("data", (data) => complaints.push(data));
  const url = await new Promise((resolve, reject) => {
    createInterface({ input: child.stdout }).once("line", (line) => resolve(line.replace(/^ready /, "")));
    child.once("error", reject);
    child.once("exit", (code) => reject(new Error(`${command} ended with ${code}: ${Buffer.concat(complaints)}`)));
  });
  let hasEnded = false;
  child.once("exit", () => { hasEnded = true; });
  const stop = () => new Promise((resolve, reject) => {
    if (hasEnded) return reject(new Error(`${command} has ended by itself: ${Buffer.concat(complaints)}`));
    child.once("exit", resolve);
    child.kill("SIGTERM");
  });
  return { url, stop };
}
