"""What is read from an application's folder, and what is said about what cannot be."""

import os
from pathlib import Path

import pytest

from stellwerk.release.application.application import Application, UnknownServices, groups_of, select
from stellwerk.release.application.reading import load
from stellwerk.release.fault import Fault
from support.application import application, config, write

TWO = {"web/a.yaml": config("web"), "db/a.yaml": config("db")}


def faults(found: Application) -> list[str]:
    return [str(fault) for fault in found.faults]


def test_every_folder_is_a_service_with_manifests_at_any_depth(tmp_path: Path) -> None:
    files = {
        **TWO,
        "web/deep/er/b.yml": config("b"),
        "web/_part.yaml": "x",
        "web/data.conf": "x",
        "web/requirements.yaml": "x",
        "alone.yaml": config("alone"),
        "only-data/x.txt": "x",
        ".git/a.yaml": "x",
        "web/.hidden.yaml": "x",
        "requirements.yaml": "requirements: []",
    }
    found = application(tmp_path, files)
    assert {name: one.manifests for name, one in found.services.items()} == {
        "db": ("db/a.yaml",),
        "default": ("alone.yaml",),
        "web": ("web/a.yaml", "web/deep/er/b.yml"),
    }
    assert "web/data.conf" in found.files and ".git/a.yaml" not in found.files
    assert (found.name, faults(found)) == ("shop", [])


def test_description_names_the_application_groups_and_order(tmp_path: Path) -> None:
    text = (
        "name: guestbook\nversion: 1.2\ngroups: {all: [web, db]}\n"
        "dependsOn: {web: [db], api: [all]}\nignore: ['web/data/*']\n"
    )
    files = {**TWO, "api/a.yaml": config("api"), "web/data/x.yaml": "not: ours", "stellwerk.yaml": text}
    found = application(tmp_path, files)
    assert faults(found) == []
    assert (found.name, found.version, found.groups) == ("guestbook", "1.2", {"all": ("web", "db")})
    assert found.depends_on == {"web": ("db",), "api": ("web", "db")}
    assert found.services["web"].manifests == ("web/a.yaml",)
    assert groups_of(found, "db") == ("all",)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("name: x\ngroup: {}\n", ["stellwerk.yaml:2: group is not known (did you mean groups?)"]),
        ("groups:\n  both: [web, dbb]\n", ["stellwerk.yaml:2: there is no service dbb (did you mean db?)"]),
        (
            "groups: {web: [db]}\n",
            ["stellwerk.yaml:1: web is a service already (give the group another name)"],
        ),
        ("dependsOn: {web: db}\n", ["stellwerk.yaml:1: dependsOn.web is not a list (write a list here)"]),
        (
            "dependsOn:\n  web: [db]\n  db: [web]\n",
            ["stellwerk.yaml:1: these wait for each other: web → db → web (take one of them out)"],
        ),
        ("- a\n", ["stellwerk.yaml:1: the document is not a mapping (write a mapping here)"]),
        ("name: a\n---\nname: b\n", ["stellwerk.yaml:3: has more than one document (keep one)"]),
    ],
)
def test_wrong_description_is_a_fault_with_its_line(tmp_path: Path, text: str, expected: list[str]) -> None:
    found = application(tmp_path, {**TWO, "stellwerk.yaml": text})
    assert [one.replace("db → web → db", "web → db → web") for one in faults(found)] == expected
    assert list(found.services) == ["db", "web"]


def test_circle_leaves_the_rest_of_the_order(tmp_path: Path) -> None:
    files = {**TWO, "api/a.yaml": config("api"), "stellwerk.yaml": "dependsOn: {web: [web], api: [db]}"}
    found = application(tmp_path, files)
    assert found.depends_on == {"api": ("db",)}
    assert len(found.faults) == 1


