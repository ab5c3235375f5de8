"""Every setting: its meaning, unit, and the reason of its default.

Each section is handed to the subject that it names. Units are in the names: `_s` seconds, `_bytes`, `_days`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from stellwerk.settings.conductor import ConductorSettings, ParametersSettings
from stellwerk.settings.llm import LlmSettings


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """Where the control plane listens."""

    host: str = "127.0.0.1"
    """Address of every listener. Loopback, because an open listener must not be reached from outside."""
    port: int = 8080
    """Main listener; serves every interface. 0 takes a free port."""
    tls_port: int | None = None
    """A further main listener with TLS, which agents with certificates need; unset means none."""
    compat_ports: bool = True
    """Whether the listeners of the published interfaces are opened beside the main one."""
    coordinator_port: int = 9001
    """Compat listener of the coordinator interface, the port of its published examples."""
    conductor_port: int = 8081
    """Compat listener of the conductor interface, the port of its published examples."""
    metrics_port: int = 9090
    """Compat listener with `/metrics` only. Prometheus itself uses it too, so a busy port only warns."""
    insecure: bool = False
    """Allow a listener outside loopback without TLS (behind a proxy that ends TLS)."""
    stop_timeout_s: float = 10.0
    """How long a graceful stop may take before connections are cut."""
    names: tuple[str, ...] = ()
    """Further host names under which the listeners may be addressed (checked against `Host`)."""


@dataclass(frozen=True, slots=True)
class TlsSettings:
    """Certificate files of the listeners; read again when they change."""

    certificate: Path | None = None
    """PEM chain of the server certificate; unset, our own server authority makes one."""
    key: Path | None = None
    """PEM private key of the certificate."""
    all_listeners: bool = False
    """Whether every listener speaks TLS, not only the one on `server.tls_port`."""


@dataclass(frozen=True, slots=True)
class DatabaseSettings:
    """The store of everything durable."""

    url: str = "sqlite"
    """`sqlite` (a file in the data directory) or `postgresql://…`."""
    group_limit: int = 256
    """Units of work in one fsynced transaction (SQLite). More adds latency, not throughput (measured)."""
    waiting_limit: int = 20_000
    """Units of work that may wait for the writer before callers are told to come back: a second's work."""
    readers: int = 2
    """Read-only connections (SQLite). Two cores need no more."""
    pool_size: int = 16
    """Connections of one replica (PostgreSQL); servers allow about 100 by default."""
    statement_timeout_s: float = 30.0
    """Longest single statement before the unit is refused as temporary."""
    busy_timeout_s: float = 5.0
    """How long a foreign lock on the file (a backup, a shell) is waited for."""


@dataclass(frozen=True, slots=True)
class JournalSettings:
    """How long events stay and how far a reader may fall behind."""

    task_days: float = 7.0
    """Events of single tasks: the bulk of the journal, so the shortest."""
    fleet_days: float = 30.0
    """Agents joining, leaving, changing."""
    audit_days: float = 400.0
    """Refusals and operator actions: a year and a little, as auditors ask."""
    subscriber_queue: int = 1_000
    """Events a stream may lag before it is dropped with a notice."""
    poll_s: float = 1.0
    """The tail looks by itself this often; wake-ups only make it quicker."""


@dataclass(frozen=True, slots=True)
class AccessSettings:
    """Who may call, and from where."""

    open_loopback: bool = True
    """Whether loopback listeners need no credentials."""
    origins: tuple[str, ...] = ()
    """Origins allowed by CORS; none by default."""
    trusted_proxies: tuple[str, ...] = ()
    """Networks whose `X-Forwarded-…` headers are believed; none by default. With any, no listener is open."""
    certificate_header: str | None = None
    """Header in which a trusted proxy forwards the client certificate that it verified, say `Client-Cert`;
    unset, none is believed. The proxy must overwrite the header where a client sends it."""
    key_last_used_s: float = 60.0
    """How often the last use of a key is written at most."""


