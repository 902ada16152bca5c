#!/usr/bin/env python3
"""Writes model.safetensors, model.config.json here: what a small random OpenMoE computes, by plain numpy in f64.

An independent implementation, with plain loops where they are clearest; the C++ code is checked against it.

    make_model_golden.py                          write the golden files
    make_model_golden.py --check CONFIG WEIGHTS GOLDEN   check this script against another reference
"""
import json
import math
import os
import struct
import sys

import numpy as np

TYPES = {"F64": np.float64, "F32": np.float32, "I32": np.int32, "U8": np.uint8, "I64": np.int64, "BOOL": np.uint8}


def load(path):
    data = open(path, "rb").read()
    size = struct.unpack("<Q", data[:8])[0]
    tensors = {}
    for name, entry in json.loads(data[8 : 8 + size]).items():
        if name != "__metadata__":
            begin, end = entry["data_offsets"]
            raw = data[8 + size + begin : 8 + size + end]
            tensors[name] = np.frombuffer(raw, TYPES[entry["dtype"]]).reshape(entry["shape"])
    return tensors


def save(path, tensors):
    names = {np.dtype(v): k for k, v in TYPES.items() if k != "BOOL"}
    header, body = {}, b""
    for name, value in sorted(tensors.items(), key=lambda t: (-t[1].dtype.itemsize, str(t[1].dtype), t[0])):
        raw = np.ascontiguousarray(value).tobytes()
        header[name] = {
            "dtype": names[value.dtype],
            "shape": list(value.shape),
            "data_offsets": [len(body), len(body) + len(raw)],
        }
        body += raw
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    open(path, "wb").write(struct.pack("<Q", len(text)) + text + body)


def rms_norm(x, gain, eps, real):
    return x / np.sqrt((x * x).mean(-1, keepdims=True) + eps) * gain * real[..., None]


def rope(x, theta):  # (T, N, D)
    half = x.shape[-1] // 2
    angle = np.arange(x.shape[0])[:, None] * theta ** (-2.0 * np.arange(half) / x.shape[-1])
    cos, sin = np.cos(angle)[:, None], np.sin(angle)[:, None]
    first, second = x[..., :half], x[..., half:]
    return np.concatenate([first * cos - second * sin, second * cos + first * sin], -1)


def attention(x, weights, prefix, config):  # (B, T, H)
    rows, length, _ = x.shape
    heads, dim = config["num_attention_heads"], config["head_dim"]
    out = np.zeros((rows, length, heads * dim))
    for b in range(rows):
        q, k, v = ((x[b] @ weights[prefix + n + "_proj.weight"].T).reshape(length, heads, dim) for n in "qkv")
        q, k = rope(q, config["rope_theta"]), rope(k, config["rope_theta"])
        for n in range(heads):
            for t in range(length):
                scores = k[: t + 1, n] @ q[t, n]  # No 1/sqrt(dim).
                p = np.exp(scores - scores.max())
                out[b, t, n * dim : (n + 1) * dim] = p / p.sum() @ v[: t + 1, n]
    return out @ weights[prefix + "o_proj.weight"].T


def feed_forward(x, gate, up, down):  # gate (H, 2F), up (H, F), down (F, H)
    value, argument = np.split(x @ gate, 2, -1)
    return (value * argument / (1 + np.exp(-argument)) * (x @ up)) @ down


def capacity(config, tokens, train):
    experts = config["num_experts"]
    factor = config["router_capacity_factor_train" if train else "router_capacity_factor_eval"]
    if config["capacity_rule"] == "colossalai":
        c = math.floor(2 * factor * tokens / experts)
        return tokens, max(c + c % 2, config["router_min_capacity"])
    group = max(d for d in range(1, min(tokens, config["router_group_size"]) + 1) if tokens % d == 0)
    return group, max(round(factor * group / experts), config["router_min_capacity"])


