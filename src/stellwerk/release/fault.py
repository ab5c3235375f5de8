"""What is wrong with an application's files: where, and what would help."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong. It stands in the way of its own service only."""

    file: str
    """Path below the folder of manifests."""
    line: int | None
    """Counted from 1; None where no line is to blame."""
    message: str
    advice: str = ""
    service: str = ""
    """Empty where it concerns the whole application."""
    malformed: bool = False
    """Whether it is no YAML at all."""

    def __str__(self) -> str:
        where = self.file if self.line is None else f"{self.file}:{self.line}"
        return f"{where}: {self.message}" + (f" ({self.advice})" if self.advice else "")
