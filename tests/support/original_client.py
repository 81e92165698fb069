"""The Python client of the original service's document, with nothing changed but its URL and token."""

from __future__ import annotations

import json

import websockets


async def monitor_job(uri: str, job_id: str) -> None:
    """Monitor job progress via WebSocket"""
    async with websockets.connect(uri) as websocket:
        print(f"Connected to job {job_id}")

        async for message in websocket:
            data = json.loads(message)

            if data.get("status") == "processing":
                progress = data["progress"] * 100
                print(f"{data['stage']}: {progress:.1f}% - {data['message']}")

            elif data.get("status") == "completed":
                print(f"✅ Job completed: {data['result']}")
                break

            elif data.get("status") == "failed":
                print(f"❌ Job failed: {data['error']}")
                break
