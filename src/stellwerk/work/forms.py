"""The requirement forms in use, in memory: every claim and every connected holder is matched with them."""

import json
from collections.abc import Iterable, Sequence

from stellwerk.database.unit import PerEngine, Sql, Unit
from stellwerk.work.requirements import ANY, DELIVERED, NO_FORM, Form, read_form, split_queue_key

_ALL = "SELECT form_id, form FROM task_forms"
_SOME = PerEngine(
    _ALL + " WHERE form_id IN (SELECT value FROM json_each($1))",
    _ALL + " WHERE form_id IN (SELECT jsonb_array_elements_text($1::jsonb))",
)


class Forms:
    """Known forms by id. The one that asks nothing is always known and does not count."""

    def __init__(self) -> None:
        self._forms: dict[str, Form] = {ANY: NO_FORM}

    def get(self, form_id: str) -> Form | None:
        """Return the form; None if it is not known (yet)."""
        return self._forms.get(form_id)

    def put(self, form_id: str, form: Form) -> None:
        self._forms[form_id] = form

    def forget(self, form_ids: Iterable[str]) -> None:
        for form_id in form_ids:
            self._forms.pop(form_id, None)

    def ids(self) -> list[str]:
        """Return the ids of all forms but the one that asks nothing."""
        return [form_id for form_id in self._forms if form_id != ANY]

    def unknown(self, queue_keys: Iterable[str]) -> list[str]:
        """Return the forms of these queues that are not known."""
        wanted = {split_queue_key(queue_key)[0] for queue_key in queue_keys}
        return [form_id for form_id in wanted if form_id not in self._forms and form_id != DELIVERED]

    def __len__(self) -> int:
        return len(self._forms) - 1


def read_forms(form_ids: Sequence[str] | None = None) -> Unit[list[tuple[str, Form]]]:
    """Return stored forms: those with the ids, or all for None."""
    rows = yield (Sql(_ALL) if form_ids is None else Sql(_SOME, (json.dumps(form_ids),)))
    return [(row[0], read_form(row[1])) for row in rows]
