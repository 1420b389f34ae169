#!/usr/bin/env python3
"""Tokens a second and CPU milliseconds a token of a T5: Toolbay through /mcp beside transformers eager and CTranslate2, in one run.

usage: run.py TOOLBAY PLUGINS WORK [--quick] [--callers 1,8,32] [--seconds 4] [--rounds 3] [--threads 1] [--device cuda:0]

WORK holds hf (PyTorch), fp32 and int8 (ONNX), ct2 and ct2-int8 (CTranslate2), as scripts/bench-inference.sh makes them. Every kind has its turn in every
round, so that a machine that is busy for a while is busy for all of them; what is told is the median of the rounds.
"""

import argparse
import contextlib
import dataclasses
import http.client
import importlib.metadata
import json
import os
import pathlib
import platform
import queue
import re
import shutil
import statistics
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator

PREFIX = "translate English to French: "
TEXT = "The small house is near the old station."
# What the project has set itself: times as cheap, and as quick, as transformers eager, by the number of callers.
GOALS = {1: 2.0, 32: 5.0}
EAGER = "transformers eager, one after the other"
# Times as quick on a GPU as on the CPU, with the most callers.
GPU_GOAL = 20.0

# One text, or several as one call, answered: how many tokens that was. It may answer 0 once the event is set.
Call = Callable[[threading.Event], int]
Cpu = Callable[[], float]


@dataclasses.dataclass
class Row:
    name: str
    callers: int
    call: Call
    cpu: Cpu
    rates: list[float] = dataclasses.field(default_factory=list)
    costs: list[float] = dataclasses.field(default_factory=list)

    def measure(self, seconds: float) -> None:
        """With so many callers that each ask again at once."""
        stop, counts, failed = threading.Event(), queue.SimpleQueue(), queue.SimpleQueue()

        def caller() -> None:
            count = 0
            try:
                while not stop.is_set():
                    count += self.call(stop)
            except Exception as error:  # told below, by who can end the run
                failed.put(error)
            counts.put(count)

        threads = [threading.Thread(target=caller) for _ in range(self.callers)]
        start, start_cpu = time.perf_counter(), self.cpu()
        for thread in threads:
            thread.start()
        time.sleep(seconds)
        stop.set()
        for thread in threads:
            thread.join()
        elapsed, spent = time.perf_counter() - start, self.cpu() - start_cpu
        if not failed.empty():
            raise failed.get()
        tokens = sum(counts.get() for _ in threads)
        self.rates.append(tokens / elapsed)
        self.costs.append(spent / tokens * 1000)

    @property
    def rate(self) -> float:
        return statistics.median(self.rates)

    @property
    def cost(self) -> float:
        return statistics.median(self.costs)


@contextlib.contextmanager
def toolbay(
    binary: str, plugins: pathlib.Path, model: pathlib.Path, threads: int, device: str = "cpu"
) -> Iterator[tuple[Callable[[int], Call], Cpu]]:
    """The server with one model; gives a call with so many beams, and the CPU seconds of the process."""
    with tempfile.TemporaryDirectory() as home:
        config = pathlib.Path(home) / "toolbay.toml"
        config.write_text(
            '[host]\ncompiler = "cranelift"\n'
            f'[model.bench]\npath = "{model}"\nplugins = ["translator"]\nthreads = {threads}\ndevice = "{device}"\n'
            '[plugin.translator]\nenv = { MODEL = "bench", SHOW_TOKENS = "1" }\nconcurrency = 64\nqueue = 64\n'
        )
        folder = pathlib.Path(home) / "plugins"
        folder.mkdir()
        shutil.copy(plugins / "translator.wasm", folder)
        command = [binary, "serve", "--config", str(config), "--plugins", str(folder), "--listen", "127.0.0.1:0"]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=open(pathlib.Path(home) / "log", "w"), text=True)
        try:
            lines = iter(process.stdout)
            address = next((found[1] for line in lines if (found := re.search(r"http://([0-9.]+:\d+)/mcp", line))), None)
            if address is None:
                raise SystemExit(f"bench-inference: toolbay does not start:\n{(pathlib.Path(home) / 'log').read_text()}")
            wait_ready(address)
            yield lambda beams: lambda _: translate(address, beams), lambda: cpu_of(process.pid)
        finally:
            process.terminate()
            process.wait()


