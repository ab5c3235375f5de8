"""What is wrong with the settings, all of it at once."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Fault:
    """One wrong value: where it stands and what would help."""

    where: str
    problem: str

    def __str__(self) -> str:
        return f"{self.where}: {self.problem}"


class SettingsError(Exception):
    """The settings cannot be used; `faults` lists every reason."""

    def __init__(self, faults: list[Fault]) -> None:
        super().__init__("\n".join(str(fault) for fault in faults))
        self.faults = tuple(faults)
