"""Clocks: leases, certificates and schedules of several machines need the same time."""

from stellwerk.app.doctor.finding import Finding

APART_S = 2.0
"""A lease is acknowledged within ten seconds; a fifth of that is noticed by nobody."""
FAR_S = 60.0
"""Certificates are backdated by minutes; past this they are refused here and there."""


def judge_clock(
    check: str, theirs_s: float, before_s: float, after_s: float, grain_s: float = 0.0
) -> Finding:
    """Compare their time with ours before and after asking; `grain_s`: theirs was cut to this."""
    apart = max(before_s - theirs_s - grain_s, theirs_s - after_s, 0.0)
    told = f"{apart:.1f} s apart from ours"
    advice = "let both machines take their time from NTP"
    if apart > FAR_S:
        return Finding.fail(check, told, advice)
    return Finding.warn(check, told, advice) if apart > APART_S else Finding.ok(check, told)
