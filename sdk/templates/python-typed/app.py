import wit_world
from componentize_py_types import Err


class WitWorld(wit_world.WitWorld):
    def greet(self, name: str) -> str:
        if not name:
            raise Err("whom should I greet?")
        return f"Hello, {name}!"
