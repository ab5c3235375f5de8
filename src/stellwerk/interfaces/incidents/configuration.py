"""The route `/config`: what runs, for developers."""

from stellwerk import __version__
from stellwerk.http.operation import Answer, Call, Operation
from stellwerk.http.problem import Problem
from stellwerk.interfaces.incidents import wire
from stellwerk.interfaces.incidents.sessions import TAG
from stellwerk.settings import InquirySettings, LlmSettings
from stellwerk.trust.principal import LOCAL

CONFIG = "/config"
SERVICE = "stellwerk"
_DAY_S = 86_400


class ConfigurationRoutes:
    """See the module."""

    def __init__(self, settings: InquirySettings, llm: LlmSettings) -> None:
        self._settings = settings
        self._llm = llm

    def operations(self) -> list[Operation]:
        """List the routes."""
        return [
            Operation(
                method="GET",
                path=CONFIG,
                handle=self.config,
                scope=None,
                summary="Show what runs; only in development, or to the user of an open listener",
                tag=TAG,
                gives=wire.Configuration,
                refuses=(404,),
            )
        ]

    async def config(self, call: Call[None, None]) -> Answer:
        settings = self._settings
        if not settings.dev_mode and call.principal.id != LOCAL.id:
            raise Problem.not_found()
        return wire.Configuration(
            service=SERVICE,
            version=__version__,
            llm_provider=self._llm.provider,
            llm_model=self._llm.model if self._llm.provider else None,
            session_ttl=f"{int(settings.retention_days * _DAY_S)}s",
            limits={
                "concurrent": settings.concurrent,
                "time_limit_s": settings.time_limit_s,
                "calls": settings.calls,
                "evidence_bytes": settings.evidence_bytes,
                "collect_s": settings.collect_s,
                "log_lines": settings.log_lines,
            },
        )
