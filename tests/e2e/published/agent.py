"""An agent as its user writes it: nothing here knows whose control plane it joins."""

import asyncio
import os

from agentfield import Agent
from agentfield.memory_events import EventSubscription

app = Agent(
    node_id=os.environ["NODE_ID"],
    agentfield_server=os.environ["AGENTFIELD_SERVER"],
    version=os.environ["NODE_VERSION"],
    callback_url=f"http://127.0.0.1:{os.environ['NODE_PORT']}",
)
seen = []


@app.reasoner(tags=["idempotent"])
async def greet(name: str) -> dict:
    return {"hello": name, "version": app.version, "pid": os.getpid()}


@app.reasoner()
async def shape(of: str):
    return {"list": [1, "two"], "text": "a text", "number": 2.5, "nothing": None, "object": {"a": {}}}[of]


@app.reasoner()
async def fail(why: str) -> dict:
    raise ValueError(why)


@app.reasoner()
async def sleep(seconds: float) -> dict:
    await asyncio.sleep(seconds)
    return {"slept": seconds, "version": app.version, "pid": os.getpid()}


@app.skill()
def upper(text: str) -> str:
    return text.upper()


@app.reasoner()
async def relay(target: str, name: str) -> dict:
    return {"relayed": await app.call(target, name=name), "by": os.getpid()}


@app.reasoner()
async def remember(key: str) -> dict:
    memory = app.memory
    found = {"missing": await memory.get(key, default="none")}
    await memory.set(key, {"n": [1, None]})
    await memory.global_scope.set(key, "for all")
    await memory.session("s-1").set(key, 7)
    found["run"] = await memory.get(key)
    found["all"] = await memory.global_scope.get(key)
    found["session"] = await memory.session("s-1").get(key)
    found["keys"] = await memory.global_scope.list_keys()
    await memory.delete(key)
    found["after"] = await memory.get(key)
    await memory.global_scope.delete(key)
    found["gone"] = await memory.exists(key)
    return found


async def changed(event) -> None:
    seen.append([event.key, event.action, event.data])


app.memory_event_client.subscriptions.append(EventSubscription(["watched.*"], changed))


@app.reasoner()
async def changes() -> list:
    return seen


@app.reasoner()
async def leave_note(text: str) -> dict:
    app.note(text, tags=["proof"])
    return {}


if __name__ == "__main__":
    app.serve(port=int(os.environ["NODE_PORT"]))
