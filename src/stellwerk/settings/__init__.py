"""Settings: the only reader of files and of the environment."""

from stellwerk.settings.assignment import Assignment
from stellwerk.settings.conductor import ConductorSettings, ParametersSettings
from stellwerk.settings.faults import Fault, SettingsError
from stellwerk.settings.llm import LlmSettings
from stellwerk.settings.loading import Loaded, load_settings
from stellwerk.settings.sections import (
    AccessSettings,
    ConnectorSettings,
    DatabaseSettings,
    FleetSettings,
    FunctionSettings,
    InquirySettings,
    JournalSettings,
    LimitSettings,
    LogSettings,
    OutboundSettings,
    ServerSettings,
    Settings,
    TlsSettings,
    TrafficSettings,
    TrustSettings,
    WorkSettings,
)

__all__ = [
    "AccessSettings",
    "Assignment",
    "ConductorSettings",
    "ConnectorSettings",
    "DatabaseSettings",
    "Fault",
    "FleetSettings",
    "FunctionSettings",
    "InquirySettings",
    "JournalSettings",
    "LimitSettings",
    "LlmSettings",
    "Loaded",
    "LogSettings",
    "OutboundSettings",
    "ParametersSettings",
    "ServerSettings",
    "Settings",
    "SettingsError",
    "TlsSettings",
    "TrafficSettings",
    "TrustSettings",
    "WorkSettings",
    "load_settings",
]
