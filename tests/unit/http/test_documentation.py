"""Merging the documents of several interfaces."""

from stellwerk.http.documentation import Document, merge

HEAD = Document("Stellwerk", "1.0")


def document(path: str, schema: dict[str, object]) -> dict[str, object]:
    return {
        "openapi": "3.1.0",
        "paths": {path: {"get": {"schema": {"$ref": "#/components/schemas/Agent"}}}},
        "components": {
            "schemas": {"Agent": schema, "List": {"items": {"$ref": "#/components/schemas/Agent"}}}
        },
        "tags": [{"name": "agents"}],
    }


def test_interfaces_stand_beside_each_other() -> None:
    merged = merge(
        HEAD, [("a", document("/a", {"type": "object"})), ("b", document("/b", {"type": "object"}))]
    )
    assert merged["info"] == {"title": "Stellwerk", "version": "1.0"}
    assert list(merged["paths"]) == ["/a", "/b"]
    assert list(merged["components"]["schemas"]) == ["Agent", "List"]
    assert merged["tags"] == [{"name": "agents"}]


def test_components_of_one_name_and_different_content_are_told_apart() -> None:
    merged = merge(
        HEAD, [("a", document("/a", {"type": "object"})), ("b", document("/b", {"type": "string"}))]
    )
    schemas = merged["components"]["schemas"]
    assert schemas["Agent"] == {"type": "object"}
    assert schemas["b.Agent"] == {"type": "string"}
    assert merged["paths"]["/a"]["get"]["schema"] == {"$ref": "#/components/schemas/Agent"}
    assert merged["paths"]["/b"]["get"]["schema"] == {"$ref": "#/components/schemas/b.Agent"}


def test_what_refers_to_a_renamed_component_is_renamed_too() -> None:
    merged = merge(
        HEAD, [("a", document("/a", {"type": "object"})), ("b", document("/b", {"type": "string"}))]
    )
    schemas = merged["components"]["schemas"]
    assert schemas["List"] == {"items": {"$ref": "#/components/schemas/Agent"}}
    assert schemas["b.List"] == {"items": {"$ref": "#/components/schemas/b.Agent"}}


def test_merging_leaves_its_sources_as_they_were() -> None:
    second = document("/b", {"type": "string"})
    merge(HEAD, [("a", document("/a", {"type": "object"})), ("b", second)])
    assert second == document("/b", {"type": "string"})
