"""A guard in Python: arguments in which it finds its word it denies, and to answers it adds who looked at them."""

import json

from wit_world import exports
from wit_world.imports import guarding


class BeforeCall(exports.BeforeCall):
    def before_call(self, call, arguments):
        given = json.loads(arguments)
        settings = json.loads(call.settings)
        if given.get("a") == settings.get("never"):
            return guarding.Verdict_Deny(f"python never takes {given['a']}")
        given["a"] += 1
        return guarding.Verdict_Change(json.dumps(given))


class AfterCall(exports.AfterCall):
    def after_call(self, call, arguments, answer):
        answer = json.loads(answer)
        answer["content"].append({"type": "text", "text": f"{call.guard} looked at {call.tool.name}"})
        return guarding.Verdict_Change(json.dumps(answer))
