"""Settings: the only reader of files and of the environment."""

from stellwerk.settings.sections import (
    AccessSettings,
    DatabaseSettings,
    FleetSettings,
    JournalSettings,
    LimitSettings,
    LogSettings,
    OutboundSettings,
    ServerSettings,
    Settings,
    TlsSettings,
    WorkSettings,
)

__all__ = [
    "AccessSettings",
    "DatabaseSettings",
    "FleetSettings",
    "JournalSettings",
    "LimitSettings",
    "LogSettings",
    "OutboundSettings",
    "ServerSettings",
    "Settings",
    "TlsSettings",
    "WorkSettings",
]
