"""From templates and parameters to objects, and what is said where that fails."""

# ruff: noqa: E501 - a table reads best with one case a line

from pathlib import Path
from typing import Any

import pytest

from stellwerk.release.objects import Key
from stellwerk.release.rendering.jinja import JinjaRenderer
from stellwerk.release.rendering.kinds import ClusterInfo
from stellwerk.release.rendering.rendering import AppInfo, Override, Rendered, render
from support.application import application, config

KEY = b"k" * 32

DEPLOYMENT = """\
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ global.namePrefix }}{{ service.name }}
spec:
  replicas: {{ service.replicas }}
  template:
    spec:
      containers:
        - name: main
          image: {{ service.image | required("set services." ~ service.name ~ ".image") }}
          resources: {{ service.resources | default({}) }}
          env:
            - {name: PORT, value: {{ service.port | default(80) | quote }}}
"""


def rendered(
    folder: Path, files: dict[str, str | bytes], spec: dict[str, Any] | None = None, **more: Any
) -> Rendered:
    app = application(folder, files)
    services = more.pop("services", tuple(app.services))
    return render(app, services, spec or {}, app=AppInfo("shop"), secret_key=KEY, **more)


def one(folder: Path, text: str, spec: dict[str, Any] | None = None, **more: Any) -> Any:
    """Render a ConfigMap whose only value is the text, and return what became of it."""
    manifest = f"apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: x}}\ndata:\n  value: {text}\n"
    found = rendered(folder, {"web/a.yaml": manifest}, spec, **more)
    assert [str(fault) for fault in found.faults] == []
    return found.manifests[0].body["data"]["value"]


def fault(
    folder: Path, files: dict[str, str | bytes], spec: dict[str, Any] | None = None, **more: Any
) -> str:
    """Render, and return the only fault."""
    (found,) = rendered(folder, files, spec, **more).faults
    return str(found)


def test_parameters_reach_templates(tmp_path: Path) -> None:
    spec = {
        "global": {"namespace": "prod", "namePrefix": "gb-", "resources": {"limits": {"cpu": 1}}},
        "services": {"web": {"image": "busybox:1", "replicas": 5}},
    }
    found = rendered(tmp_path, {"web/deployment.yaml": DEPLOYMENT}, spec)
    assert found.faults == ()
    (manifest,) = found.manifests
    assert manifest.key == Key("prod", "Deployment", "gb-web", "apps")
    assert (manifest.service, manifest.file, manifest.api_version) == (
        "web",
        "web/deployment.yaml",
        "apps/v1",
    )
    container = manifest.body["spec"]["template"]["spec"]["containers"][0]
    assert manifest.body["spec"]["replicas"] == 5
    assert container["resources"] == {"limits": {"cpu": 1}}
    assert container["env"] == [{"name": "PORT", "value": "80"}]


