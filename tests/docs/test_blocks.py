"""Every block of shell and Python in README and docs works as it stands, or says why it is not run."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from docs.blocks import FILES, PYTHON, ROOT, SHELL, Block, blocks_of
from docs.stage import Stage

NOT_RUN, FILE, BACKGROUND = "not run: ", "file ", "background"
SHOWN = {file: [block for block in blocks_of(file) if block.language in (*SHELL, *PYTHON)] for file in FILES}
RUN = {
    file: [block for block in blocks if not block.mark.startswith(NOT_RUN)] for file, blocks in SHOWN.items()
}


def every_block() -> list[Block]:
    return [block for blocks in SHOWN.values() for block in blocks]


@pytest.mark.parametrize("block", every_block(), ids=str)
def test_mark_of_a_block_is_one_that_is_known(block: Block) -> None:
    known = not block.mark or block.mark == BACKGROUND or block.mark.startswith((NOT_RUN, FILE))
    assert known and block.mark != NOT_RUN.strip(), block.mark


@pytest.mark.parametrize("block", [one for one in every_block() if one.language in PYTHON], ids=str)
def test_python_compiles(block: Block) -> None:
    compile(block.text, str(block), "exec")


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    running = Stage(tmp_path)
    try:
        yield running.start()
    finally:
        running.close()


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    "file", [file for file, blocks in RUN.items() if blocks], ids=lambda file: str(file.relative_to(ROOT))
)
def test_blocks_of_a_document_work_one_after_the_other(stage: Stage, file: Path) -> None:
    for block in RUN[file]:
        stage.play(block)