@dataclass(frozen=True, slots=True)
class TrustSettings:
    """Certificates and registration tokens of deployment agents."""

    authority_dir: Path | None = None
    """Folder of the certificate authorities' roots and of the key that signs tokens; unset means `authority`
    in the data directory. Replicas share one folder. Made at the first start; roots of your own go into
    `agents/` and `servers/` as `root-1.pem` and `root-1.key` (mode 0600) before it."""
    trust_domain: str = "stellwerk"
    """Domain of the agents' SPIFFE ids, and issuer of their tokens. Certificates issued before a change stay
    good, tokens do not."""
    agent_certificate_s: float = 86_400.0
    """Life of an agent's certificate, the published interface's day. A stolen one is worth no longer; an
    agent renews after two thirds, so it outlives an outage of eight hours."""
    server_certificate_s: float = 604_800.0
    """Life of the server's own certificate. A week, renewed by itself after two thirds."""
    server_ca: Path | None = None
    """PEM bundle that verifies the server where `tls.certificate` is not of our own authority (a company's
    CA, say); it is what agents are told to trust. Unset means our own authority."""
    registration_token_s: float = 86_400.0
    """Life of a registration token unless its maker says otherwise: the published day, also the longest."""
    server_keys: bool = True
    """Whether an agent that sends no CSR gets a key made here, as the published examples do. Such a key has
    travelled; switch it off when every agent makes its own."""
    renew_after_expiry_s: float = 0.0
    """How long after its end an agent's certificate may still be renewed. 0, because an end that is none
    would surprise; hours help fleets of machines that sleep."""
    superseded_grace_s: float = 300.0
    """How long the previous certificate is still accepted after the first use of the new one: requests under
    way and second connections. Later it is a sign of a copied key."""
    token_s: float = 3_600.0
    """Life of the token that stands beside a certificate where a proxy ends TLS."""
    certificate_days: float = 30.0
    """Records of certificates and registration tokens stay this long after their end, so that an agent that
    comes back late learns why it is refused. The audit events stay as long as `journal.audit_days`."""


@dataclass(frozen=True, slots=True)
class LimitSettings:
    """Bounds on what a caller may send."""

    body_bytes: int = 1_048_576
    """Largest request body."""
    depth: int = 64
    """Deepest nesting of a JSON body."""
    head_bytes: int = 65_536
    """Largest request line with headers; ids in paths may be long, nothing else is."""
    arrival_s: float = 30.0
    """How long a request may take to arrive whole: a body of 1 MiB at 35 kB/s."""
    handshake_s: float = 10.0
    """How long a TLS handshake may take: some round trips on the slowest line."""
    handshakes: int = 256
    """TLS handshakes under way at a time; beyond, those that are slow are cut."""
    requests_per_s: float = 0.0
    """Rate of requests per principal; 0 is unlimited, the published interface's behaviour."""
    request_burst: int = 100
    """Requests above the rate that are let through at once."""
    failed_logins_per_min: int = 60
    """Wrong credentials per address before it is refused for a while."""
    websocket_frame_bytes: int = 2_097_152
    """Largest WebSocket frame: a result of 1 MiB with its envelope."""
    connections: int = 20_000
    """Open connections over all listeners."""


@dataclass(frozen=True, slots=True)
class OutboundSettings:
    """What the server itself may call (HTTP push, later probes and webhooks)."""

    allowed_networks: tuple[str, ...] = (
        "127.0.0.0/8",
        "::1/128",
        "10.0.0.0/8",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "fc00::/7",
    )
    """Networks that may be dialled; agents usually live in private ones. Link-local addresses (metadata
    services) are never allowed."""
    connect_timeout_s: float = 2.0
    """A dial that takes longer is refused."""
    total_timeout_s: float = 30.0
    """A call that takes longer is given up."""
    response_bytes: int = 1_048_576
    """Largest answer that is read."""
    breaker_failures: int = 5
    """Failures in a row after which an endpoint is left alone."""
    breaker_reset_s: float = 10.0
    """How long it is left alone."""


@dataclass(frozen=True, slots=True)
class FleetSettings:
    """Presence of agents."""

    heartbeat_interval_s: float = 30.0
    """How often an agent is expected to report."""
    late_after: int = 3
    """Missed heartbeats after which an agent is late."""
    offline_after: int = 10
    """Missed heartbeats after which it is offline."""
    offline_grace_s: float = 120.0
    """How long after a deployment agent went offline its running tasks are given up. A machine that boots or
    a network that is mended takes less, and a task that is called lost has to be looked after by somebody."""
    sweep_s: float = 1.0
    """How often silence is looked for; a look costs two index lookups."""
    flush_s: float = 0.5
    """Heartbeat times and loads are written in batches this far apart (at most one second may be lost)."""