def wait_ready(address: str) -> None:
    for _ in range(600):
        connection = http.client.HTTPConnection(address, timeout=10)
        connection.request("GET", "/readyz")
        if connection.getresponse().status == 200:
            return
        time.sleep(0.1)
    raise SystemExit(f"bench-inference: {address} does not become ready")


LOCAL = threading.local()


def translate(address: str, beams: int) -> int:
    """One call of the tool; every thread keeps its connection."""
    if getattr(LOCAL, "address", None) != address:
        LOCAL.address, LOCAL.connection = address, http.client.HTTPConnection(address, timeout=120)
    meta = {"protocolVersion": "2026-07-28", "clientCapabilities": {}, "clientInfo": {"name": "bench", "version": "1"}}
    params = {"name": "translate", "arguments": {"text": TEXT, "beams": beams}}
    params["_meta"] = {f"io.modelcontextprotocol/{name}": value for name, value in meta.items()}
    headers = {
        "content-type": "application/json",
        "accept": "application/json, text/event-stream",
        "mcp-protocol-version": "2026-07-28",
        "mcp-method": "tools/call",
        "mcp-name": "translate",
    }
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params})
    LOCAL.connection.request("POST", "/mcp", body, headers)
    answer = LOCAL.connection.getresponse().read().decode()
    message = json.loads(answer if answer.startswith("{") else [line[5:] for line in answer.splitlines() if line.startswith("data:")][-1])
    result = message.get("result", {})
    if "_meta" not in result:
        raise SystemExit(f"bench-inference: the call failed: {answer[:500]}")
    return sum(len(piece) for piece in result["_meta"]["tokens"])


def cpu_of(pid: int) -> float:
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def eager(folder: pathlib.Path, ids: list[int], tokens: int, threads: int) -> Callable[..., Call]:
    """transformers as a server in Python uses it: a call for each text. `lock`: one after the other, else all callers' threads at once."""
    import torch
    from transformers import T5ForConditionalGeneration

    torch.set_num_threads(threads)
    model = T5ForConditionalGeneration.from_pretrained(folder).eval()
    lock = threading.Lock()

    def make(beams: int, texts: int = 1, wait: bool = True) -> Call:
        source = torch.tensor([ids] * texts)

        def call(stop: threading.Event) -> int:
            with lock if wait else contextlib.nullcontext(), torch.inference_mode():
                # Who waited for the end of the run has nothing to do in it.
                if stop.is_set():
                    return 0
                answer = model.generate(
                    input_ids=source, attention_mask=torch.ones_like(source), max_new_tokens=tokens, num_beams=beams, do_sample=False
                )
            return (answer.shape[1] - 1) * texts

        return call

    return make


def ctranslate2(folder: pathlib.Path, ids: list[str], tokens: int, threads: int, kind: str) -> Callable[..., Call]:
    """CTranslate2: a call for each text, which its own queue runs one after the other; or one call with many texts, which it runs as a batch."""
    import ctranslate2 as library

    translator = library.Translator(str(folder), compute_type=kind, intra_threads=threads, inter_threads=1)
    lock = threading.Lock()

    def make(beams: int, texts: int = 1) -> Call:
        def call(stop: threading.Event) -> int:
            with lock:
                if stop.is_set():
                    return 0
                answers = translator.translate_batch([ids] * texts, beam_size=beams, max_decoding_length=tokens, min_decoding_length=tokens)
            return sum(len(answer.hypotheses[0]) for answer in answers)

        return call

    return make


def judge(rows: list[Row]) -> bool:
    """Prints each goal and whether it is met."""
    found = {(row.name, row.callers): row for row in rows}
    met = True
    print("\n| goal | CPU ms a token | times less | tokens/s | times more | |\n|---|---|---|---|---|---|")
    for callers, goal in GOALS.items():
        own, other = found.get(("toolbay, fp32", callers)), found.get((EAGER, callers))
        if own is None or other is None:
            continue
        less, more = other.cost / own.cost, own.rate / other.rate
        met &= less >= goal
        name = f"{goal:g} times eager, {callers} caller{'s' if callers > 1 else ''}"
        print(f"| {name} | {own.cost:.2f} / {other.cost:.2f} | {less:.1f} | {own.rate:.0f} / {other.rate:.0f} | {more:.1f} | {'met' if less >= goal else 'NOT MET'} |")
    most = max((row.callers for row in rows), default=0)
    for row in rows:
        own = found.get(("toolbay, fp32", most))
        if row.name.startswith("toolbay, fp32, cuda") and "beams" not in row.name and row.callers == most and own:
            more = row.rate / own.rate
            met &= more >= GPU_GOAL
            print(f"| {GPU_GOAL:g} times the CPU, {most} callers | | | {row.rate:.0f} / {own.rate:.0f} | {more:.1f} | {'met' if more >= GPU_GOAL else 'NOT MET'} |")
    return met