def test_equal_input_gives_equal_hashes_and_others_do_not(tmp_path: Path) -> None:
    files: dict[str, str | bytes] = {"web/a.yaml": DEPLOYMENT}
    spec = {"services": {"web": {"image": "busybox:1"}}}
    first, again = (rendered(tmp_path, files, spec).manifests[0] for _ in range(2))
    other = rendered(tmp_path, files, {"services": {"web": {"image": "busybox:2"}}}).manifests[0]
    assert first.hash == again.hash != other.hash


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("{{ true | quote }}", "true"),
        ("{{ 6379 | quote }}", "6379"),
        ("{{ 'a: \"b\"' | quote }}", 'a: "b"'),
        ("x-{{ true }}-{{ none }}-{{ [1, 'a'] }}", 'x-true-null-[1,"a"]'),
        ("'{{ {\"a\": 1} }}'", '{"a":1}'),
        ("{{ 'hello' | b64encode }}", "aGVsbG8="),
        ("{{ 'aGVsbG8=' | b64decode }}", "hello"),
        ("{{ {'a': {'b': [1]}} | to_json | quote }}", '{"a":{"b":[1]}}'),
        ("{{ ('{\"a\": 7}' | from_json).a | quote }}", "7"),
        ("{{ ('a: 7' | from_yaml).a | quote }}", "7"),
        ("{{ 'x' | sha256 }}", "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"),
        ("{{ app.name }}/{{ app.instance }}", "shop/default"),
        ("{{ service.name }}", "web"),
        ("{{ services.web.namespace }}", "default"),
        ("{{ services['web']['namespace'] }}", "default"),
        ("{{ service.no.such.thing | default('other') }}", "other"),
        ("{{ 'a' if service.ingress.enabled is defined else 'b' }}", "a"),
        ("{% if service.x.y | default(false) %}a{% else %}b{% endif %}", "b"),
        ("{{ global.items }}", "own"),
        ("{{ global.nothing | default('x') }}", "x"),
        ("{{ cluster.serves('networking.k8s.io/v1', 'Ingress') | quote }}", "true"),
        ("{{ 'a' * 3 }}{{ 2 ** 3 }}", "aaa8"),
    ],
)
def test_templates_write_what_was_meant(tmp_path: Path, text: str, value: str) -> None:
    spec = {"global": {"items": "own", "nothing": None}, "services": {"web": {"ingress": {"enabled": 1}}}}
    assert one(tmp_path, text, spec) == value


def test_yaml_is_written_in_lines_and_moved_in(tmp_path: Path) -> None:
    text = "apiVersion: v1\nkind: Service\nmetadata:\n  name: x\n  annotations: {{ service.notes | to_yaml | nindent(4) }}\n"
    found = rendered(
        tmp_path, {"web/a.yaml": text}, {"services": {"web": {"notes": {"a": "1: 2", "b": "ü"}}}}
    )
    assert found.manifests[0].body["metadata"]["annotations"] == {"a": "1: 2", "b": "ü"}