def experts_layer(x, weights, prefix, config, train):  # (N, H)
    count, k = config["num_experts"], config["router_topk"]
    logits = x @ weights[prefix + "gate_weight"].T
    lse = np.log(np.exp(logits).sum(-1))
    p = np.exp(logits - lse[:, None])
    chosen = np.argsort(-p, axis=-1, kind="stable")[:, :k]
    group, most = capacity(config, len(x), train)
    kept = np.zeros_like(p, dtype=np.uint8)
    y = np.zeros_like(x)
    aux = []
    for start in range(0, len(x), group):
        queue = [0] * count
        for c in range(k):  # All first choices, then all second ones.
            for t in range(start, start + group):
                e = chosen[t, c]
                if queue[e] < most:
                    kept[t, e] = 1
                    names = ("wi_gate", "wi_up", "wo")
                    y[t] += p[t, e] * feed_forward(x[t], *(weights[prefix + "experts." + n][e] for n in names))
                queue[e] += 1
        fraction = np.array(queue) / group
        aux.append(count * (fraction * p[start : start + group].mean(0)).sum())
    return y, {"logits": logits, "kept": kept, "aux": np.mean(aux), "z": (lse**2).mean()}


def forward(ids, weights, config, train, mask_pads=True):
    eps = config["rms_norm_eps"]
    real = np.array([[any(row[t:]) for t in range(len(row))] for row in ids]) if mask_pads else np.ones(ids.shape)
    h = weights["model.embed_tokens.weight"][ids]
    routers = {}
    for i in range(config["num_hidden_layers"]):
        p = f"model.layers.{i}."
        h = h + attention(rms_norm(h, weights[p + "input_layernorm.weight"], eps, real), weights, p + "self_attn.", config)
        m = rms_norm(h, weights[p + "post_attention_layernorm.weight"], eps, real)
        dense = p + "mlp."
        if (i + 1) % config["moe_layer_interval"] == 0:
            y, routers[i] = experts_layer(m.reshape(-1, m.shape[-1]), weights, p + "mlp.", config, train)
            h = h + y.reshape(h.shape)
            m = rms_norm(h, weights[p + "pre_extra_mlp_layernorm.weight"], eps, real)
            dense = p + "extra_mlp."
        h = h + feed_forward(m, *(weights[dense + n + "_proj.weight"].T for n in ("gate", "up", "down")))
    h = rms_norm(h, weights["model.norm.weight"], eps, real)
    return h @ weights["lm_head.weight"].T, routers


def loss_of(logits, ids, routers, config):
    lse = np.log(np.exp(logits).sum(-1))[:, :-1]
    ce = lse - np.take_along_axis(logits[:, :-1], ids[:, 1:, None], -1)[..., 0]
    loss = (ce + config["z_loss_factor"] * lse**2).mean()
    loss += config["router_aux_loss_factor"] * np.mean([r["aux"] for r in routers.values()])
    return loss + config["router_z_loss_factor"] * np.mean([r["z"] for r in routers.values()]), ce


def check(config_path, weights_path, golden_path):
    config, golden = json.load(open(config_path)), load(golden_path)
    weights = {k: v.astype(np.float64) for k, v in load(weights_path).items()}
    ids = golden["input_ids"]
    for mode in ("eval", "train"):
        logits, routers = forward(ids, weights, config, mode == "train")
        error = np.abs(logits - golden[mode + ".logits"]).max() / np.abs(logits).max()
        aux = max(abs(r["aux"] - g) for r, g in zip(routers.values(), golden[mode + ".aux_loss_per_layer"]))
        print(f"{mode}: logits differ by {error:.2e} of the largest, load-balance loss by {aux:.2e}")
        assert error < 1e-5 and aux < 1e-5
    loss, _ = loss_of(logits, ids, routers, config)
    print(f"loss {loss:.8f}, reference {golden['train.loss'][0]:.8f}")
    assert abs(loss - golden["train.loss"][0]) < 1e-5
    for i, router in routers.items():
        assert np.array_equal(router["kept"] != 0, golden[f"train.kept.{i}"] != 0)
    print("kept pairs identical")