def cpu_name() -> str:
    lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines() if os.path.exists("/proc/cpuinfo") else []
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.processor())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("toolbay")
    parser.add_argument("plugins", type=pathlib.Path)
    parser.add_argument("work", type=pathlib.Path)
    parser.add_argument("--quick", action="store_true", help="one short round, in under four minutes")
    parser.add_argument("--callers", default="1,8,32")
    parser.add_argument("--seconds", type=float)
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", help="fp32 on this GPU too (cuda:0); ORT_DYLIB_PATH names a library with CUDA")
    options = parser.parse_args()
    seconds = options.seconds or (3 if options.quick else 4)
    rounds = options.rounds or (1 if options.quick else 3)
    from tokenizers import Tokenizer

    work, threads = options.work, options.threads
    encoded = Tokenizer.from_file(str(work / "fp32/tokenizer.json")).encode(PREFIX + TEXT)
    task = json.loads((work / "fp32/config.json").read_text())["task_specific_params"]["translation_en_to_fr"]
    tokens, callers = task["max_length"] - 1, [int(count) for count in options.callers.split(",")]
    most = max(callers)
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in ["torch", "transformers", "ctranslate2"])
    print(f"t5-small's shape, random weights; source {len(encoded.ids)} tokens, answer {tokens}, greedy; {threads} thread(s) each")
    print(f"{cpu_name()}, {os.cpu_count()} cores; {versions}; {time.strftime('%Y-%m-%d')}; load {os.getloadavg()[0]:.1f}; {rounds} round(s) of {seconds:g} s\n")
    rows: list[Row] = []

    def add(name: str, call: Call, cpu: Cpu, counts: list[int]) -> None:
        rows.extend(Row(name, count, call, cpu) for count in counts)

    with contextlib.ExitStack() as servers:
        for kind in ["fp32", "int8"]:
            call, cpu = servers.enter_context(toolbay(options.toolbay, options.plugins, (work / kind).resolve(), threads))
            add(f"toolbay, {kind}", call(1), cpu, callers)
            add(f"toolbay, {kind}, 4 beams", call(4), cpu, sorted({callers[0], most}))
        if options.device:
            call, cpu = servers.enter_context(toolbay(options.toolbay, options.plugins, (work / "fp32").resolve(), threads, options.device))
            add(f"toolbay, fp32, {options.device}", call(1), cpu, callers)
            add(f"toolbay, fp32, {options.device}, 4 beams", call(4), cpu, sorted({callers[0], most}))
        call = eager(work / "hf", encoded.ids, tokens, threads)
        add(EAGER, call(1), time.process_time, callers)
        add("transformers eager, all threads at once", call(1, wait=False), time.process_time, [most])
        add(f"transformers eager, one call with {most} texts", call(1, texts=most), time.process_time, [1])
        add("transformers eager, 4 beams", call(4), time.process_time, callers[:1])
        for kind, folder in [("float32", "ct2"), ("int8", "ct2-int8")]:
            call = ctranslate2(work / folder, encoded.tokens, tokens, threads, kind)
            add(f"CTranslate2 {kind}", call(1), time.process_time, callers)
            add(f"CTranslate2 {kind}, one call with {most} texts", call(1, texts=most), time.process_time, [1])
            add(f"CTranslate2 {kind}, 4 beams", call(4), time.process_time, callers[:1])
        for row in rows:
            row.call(threading.Event())
        for _ in range(rounds):
            for row in rows:
                row.measure(seconds)
    print("| | callers | tokens/s | CPU ms a token |\n|---|---|---|---|")
    for row in rows:
        print(f"| {row.name} | {row.callers} | {row.rate:.0f} | {row.cost:.2f} |")
    if not judge(rows):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
