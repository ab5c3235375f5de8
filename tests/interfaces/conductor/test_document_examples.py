"""Every request of the published document, on the sandbox."""

from pathlib import Path

from support.conductor_document import guestbook, read_examples, walk_through


def test_all_examples_are_read() -> None:
    assert {(one.method, one.path) for one in read_examples().values()} == {
        ("POST", "/api/up"),
        ("GET", "/api/services/health"),
        ("GET", "/api/events?type=error&limit=10"),
        ("GET", "/api/parameters"),
        ("POST", "/api/parameters"),
        ("POST", "/api/update"),
        ("GET", "/api/events/errors?limit=20"),
        ("GET", "/api/events/default/Deployment/frontend?limit=10"),
        ("GET", "/healthz"),
        ("GET", "/api/events?limit=10"),
    }


async def test_the_document_works_to_the_letter_on_the_sandbox(tmp_path: Path) -> None:
    async with guestbook(tmp_path) as shop:
        await walk_through(shop)


async def test_its_requests_are_answered_on_the_main_listener_as_well(tmp_path: Path) -> None:
    async with guestbook(tmp_path) as shop:
        example = read_examples()["Deploy services"]
        # What curl sends by itself where no content type is given.
        headers = {"content-type": "application/x-www-form-urlencoded"}
        answer = await shop.plane.main.call(example.method, example.path, example.body, headers=headers)
        assert answer.body.items() >= example.answer.items()
