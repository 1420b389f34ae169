#!/usr/bin/env python3
"""Tokens a second and CPU milliseconds a token of a T5: Toolbay through /mcp beside transformers eager and CTranslate2, in one run.

usage: run.py TOOLBAY PLUGINS WORK [--callers 1,8,32] [--seconds 8] [--threads 1]

WORK holds hf (PyTorch), fp32 and int8 (ONNX), ct2 and ct2-int8 (CTranslate2), as scripts/bench-inference.sh makes them.
"""

import argparse
import contextlib
import http.client
import json
import os
import pathlib
import queue
import re
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator

PREFIX = "translate English to French: "
TEXT = "The small house is near the old station."
# One text, answered: how many tokens that was.
Call = Callable[[], int]


def measure(call: Call, callers: int, seconds: float, cpu: Callable[[], float]) -> tuple[float, float]:
    """Tokens a second and CPU milliseconds a token, with so many callers that each ask again at once."""
    call()
    stop, counts, failed = threading.Event(), queue.SimpleQueue(), queue.SimpleQueue()

    def caller() -> None:
        count = 0
        try:
            while not stop.is_set():
                count += call()
        except Exception as error:  # told below, by who can end the run
            failed.put(error)
        counts.put(count)

    threads = [threading.Thread(target=caller) for _ in range(callers)]
    start, start_cpu = time.perf_counter(), cpu()
    for thread in threads:
        thread.start()
    time.sleep(seconds)
    stop.set()
    for thread in threads:
        thread.join()
    elapsed, spent = time.perf_counter() - start, cpu() - start_cpu
    if not failed.empty():
        raise failed.get()
    tokens = sum(counts.get() for _ in threads)
    return tokens / elapsed, spent / tokens * 1000


@contextlib.contextmanager
def toolbay(binary: str, plugins: pathlib.Path, model: pathlib.Path, threads: int) -> Iterator[tuple[Callable[[int], Call], Callable[[], float]]]:
    """The server with one model; gives a call with so many beams, and the CPU seconds of the process."""
    with tempfile.TemporaryDirectory() as home:
        config = pathlib.Path(home) / "toolbay.toml"
        config.write_text(
            f'[model.bench]\npath = "{model}"\nplugins = ["translator"]\nthreads = {threads}\n'
            '[plugin.translator]\nenv = { MODEL = "bench", SHOW_TOKENS = "1" }\nconcurrency = 64\nqueue = 64\n'
        )
        folder = pathlib.Path(home) / "plugins"
        folder.mkdir()
        shutil.copy(plugins / "translator.wasm", folder)
        command = [binary, "serve", "--config", str(config), "--plugins", str(folder), "--listen", "127.0.0.1:0"]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=open(pathlib.Path(home) / "log", "w"), text=True)
        try:
            lines = iter(process.stdout)
            address = next(found[1] for line in lines if (found := re.search(r"http://([0-9.]+:\d+)/mcp", line)))
            wait_ready(address)
            yield lambda beams: lambda: translate(address, beams), lambda: cpu_of(process.pid)
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


def eager(folder: pathlib.Path, ids: list[int], tokens: int, threads: int) -> Callable[[int], Call]:
    """transformers as it is used in a server: one text after the other."""
    import torch
    from transformers import T5ForConditionalGeneration

    torch.set_num_threads(threads)
    model = T5ForConditionalGeneration.from_pretrained(folder).eval()
    source, lock = torch.tensor([ids]), threading.Lock()

    def call(beams: int) -> int:
        with lock, torch.inference_mode():
            answer = model.generate(input_ids=source, attention_mask=torch.ones_like(source), max_new_tokens=tokens, num_beams=beams, do_sample=False)
        return answer.shape[1] - 1

    return lambda beams: lambda: call(beams)


def ctranslate2(folder: pathlib.Path, ids: list[str], tokens: int, threads: int, kind: str) -> Callable[[int], Call]:
    """CTranslate2: texts that wait are answered as one batch."""
    import ctranslate2 as library

    translator = library.Translator(str(folder), compute_type=kind, intra_threads=threads, inter_threads=1)

    def call(beams: int) -> int:
        answer = translator.translate_batch([ids], beam_size=beams, max_decoding_length=tokens, min_decoding_length=tokens)
        return len(answer[0].hypotheses[0])

    return lambda beams: lambda: call(beams)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("toolbay")
    parser.add_argument("plugins", type=pathlib.Path)
    parser.add_argument("work", type=pathlib.Path)
    parser.add_argument("--callers", default="1,8,32")
    parser.add_argument("--seconds", type=float, default=8)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    from tokenizers import Tokenizer

    encoded = Tokenizer.from_file(str(options.work / "fp32/tokenizer.json")).encode(PREFIX + TEXT)
    task = json.loads((options.work / "fp32/config.json").read_text())["task_specific_params"]["translation_en_to_fr"]
    tokens, callers = task["max_length"] - 1, [int(count) for count in options.callers.split(",")]
    print(f"t5-small's shape, random weights; source {len(encoded.ids)} tokens, answer {tokens}; {options.threads} thread(s); load {os.getloadavg()[0]:.1f}\n")
    print("| | callers | tokens/s | CPU ms a token |\n|---|---|---|---|")

    def rows(name: str, call: Call, cpu: Callable[[], float], counts: list[int]) -> None:
        for count in counts:
            rate, cost = measure(call, count, options.seconds, cpu)
            print(f"| {name} | {count} | {rate:.0f} | {cost:.2f} |", flush=True)

    for kind in ["fp32", "int8"]:
        with toolbay(options.toolbay, options.plugins, (options.work / kind).resolve(), options.threads) as (call, cpu):
            rows(f"toolbay, {kind}", call(1), cpu, callers)
            rows(f"toolbay, {kind}, 4 beams", call(4), cpu, callers[:1])
    call = eager(options.work / "hf", encoded.ids, tokens, options.threads)
    rows("transformers eager", call(1), time.process_time, callers)
    rows("transformers eager, 4 beams", call(4), time.process_time, callers[:1])
    for kind, folder in [("float32", "ct2"), ("int8", "ct2-int8")]:
        call = ctranslate2(options.work / folder, encoded.tokens, tokens, options.threads, kind)
        rows(f"CTranslate2 {kind}", call(1), time.process_time, callers)
        rows(f"CTranslate2 {kind}, 4 beams", call(4), time.process_time, callers[:1])


if __name__ == "__main__":
    main()
