"""Choosing a remedy."""

from stellwerk.inquiry.model import Conclusion
from stellwerk.inquiry.remedies.choice import Chosen


class NoCatalogue:
    """Chooses nothing: there is nothing to choose from."""

    async def choose(self, conclusion: Conclusion) -> Chosen:
        """Return that nothing fits."""
        return Chosen()
