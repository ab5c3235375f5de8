"""The examples of the published document, verbatim."""

REGISTER = {
    "name": "agent-prod-01",
    "version": "1.0.0",
    "capabilities": ["docker", "compose"],
    "labels": {"datacenter": "us-east-1", "role": "deployment"},
}
UPDATE = {"labels": {"datacenter": "us-west-2"}, "capabilities": ["docker", "compose", "ssh"]}
HEARTBEAT = {
    "status": "healthy",
    "resourceUsage": {"cpu": 15.5, "memory": 45.2, "disk": 60.0},
    "capabilities": ["docker", "compose"],
    "runningTasks": 2,
}
COMPLETE = {
    "success": True,
    "result": {"imageId": "sha256:abc123...", "containerId": "container-uuid"},
    "logs": [
        {"timestamp": "2026-01-10T14:23:45Z", "level": "info", "message": "Pulling image..."},
        {"timestamp": "2026-01-10T14:23:50Z", "level": "info", "message": "Image pulled successfully"},
    ],
}
PAYLOAD = {"image": "myapp", "tag": "v2.3.1", "digest": "sha256:abc123..."}
