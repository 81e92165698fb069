"""``jobprogress-client`` as npm packs it: whole, typed for those who compile against it, and running in Node."""

from __future__ import annotations

import asyncio
import json
import re
from asyncio.subprocess import PIPE
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.install import ROOT
from tests.support.npm import MODULES, program, project, tsc
from tests.support.standalone import Serving, fetch, serving

pytestmark = pytest.mark.timeout(300)

PAGE = (ROOT / "docs" / "javascript.md").read_text()

TYPED = """
import { type Client, connect, type JobState, JobProgressError } from "jobprogress-client";

const jobs: Client = connect("http://localhost:8084/", { token: "t" });
export const stop: () => void = jobs.watch("job-1", (state, { card }) => {
  const progress: number | null | undefined = state.progress;
  const loss: number | null | undefined = state.metrics?.loss;
  console.log(progress, loss, state.result, card.word);
});
for await (const state of jobs.watch("job-1")) console.log(state.status satisfies JobState["status"]);
export const { result }: JobState = await jobs.wait("job-1", { signal: AbortSignal.timeout(1000) });
// @ts-expect-error a state has no such field
console.log((await jobs.get("job-1"))?.percentage);
// @ts-expect-error there is no such status
await jobs.list({ status: "done" });
export const code: string = new JobProgressError("", "http").code;
"""

HOOK = """
declare const token: string;
const { progress, error }: { progress: { status: string } | null; error: string | null } = useJobProgress(null);
// @ts-expect-error the hook has no such member
useJobProgress("job-1").percent;
export { error, progress };
"""

FOLLOW = """
import { connect } from "jobprogress-client";
%s
const jobs = connect(process.argv[2], { token: process.argv[3], %s });
console.log(JSON.stringify(await jobs.get("job-1")));
for await (const state of jobs.watch("job-1")) console.log(JSON.stringify(state));
jobs.close();
"""


@pytest.fixture(scope="module")
def consumer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    packages = {name: MODULES / name for name in ("ws", "@types/react")}
    return project(tmp_path_factory.mktemp("npm") / "consumer", packages)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    with serving(tmp_path_factory.mktemp("serve")) as running:
        yield running


def test_the_package_holds_modules_types_its_page_and_the_license_and_needs_nothing(consumer: Path) -> None:
    installed = consumer / "node_modules" / "jobprogress-client"
    package = json.loads((installed / "package.json").read_text())
    files = {path.relative_to(installed).as_posix() for path in installed.rglob("*") if path.is_file()}

    assert "dependencies" not in package
    for entry in package["exports"].values():
        assert {file.removeprefix("./") for file in entry.values()} <= files
    assert (installed / "README.md").read_text() == PAGE
    assert (installed / "LICENSE").read_text() == (ROOT / "LICENSE").read_text()
    assert {"".join(Path(file).suffixes) for file in files if file.startswith("dist/")} == {".js", ".d.ts"}


def test_typescript_compiles_against_its_types(consumer: Path) -> None:
    (sample,) = re.findall(r"```tsx\n(.*?)```", PAGE, re.DOTALL)
    (consumer / "typed.ts").write_text(TYPED)
    (consumer / "hook.tsx").write_text(sample + HOOK)

    assert tsc(consumer, "typed.ts", "hook.tsx") == ""


@pytest.mark.parametrize(
    ("imported", "option"), [('import WebSocket from "ws";', "WebSocket"), ("", "")], ids=["ws", "of node, or polled"]
)
async def test_node_follows_a_job_to_its_end(consumer: Path, server: Serving, imported: str, option: str) -> None:
    (consumer / "follow.mjs").write_text(FOLLOW % (imported, option))
    await report(server, status="processing", progress=0.5, message="Half")
    follower = await asyncio.create_subprocess_exec(
        *(program("node"), "follow.mjs", server.url, server.told.token), cwd=consumer, stdout=PIPE
    )
    try:
        assert follower.stdout is not None
        async with asyncio.timeout(60):
            seen = [json.loads(await follower.stdout.readline()) for _ in range(2)]
            await report(server, status="completed", progress=1, message="Done", result={"frames": 2000})
            seen += [json.loads(line) async for line in follower.stdout]
            assert await follower.wait() == 0
    finally:
        if follower.returncode is None:
            follower.kill()
            await follower.wait()

    assert seen[0] == seen[1]
    assert [(state["progress"], state["message"]) for state in seen[1:]] == [(0.5, "Half"), (1, "Done")]
    assert seen[-1]["result"] == {"frames": 2000}


async def report(server: Serving, **fields: object) -> None:
    url = f"{server.url}api/jobs/job-1/updates"
    body = json.dumps({"stage": "render", **fields})
    answer = await fetch(url, method="POST", headers=server.headers, body=body)
    assert answer.code == 200, answer.body
