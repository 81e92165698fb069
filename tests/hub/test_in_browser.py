"""Users of a Hub in Chromium: they sign in, see their own jobs, are signed out, and meet pages of others."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
from playwright.async_api import Browser, Page, WebSocket, expect

from tests.hub.conftest import REBOUND
from tests.support.browser import NotebookFile, NotebookPage
from tests.support.hub import SERVICE, Hub
from tests.support.jupyter import Server
from tests.support.redis_server import free_port

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

JOBS = f"{SERVICE}api/jobs"
FIRST_WORD = """url => new Promise(resolve => {
    const socket = new WebSocket(url);
    socket.onmessage = ({data}) => { resolve(JSON.parse(data).type); socket.close(); };
    socket.onclose = ({code}) => resolve(code);
})"""
"""Opens a socket from a page, and answers the type of the first message or else the close code."""
SEND = """url => fetch(url, {method: "POST", mode: "no-cors", credentials: "include", body: '{"progress": 1}'})
    .then(() => true, () => true)"""
STATUS = "url => fetch(url).then(response => response.status)"


@asynccontextmanager
async def signed_in(browser: Browser, hub: Hub, name: str) -> AsyncIterator[Page]:
    """Give a tab of a browser of its own, in which a user has come to the page of the service by the Hub's form."""
    hub.user(name)
    context = await browser.new_context(viewport={"width": 1280, "height": 1000})
    try:
        page = await context.new_page()
        await page.goto(hub.url + SERVICE)
        await page.locator("input[name=username]").fill(name)
        await page.locator("input[name=password]").fill(hub.password)
        await page.locator("input[type=submit]").click()
        await page.wait_for_url(hub.url + SERVICE)
        yield page
    finally:
        await context.close()


async def cookies(page: Page) -> dict[str, str]:
    """Return the header by which a program shows what a browser would."""
    found = await page.context.cookies(page.url)
    return {"Cookie": "; ".join(f"{cookie['name']}={cookie['value']}" for cookie in found)}


async def watch(page: Page, job_id: str) -> list[WebSocket]:
    """Open the bar of a job on the page, and return the list of all sockets that the page has opened since."""
    sockets: list[WebSocket] = []
    page.on("websocket", lambda socket: sockets.append(socket))
    await page.get_by_label("Ids of jobs to watch").fill(job_id)
    await page.get_by_role("button", name="Watch", exact=True).click()
    await expect(page.locator(".jobprogress-card .jobprogress-word")).to_have_text("Running")
    return sockets


def report(hub: Hub, user: str, job_id: str, **fields: object) -> None:
    assert hub.ask(f"{JOBS}/{job_id}/updates", method="POST", body=fields, token=hub.user(user)).status == 200


async def test_each_user_signs_in_at_the_hub_and_sees_his_own_jobs(browser: Browser, hub: Hub) -> None:
    report(hub, "una", "of-una", progress=0.25)
    report(hub, "ugo", "of-ugo", progress=0.75)
    async with signed_in(browser, hub, "una") as una, signed_in(browser, hub, "ugo") as ugo:
        for page, own, other in ((una, "of-una", "of-ugo"), (ugo, "of-ugo", "of-una")):
            row = page.locator(f"[role=row][data-job='{own}']")
            await expect(row).to_be_visible()
            await expect(page.locator(f"[role=row][data-job='{other}']")).to_have_count(0)
            await row.locator("button").click()
            await expect(page.locator(".jobprogress-card .jobprogress-word")).to_have_text("Running")
        # The socket was opened by the cookie: a page of the service has no token.
        report(hub, "una", "of-una", progress=0.5)
        await expect(una.locator(".jobprogress-card [role=progressbar]")).to_have_attribute("aria-valuenow", "50")
        # Whoever knows the id of another's job is shown what there is under this id for himself: nothing.
        await una.goto(f"{hub.url}{SERVICE}jobs/of-ugo")
        await expect(una.locator(".jobprogress-card .jobprogress-word")).to_have_text("Waiting for the job")


@asynccontextmanager
async def notebook(page: Page, hub: Hub, user: str, job_id: str) -> AsyncIterator[NotebookPage]:
    """Give a user's own JupyterLab with a notebook whose bar moves; nothing but his cookie lets him in."""
    hub.start_server(user)
    root, headers = hub.folder / "home" / user, {"Authorization": f"token {hub.user(user)}"}
    server = Server(None, f"{hub.url}user/{user}/", root, hub.folder / "hub.log", headers)  # the Hub has the process
    file = NotebookFile(root, job_id)
    file.write(file.busy_job(job_id))
    opened = await NotebookPage.open(page.context, "lab", server, file, query="")
    try:
        await opened.run_all()
        await opened.bar(job_id).says("Running")
        yield opened
    finally:
        file.end_busy_job()
        await opened.page.close()


async def test_a_bar_in_a_users_jupyterlab_is_live_by_cookie_until_he_signs_out(browser: Browser, hub: Hub) -> None:
    async with signed_in(browser, hub, "ann") as page, notebook(page, hub, "ann", "bar-of-ann") as opened:
        bar = opened.bar("bar-of-ann")
        await bar.moves()
        opened.check_sockets()

        await page.goto(f"{hub.url}hub/logout")

        await bar.says("Not signed in")
        opened.check_sockets()
        assert not [error for error in opened.errors if "jobprogress" in error]


