// Runs the page of PROTOCOL.md, the one for networks without WebSockets, against a comet that is played.
//
//   node --test document.test.mjs

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";

const document = await readFile(new URL("../../PROTOCOL.md", import.meta.url), "utf8");
const pages = [...document.matchAll(/```js\n(.*?)```/gs)].map(([, code]) => code);
const [code, ...others] = pages.filter((code) => code.includes("EventSource"));
assert.deepEqual(others, [], "one page that is meant");

const WELCOME = { type: "welcome", key: "k", heartbeat_ms: 240_000, heartbeat_max_ms: 480_000 };
const HELLO = { status: 200, body: { session: "S", cursor: "1", wait_ms: 25_000, events: [WELCOME] } };
const close = (code) => ({ type: "close", code, reason: "" });
const drain = { type: "drain", retry_after_ms: 20_000 };
const error = (code) => ({ type: "error", code, message: "" });

/// A page in a browser whose time passes only when a test says so. `answers` are for its requests, in order; no
/// answer is a network that fails.
class Page {
  now = 0;
  asked = [];
  sources = [];
  #timers = [];

  constructor(answers) {
    const page = this;
    const fetch = async (path, { method = "GET" }) => {
      page.asked.push(`${method} ${path}`);
      const answer = answers.shift();
      if (!answer) throw new TypeError("no network");
      return new Response(answer.body && JSON.stringify(answer.body), answer);
    };
    class EventSource {
      static CLOSED = 2;
      readyState = 0;
      constructor(url) {
        this.url = url;
        page.sources.push(this);
      }
      close() {
        this.readyState = EventSource.CLOSED;
      }
      hear(id, event) {
        this.onmessage({ data: JSON.stringify(event), lastEventId: id });
      }
    }
    const setTimeout = (work, ms, ...words) => {
      const timer = { due: page.now + ms, work: () => work(...words) };
      page.#timers.push(timer);
      return timer;
    };
    const clearTimeout = (timer) => page.#timers = page.#timers.filter((other) => other !== timer);
    const inside = { fetch, EventSource, setTimeout, clearTimeout, console: { log() {} } };
    new Function(...Object.keys(inside), code)(...Object.values(inside));
  }

  get source() {
    return this.sources.at(-1);
  }

  get hellos() {
    return this.asked.filter((asked) => asked === "POST /sub/poll").length;
  }

  /// Lets what is under way be done.
  async settle() {
    for (let turn = 0; turn < 5; turn += 1) await new Promise((done) => setImmediate(done));
  }

  async pass(ms) {
    this.now += ms;
    for (const timer of this.#timers.filter(({ due }) => due <= this.now)) {
      this.#timers = this.#timers.filter((other) => other !== timer);
      timer.work();
    }
    await this.settle();
  }

  /// It says hello again within these milliseconds from now, and not before.
  async comesBack(from, to) {
    const before = this.hellos;
    await this.pass(from - 1);
    assert.equal(this.hellos, before, "too early");
    await this.pass(to - from + 1);
    assert.equal(this.hellos, before + 1, "it did not come back");
  }

  async staysAway() {
    const before = this.asked.length;
    await this.pass(86_400_000);
    assert.equal(this.asked.length, before, "it came back");
  }
}

async function open(...answers) {
  const page = new Page(answers);
  await page.settle();
  return page;
}

test("a hello is said again only where that can help", async () => {
  for (const answer of [
    { status: 400, body: error("BAD_MESSAGE") },
    { status: 413, body: error("BAD_MESSAGE") },
    { status: 401, body: { events: [error("UNAUTHORIZED"), close(4006)] } },
    { status: 410, body: { events: [close(4001)] } },
  ]) await (await open(answer)).staysAway();
  for (const [answer, from] of [
    [undefined, 1000],
    [{ status: 502 }, 1000],
    [{ status: 408, body: error("BAD_REQUEST") }, 1000],
    [{ status: 410, body: { events: [close(4007)] } }, 1000],
    [{ status: 503, headers: { "Retry-After": "7" } }, 7000],
    [{ status: 503, headers: { "Retry-After": "7" }, body: close(1013) }, 7000],
    [{ status: 503, headers: { "Retry-After": "7" }, body: { events: [drain, close(1012)] } }, 20_000],
  ]) await (await open(answer)).comesBack(from, from + 9000);
});

test("a stream is followed, and its close says whether to come back and when", async () => {
  for (const [events, from] of [
    [[close(4001)]], [[close(4002)]], [[close(4006)]], [[close(4003)], 1000], [[drain, close(1012)], 20_000],
  ]) {
    const page = await open(HELLO, HELLO);
    assert.equal(page.source.url, "/sub/events?session=S&cursor=1");
    events.forEach((event, nth) => page.source.hear(`${nth + 2}`, event));
    assert.equal(page.source.readyState, 2, "it is not asked for again");
    if (from) await page.comesBack(from, from + 9000);
    else await page.staysAway();
  }
});

test("a stream that is refused is followed by a poll that tells why", async () => {
  for (const [answer, from] of [
    [{ status: 410, body: close(4001) }],
    [{ status: 410, body: error("NO_SUCH_SESSION") }, 1000],
    [{ status: 410, body: error("BAD_CURSOR") }, 1000],
    [undefined, 1000],
  ]) {
    const page = await open(HELLO, answer, HELLO);
    page.source.hear("2", { type: "message", op: 9, data: "one" });
    page.source.close();
    page.source.onerror();
    await page.settle();
    assert.equal(page.asked[1], "GET /sub/poll?session=S&cursor=2&wait_ms=0");
    if (from) await page.comesBack(from, from + 9000);
    else await page.staysAway();
  }
});

test("a comet that never answers again is left, and one that does is not", async () => {
  const page = await open(HELLO, HELLO);
  const [source] = page.sources;
  for (let minutes = 0; minutes < 60; minutes += 4) {
    source.onerror();
    source.onopen?.();
    await page.pass(4 * 60_000);
  }
  assert.equal(page.hellos, 1);
  for (let tries = 0; tries < 4; tries += 1) {
    source.onerror();
    await page.pass(60_000);
  }
  assert.equal(source.readyState, 2, "it has no session any more");
  await page.comesBack(1000, 10_000);
  assert.equal(page.sources.length, 2);
});