def test_service_that_cannot_be_a_label_is_a_fault_of_its_own(tmp_path: Path) -> None:
    found = application(tmp_path, {**TWO, "Web_2/a.yaml": config("x")})
    assert [(fault.service, fault.file) for fault in found.faults] == [("Web_2", "Web_2")]
    assert list(found.services) == ["db", "web"]


def test_what_cannot_be_read_is_a_fault_and_nothing_more(tmp_path: Path) -> None:
    (tmp_path / "web").mkdir()
    os.mkfifo(tmp_path / "web" / "pipe.yaml")
    (tmp_path / "web" / "out.yaml").symlink_to("/etc/hostname")
    (tmp_path / "web" / "again").symlink_to(tmp_path)
    (tmp_path / "web" / "same.yaml").symlink_to(tmp_path / "db" / "a.yaml")
    (tmp_path / "elsewhere").symlink_to("/etc")
    found = application(tmp_path, {**TWO, "web/large.yaml": b"x" * (4 * 1024 * 1024 + 1)})
    assert {fault.file for fault in found.faults} == {
        "elsewhere",
        "web/pipe.yaml",
        "web/out.yaml",
        "web/large.yaml",
    }
    assert found.services["web"].manifests == ("web/a.yaml", "web/same.yaml")


def test_folder_that_is_not_there_is_a_fault(tmp_path: Path) -> None:
    found = load(tmp_path / "nowhere")
    assert found.services == {}
    assert "there is no folder" in faults(found)[0]


def test_defaults_are_checked_by_the_schema_with_their_line(tmp_path: Path) -> None:
    text = "global:\n  namespace: shop\nservices:\n  web:\n    replicas: many\n"
    found = application(tmp_path, {**TWO, "parameters.yaml": text})
    assert faults(found) == ['parameters.yaml:5: services.web.replicas "many" is not of type "integer"']
    assert found.defaults["services"] == {"web": {"replicas": "many"}}


def test_own_schema_takes_the_place_of_the_built_in_one(tmp_path: Path) -> None:
    schema = '{"type": "object", "required": ["region"], "properties": {"region": {"type": "string"}}}'
    found = application(tmp_path, {**TWO, "parameters.schema.json": schema, "parameters.yaml": "other: 1"})
    assert (faults(found), found.schema and found.schema["required"]) == ([], ["region"])


@pytest.mark.parametrize(
    "schema", ["{", "[]", '{"type": "nothing"}', '{"$ref": "http://127.0.0.1:1/x.json"}']
)
def test_unusable_schema_is_a_fault_and_fetches_nothing(tmp_path: Path, schema: str) -> None:
    found = application(tmp_path, {**TWO, "parameters.schema.json": schema})
    assert found.schema is None
    assert [fault.file for fault in found.faults] == ["parameters.schema.json"]


def test_names_are_exact_and_groups_are_spelled_out(tmp_path: Path) -> None:
    files = {**TWO, "redis-master/a.yaml": config("a"), "stellwerk.yaml": "groups: {both: [web, db]}"}
    found = application(tmp_path, files)
    assert select(found, []) == ("db", "redis-master", "web")
    assert select(found, ["web", "both", "web"]) == ("db", "web")
    with pytest.raises(UnknownServices) as refused:
        select(found, ["web", "redis", "weeb"])
    assert list(refused.value.unknown) == ["redis", "weeb"]
    assert "did you mean web?" in str(refused.value)


def test_reading_again_sees_what_changed(tmp_path: Path) -> None:
    before = application(tmp_path, TWO)
    write(tmp_path, {"db/a.yaml": config("changed")})
    (tmp_path / "web" / "a.yaml").unlink()
    after = load(tmp_path)
    assert list(after.services) == ["db"]
    assert after.files["db/a.yaml"] != before.files["db/a.yaml"]


def test_fault_says_where_and_what_helps() -> None:
    assert str(Fault("a.yaml", 3, "is wrong", "mend it")) == "a.yaml:3: is wrong (mend it)"
    assert str(Fault("a.yaml", None, "is wrong")) == "a.yaml: is wrong"