@dataclass(frozen=True, slots=True)
class WorkSettings:
    """The queue."""

    strategy: str = "least_connections"
    """Balancing strategy until somebody switches it."""
    ageing_step_s: float = 300.0
    """Waiting time that is worth one priority class. Applies to tasks submitted after a change."""
    ack_deadline_s: float = 10.0
    """A delivered task that is not acknowledged by then is given to the next holder."""
    lease_s: float = 90.0
    """A running lease without renewal ends after this: three heartbeat intervals."""
    reconnect_grace_s: float = 15.0
    """How long running leases stay with an agent whose WebSocket broke."""
    max_attempts: int = 3
    """Attempts before a task is dead."""
    retry_base_s: float = 1.0
    """First back-off; doubles with every attempt."""
    retry_cap_s: float = 300.0
    """Longest back-off."""
    queue_limit: int = 1_000_000
    """Queued tasks before submissions are refused."""
    form_limit: int = 10_000
    """Distinct requirement forms in use; matching looks through them."""
    default_capacity: int = 10
    """Tasks at once for an agent that announces no concurrency."""
    result_bytes: int = 1_048_576
    """Largest result or error."""
    log_line_bytes: int = 8_192
    """Longest log line; the rest is cut with a mark."""
    log_task_bytes: int = 4_194_304
    """Log of one task; then one marker line and no more."""
    idempotency_s: float = 86_400.0
    """How long an idempotency key is remembered."""
    retention_days: float = 7.0
    """Settled tasks are removed after this."""
    dispatch_batch: int = 64
    """Tasks leased in one unit of work: some milliseconds of the event loop. More are hardly cheaper."""
    flush_s: float = 0.5
    """Progress, logs and renewals are written in batches this far apart (at most one second may be lost)."""
    sweep_s: float = 0.5
    """How often expired leases, deadlines and due tasks are looked for."""


@dataclass(frozen=True, slots=True)
class ConnectorSettings:
    """The connector interface. The documented variables (`AGENTFIELD_CONNECTOR_…`) and a file
    `agentfield.yaml` set the first two as well."""

    token: str | None = field(default=None, repr=False)
    """A token beside those that are made with `stellwerk token create --connector`; unset means none."""
    capabilities: tuple[str, ...] = (
        "reasoners:read",
        "reasoners:write",
        "versions:read",
        "versions:write",
        "restart",
    )
    """What that token may: all, as documented."""
    restart_s: float = 120.0
    """How long a version may take to come back after a restart: its calls under way end first (30 s), then a
    supervisor starts it again."""
    restart_wait_s: float = 30.0
    """How long the answer to a restart waits for that, unless the caller says otherwise. Later ends are
    read from the restart."""
    supervised: tuple[str, ...] = ()
    """Agents whose processes somebody starts again when they end, `*` for all: only those may be restarted
    unforced. Agents can also say so themselves, and operators in the agent's options."""


@dataclass(frozen=True, slots=True)
class FunctionSettings:
    """What is known of one function of an agent."""

    idempotent: bool = False
    """Whether it may be called again where nobody knows if it ran: its process died, its answer was lost."""


@dataclass(frozen=True, slots=True)
class TrafficSettings:
    """Agents whose functions are called through us: versions, weights, executions."""

    first_weight: int = 900
    """Weight of an agent's first version, so that a canary of 100 beside it gets ten percent."""
    later_weight: int | None = None
    """Weight of later versions. Unset keeps a new version out of rotation while a weighted one is healthy."""
    heartbeat_interval_s: float = 2.0
    """How often nodes are expected to report: the interval of their published SDK. Late after
    `fleet.late_after` of them, offline after `fleet.offline_after`."""
    wait_s: float = 90.0
    """How long a synchronous call waits for the end of its execution."""
    answer_s: float = 90.0
    """How long an agent may take to answer a call, with a result or with a promise to report it."""
    execution_timeout_s: float = 3_600.0
    """Longest execution, unless the call says otherwise."""
    drain_grace_s: float = 60.0
    """How long a process that announced its end, or was replaced, may report on what it had begun: twice the
    longest drain of the published SDK."""
    listen_grace_s: float = 10.0
    """How long after its registration an instance may refuse connections: agents register before they
    listen."""
    concurrency: int = 1_000
    """Executions under way at once of one agent, on one replica, unless its options say otherwise."""
    answer_bytes: int = 33_554_432
    """Largest answer or report of an agent, and largest input: 32 MiB, as published."""
    webhook_attempts: int = 8
    """Calls of an execution's webhook before it is given up. With the pauses below that is ten minutes: a
    receiver that is being deployed is back by then. The published program makes five, in 75 seconds."""
    webhook_timeout_s: float = 10.0
    """How long a receiver may take to answer, as published; `outbound.total_timeout_s` is the most."""
    webhook_retry_s: float = 5.0
    """First pause between two calls, as published; doubles with every one."""
    webhook_retry_cap_s: float = 300.0
    """Longest pause, as published."""
    figures_s: float = 300.0
    """Window of the figures per version."""
    forget_after_s: float = 86_400.0
    """An offline instance is forgotten after this, unless it is the last of its version."""
    functions: Mapping[str, FunctionSettings] = field(default_factory=dict)
    """What is known of functions, by target: `hello.greet: {idempotent: true}`. In a variable or flag: the
    targets that are idempotent, with commas."""


