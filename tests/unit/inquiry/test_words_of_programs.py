"""What programs of many languages write before they end is understood."""

from typing import Any

import pytest

from stellwerk.inquiry.linking.concluding import conclude
from support.bundles import body, bundle, log, pod, ref, service, workload

CRASHED = [
    {
        "name": "main",
        "restartCount": 4,
        "state": {"waiting": {"reason": "CrashLoopBackOff"}},
        "lastState": {"terminated": {"reason": "Error", "exitCode": 1, "finishedAt": "2026-09-21T14:10:00Z"}},
    }
]
TEMPLATE: dict[str, Any] = {
    "containers": [
        {
            "name": "main",
            "args": ["--port=8080"],
            "env": [{"name": "DB_HOST", "value": "db"}, {"name": "LOG_LEVEL", "value": "verbose"}],
            "volumeMounts": [{"name": "conf", "mountPath": "/etc/app"}],
        }
    ],
    "volumes": [{"name": "conf", "configMap": {"name": "settings"}}],
}


def concluded(line: str, *more: dict[str, Any]) -> tuple[str, list[str]]:
    found = conclude(
        bundle(
            ref("Deployment", "web"),
            *workload("web", template=TEMPLATE),
            pod("web-1-a", owner="web", containerStatuses=CRASHED, spec=TEMPLATE),
            body("ConfigMap", "settings", data={"app.conf": "port=1"}),
            *more,
            logs=(log("web-1-a", f"starting\n{line}\n", previous=True),),
        )
    )
    return found.cause, [f"{one.kind}/{one.name}" for one in found.root_objects]


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("KeyError: 'SECRET_KEY'", "EnvironmentMissing"),
        ('error: required environment variable "API_BASE" is not set', "EnvironmentMissing"),
        ("Error: Missing required env var STRIPE_ACCOUNT", "EnvironmentMissing"),
        ("sh: DATABASE_URL: parameter not set", "EnvironmentMissing"),
        ("Could not resolve placeholder 'DB_URL' in value \"${DB_URL}\"", "EnvironmentMissing"),
        ("panic: DATABASE_URL must be set", "EnvironmentMissing"),
        ("ValueError: invalid log level: verbose", "EnvironmentWrong"),
        ("LOG_LEVEL: unsupported value", "EnvironmentWrong"),
        ("app: error: unrecognized arguments: --prot=8080", "ArgumentsWrong"),
        ("flag provided but not defined: -prot", "ArgumentsWrong"),
        ("Error: No such option: --prot", "ArgumentsWrong"),
        ("error: unexpected argument '--prot' found", "ArgumentsWrong"),
        ("Error: unknown flag: --prot", "ArgumentsWrong"),
        ("listen tcp :80: bind: permission denied", "SecurityContextDenied"),
        ("OSError: [Errno 30] Read-only file system: '/cache'", "SecurityContextDenied"),
        ("Error: EACCES: permission denied, open '/data/x'", "SecurityContextDenied"),
        ("write /data/wal: no space left on device", "StorageFull"),
        ("java.lang.OutOfMemoryError: Java heap space", "MemoryExhausted"),
        ('FATAL: password authentication failed for user "shop"', "CredentialsRefused"),
        ("Access denied for user 'shop'@'10.1.0.3' (using password: YES)", "CredentialsRefused"),
        (
            "redis.exceptions.AuthenticationError: WRONGPASS invalid username-password pair",
            "CredentialsRefused",
        ),
    ],
)
def test_what_the_workload_says_of_itself(line: str, code: str) -> None:
    assert concluded(line, *service("db"), *workload("db", available=1)) == (code, ["Deployment/web"])


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ('nginx: [emerg] unknown directive "servr" in /etc/app/app.conf:3', "FileWrong"),
        (
            'yaml.scanner.ScannerError: mapping values are not allowed in "/etc/app/app.conf", line 2: error',
            "FileWrong",
        ),
        ("open /etc/app/other.yaml: no such file or directory", "FileMissing"),
        ("FileNotFoundError: [Errno 2] No such file or directory: '/etc/app/x'", "FileMissing"),
    ],
)
def test_files_lead_to_the_object_that_holds_them(line: str, code: str) -> None:
    assert concluded(line) == (code, ["ConfigMap/settings"])


@pytest.mark.parametrize(
    "line",
    [
        "Error: connect ECONNREFUSED 10.0.0.9:5432",
        "dial tcp 10.0.0.9:5432: connect: connection refused",
        "psycopg2.OperationalError: could not connect to server: Connection refused. Is "
        'the server running on host "db"?',
        "redis: connecting to db:6379: i/o timeout",
        "com.mysql.cj.jdbc.exceptions.CommunicationsException: Communications link failure to db:3306",
        "requests.exceptions.ConnectionError: HTTPConnectionPool(host='db', port=80): Max retries exceeded",
        "waiting for db to be ready",
    ],
)
def test_calls_that_fail_lead_to_whom_they_are_for(line: str) -> None:
    down = (*service("db", ready=False), *workload("db", replicas=0))

    assert concluded(line, *down) == ("ScaledToZero", ["Deployment/db"])


@pytest.mark.parametrize(
    "line",
    [
        "dial tcp: lookup db on 10.96.0.10:53: no such host",
        'could not translate host name "db" to address: Name or service not known',
        "java.net.UnknownHostException: db",
        "getaddrinfo ENOTFOUND db",
        'nginx: [emerg] host not found in upstream "db"',
    ],
)
def test_names_that_nobody_has_lead_to_the_service_that_is_missing(line: str) -> None:
    assert concluded(line) == ("MissingService", ["Service/db"])
