// The demo page: a device on the left, a backend on the right.
"use strict";

const LOG_LINES_MAX = 200;
const OP = 1000;
const SUBPROTOCOL = "orrery.json.v1";

const element = (id) => document.getElementById(id);
const time = () => new Date().toLocaleTimeString([], { hour12: false });

let config;
let socket;
let heartbeat;

function log(list, text, kind = "") {
  const line = document.createElement("li");
  const when = document.createElement("small");
  when.textContent = time();
  const what = document.createElement("span");
  what.textContent = text;
  what.className = kind;
  line.append(when, what);
  list.append(line);
  while (list.childElementCount > LOG_LINES_MAX) list.firstElementChild.remove();
  list.scrollTop = list.scrollHeight;
}

// --- the device -----------------------------------------------------------------------------------

function show(state, text = state) {
  element("state").dataset.state = state;
  element("state").textContent = text;
  element("connect").textContent = state === "offline" || state === "refused" ? "Connect" : "Disconnect";
}

function connect() {
  const user = element("user").value.trim();
  const room = element("room").value.trim();
  const mine = new WebSocket(socketUrl(), SUBPROTOCOL);
  socket = mine;
  show("connecting", "connecting…");
  mine.onopen = () => {
    mine.send(JSON.stringify({ type: "hello", user, rooms: room ? [room] : [], platform: "web" }));
  };
  mine.onmessage = ({ data }) => received(mine, JSON.parse(data));
  mine.onclose = ({ code, reason }) => {
    if (socket !== mine) return;
    socket = undefined;
    clearInterval(heartbeat);
    if (element("state").dataset.state !== "refused") show("offline");
    log(element("messages"), `closed: ${code} ${reason}`.trim(), code === 1000 ? "" : "bad");
  };
}

function received(from, message) {
  const list = element("messages");
  switch (message.type) {
    case "welcome":
      show("online", `online as ${message.user ?? message.key}`);
      log(list, `welcome, connection ${message.seq ?? ""} with key ${message.key}`, "good");
      heartbeat = setInterval(() => from.send('{"type":"ping"}'), message.heartbeat_ms);
      break;
    case "message":
      log(list, `op ${message.op}: ${message.data ?? `${message.data_base64} (base64)`}`);
      break;
    case "error":
      if (message.code === "UNAUTHORIZED") show("refused");
      log(list, `${message.code}: ${message.message}`, "bad");
      break;
    case "pong":
      break;
    default:
      log(list, JSON.stringify(message));
  }
}

element("device").addEventListener("submit", (event) => {
  event.preventDefault();
  if (socket) socket.close(1000);
  else connect();
});

// --- the backend ----------------------------------------------------------------------------------

const chosen = () => new FormData(element("push")).get("target");

function target() {
  const id = element("target-id").value.trim();
  switch (chosen()) {
    case "user": return { users: { ids: [id] } };
    case "room": return { room: id };
    default: return { broadcast: {} };
  }
}

function suggest() {
  const field = element("target-id");
  field.hidden = chosen() === "everybody";
  field.required = !field.hidden;
  field.value = chosen() === "room" ? element("room").value : element("user").value;
}

function describe(receipt) {
  const sums = Object.entries(receipt.summary ?? {}).filter(([, count]) => count > 0);
  const words = sums.map(([word, count]) => `${count} ${word.replaceAll("_", " ")}`);
  return words.join(", ") || "nobody is there";
}

async function push() {
  const list = element("receipts");
  const request = { target: target(), op: OP, body: element("body").value, wait_for: "written" };
  const begun = performance.now();
  const response = await fetch("demo/push", {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(request),
  });
  const took = (performance.now() - begun).toFixed(1);
  const answer = await response.json();
  if (!response.ok) {
    log(list, `${response.status}: ${answer.error?.message ?? JSON.stringify(answer)}`, "bad");
    return;
  }
  const where = (answer.addresses ?? []).flatMap(({ id, connections }) =>
    connections.map(({ seq, comet, outcome }) => `\n  ${id} #${seq} on ${comet}: ${outcome}`));
  const reached = (answer.summary?.written ?? 0) + (answer.summary?.queued ?? 0) > 0;
  log(list, `${describe(answer)} in ${took} ms${where.join("")}`, reached ? "good" : "");
}

element("push").addEventListener("submit", async (event) => {
  event.preventDefault();
  element("send").disabled = true;
  try {
    await push();
  } catch (error) {
    log(element("receipts"), String(error), "bad");
  } finally {
    element("send").disabled = false;
  }
});
element("push").addEventListener("change", (event) => {
  if (event.target.name === "target") suggest();
});
for (const id of ["user", "room"]) element(id).addEventListener("input", suggest);

// --- both -----------------------------------------------------------------------------------------

const authority = ({ host, port }) => {
  const name = host ?? location.hostname;
  return `${name.includes(":") && !name.startsWith("[") ? `[${name}]` : name}:${port}`;
};
const socketUrl = () => `ws://${authority(config.websocket)}/sub`;

async function start() {
  element("connect").disabled = true;
  config = await (await fetch("demo/config.json")).json();
  element("connect").disabled = false;
  element("socket-url").textContent = socketUrl();
  element("push-url").textContent = `http://${authority(config.http)}/v1/push`;
  suggest();
}
start();
