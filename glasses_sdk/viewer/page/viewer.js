// The viewer: draws what g1.* payloads say and sends looks and aims back. Wire: docs/reference/protocol.md.
import { draw, drawAges, sensorSize } from "./drawing.js";

const { Decoder, Encoder } = globalThis.MessagePack;
const encoder = new Encoder({ useBigInt64: true });
const decoder = new Decoder({ useBigInt64: true });

const LOOK_EVERY_MS = 1000 / 60;
const SILENT_MS = 3000;
const CLOCK_SAMPLES = 16;
const STEP = 0.02; // of the sensor's side, by an arrow key

const part = (id) => document.getElementById(id);
const say = (id, text) => {
  if (part(id).textContent !== text) part(id).textContent = text;
};
const clamp = (value) => Math.min(1, Math.max(0, value));
const nowNs = () => BigInt(Math.round(performance.now() * 1e6));

const stage = part("stage");
const seen = {
  mask: null, // the newest of each kind, as decoded
  status: null,
  gazeAt: -Infinity, // performance.now() of the last published gaze, and of any message
  heardAt: -Infinity,
  maskAt: [], // of the masks in the last second
  ages: [], // ms, of the last masks
  trail: [], // {x, y, at}: the last gaze points, 0 to 1
  look: null, // where this page's pointer or keyboard looks, 0 to 1
};

// ---- the socket: payloads in, requests out

const link = { socket: null, waiting: new Map(), nextId: 1, pause: 500 };

function connect() {
  const scheme = location.protocol === "https:" ? "wss" : "ws";
  const socket = new WebSocket(`${scheme}://${location.host}/`);
  socket.binaryType = "arraybuffer";
  socket.onopen = () => {
    Object.assign(link, { socket, pause: 500 });
    measureClock();
  };
  socket.onmessage = ({ data }) => hear(data);
  socket.onclose = () => {
    link.socket = null;
    clock.offset = null;
    setTimeout(connect, link.pause);
    link.pause = Math.min(link.pause * 2, 4000);
  };
}

function tell(op, fields) {
  link.socket?.send(encoder.encode({ v: 1, id: link.nextId++, op, ...fields }));
}

/** The reply to a control request; null when none came within two seconds. */
function ask(op, fields) {
  const id = link.nextId;
  tell(op, fields);
  return new Promise((resolve) => {
    const timer = setTimeout(() => answer(id, null), 2000);
    link.waiting.set(id, (reply) => {
      clearTimeout(timer);
      resolve(reply);
    });
  });
}

function answer(id, reply) {
  link.waiting.get(id)?.(reply);
  link.waiting.delete(id);
}

function hear(bytes) {
  let message;
  try {
    message = decoder.decode(bytes);
  } catch {
    return; // not ours to judge: the next one counts
  }
  if (!message?.topic) return answer(Number(message?.id), message);
  seen.heardAt = performance.now();
  const kind = message.topic.split(".")[1];
  ({ mask: hearMask, status: hearStatus, gaze: hearGaze })[kind]?.(message);
}

function hearMask(mask) {
  const at = performance.now();
  seen.mask = mask;
  seen.maskAt.push(at);
  const age = clock.ageMs(mask.t_capture_ns);
  if (age !== null) seen.ages = [...seen.ages.slice(-119), age];
}

function hearStatus(status) {
  seen.status = status;
}

function hearGaze(gaze) {
  seen.gazeAt = performance.now();
  const [width, height] = sensorSize(seen);
  if (gaze.state !== "blink") remember(gaze.x / width, gaze.y / height);
}

// ---- the clock: of 16 samples the one of least round trip

const clock = {
  offset: null, // publisher's ns minus this page's
  roundTripMs: null,
  ageMs(thenNs) {
    return this.offset === null ? null : Number(nowNs() + this.offset - BigInt(thenNs)) / 1e6;
  },
};

async function measureClock() {
  const { socket } = link;
  let best = null;
  for (let sample = 0; sample < CLOCK_SAMPLES; sample++) {
    const sent = nowNs();
    const reply = await ask("time", { t_client_ns: sent });
    const back = nowNs();
    if (!reply?.ok || link.socket !== socket) break;
    const [received, left] = [BigInt(reply.t_recv_ns), BigInt(reply.t_send_ns)];
    const trip = back - sent - (left - received);
    if (best === null || trip < best.trip) best = { trip, offset: (received - sent + left - back) / 2n };
  }
  if (link.socket !== socket) return;
  if (best) Object.assign(clock, { offset: best.offset, roundTripMs: Number(best.trip) / 1e6 });
  setTimeout(() => link.socket === socket && measureClock(), best ? 10_000 : 1000);
}

// ---- the wearer's side: pointer, tap, keyboard

let lookedAt = -Infinity;
let lookLater = 0;

function look(x, y) {
  seen.look = { x: clamp(x), y: clamp(y) };
  // The published gaze counts where there is one: it may come from an eye tracker.
  if (performance.now() - seen.gazeAt > SILENT_MS) remember(seen.look.x, seen.look.y);
  const wait = lookedAt + LOOK_EVERY_MS - performance.now();
  clearTimeout(lookLater);
  if (wait > 0) lookLater = setTimeout(sendLook, wait);
  else sendLook();
}

function sendLook() {
  lookedAt = performance.now();
  tell("gaze", seen.look);
}

function remember(x, y) {
  seen.trail.push({ x, y, at: performance.now() });
}

