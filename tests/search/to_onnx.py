#!/usr/bin/env python3
"""Writes the ONNX graph of a BERT encoder from its safetensors, with nothing but Python's own library.

usage: to_onnx.py FOLDER OUT

FOLDER has config.json, model.safetensors and the tokenizer, as Sentence Transformers keeps a model. OUT gets model.onnx and what belongs beside it.
Operators export a model with Hugging Face Optimum in place of this (docs/endpoints.md): it is for tests, which would otherwise need PyTorch.
"""
import json
import math
import pathlib
import shutil
import struct
import sys

FLOAT, INT64 = 1, 7  # Types of elements: onnx.TensorProto.DataType.
OPSET, IR = 17, 8


def varint(number):
    number &= (1 << 64) - 1
    out = bytearray()
    while number >= 128:
        out.append(number & 127 | 128)
        number >>= 7
    return bytes(out + bytes([number]))


def number(field, value):
    return varint(field << 3) + varint(value)


def data(field, value):
    value = value.encode() if isinstance(value, str) else value
    return varint(field << 3 | 2) + varint(len(value)) + value


def attribute(name, value):
    """An AttributeProto: a float, an integer or integers."""
    if isinstance(value, float):
        body = varint(2 << 3 | 5) + struct.pack('<f', value) + number(20, 1)
    elif isinstance(value, int):
        body = number(3, value) + number(20, 2)
    else:
        body = b''.join(number(8, one) for one in value) + number(20, 7)
    return data(5, data(1, name) + body)


def tensor(name, dims, kind, raw):
    return data(5, b''.join(number(1, dim) for dim in dims) + number(2, kind) + data(8, name) + data(9, raw))


def value(field, name, kind, dims):
    shape = b''.join(data(1, number(1, dim) if isinstance(dim, int) else data(2, dim)) for dim in dims)
    return data(field, data(1, name) + data(2, data(1, number(1, kind) + data(2, shape))))


class Graph:
    def __init__(self):
        self.nodes, self.tensors, self.count = [], [], 0

    def node(self, kind, *inputs, output=None, **attributes):
        self.count += 1
        output = output or f'{kind}_{self.count}'
        body = b''.join(data(1, one) for one in inputs) + data(2, output) + data(3, f'n{self.count}') + data(4, kind)
        self.nodes.append(data(1, body + b''.join(attribute(*one) for one in attributes.items())))
        return output

    def floats(self, *values):
        self.count += 1
        name = f'float_{self.count}'
        self.tensors.append(tensor(name, [], FLOAT, struct.pack(f'<{len(values)}f', *values)))
        return name

    def integers(self, *values):
        self.count += 1
        name = f'integers_{self.count}'
        self.tensors.append(tensor(name, [len(values)], INT64, struct.pack(f'<{len(values)}q', *values)))
        return name


def main():
    folder, out = map(pathlib.Path, sys.argv[1:])
    config = json.loads((folder / 'config.json').read_text())
    hidden, heads, eps = config['hidden_size'], config['num_attention_heads'], config['layer_norm_eps']
    raw = (folder / 'model.safetensors').read_bytes()
    size = struct.unpack('<Q', raw[:8])[0]
    weights = {name: one for name, one in json.loads(raw[8:8 + size]).items() if name != '__metadata__'}
    graph = Graph()
    used = set()

    def weight(name):
        name = name if name in weights else f'bert.{name}'
        if name not in used:
            used.add(name)
            about = weights[name]
            assert about['dtype'] == 'F32', about
            begin, end = about['data_offsets']
            graph.tensors.append(tensor(name, about['shape'], FLOAT, raw[8 + size + begin:8 + size + end]))
        return name

    def linear(x, name):
        turned = graph.node('Transpose', weight(f'{name}.weight'), perm=[1, 0])
        return graph.node('Add', graph.node('MatMul', x, turned), weight(f'{name}.bias'))

    def norm(x, name, output=None):
        return graph.node('LayerNormalization', x, weight(f'{name}.weight'), weight(f'{name}.bias'), output=output, axis=-1, epsilon=float(eps))

    length = graph.node('Gather', graph.node('Shape', 'input_ids'), graph.integers(1))
    positions = graph.node('Slice', weight('embeddings.position_embeddings.weight'), graph.integers(0), length, graph.integers(0))
    words = graph.node('Gather', weight('embeddings.word_embeddings.weight'), 'input_ids')
    types = graph.node('Gather', weight('embeddings.token_type_embeddings.weight'), 'token_type_ids')
    x = norm(graph.node('Add', graph.node('Add', words, types), positions), 'embeddings.LayerNorm')
    mask = graph.node('Unsqueeze', graph.node('Cast', 'attention_mask', to=FLOAT), graph.integers(1, 2))
    mask = graph.node('Mul', graph.node('Sub', graph.floats(1.0), mask), graph.floats(-10000.0))
    split, joined = graph.integers(0, 0, heads, hidden // heads), graph.integers(0, 0, hidden)
    scale, half, one, root = (graph.floats(value) for value in (1 / math.sqrt(hidden / heads), 0.5, 1.0, 1 / math.sqrt(2)))
    layers = config['num_hidden_layers']
    for layer in range(layers):
        at = f'encoder.layer.{layer}'
        part = lambda name, perm: graph.node('Transpose', graph.node('Reshape', linear(x, f'{at}.attention.self.{name}'), split), perm=perm)
        query, key, content = part('query', [0, 2, 1, 3]), part('key', [0, 2, 3, 1]), part('value', [0, 2, 1, 3])
        scores = graph.node('Add', graph.node('Mul', graph.node('MatMul', query, key), scale), mask)
        seen = graph.node('MatMul', graph.node('Softmax', scores, axis=-1), content)
        seen = graph.node('Reshape', graph.node('Transpose', seen, perm=[0, 2, 1, 3]), joined)
        x = norm(graph.node('Add', linear(seen, f'{at}.attention.output.dense'), x), f'{at}.attention.output.LayerNorm')
        inner = linear(x, f'{at}.intermediate.dense')
        gelu = graph.node('Add', graph.node('Erf', graph.node('Mul', inner, root)), one)
        inner = graph.node('Mul', graph.node('Mul', inner, half), gelu)
        last = 'last_hidden_state' if layer == layers - 1 else None
        x = norm(graph.node('Add', linear(inner, f'{at}.output.dense'), x), f'{at}.output.LayerNorm', last)

    inputs = b''.join(value(11, name, INT64, ['batch', 'tokens']) for name in ('input_ids', 'attention_mask', 'token_type_ids'))
    output = value(12, 'last_hidden_state', FLOAT, ['batch', 'tokens', hidden])
    body = b''.join(graph.nodes) + data(2, 'bert') + b''.join(graph.tensors) + inputs + output
    model = number(1, IR) + data(2, 'to_onnx.py') + data(7, body) + data(8, data(1, '') + number(2, OPSET))
    out.mkdir(parents=True, exist_ok=True)
    (out / 'model.onnx').write_bytes(model)
    for name in ('tokenizer.json', 'tokenizer_config.json', 'vocab.txt', 'sentence_bert_config.json', '1_Pooling/config.json'):
        if (folder / name).exists():
            (out / name).parent.mkdir(exist_ok=True)
            shutil.copy(folder / name, out / name)


main()