@dataclass(frozen=True, slots=True)
class InquirySettings:
    """Investigations of what is wrong in the cluster, and remedies."""

    concurrent: int = 20
    """Investigations under way at a time, over all replicas; beyond, new ones are refused with 429. Each may
    hold `evidence_bytes` in memory."""
    time_limit_s: float = 300.0
    """Longest run of one investigation. Without a model it takes seconds; what takes minutes hangs."""
    retention_days: float = 30.0
    """Finished investigations stay this long, with their evidence: until the next look at what came of it."""
    calls: int = 60
    """Requests to the cluster that one investigation may make."""
    evidence_bytes: int = 8_388_608
    """Text that one investigation may keep: about 200 pods with their events and logs."""
    collect_s: float = 20.0
    """How long it may collect; then it concludes from what it has, and says what is missing."""
    log_lines: int = 200
    """Lines that are read of each container and run: a stack trace with what led to it."""
    prometheus: str | None = None
    """Address of a Prometheus (or what speaks its API) that measures the cluster: `http://prometheus:9090`.
    An investigation asks it four questions about the pods around its target. Unset means that metrics are no
    evidence."""
    prometheus_token_file: Path | None = None
    """File with a bearer token for it, read at every question. Unset means none is sent."""
    prometheus_ca_file: Path | None = None
    """File with the authorities that its certificate is checked against. Unset means those of the system."""
    automatic: bool = False
    """Whether a service that becomes unhealthy opens an investigation by itself, once per cause. Off, because
    it reads logs that nobody asked for."""
    again_after_s: float = 3_600.0
    """How long the same cause opens no further investigation by itself."""
    dev_mode: bool = False
    """Whether `/config` is shown on listeners that are not open. It needs no credentials there, so only for
    development."""
    environments: Mapping[str, str] = field(default_factory=dict)
    """Environment by namespace: `shop-test: staging`. Ours, and never taken from a request."""
    environment: str = "production"
    """Environment of namespaces that `environments` does not name: the one with the most care."""
    approve_environments: tuple[str, ...] = ("production",)
    """Environments in which every remedy needs the approval of a second principal."""
    approve_risk: str = "high"
    """Risk (low, medium, high) from which on a remedy needs that approval in every environment."""
    approval_s: float = 3_600.0
    """How long a remedy waits for approval before it is given up: the cause may be another one by then."""
    verify_s: float = 180.0
    """How long the target may take to become healthy after a remedy: images are pulled in a minute or two."""
    workflows_dir: Path | None = None
    """Folder with workflows of your own (`*.yaml`) beside the packaged ones; a namesake replaces a packaged
    one. Unset means none."""


@dataclass(frozen=True, slots=True)
class LogSettings:
    """The program's own log."""

    level: str = "info"
    """debug, info, warning or error."""
    format: str = "auto"
    """`console`, `json`, or `auto`: console on a terminal."""


@dataclass(frozen=True, slots=True)
class Settings:
    """All sections."""

    data_dir: Path = Path("stellwerk-data")
    """Folder of the embedded database and of keys; made with mode 0700."""
    server: ServerSettings = field(default_factory=ServerSettings)
    tls: TlsSettings = field(default_factory=TlsSettings)
    database: DatabaseSettings = field(default_factory=DatabaseSettings)
    journal: JournalSettings = field(default_factory=JournalSettings)
    access: AccessSettings = field(default_factory=AccessSettings)
    trust: TrustSettings = field(default_factory=TrustSettings)
    limits: LimitSettings = field(default_factory=LimitSettings)
    outbound: OutboundSettings = field(default_factory=OutboundSettings)
    fleet: FleetSettings = field(default_factory=FleetSettings)
    work: WorkSettings = field(default_factory=WorkSettings)
    traffic: TrafficSettings = field(default_factory=TrafficSettings)
    connector: ConnectorSettings = field(default_factory=ConnectorSettings)
    inquiry: InquirySettings = field(default_factory=InquirySettings)
    llm: LlmSettings = field(default_factory=LlmSettings)
    conductor: ConductorSettings = field(default_factory=ConductorSettings)
    parameters: ParametersSettings = field(default_factory=ParametersSettings)
    log: LogSettings = field(default_factory=LogSettings)
