"""Settings: the only reader of files and of the environment."""

from stellwerk.settings.faults import Fault, SettingsError
from stellwerk.settings.loading import Assignment, Loaded, load_settings
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
    TrustSettings,
    WorkSettings,
)

__all__ = [
    "AccessSettings",
    "Assignment",
    "DatabaseSettings",
    "Fault",
    "FleetSettings",
    "JournalSettings",
    "LimitSettings",
    "Loaded",
    "LogSettings",
    "OutboundSettings",
    "ServerSettings",
    "Settings",
    "SettingsError",
    "TlsSettings",
    "TrustSettings",
    "WorkSettings",
    "load_settings",
]
