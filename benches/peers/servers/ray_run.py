"""Serves an application of Ray Serve at $PEER_PORT until it is ended. usage: ray_run.py MODULE"""

import importlib
import os
import signal
import sys

import ray
from ray import serve

module = sys.argv[1]
# Without its dashboard Ray starts fewer processes; the tutorials do not say so.
ray.init(include_dashboard=module == "ray_published", log_to_driver=False)
serve.start(http_options={"host": "127.0.0.1", "port": int(os.environ["PEER_PORT"])})
serve.run(importlib.import_module(module).app, route_prefix="/")
print("serves", flush=True)
signal.pause()