def directional_gradients(ids, weights, config, rng):
    """For each tensor a random direction u and the loss's derivative along it, by central differences in f64."""
    result = {}
    for name in weights:
        u = rng.standard_normal(weights[name].shape).astype(np.float32)
        u /= np.sqrt((u.astype(np.float64) ** 2).sum())
        step = 1e-5
        slopes = []
        for sign in (1, -1):
            moved = dict(weights, **{name: weights[name] + sign * step * u})
            slopes.append(loss_of(*[(x := forward(ids, moved, config, True))[0], ids, x[1]], config)[0])
        result["direction." + name] = u
        result["slope." + name] = np.array([(slopes[0] - slopes[1]) / (2 * step)])
    return result


def main():
    rng = np.random.default_rng(1)
    config = {
        "vocab_size": 40, "hidden_size": 12, "intermediate_size": 10, "num_hidden_layers": 2,
        "num_attention_heads": 2, "num_key_value_heads": 2, "head_dim": 8, "rms_norm_eps": 1e-6,
        "rope_theta": 10000.0, "num_experts": 4, "moe_layer_interval": 2, "router_topk": 2,
        "router_capacity_factor_train": 1.25, "router_capacity_factor_eval": 2.0, "router_min_capacity": 2,
        "router_aux_loss_factor": 0.01, "router_z_loss_factor": 0.0001, "z_loss_factor": 0.001,
        "capacity_rule": "flaxformer", "router_group_size": 20,
    }
    v, h, f, a, e = 40, 12, 10, 16, 4
    shapes = {"model.embed_tokens.weight": (v, h), "lm_head.weight": (v, h), "model.norm.weight": (h,)}
    for i in range(2):
        p = f"model.layers.{i}."
        shapes |= {p + "input_layernorm.weight": (h,), p + "post_attention_layernorm.weight": (h,)}
        shapes |= {p + f"self_attn.{n}_proj.weight": (a, h) for n in "qkv"} | {p + "self_attn.o_proj.weight": (h, a)}
        ffn = p + ("extra_mlp." if i == 1 else "mlp.")
        shapes |= {ffn + "gate_proj.weight": (2 * f, h), ffn + "up_proj.weight": (f, h), ffn + "down_proj.weight": (h, f)}
        if i == 1:
            shapes |= {p + "pre_extra_mlp_layernorm.weight": (h,), p + "mlp.gate_weight": (e, h)}
            shapes |= {p + "mlp.experts.wi_gate": (e, h, 2 * f), p + "mlp.experts.wi_up": (e, h, f)}
            shapes |= {p + "mlp.experts.wo": (e, f, h)}
    stored = {}
    for name, shape in shapes.items():
        gain = len(shape) == 1
        stored[name] = ((1 if gain else 0) + (0.2 if gain else 0.4) * rng.standard_normal(shape)).astype(np.float32)
    ids = rng.integers(1, v, (2, 20)).astype(np.int32)
    ids[:, 0] = 0
    ids[1, 16:] = 0  # Padding.
    weights = {k: w.astype(np.float64) for k, w in stored.items()}
    golden = {"weight." + k: w for k, w in stored.items()} | {"input_ids": ids}
    for mode in ("eval", "train"):
        logits, routers = forward(ids, weights, config, mode == "train")
        golden[mode + ".logits"] = logits
        golden[mode + ".router_logits"] = routers[1]["logits"]
        golden[mode + ".kept"] = routers[1]["kept"]
        golden[mode + ".aux_z"] = np.array([routers[1]["aux"], routers[1]["z"]])
    loss, ce = loss_of(logits, ids, routers, config)
    golden |= {"train.loss": np.array([loss]), "train.ce": ce} | directional_gradients(ids, weights, config, rng)
    print(f"loss {loss:.6f}, {int(golden['train.kept'].sum())} of {ids.size * 2} pairs kept in training")
    here = os.path.dirname(os.path.abspath(__file__))
    json.dump(config, open(os.path.join(here, "model.config.json"), "w"), indent=1)
    save(os.path.join(here, "model.safetensors"), golden)


if __name__ == "__main__":
    check(*sys.argv[2:]) if sys.argv[1:2] == ["--check"] else main()
