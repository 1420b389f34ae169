from toolbay_plugin import tool


@tool
def add(a: float, b: float) -> float:
    """Adds two numbers."""
    return a + b
