"""What importing the SDK loads."""

import subprocess
import sys

PROGRAM = """
import sys
import stellwerk.sdk
own = {name for name in sys.modules if name.split(".")[0] == "stellwerk"}
print(sorted(name for name in own if name != "stellwerk" and not name.startswith("stellwerk.sdk")))
print(sorted({"uvicorn", "uvloop", "asyncpg", "typer", "rich", "sqlite3"} & set(sys.modules)))
"""


def test_sdk_loads_nothing_of_the_server() -> None:
    run = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    assert run.stdout == "[]\n[]\n"


def test_command_line_does_not_load_the_sdk_for_other_commands() -> None:
    program = "import sys, stellwerk.cli.main; print('aiohttp' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert run.stdout == "False\n"