function fractions(event) {
  const box = part("plane").getBoundingClientRect();
  return [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
}

async function aim(x, y) {
  const [width, height] = sensorSize(seen);
  const whole = (part, side) => Math.min(side - 1, Math.floor(clamp(part) * side));
  const target = { x: whole(x, width), y: whole(y, height) };
  const reply = await ask("aim", target);
  report(reply, `Aimed at ${target.x}, ${target.y}.`);
}

async function release() {
  report(await ask("release", {}), "Released: the region follows the gaze.");
}

function report(reply, done) {
  const problem = reply ? reply.error : "The publisher did not answer.";
  if (reply?.ok) announce(done);
  refused = reply?.ok ? "" : `Not done: ${problem}`;
}
let refused = "";

function steer(event) {
  const arrows = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  const from = seen.look ?? { x: 0.5, y: 0.5 };
  const step = event.shiftKey ? STEP / 4 : STEP;
  if (event.key in arrows) {
    const [dx, dy] = arrows[event.key];
    look(from.x + dx * step, from.y + dy * step);
  } else if (event.key === "Enter") aim(from.x, from.y);
  else if (event.key === "Escape") release();
  else return;
  event.preventDefault();
}

stage.addEventListener("pointermove", (event) => look(...fractions(event)));
stage.addEventListener("click", (event) => aim(...fractions(event)));
stage.addEventListener("keydown", steer);
part("release").addEventListener("click", release);

// ---- words

let announced = "";
function announce(text) {
  if (text === announced) return;
  announced = text;
  say("live", text);
}

/** What the state's badge says, and in which tone. */
function condition() {
  const silent = performance.now() - seen.heardAt;
  if (!link.socket) return ["no connection", "bad", "The viewer's program is not there; trying again."];
  if (silent === Infinity) return ["waiting", "wait", "Connected. No publisher has been heard yet."];
  if (silent > SILENT_MS) return ["silent", "bad", `Nothing heard for ${Math.floor(silent / 1000)} s.`];
  const { state, reason, progress } = seen.status ?? { state: "streaming" };
  const share = state === "loading" && progress != null ? ` ${Math.round(100 * progress)} %` : "";
  const tone = { streaming: "good", stalled: "bad", stopping: "bad" }[state] ?? "wait";
  return [state + share, tone, reason ?? ""];
}

function write() {
  const [word, tone, reason] = condition();
  say("state-word", word);
  part("state").dataset.tone = tone;
  const trouble = refused || reason;
  part("reason").hidden = !trouble || Boolean(!seen.mask && !refused);
  say("reason", trouble);
  part("empty").hidden = Boolean(seen.mask);
  say("empty", reason || "No mask yet");
  stage.toggleAttribute("data-stale", tone === "bad");
  if (seen.mask) writeMask(seen.mask);
  if (seen.status) writeStatus(seen.status);
  const state = seen.mask ? ` Track ${seen.mask.track}.` : "";
  if (word !== write.said.word || state !== write.said.state) announce(`Sensor ${word}. ${reason}${state}`);
  write.said = { word, state };
}
write.said = {};

const STATES = {
  stable: "stable",
  settling: "settling: a newer one is on its way",
  held: "held: no gaze, it follows the object",
};

function writeMask(mask) {
  const second = performance.now() - 1000;
  seen.maskAt = seen.maskAt.filter((at) => at > second);
  const age = seen.maskAt.length ? median(seen.ages.slice(-15)) : null;
  say("age", age === null ? "–" : age.toFixed(age < 100 ? 1 : 0));
  const middle = median(seen.ages);
  say("span", middle === null ? "" : `median ${middle.toFixed(1)} ms`);
  say("rate", String(seen.maskAt.length));
  say("score", mask.score.toFixed(2));
  say("track", Number(mask.track) ? String(mask.track) : "none");
  say("roi-state", STATES[mask.roi_state] ?? mask.roi_state);
  say("roi", `${mask.roi[2]} × ${mask.roi[3]} px at ${mask.roi[0]}, ${mask.roi[1]}`);
  say("cells", `${mask.area} of ${mask.width} × ${mask.height}`);
  say("model", mask.model);
  say("privacy", mask.privacy);
}

const PROMISES = {
  silicon: "No picture is available here: only masks leave the sensor.",
  process: "No picture is available here: only masks leave the sensor process.",
  none: "No picture is available here: only masks are sent. This sensor runs without isolation.",
};

function writeStatus({ device, sensor, isolation, gaze, session, ...status }) {
  say("device", `${device} · session ${session.slice(0, 8)} · SDK ${status.sdk}`);
  say("sensor", `${sensor.kind}, ${sensor.size.join(" × ")} px`);
  say("model", status.model);
  say("privacy", status.privacy);
  say("isolation", isolation);
  say("input-tensor", status.input_tensor);
  say("gaze", `${gaze.provider}, ${gaze.state}`);
  say("lost", String(status.dropped));
  say("clock", clock.offset === null ? "not measured" : `round trip ${clock.roundTripMs.toFixed(1)} ms`);
  say("promise", PROMISES[isolation] ?? PROMISES.process);
}

function median(values) {
  return values.length ? [...values].sort((a, b) => a - b)[values.length >> 1] : null;
}

function frame() {
  draw(seen);
  requestAnimationFrame(frame);
}

connect();
write();
frame();
setInterval(() => {
  write();
  drawAges(seen.ages);
}, 200);
