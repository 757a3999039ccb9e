"""What the README promises in code, run as it is printed."""

import asyncio
import re
import sys
from pathlib import Path

import pytest
from e2e.server import Server

pytestmark = pytest.mark.asyncio(loop_scope="session")

README = Path(__file__).parents[2] / "README.md"
PRINTED = "http://127.0.0.1:8787"


async def test_the_python_example_of_the_readme_runs(nano: Server, tmp_path: Path) -> None:
    found = re.search(r"^```python\n(.*?)^```", README.read_text(), re.DOTALL | re.MULTILINE)
    assert found, "The README has no Python example."
    example = found.group(1)
    assert PRINTED in example
    assert len([line for line in example.splitlines() if line.strip()]) <= 30

    script = tmp_path / "example.py"
    script.write_text(example.replace(PRINTED, nano.url))
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(script),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(60):
            said, complaints = await process.communicate()
    except TimeoutError:
        process.kill()
        await process.wait()
        pytest.fail("The README's example does not come to its end.")
    assert process.returncode == 0, complaints.decode()
    assert complaints == b""
    assert said.strip(), "It showed nothing."