def test_files_are_read_and_taken_in(tmp_path: Path) -> None:
    text = (
        "{% import 'web/_names.yaml' as names %}{% include './_head.yaml' %}\n"
        "metadata:\n  name: {{ names.of('x') }}\ndata:\n"
        "  xml: |\n    {{ files.get('web/config.xml') | indent(4) }}\n"
        "  none: {{ files.get('web/none', 'nothing') }}\n"
        "  all: {{ files.glob('web/*.xml') | length | quote }}\nbinaryData:\n  b: {{ files.base64('web/b.bin') }}\n"
    )
    files: dict[str, str | bytes] = {
        "web/a.yaml": text,
        "web/_head.yaml": "apiVersion: v1\nkind: ConfigMap\n",
        "web/_names.yaml": "{% macro of(name) %}{{ name }}-y{% endmacro %}",
        "web/config.xml": "<a>\n<b/>\n</a>",
        "web/b.bin": b"\xff\x00",
    }
    found = rendered(tmp_path, files)
    assert found.faults == ()
    body = found.manifests[0].body
    assert body["metadata"]["name"] == "x-y"
    assert body["data"] == {"xml": "<a>\n<b/>\n</a>\n", "none": "nothing", "all": "1"}
    assert body["binaryData"] == {"b": "/wA="}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: 1\nb: {{ global.imagTag }}\n", "2: global.imagTag is not set (did you mean global.imageTag?)"),
        ("{{ services.redis-master.port }}", "1: services.redis is not set (a name with a hyphen is written services['redis-master'])"),
        ("{{ service.config.database.host }}", "1: service.config is not set (set it, or write `service.config.database.host | default(…)` where it may be missing)"),
        ("\n{% if service.ingres.enabled %}x{% endif %}", "2: service.ingres is not set (did you mean service.ingress?)"),
        ("{{ globl.namespace }}", "1: globl is not set (did you mean global?)"),
        ("{{ Spec.Global.namespace }}", "1: Spec is not set"),
        ("{{ service.x | required('say where') }}", "1: say where"),
        ("{{ service.x | required }}", "1: service.x is not set"),
        ("{{ global.empty | required('it is empty') }}", "1: it is empty"),
        ("{{ {'a': service.x} | to_json }}", "1: service.x is not set"),
        ("{{ service.x | quote }}", "1: service.x is not set"),
        ("{{ [1] | map(attribute='x') | join }}", "1: int.x is not set"),
        ("a\n{{ x\n", "is no template"),
        ("{{ .Values.x }}", "1: is no template: unexpected '.' (this looks like a Go template"),
        ("a\n{{ 1 | toYaml }}", "2: No filter named 'toYaml'. (did you mean to_yaml?)"),
        ("{{ 1 | random }}", "No filter named 'random'"),
        ("{% include 'web/_haed.yaml' %}", "1: there is no file web/_haed.yaml to take in (did you mean web/_head.yaml?)"),
        ("{{ files.get('web/_haed.yaml') }}", "1: there is no file web/_haed.yaml (did you mean web/_head.yaml?)"),
        ("{{ files.get('web/b.bin') }}", "1: web/b.bin is no text (write files.base64('web/b.bin'))"),
        ("{{ ''.__class__.__mro__ }}", "templates see values"),
        ("{{ global.update({'a': 1}) }}", "global.update is not set"),
        ("{{ files._files }}", "templates see values"),
        ("{{ cluster.__class__ }}", "templates see values"),
        ("{{ 1 / 0 }}", "1: ZeroDivisionError"),
        ("{{ 'x' * 100000000 }}", "more than templates may make"),
        ("{{ 9 ** 99 }}", "beyond what templates may compute"),
        ("{% for a in range(9999) %}{% for b in range(9999) %}xxxx{% endfor %}{% endfor %}", "more than 8 MiB"),
        ("{% for a in range(999999999) %}x{% endfor %}", "1: OverflowError"),
        ("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", "RecursionError"),
        ("{{ 'x' | b64decode }}", "b64decode:"),
        ("{{ '{' | from_json }}", "from_json:"),
        ("{{ 'a: [' | from_yaml }}", "from_yaml:"),
    ],
)  # fmt: skip
def test_failing_template_names_file_line_and_what_helps(tmp_path: Path, text: str, expected: str) -> None:
    files: dict[str, str | bytes] = {
        "web/a.yaml": text,
        "redis-master/b.yaml": config("fine"),
        "web/_head.yaml": "x",
        "web/b.bin": b"\xff",
    }
    spec = {"global": {"imageTag": "1", "empty": ""}, "services": {"web": {"ingress": {}}}}
    found = rendered(tmp_path, files, spec)
    assert [manifest.key.name for manifest in found.manifests] == ["fine"]
    (fault,) = found.faults
    assert str(fault).startswith("web/a.yaml:")
    assert expected in str(fault)
    assert fault.service == "web"


def test_fault_of_a_file_that_is_taken_in_is_that_file_s(tmp_path: Path) -> None:
    files: dict[str, str | bytes] = {
        "web/a.yaml": "{% include 'web/_b.yaml' %}",
        "web/_b.yaml": "a\nb\n{{ global.no }}",
    }
    assert fault(tmp_path, files).startswith("web/_b.yaml:3: global.no is not set")


LOOP = """\
{# a comment
   of two lines #}
apiVersion: v1
kind: ConfigMap
metadata:
  name: x
data:
  {% for n in range(3) %}
  k{{ n }}: "1"
  {% endfor %}
  {% if true %}
  bad: {{ 'a: b' }}: c
  {% endif %}
"""


def test_wrong_yaml_is_told_by_the_line_of_the_template(tmp_path: Path) -> None:
    found = fault(tmp_path, {"web/a.yaml": LOOP})
    assert found.startswith("web/a.yaml:12: is not valid YAML: mapping values are not allowed")