async def test_the_page_of_a_users_own_server_is_live_by_cookie(browser: Browser, hub: Hub) -> None:
    hub.start_server("ext-eve")
    path, body = "user/ext-eve/jobprogress/", {"progress": 0.25}
    assert hub.ask(f"{path}api/jobs/own/updates", method="POST", body=body, token=hub.user("ext-eve")).status == 200
    async with signed_in(browser, hub, "ext-eve") as page:
        await page.goto(hub.url + path)
        await expect(page.locator("[role=row][data-job=own]")).to_be_visible()
        sockets = await watch(page, "own")

        assert [socket.url.partition("?")[0] for socket in sockets] == [f"ws{hub.url[4:]}{path}ws/jobs"]


async def test_who_is_signed_out_revoked_or_deleted_is_told_so_and_does_not_come_back(
    browser: Browser, hub: Hub
) -> None:
    names = ("out", "revoked", "deleted")
    async with AsyncExitStack() as stack:
        pages = [await stack.enter_async_context(signed_in(browser, hub, name)) for name in names]
        sockets, stale = [], []
        for name, page in zip(names, pages, strict=True):
            report(hub, name, "watched", progress=0.5)
            sockets.append(await watch(page, "watched"))
            stale.append(await cookies(page))
            assert hub.refusal(f"{SERVICE}ws/jobs", headers=stale[-1]) == 101

        other = await pages[0].context.new_page()
        await other.goto(f"{hub.url}hub/logout")
        await other.close()
        for token in hub.ask("hub/api/users/revoked/tokens").json["api_tokens"]:
            assert hub.ask(f"hub/api/users/revoked/tokens/{token['id']}", method="DELETE").status == 204
        hub.forget("deleted")

        for page, opened, cookie in zip(pages, sockets, stale, strict=True):
            await expect(page.locator(".jobprogress-card .jobprogress-word")).to_have_text("Not signed in")
            await expect(page.get_by_text("You are no longer signed in.")).to_be_visible()
            assert hub.refusal(f"{SERVICE}ws/jobs", headers=cookie) == 401
            # As often as the page asks how things are, it does not knock any more. Where the socket broke first, it
            # knocked until it had asked why, more than once where the Hub was slow to answer.
            knocked = len(opened)
            await page.wait_for_event("response", lambda response: response.status == 401)
            assert len(opened) == knocked <= 5


async def test_pages_of_others_reach_nothing_with_the_cookie_of_a_user(browser: Browser, hub: Hub) -> None:
    report(hub, "una", "hidden", progress=0.25)
    socket = f"ws{hub.url[4:]}{SERVICE}ws/jobs"
    async with signed_in(browser, hub, "una") as page:
        assert await page.evaluate(FIRST_WORD, socket) == "connected"

        # Another port of this host is another origin, but the same site: the browser sends the cookie along.
        elsewhere = f"http://127.0.0.1:{free_port()}/"
        await page.context.route(f"{elsewhere}**", lambda route: route.fulfill(body="<p>", content_type="text/html"))
        other = await page.context.new_page()
        await other.goto(elsewhere)
        assert await other.evaluate(FIRST_WORD, socket) == 1006
        assert hub.refusal(f"{SERVICE}ws/jobs", headers=await cookies(page), origin=elsewhere.rstrip("/")) == 403
        for path in ("hidden/cancel", "made/updates"):
            await other.evaluate(SEND, f"{hub.url}{JOBS}/{path}")
        assert hub.ask(f"{JOBS}/made", token=hub.user("una")).status == 404

        # Pages of other users' servers are of the same origin. What the page reads, they cannot.
        await other.goto(f"{hub.url}hub/home")
        assert await other.evaluate(STATUS, f"{hub.url}{JOBS}/hidden") == 401


async def test_the_cookie_of_one_server_opens_no_other(browser: Browser, hub: Hub) -> None:
    hub.start_server("ext-eve")
    paths = {"service-jobprogress": SERVICE, "jupyterhub-user-ext-eve": "user/ext-eve/jobprogress/"}
    async with signed_in(browser, hub, "ext-eve") as page:
        await page.goto(hub.url + paths["jupyterhub-user-ext-eve"])
        await expect(page.get_by_label("Ids of jobs to watch")).to_be_visible()
        found = {cookie["name"]: cookie["value"] for cookie in await page.context.cookies()}

    def status(path: str, name: str, value: str) -> int:
        return hub.refusal(f"{path}ws/jobs", headers={"Cookie": f"{name}={value}"})

    for (name, path), other in zip(paths.items(), reversed(paths), strict=True):
        assert status(path, name, found[name]) == 101
        assert status(path, name, found[other]) == 401
        assert status(path, other, found[other]) == 401


async def test_a_name_of_somebody_else_that_leads_to_the_hub_opens_nothing(browser: Browser, hub: Hub) -> None:
    rebound = hub.url.replace("127.0.0.1", REBOUND)
    hub.start_server("ann")
    async with signed_in(browser, hub, "ann") as page:
        await page.goto(f"{hub.url}user/ann/jobprogress/")
        await expect(page.get_by_label("Ids of jobs to watch")).to_be_visible()
        for path in (SERVICE, "user/ann/jobprogress/"):
            await page.goto(rebound + path)
            await expect(page.locator("input[name=password]")).to_be_visible()
            assert await page.evaluate(STATUS, f"{rebound}{path}api/jobs") in (401, 403)
            assert await page.evaluate(FIRST_WORD, f"ws{rebound[4:]}{path}ws/jobs") == 1006
