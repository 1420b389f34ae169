"""Tests of the comparison itself: what it counts, what it takes for a right answer, and what it makes of figures.

    python3 -B -m unittest discover -s benches/peers
"""

import json
import sys
import tempfile
import time
import unittest
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from unittest import mock
from xml.etree import ElementTree

import plots
import report
import run
import setup
from measure import Failed, Tree, Way, call, is_right, is_text
from peers import GROUPS, LACKS, PEERS

# Starts a process that outlives its parent, as daemons do, and works a while itself.
DAEMON = """
import os, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        data = bytearray(64 << 20)
        for at in range(0, len(data), 4096): data[at] = 1
        print("orphan", os.getpid(), flush=True)
        time.sleep(600)
    os._exit(0)
os.wait()
end = time.process_time() + 0.3
while time.process_time() < end: pass
print("worked", flush=True)
time.sleep(600)
"""


def until(what, seconds=60.0):
    deadline = time.monotonic() + seconds
    while not (found := what()):
        if time.monotonic() > deadline:
            raise AssertionError("it did not come")
        time.sleep(0.02)
    return found


class Trees(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.log = Path(folder.name) / "log"

    def test_orphans_are_counted_and_ended(self):
        with Tree([sys.executable, "-c", DAEMON], self.log) as tree:
            said = until(lambda: (text := self.log.read_text()) if "worked" in (text := self.log.read_text()) and "orphan" in text else None)
            orphan = int(said.split("orphan ")[1].split()[0])
            self.assertIn(orphan, tree.pids())
            self.assertGreater(tree.memory_mib(), 64)
            self.assertGreaterEqual(tree.cpu_seconds(), 0.25)
        self.assertFalse(Path(f"/proc/{orphan}").exists())

    def test_a_server_that_ends_by_itself_says_its_last_words(self):
        with Tree([sys.executable, "-c", "print('no such option')"], self.log) as tree, self.assertRaisesRegex(Failed, "no such option"):
            tree.until_it_answers(Way(1))


class Answers(unittest.TestCase):
    def answer(self, **change):
        result = {"content": [{"type": "text", "text": "6.625"}], "structuredContent": {"result": 6.625}} | change
        return {"jsonrpc": "2.0", "id": 2, "result": result}

    def test_only_the_right_sum_under_the_right_id_is_right(self):
        self.assertTrue(is_right(self.answer(), 2, 6.625))
        self.assertFalse(is_right(self.answer(), 3, 6.625))
        self.assertFalse(is_right(self.answer(isError=True), 2, 6.625))
        self.assertFalse(is_right(self.answer(structuredContent=None), 2, 6.625))
        self.assertFalse(is_right(self.answer(content=[]), 2, 6.625))
        self.assertFalse(is_right({"error": {}}, 2, 6.625))

    def test_a_text_is_right_only_word_by_word(self):
        right = self.answer(structuredContent={"result": "6.625"})
        self.assertTrue(is_text(right, 2, "6.625"))
        self.assertFalse(is_text(right, 2, "6.62"))
        self.assertFalse(is_text(right, 1, "6.625"))
        self.assertFalse(is_text(self.answer(), 2, "6.625"))
        self.assertFalse(is_text(self.answer(isError=True, structuredContent={"result": "6.625"}), 2, "6.625"))

    def test_answers_come_as_json_or_as_events(self):
        bodies = {"/json": ("application/json", "{}"), "/events": ("text/event-stream", "event: message\ndata: {}\n\n"), "/wrong": ("application/json", "[]")}
        test = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                request = json.loads(self.rfile.read(int(self.headers["content-length"])))
                right = test.answer()
                right["id"] = request["id"]
                kind, frame = bodies[self.path]
                body = frame.replace("{}", json.dumps(right)).encode()
                self.send_response(200)
                self.send_header("content-type", kind)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        Thread(target=server.serve_forever, daemon=True).start()
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
        for path in ("/json", "/events"):
            call(Way(server.server_port, path=path), 2)
            with self.assertRaises(Failed):
                call(Way(server.server_port, path=path), 3)
        with self.assertRaises(Failed):
            call(Way(server.server_port, path="/wrong"), 2)


def turn(number, cpu):
    calls = {"cpu_us": cpu, "calls_per_second": 1e6 / cpu, "p50_us": cpu, "p99_us": cpu * 3, "cpu_share": 1.0}
    figures = {"start_s": 0.1, "idle_cpu": 0.0, "idle_mib": 20.0, "busy_mib": 30.0, "processes": 1}
    return {"round": number, **figures, "calls": {str(connections): dict(calls) for connections in run.CONNECTIONS}}


def results(ours=(20.0, 30.0, 22.0)):
    """As of a run of two servers and one that failed, in three rounds."""
    floor, toolbay, other = PEERS[0], PEERS[1], PEERS[5]
    floors = [turn(number, cpu) for number, cpu in enumerate((10.0, 20.0, 10.0))]
    rows = [
        run.summary(floor, floors, floors),
        run.summary(toolbay, [turn(number, cpu) for number, cpu in enumerate(ours)], floors),
        run.summary(other, [{"round": 0, "failed": "it said | `no`\nand more"}], floors),
    ]
    machine = {"cores": 2, "cpu": "x", "memory_gib": 4, "kernel": "6", "load_before": 0.1}
    return {"date": "2026-11-30", "machine": machine, "pace": {"rounds": 3, "seconds": 2}, "versions": {"python": "3.11"}, "rows": rows}


class Figures(unittest.TestCase):
    def test_a_ratio_is_that_of_its_round(self):
        row = results()["rows"][1]
        # 20/10, 30/20 and 22/10: the median is 2, where that of the medians would be 2.2.
        self.assertEqual(row["calls"]["8"]["ratio"], 2.0)
        self.assertEqual(row["calls"]["8"]["cpu_us"], 22.0)

    def test_one_number_of_connections_may_fail(self):
        turns = [turn(0, 10.0)]
        turns[0]["calls"]["64"] = {"failed": "no answer"}
        row = run.summary(PEERS[1], turns, [turn(0, 10.0)])
        self.assertEqual(row["calls"]["8"]["ratio"], 1.0)
        self.assertEqual(row["calls"]["64"], {"failed": "no answer"})
        whole = results()
        whole["rows"][1] = row
        self.assertIn("failed at 64 connections: `no answer`", report.tables(whole))

    def test_tables_have_every_row_and_the_reasons(self):
        text = report.tables(results())
        self.assertIn("| **Toolbay, plugin** | 22 | 2.00 |", text)
        self.assertIn("Python SDK, uvicorn failed: `it said | 'no' and more`", text)
        for line in text.splitlines():
            if line.startswith("|") and "`" not in line:
                self.assertTrue(line.endswith("|"), line)

    def test_plots_are_xml_with_every_row(self):
        made = plots.all_of(results())
        self.assertEqual(set(made) | {"comparison-fetch.svg"}, {"comparison.svg", *report.PLOTS.values()})
        for name in made:
            root = ElementTree.fromstring(made[name])
            texts = [element.text for element in root.iter("{http://www.w3.org/2000/svg}text")]
            self.assertIn("Toolbay, plugin", texts)

    def test_dearer_calls_fail_the_check_and_noise_does_not(self):
        with tempfile.TemporaryDirectory() as folder, mock.patch.object(report, "PUBLISHED", report.ROOT / folder / "p.json"), mock.patch("builtins.print"):
            report.PUBLISHED.write_text(json.dumps(results()))
            self.assertEqual(report.check(results()), 0)
            self.assertEqual(report.check(results(ours=(22.0, 33.0, 24.0))), 0)
            self.assertEqual(report.check(results(ours=(30.0, 45.0, 33.0))), 1)
            nothing = results()
            nothing["rows"] = nothing["rows"][:1]
            self.assertEqual(report.check(nothing), 1)


class Lists(unittest.TestCase):
    def test_every_peer_can_be_installed_and_shown(self):
        for peer in PEERS:
            self.assertIn(peer.group, GROUPS)
            self.assertLessEqual(set(peer.lacks), set(LACKS))
            self.assertIn(peer.needs, {"", *setup.PYTHON, *setup.NODE})
        self.assertEqual(len({peer.name for peer in PEERS}), len(PEERS))

    def test_every_package_has_its_version(self):
        for lock in setup.PYTHON.values():
            for line in lock.read_text().splitlines():
                self.assertTrue(line.startswith("#") or "==" in line, f"{lock}: {line}")


if __name__ == "__main__":
    unittest.main()
