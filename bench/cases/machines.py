"""Deployment agents: connections that show a certificate, tasks over their streams, and their end."""

import socket
import ssl
import subprocess
import sys
import time
from statistics import median

import msgspec

from bench.figures import Goal, figure
from bench.load import STAMP, LoadPlan, Tls, client_context, request
from bench.measure import HOST, Bench, Refused, accepted, run_load
from bench.seeds import call
from bench.serving import Ceiling, SecureServer
from bench.streams import StreamPlan, StreamResult

AGENTS = 500
CONNECTIONS = 32
TASKS_PER_S = 300.0
BEAT = {"status": "healthy", "resourceUsage": {"cpu": 1.5, "memory": 45.2}, "runningTasks": 0, "tasks": []}
JOINED = tuple[list[str], Tls]


def machines(bench: Bench) -> None:
    """Handshakes, heartbeats, tasks over 500 streams, revocation; all with certificates."""
    server = bench.secure_server("machines")
    ceiling = Ceiling(bench.folder, server.data_dir / "server.pem")
    try:
        agents, tls = join(bench, server, 50 if bench.quick else AGENTS)
        beats(bench, server, ceiling, (agents[:CONNECTIONS], Tls(tls.roots, tls.pairs[:CONNECTIONS])))
        streams(bench, server, (agents, tls))
        revocation(bench, server, (agents[:5], tls))
    finally:
        ceiling.stop()
        server.stop()


def join(bench: Bench, server: SecureServer, count: int) -> JOINED:
    """Let agents join; their keys are made by the server, which the examples of the interface show."""
    agents, pairs = [], []
    folder = bench.folder / "pairs"
    folder.mkdir()
    for number in range(count):
        token = call(server, "POST", "/api/v1/admin/agent-tokens", {})["token"]
        about = {"name": f"machine-{number:04d}", "version": "1.0.0", "capabilities": ["docker"]}
        joined = call(server, "POST", "/api/v1/agents/register", about, {"X-Agent-Token": token})
        file = folder / f"{number}.pem"
        file.write_text(joined["certificate"]["key"] + joined["certificate"]["cert"])
        agents.append(joined["agentId"])
        pairs.append(str(file))
    return agents, Tls(str(server.roots), pairs)


def beats(bench: Bench, server: SecureServer, ceiling: Ceiling, joined: JOINED) -> None:
    """Heartbeats: each on a connection of its own, then over connections that stay."""
    agents, tls = joined
    asked = [request("POST", f"/api/v1/agents/{one}/heartbeat", msgspec.json.encode(BEAT)) for one in agents]
    plan = LoadPlan(
        HOST, server.tls_port, len(agents), asked, bench.round_s, warm_s=bench.warm_s, tls=tls, reconnect=True
    )
    bench.add(bench.saturated("mTLS connection with a heartbeat", server, plan, ceiling, Goal(250)))
    kept = msgspec.structs.replace(plan, reconnect=False)
    row = bench.saturated("heartbeat over mTLS, kept alive", server, kept, ceiling)
    bench.add(row)
    share = row.of_ceiling or 0.0
    note = "of a bare endpoint over TLS in the same run"
    bench.add(figure("heartbeat over mTLS, share", "of TLS ceiling", [share], Goal(0.5), note))


def streams(bench: Bench, server: SecureServer, joined: JOINED) -> None:
    """Open loop: tasks for agents in turn, from sending the submission to its arrival at the agent."""
    agents, tls = joined
    tails, middles, connects = [], [], []
    for _ in range(bench.rounds):
        process = connect(StreamPlan(HOST, server.tls_port, agents, tls))
        task = {"taskType": "inspect", "payload": {"sent_us": STAMP.decode()}}
        asked = [
            request("POST", "/api/v1/tasks", msgspec.json.encode({"agent": one, **task})) for one in agents
        ]
        count = int(TASKS_PER_S * bench.round_s)
        plan = LoadPlan(HOST, server.port, CONNECTIONS, asked, rate=TASKS_PER_S, count=count, stamp=True)
        accepted(run_load(plan))
        time.sleep(1.0)
        out, _ = process.communicate()
        result = msgspec.json.decode(out, type=StreamResult)
        if result.assigned != count or result.recorded != count or result.lost:
            raise Refused(f"{count} tasks: {result}")
        tails.append(result.p99_ms)
        middles.append(result.p50_ms)
        connects.append(len(agents) / result.connected_s)
    note = f"{len(agents)} agents, {TASKS_PER_S:,.0f} tasks/s, from sending to arrival"
    bench.add(figure("streams over mTLS that connect", "/s", connects, note=f"{len(agents)} at once"))
    bench.add(figure("task to a stream over mTLS p50", "ms", middles, note=note))
    bench.add(figure("task to a stream over mTLS p99", "ms", tails, Goal(20, at_least=False), note))


def revocation(bench: Bench, server: SecureServer, joined: JOINED) -> None:
    """From sending the deletion of an agent to the close frame on its open stream."""
    agents, tls = joined
    took = []
    for agent, pair in zip(agents, tls.pairs, strict=False):
        with opened(server, agent, pair, tls.roots) as stream:
            began = time.perf_counter()
            call(server, "DELETE", f"/api/v1/agents/{agent}")
            heard = b""
            while b"\x11\x33" not in heard:  # Close code 4403.
                more = stream.recv(4096)
                if not more:
                    raise Refused(f"the stream ended without 4403: {heard!r}")
                heard += more
            took.append(time.perf_counter() - began)
    note = f"median {median(took) * 1e3:.1f} ms of {len(took)}"
    bench.add(
        figure("revocation on an open stream, slowest", "s", [max(took)], Goal(1, at_least=False), note)
    )


def opened(server: SecureServer, agent: str, pair: str, roots: str) -> ssl.SSLSocket:
    """Open a stream with a plain socket."""
    plain = socket.create_connection((HOST, server.tls_port), 10)
    stream = client_context(roots, pair).wrap_socket(plain, server_hostname=HOST)
    stream.sendall(
        f"GET /api/v1/agents/{agent}/task-stream HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n"
        "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n".encode()
    )
    head = b""
    while b"\r\n\r\n" not in head:
        head += stream.recv(1)
    if b" 101 " not in head.split(b"\r\n", 1)[0]:
        raise Refused(f"no stream: {head!r}")
    return stream


def connect(plan: StreamPlan) -> "subprocess.Popen[bytes]":
    """Start the process that is the agents, and wait until they are connected."""
    command = [sys.executable, "-m", "bench.streams"]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(msgspec.json.encode(plan) + b"\n")
    process.stdin.flush()
    if process.stdout.readline().strip() != b"ready":
        process.wait()
        raise Refused("the agents could not connect")
    return process
