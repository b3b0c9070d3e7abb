// Drives the demo page of a running `orrery dev` in a real browser: two devices and a backend.
//
//   ORRERY_DEMO_URL=http://127.0.0.1:3131/ node --test demo.test.mjs

import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, afterEach, before, beforeEach, test } from "node:test";

import { chromium } from "playwright-core";

const url = process.env.ORRERY_DEMO_URL ?? "http://127.0.0.1:3131/";
const executablePath = process.env.ORRERY_BROWSER ?? "/usr/bin/chromium";
const screenshot = process.env.ORRERY_SCREENSHOT;

let profile;
let browser;
let page;
let complaints;

before(async () => {
  profile = await mkdtemp(join(tmpdir(), "orrery-browser-"));
  browser = await chromium.launchPersistentContext(profile, {
    executablePath,
    headless: true,
    viewport: { width: 1200, height: 800 },
    args: [
      "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
      "--disable-background-networking", "--disable-component-update", "--disable-sync",
    ],
  });
});

after(async () => {
  await browser?.close();
  if (profile) await rm(profile, { recursive: true, force: true });
});

beforeEach(async () => {
  complaints = [];
  page = await open();
});

afterEach(async () => {
  for (const each of browser.pages()) await each.close();
  assert.deepEqual(complaints, [], "the page complained");
});

async function open() {
  const page = await browser.newPage();
  page.setDefaultTimeout(10_000);
  page.on("pageerror", (error) => complaints.push(String(error)));
  page.on("console", (message) => {
    if (message.type() === "error") complaints.push(message.text());
  });
  page.on("request", (request) => {
    if (!/^(https?|ws):\/\/(127\.0\.0\.1|localhost)[:/]|^data:/.test(request.url())) {
      complaints.push(`the page asked elsewhere: ${request.url()}`);
    }
  });
  await page.goto(url);
  return page;
}

async function connect(page, user, room) {
  await page.fill("#user", user);
  await page.fill("#room", room);
  await page.click("#connect");
  await page.waitForSelector("#state[data-state=online]");
}

async function push(page, target, id, body) {
  await page.check(`input[name=target][value=${target}]`);
  if (id !== undefined) await page.fill("#target-id", id);
  await page.fill("#body", body);
  const receipts = await page.locator("#receipts li").count();
  await page.click("#send");
  const receipt = page.locator("#receipts li").nth(receipts);
  await receipt.waitFor();
  return receipt.textContent();
}

const heard = (page, text) => page.locator("#messages li", { hasText: text }).waitFor();
const messages = (page) => page.locator("#messages").textContent();

test("a push to a user reaches the user's page and the receipt says so", async () => {
  await connect(page, "ada", "");
  assert.match(await push(page, "user", "ada", "hello ada"), /1 written/);
  await heard(page, "op 1000: hello ada");
  if (screenshot) await page.screenshot({ path: screenshot });
});

test("a push to a room reaches its members and nobody else", async () => {
  const member = page;
  const stranger = await open();
  await connect(member, "bea", "live://blue");
  await connect(stranger, "cyd", "live://red");
  assert.match(await push(stranger, "room", "live://blue", "to blue"), /1 written/);
  await heard(member, "to blue");
  // What is sent later arrives later: once this is here, the one before would have been.
  await push(member, "user", "cyd", "the end");
  await heard(stranger, "the end");
  assert.doesNotMatch(await messages(stranger), /to blue/);
});

test("a push to everybody reaches everybody", async () => {
  const other = await open();
  await connect(page, "dan", "live://one");
  await connect(other, "eve", "live://two");
  assert.match(await push(page, "everybody", undefined, "to all of you"), /2 written/);
  await heard(page, "to all of you");
  await heard(other, "to all of you");
});

test("a push to somebody who is not there says offline", async () => {
  assert.match(await push(page, "user", "nobody", "hello?"), /1 offline/);
});

test("a device that disconnects is offline for the next push", async () => {
  await connect(page, "fay", "live://one");
  await page.click("#connect");
  await page.waitForSelector("#state[data-state=offline]");
  await page.waitForFunction(async () => {
    const response = await fetch("demo/push", {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ target: { users: { ids: ["fay"] } }, op: 1000, body: "x" }),
    });
    return (await response.json()).summary.offline === 1;
  });
});

test("text is shown as text, whatever it is", async () => {
  await connect(page, "gus", "");
  const hostile = "<img src=x onerror=alert(1)> ünïcödé \u{1F6F0}";
  await push(page, "user", "gus", hostile);
  await heard(page, hostile);
  assert.equal(await page.locator("#messages img").count(), 0);
});

test("a refused push shows why", async () => {
  const receipt = await push(page, "user", "x".repeat(100) + "ü".repeat(28), "too long an id");
  assert.match(receipt, /400: .*128/);
  // The browser itself reports a request that was refused.
  complaints = complaints.filter((complaint) => !complaint.includes("400"));
});

test("the page fits a small screen", async () => {
  await page.setViewportSize({ width: 360, height: 740 });
  const overflow = await page.evaluate(() =>
    document.documentElement.scrollWidth - document.documentElement.clientWidth);
  assert.equal(overflow, 0);
  if (screenshot) await page.screenshot({ path: screenshot.replace(".png", "-small.png"), fullPage: true });
});
