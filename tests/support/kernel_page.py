"""A page that has nothing but the messages of a kernel: no Jupyter server, no socket, no fetch, like VS Code and Colab.

It is the smallest host of anywidgets: models with traits and messages, views in place of outputs.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

from jupyter_client.asynchronous import AsyncKernelClient
from jupyter_client.manager import AsyncKernelManager
from playwright.async_api import Browser, Page

from tests.support.kernel import kernel_environment

VIEW: Final = "application/vnd.jupyter.widget-view+json"

HOST: Final = """
delete globalThis.WebSocket;
delete globalThis.EventSource;
globalThis.fetch = () => Promise.reject(new TypeError("There is no network here."));
const modules = new Map();

class Model {
  constructor(id, state) { Object.assign(this, { id, state: { ...state }, listeners: new Map() }); }
  get(name) { return this.state[name]; }
  set(name, value) { this.state[name] = value; }
  save_changes() {}
  on(event, run) { this.listeners.set(event, (this.listeners.get(event) ?? new Set()).add(run)); }
  off(event, run) { this.listeners.get(event)?.delete(run); }
  send(content) { globalThis.toKernel?.(this.id, content); }
  emit(event, ...said) { for (const run of [...(this.listeners.get(event) ?? [])]) run(...said); }
  widget_manager = { get_model: async (id) => host.models.get(id) ?? Promise.reject(new Error(`no model ${id}`)) };
  widget() {
    // As in Jupyter: a module for each model.
    this.module ??= import(URL.createObjectURL(new Blob([this.state._esm], { type: "text/javascript" })));
    return this.module.then(({ default: widget }) => widget);
  }
}

globalThis.host = {
  models: new Map(),
  ends: new Map(),
  heard: [],
  opened(id, state) {
    const model = new Model(id, state);
    host.models.set(id, model);
    if (state._esm) return model.widget().then((widget) => widget.initialize?.({ model }));
  },
  updated(id, state) {
    const model = host.models.get(id);
    if (model === undefined) return host.opened(id, state); // the answer to a page that was reloaded
    for (const [name, value] of Object.entries(state)) {
      model.set(name, value);
      model.emit(`change:${name}`);
    }
  },
  said(id, content) {
    host.heard.push({ atMs: performance.now(), content });
    host.models.get(id)?.emit("msg:custom", content, []);
  },
  async shown(place, data) {
    const el = document.getElementById(place) ?? document.createElement("section");
    el.id = place;
    // As every host does: a view that is replaced is ended, or it would draw itself once it has loaded.
    const end = host.ends.get(place);
    host.ends.delete(place);
    (await end)?.();
    el.replaceChildren();
    document.body.append(el);
    const view = data["application/vnd.jupyter.widget-view+json"];
    if (view === undefined) { el.innerHTML = data["text/html"] ?? ""; return; }
    const model = host.models.get(view.model_id);
    host.ends.set(place, (await model.widget()).render({ model, el }));
  },
};
"""


class KernelPage:
    """A kernel, and a page that hears its messages and sends it those of widgets."""

    def __init__(self, client: AsyncKernelClient, browser: Browser) -> None:
        self.client = client
        self.page: Page
        self.errors: list[str] = []
        self._browser = browser
        self._turn = asyncio.Lock()
        self._models: list[str] = []
        self._outputs: dict[str, dict[str, Any]] = {}

    async def open(self) -> None:
        """Open a page, and ask the kernel for its widgets as every page does that was reloaded."""
        self.page = await bare_page(self._browser)
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        await self.page.expose_function("toKernel", self.say)
        for comm_id in self._models:
            self._tell(comm_id, {"method": "request_state"})

    async def reload(self) -> None:
        """Come back to the notebook: its widgets are those of the kernel, its outputs those that it had."""
        async with self._turn:
            await self.page.close()
            await self.open()
        await self.page.wait_for_function("number => host.models.size === number", arg=len(self._models))
        for place, data in self._outputs.items():
            await self._call("shown", place, data)

    def start(self, code: str) -> str:
        """Start a cell, and return the id of its message."""
        message_id: str = self.client.execute(code)
        return message_id

    async def run(self, code: str, *, within_s: float = 60.0) -> None:
        """Run a cell to its end. Fails with its error."""
        message_id = self.start(code)
        async with asyncio.timeout(within_s):
            while True:
                reply = await self.client.get_shell_msg()
                if reply["parent_header"].get("msg_id") == message_id:
                    assert reply["content"]["status"] == "ok", reply["content"]
                    return

    async def hear(self, message: dict[str, Any]) -> None:
        async with self._turn:
            await self._hear(message)

    async def _hear(self, message: dict[str, Any]) -> None:
        kind, content = message["msg_type"], message["content"]
        data = content.get("data", {})
        if kind == "comm_open":
            self._models.append(content["comm_id"])
            await self._call("opened", content["comm_id"], data["state"])
        elif kind == "comm_msg" and data.get("method") == "update":
            await self._call("updated", content["comm_id"], data["state"])
        elif kind == "comm_msg" and data.get("method") == "custom":
            await self._call("said", content["comm_id"], data["content"])
        elif kind in ("display_data", "update_display_data"):
            place = f"output-{content['transient'].get('display_id', '')}"
            self._outputs[place] = data
            await self._call("shown", place, data)

    def say(self, comm_id: str, content: object) -> None:
        """Send what a widget says."""
        self._tell(comm_id, {"method": "custom", "content": content})

    def _tell(self, comm_id: str, data: dict[str, object]) -> None:
        message = self.client.session.msg("comm_msg", {"comm_id": comm_id, "data": data})
        self.client.shell_channel.send(message)

    async def _call(self, method: str, *arguments: object) -> None:
        await self.page.evaluate(f"arguments => host.{method}(...arguments)", list(arguments))


async def bare_page(browser: Browser, html: str = "<!doctype html>") -> Page:
    """Open a page that hosts widgets, and has no server, nor any other network."""
    page = await browser.new_page()
    await page.route("**/*", lambda route: route.abort())
    await page.route("http://bare.invalid/", lambda route: route.fulfill(body=html, content_type="text/html"))
    await page.goto("http://bare.invalid/")
    await page.evaluate(HOST)
    return page


@asynccontextmanager
async def kernel_page(browser: Browser, **environment: str) -> AsyncIterator[KernelPage]:
    """Run a kernel with a page until the block ends."""
    manager = AsyncKernelManager()
    await manager.start_kernel(env=kernel_environment(**environment))
    client = manager.client()
    client.start_channels()
    try:
        await client.wait_for_ready(timeout=60)
        shown = KernelPage(client, browser)
        await shown.open()
        pump = asyncio.create_task(_pump(shown))
        try:
            yield shown
        finally:
            pump.cancel()
            await asyncio.gather(pump, return_exceptions=True)
            await shown.page.close()
        assert shown.errors == []
    finally:
        client.stop_channels()
        await manager.shutdown_kernel(now=True)


async def _pump(shown: KernelPage) -> None:
    while True:
        await shown.hear(await shown.client.get_iopub_msg())
