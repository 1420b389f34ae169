from typing import Annotated

from toolbay_plugin import tool


@tool(read_only=True)
def greet(name: Annotated[str, "Whom."]) -> str:
    """Greets somebody."""
    if not name:
        raise ValueError("whom should I greet?")
    return f"Hello, {name}!"