def test_wrong_value_is_told_by_the_line_of_the_template(tmp_path: Path) -> None:
    text = LOOP.replace("{{ 'a: b' }}: c", "{{ 5 }}")
    assert fault(tmp_path, {"web/a.yaml": text}) == (
        "web/a.yaml:12: data.bad is a number, and must be text (put it in quotes, or write `| quote`)"
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("kind: A\nmetadata: {name: x}\n", "1: has no apiVersion"),
        ("apiVersion: v1\nmetadata: {name: x}\n", "1: has no kind"),
        ("apiVersion: v1\nkind: A\n", "1: has no metadata"),
        ("apiVersion: v1\nkind: A\nmetadata:\n  labels: {}\n", "3: has no metadata.name"),
        ("apiVersion: v1\nkind: A\nmetadata:\n  generateName: x-\n", "4: has a generateName only"),
        ("apiVersion: v1\nkind: A\nmetadata:\n  name: 12\n", "4: metadata.name is no text"),
        ("just text\n", "1: is no object"),
        ("- a\n", "1: is no object"),
        ("apiVersion: v1\nkind: A\nmetadata:\n  name: x\n  labels:\n    on: yes\n", "6: metadata.labels.true is true or false"),
        ("apiVersion: v1\nkind: Secret\nmetadata: {name: x}\nstringData:\n  port: 80\n", "5: stringData.port is a number"),
        ("apiVersion: v1\nkind: A\nmetadata: {name: x}\nspec:\n  containers:\n    - env:\n        - name: a\n          value: true\n", "8: spec.containers[0].env[0].value is true or false"),
        ("a: 1\na: 2\n", "2: `a` stands twice"),
        ("apiVersion: v1\nkind: List\nitems:\n  - kind: A\n", "4: has no apiVersion"),
    ],
)  # fmt: skip
def test_what_is_no_object_is_told_by_its_line(tmp_path: Path, text: str, expected: str) -> None:
    found = [str(one) for one in rendered(tmp_path, {"web/a.yaml": text}).faults]
    assert any(expected in one for one in found), found


def test_labels_of_kinds_that_nobody_knows_are_their_own_business(tmp_path: Path) -> None:
    text = "apiVersion: x.example/v1\nkind: A\nmetadata: {name: x}\nspec: {labels: {a: 1}}\n"
    assert rendered(tmp_path, {"web/a.yaml": text}).faults == ()


def test_file_may_hold_several_objects_lists_and_nothing(tmp_path: Path) -> None:
    files: dict[str, str | bytes] = {
        "web/a.yaml": f"---\n# nothing\n---\n{config('a')}---\n{config('b')}",
        "web/b.yaml": "apiVersion: v1\nkind: List\nitems:\n  - {apiVersion: v1, kind: A, metadata: {name: c}}\n",
        "web/c.yaml": "{% if false %}broken: [{% endif %}\n  \n",
    }
    found = rendered(tmp_path, files)
    assert [manifest.key.name for manifest in found.manifests] == ["a", "b", "c"]
    assert found.faults == ()


def test_namespace_is_the_object_s_own_then_the_service_s_then_the_global_one(tmp_path: Path) -> None:
    files: dict[str, str | bytes] = {
        "web/a.yaml": config("a") + "---\n" + config("b").replace("name: b", "name: b\n  namespace: own"),
        "db/a.yaml": config("c"),
    }
    spec = {"global": {"namespace": "all"}, "services": {"web": {"namespace": "webs"}}}
    found = rendered(tmp_path, files, spec)
    assert [str(one.key) for one in found.manifests] == [
        "all/ConfigMap/c",
        "webs/ConfigMap/a",
        "own/ConfigMap/b",
    ]
    assert [one.body["metadata"]["namespace"] for one in found.manifests] == ["all", "webs", "own"]


