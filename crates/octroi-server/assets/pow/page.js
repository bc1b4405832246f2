// Fetches a puzzle, has it solved by as many workers as there are cores, and hands the solution in.
"use strict";

const PARTS = 16;
const at = (id) => document.getElementById(id);
let workers = [];

function stop() {
  for (const worker of workers) worker.terminate();
  workers = [];
}

async function post(step, body) {
  const reply = await fetch(`pow/${step}`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
  });
  const answer = await reply.json();
  if (!reply.ok) throw new Error(`${answer.reason ?? reply.status}: ${answer.message}`);
  return answer;
}

// The searches that make up a puzzle: what stands before the nonce in each. Their nonces, joined by dots, are the solution.
function searches({ algorithm, salt }) {
  if (algorithm === "sha256") return [salt];
  if (algorithm === "sha256x16") return Array.from({ length: PARTS }, (_, place) => `${salt}${place.toString(16)}:`);
  throw new Error(`this page cannot solve puzzles of the kind ${algorithm}`);
}

// All workers look for each nonce in turn, each from a place of its own.
async function solve(puzzle, tell) {
  stop();
  const count = Math.max(1, navigator.hardwareConcurrency || 1);
  workers = Array.from({ length: count }, () => new Worker("pow/worker.js"));
  const nonces = [];
  let job = 0;
  for (const prefix of searches(puzzle)) {
    nonces.push(await race(++job, prefix, puzzle.target, tell));
  }
  stop();
  return nonces.join(".");
}

// A worker that lost an earlier race is still busy with it: it is replaced.
function race(job, prefix, target, tell) {
  return new Promise((solved, failed) => {
    workers = workers.map((worker, lane) => {
      let fresh = worker;
      if (worker.busy) {
        worker.terminate();
        fresh = new Worker("pow/worker.js");
      }
      fresh.busy = true;
      fresh.onerror = (event) => failed(new Error(event.message || "the worker could not start"));
      fresh.onmessage = ({ data }) => {
        if (data.job !== job) return;
        if (data.tried) return tell(data.tried);
        fresh.busy = false;
        if (data.failed) failed(new Error(data.failed));
        else solved(data.nonce);
      };
      // So many nonces apart that no worker ever reaches the next one's.
      fresh.postMessage({ job, prefix, target, lane: lane * Math.floor(2 ** 32 / workers.length) });
      return fresh;
    });
  });
}

const time = (seconds) => (seconds < 90 ? `${seconds.toFixed(1)} s` : `${(seconds / 60).toFixed(0)} min`);

async function run() {
  at("solve").disabled = true;
  at("cancel").hidden = at("bar").hidden = false;
  at("result").hidden = true;
  const say = (text) => (at("state").textContent = text);
  try {
    say("Fetching a puzzle …");
    const tool = at("tool").value.trim();
    const puzzle = await post("challenge", tool ? { tool } : {});
    const expected = 2 ** puzzle.difficulty;
    const began = performance.now();
    let tried = 0;
    const nonce = await solve(puzzle, (more) => {
      tried += more;
      const seconds = (performance.now() - began) / 1000;
      const rate = tried / seconds;
      // The chance to have found it by now.
      at("bar").value = 1 - Math.exp(-tried / expected);
      say(`${puzzle.difficulty} bits, ${(rate / 1e6).toFixed(1)} million hashes a second; ` +
        `${time(seconds)} of ${time(expected / rate)} expected`);
    });
    const { id, salt, difficulty, target, signature, expires_at } = puzzle;
    const grant = await post("verify", { id, salt, difficulty, target, signature, expires_at, nonce });
    at("bar").value = 1;
    at("calls").textContent = grant.tool ? `${grant.calls}, of ${grant.tool}` : grant.calls;
    at("ttl").textContent = `${grant.ttl} s`;
    at("token").value = grant.token;
    at("access").value = grant.access_token;
    at("result").hidden = false;
    say(`Solved in ${time((performance.now() - began) / 1000)}.`);
    document.body.dataset.nonce = nonce;
  } catch (error) {
    at("bar").hidden = true;
    say(`That did not work. ${error.message}`);
  } finally {
    stop();
    at("solve").disabled = false;
    at("cancel").hidden = true;
  }
}

at("solve").addEventListener("click", run);
at("cancel").addEventListener("click", () => location.reload());
