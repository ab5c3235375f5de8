"""Which type of action would mend a cause, in the words of the contract's catalogue of actions."""

from collections.abc import Mapping

from stellwerk.inquiry.model import Conclusion

ACTIONS: Mapping[str, str] = {
    "OomKilled": "IncreaseMemoryLimits",
    "MemoryExhausted": "IncreaseMemoryLimits",
    "ScaledToZero": "ScaleReplicas",
    "PolicyBlocks": "FixNetworkPolicy",
    "AccessDenied": "RestoreRoleBinding",
    "SecurityContextDenied": "FixSecurityContext",
    "PolicyDenied": "FixSecurityContext",
    "BudgetBlocksEviction": "RelaxPDB",
    "ScaleTargetMissing": "PatchHPA",
    "ScalerWithoutRequests": "PatchConfiguration",
    "NodeNotReady": "DrainNode",
    "NodePressure": "CleanupNode",
    "TaintNotTolerated": "RemoveTaint",
    "CronJobSuspended": "PatchConfiguration",
    "MissingSecret": "PatchConfiguration",
    "StorageFull": "ExpandPersistentVolumeClaim",
}
DEFAULT = "PatchConfiguration"
REVERSIBLE = "RollbackDeployment"


def suggested_action(conclusion: Conclusion) -> str:
    """Return the type of action that fits a conclusion; empty where nothing is to be done."""
    if not conclusion.cause:
        return ""
    if conclusion.facts.get("regression"):
        return REVERSIBLE
    return ACTIONS.get(conclusion.cause, DEFAULT)