def test_what_belongs_to_the_cluster_gets_no_namespace(tmp_path: Path) -> None:
    crd = (
        "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {name: beds.x.example}\n"
        "spec: {group: x.example, scope: Cluster, names: {kind: Bed}}\n"
    )
    text = "".join(
        f"---\napiVersion: {version}\nkind: {kind}\nmetadata: {{name: x, namespace: y}}\n"
        for version, kind in (
            ("v1", "Namespace"),
            ("rbac.authorization.k8s.io/v1", "ClusterRole"),
            ("x.example/v1", "Bed"),
            ("y.example/v1", "Bed"),
            ("z.example/v1", "Tool"),
        )
    )
    cluster = ClusterInfo(kinds={("z.example/v1", "Tool"): False})
    found = rendered(tmp_path, {"web/a.yaml": crd + text}, cluster=cluster)
    assert [(one.key.group, one.key.kind, one.key.namespace) for one in found.manifests] == [
        ("apiextensions.k8s.io", "CustomResourceDefinition", ""),
        ("", "Namespace", ""),
        ("rbac.authorization.k8s.io", "ClusterRole", ""),
        ("x.example", "Bed", ""),
        ("y.example", "Bed", "y"),
        ("z.example", "Tool", ""),
    ]
    assert "namespace" not in found.manifests[1].body["metadata"]


def test_two_objects_with_one_key_are_a_fault_that_names_both(tmp_path: Path) -> None:
    files: dict[str, str | bytes] = {"db/a.yaml": config("x"), "web/a.yaml": "# why\n" + config("x")}
    found = rendered(tmp_path, files)
    assert [one.service for one in found.manifests] == ["db"]
    (fault,) = found.faults
    assert str(fault).startswith("web/a.yaml:2: default/ConfigMap/x is in db/a.yaml:1 already")


def test_only_the_named_services_are_rendered_and_only_their_faults_told(tmp_path: Path) -> None:
    files: dict[str, str | bytes] = {
        "db/a.yaml": "{{ broken",
        "Bad/a.yaml": config("y"),
        "web/a.yaml": config("x"),
        "stellwerk.yaml": "nmae: x",
    }
    found = rendered(tmp_path, files, services=("web",))
    assert [one.key.name for one in found.manifests] == ["x"]
    assert [fault.file for fault in found.faults] == ["stellwerk.yaml"]


def test_override_takes_the_place_of_its_object_and_follows_parameters(tmp_path: Path) -> None:
    files: dict[str, str | bytes] = {
        "web/a.yaml": config("a") + "---\n" + config("b"),
        "db/a.yaml": config("c"),
    }
    text = config("{{ global.namePrefix }}a").replace('"1"', '"{{ service.replicas }}"')
    overrides = [
        Override("default/ConfigMap/a", text, "web"),
        Override("default/ConfigMap/new", config("new"), "web"),
        Override("default/ConfigMap/c", config("c") + "broken", "db"),
    ]
    found = rendered(
        tmp_path, files, {"services": {"web": {"replicas": 4}}}, services=("web",), overrides=overrides
    )
    assert {one.key.name: one.body["data"]["a"] for one in found.manifests} == {
        "a": "4",
        "b": "1",
        "new": "1",
    }
    assert found.faults == ()
    broken = rendered(tmp_path, files, overrides=overrides)
    assert [str(fault).split(":")[0] for fault in broken.faults] == ["override of default/ConfigMap/c"]
    assert "c" in {one.key.name for one in broken.manifests}


def test_filters_and_functions_of_the_application_stand_beside_ours(tmp_path: Path) -> None:
    renderer = JinjaRenderer({"shout": str.upper}, {"answer": lambda: 42})
    assert one(tmp_path, "{{ 'a' | shout }}{{ answer() }}", renderer=renderer) == "A42"


def test_one_renderer_sees_files_that_changed(tmp_path: Path) -> None:
    renderer = JinjaRenderer()
    for name in ("a", "b"):
        files: dict[str, str | bytes] = {
            "web/a.yaml": "{% include 'web/_p.yaml' %}",
            "web/_p.yaml": config(name),
        }
        assert [one.key.name for one in rendered(tmp_path, files, renderer=renderer).manifests] == [name]
