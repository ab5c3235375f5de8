"""Whatever a template holds: it becomes objects or faults, the same every time, and reads nothing of ours."""

# ruff: noqa: E501 - a table reads best with several pieces a line

import os
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stellwerk.release.rendering.rendering import AppInfo, render
from support.application import application

HEAD = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: x\ndata:\n  value: "
PIECES = st.sampled_from(
    [
        "{{ service.name }}", "{{ service.image }}", "{{ service.a.b.c }}", "{{ global }}", "{{ x }}", "{{ 1/0 }}",
        "{{ ''.__class__ }}", "{{ ''.__class__.__mro__[1].__subclasses__() }}", "{{ self }}", "{{ cycler }}",
        "{{ service|attr('__dict__') }}", "{{ [].append(1) }}", "{{ '%s'|format(service) }}", "{{ 9**9 }}",
        "{{ lipsum.__globals__ }}", "{{ joiner.__init__.__globals__ }}", "{{ range(10**9)|list }}",
        "{{ 'a' * 10**9 }}", "{{ '{0.__class__}'.format(1) }}", "{% for a in range(3) %}{{ a }}{% endfor %}",
        "{% if service.x is defined %}1{% endif %}", "{% include 'a.yaml' %}", "{% include '/etc/passwd' %}",
        "{% import 'os' as os %}", "{% set x = 1 %}", "{% macro m() %}m{% endmacro %}{{ m() }}",
        "{# note #}", "{{ 'a'|b64encode }}", "{{ service|tojson }}", "{{ none.x }}", "{{", "}}", "{%", "%}", "{{ }}",
        "{% endif %}", "{% raw %}{{ x }}{% endraw %}", "\n", "---\n", "- a\n", ": ", "&a *a", "!!python/object:os.system x",
        "\t", "\x00", "\ud7ff", "'", '"', "|\n  a\n", "{{ service.name | required('no') }}",
    ]
)  # fmt: skip
TEXTS = st.lists(PIECES | st.text(max_size=8), max_size=6).map("".join)
MARK = "a-secret-of-the-environment"


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(value=TEXTS, whole=st.booleans())
def test_wild_templates_become_objects_or_faults_and_the_same_ones_again(value: str, whole: bool) -> None:
    os.environ["A_SECRET_OF_THE_ENVIRONMENT"] = MARK
    text = value if whole else f"{HEAD}{value}\n"
    with TemporaryDirectory() as folder:
        app = application(Path(folder), {"web/a.yaml": text.encode("utf-8", "surrogatepass")})
        first, second = (
            render(app, tuple(app.services), {}, app=AppInfo("shop"), secret_key=b"k" * 32) for _ in range(2)
        )
    assert [manifest.body for manifest in first.manifests] == [manifest.body for manifest in second.manifests]
    assert [str(fault) for fault in first.faults] == [str(fault) for fault in second.faults]
    shown = repr([manifest.body for manifest in first.manifests]) + "".join(map(str, first.faults))
    assert MARK not in shown
    for leaked in ("<class '", "root:x:0", "<module '", " object at 0x"):
        assert leaked not in shown
