"""OpenMoE (arXiv 2402.01739) in plain PyTorch, for Hugging Face transformers: what was trained, not a likeness of it.

A block adds attention, then a feed-forward network, to the residual stream; in every `moe_layer_interval`-th block a
mixture of experts comes between them. Attention's scores are not divided by sqrt(head_dim). A feed-forward network has
three factors: (v * silu(g) * u) W_down, where W_gate is twice as wide and gives v and g.

An expert takes no more (token, choice) pairs of a pool of tokens than its capacity; pairs beyond it are dropped. The
pool is made of all tokens of a call: so **a row's logits depend on the rows beside it**, and a text fed at once can
have other logits than one fed token by token. `capacity_rule` says how large pool and capacity are.

Weights may have any type; the residual stream, norms, routers and logits are in float32.
"""

import math

import torch
from torch import nn
from torch.nn import functional as F
from transformers import GenerationMixin, PreTrainedModel
from transformers.cache_utils import DynamicCache
from transformers.modeling_outputs import CausalLMOutputWithPast

from .configuration_openmoe import OpenMoeConfig


class RmsNorm(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(config.hidden_size))
        self.eps = config.rms_norm_eps

    def forward(self, h, real):
        """h (B, T, H) in float32; real (B, T, 1): 0 at padding, whose result is 0."""
        return h * torch.rsqrt(h.pow(2).mean(-1, keepdim=True) + self.eps) * self.weight.float() * real


class Attention(nn.Module):
    def __init__(self, config, layer):
        super().__init__()
        self.layer, self.heads, self.head_dim = layer, config.num_attention_heads, config.head_dim
        width = self.heads * self.head_dim
        self.q_proj = nn.Linear(config.hidden_size, width, bias=False)
        self.k_proj = nn.Linear(config.hidden_size, width, bias=False)
        self.v_proj = nn.Linear(config.hidden_size, width, bias=False)
        self.o_proj = nn.Linear(width, config.hidden_size, bias=False)

    def forward(self, x, cos_sin, mask, cache):
        split = lambda y: y.view(*y.shape[:2], self.heads, self.head_dim).transpose(1, 2)
        q, k = (turned(split(projection(x)), *cos_sin) for projection in (self.q_proj, self.k_proj))
        v = split(self.v_proj(x))
        if cache is not None:
            k, v = cache.update(k, v, self.layer)
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, scale=1.0)
        return self.o_proj(y.transpose(1, 2).flatten(2))


def turned(x, cos, sin):
    """RoPE on halves: (a cos - b sin, b cos + a sin). x (B, N, T, D), cos and sin (B, 1, T, D/2)."""
    a, b = x.float().chunk(2, -1)
    return torch.cat((a * cos - b * sin, b * cos + a * sin), -1).to(x.dtype)


class FeedForward(nn.Module):
    def __init__(self, config):
        super().__init__()
        hidden, inner = config.hidden_size, config.intermediate_size
        self.gate_proj = nn.Linear(hidden, 2 * inner, bias=False)
        self.up_proj = nn.Linear(hidden, inner, bias=False)
        self.down_proj = nn.Linear(inner, hidden, bias=False)

    def forward(self, x):
        return self.down_proj(three_factors(self.gate_proj(x), self.up_proj(x)))


def three_factors(gate, up):
    value, argument = gate.chunk(2, -1)
    return value * F.silu(argument) * up


class Experts(nn.Module):
    def __init__(self, config):
        super().__init__()
        count, hidden, inner = config.num_experts, config.hidden_size, config.intermediate_size
        self.wi_gate = nn.Parameter(torch.empty(count, hidden, 2 * inner))
        self.wi_up = nn.Parameter(torch.empty(count, hidden, inner))
        self.wo = nn.Parameter(torch.empty(count, inner, hidden))

    def forward(self, x, expert):
        return three_factors(x @ self.wi_gate[expert], x @ self.wi_up[expert]) @ self.wo[expert]


class MixtureOfExperts(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.config = config
        self.gate_weight = nn.Parameter(torch.empty(config.num_experts, config.hidden_size))
        self.experts = Experts(config)

    def pool_and_capacity(self, tokens):
        """Tokens that are ranked together, and how many (token, choice) pairs of them an expert takes."""
        config = self.config
        factor = config.router_capacity_factor_train if self.training else config.router_capacity_factor_eval
        choices = min(config.router_topk, config.num_experts)
        if config.capacity_rule == "dropless":
            return tokens, tokens
        if config.capacity_rule == "colossalai":
            pairs = math.floor(min(choices * factor * tokens / config.num_experts, tokens))
            return tokens, max(pairs + pairs % 2, config.router_min_capacity)
        if config.capacity_rule != "flaxformer":
            raise ValueError(f"capacity_rule is {config.capacity_rule!r}: flaxformer, colossalai or dropless expected")
        pool = next(size for size in range(min(tokens, config.router_group_size), 0, -1) if tokens % size == 0)
        return pool, max(round(min(factor * pool / config.num_experts, pool)), config.router_min_capacity)

    def kept(self, chosen, routed):
        """chosen (N, k), routed (N): which pairs have room, (N, k). A pool's queue holds all first choices in order of
        tokens, then all second ones."""
        tokens, choices = chosen.shape
        pool, capacity = self.pool_and_capacity(tokens)
        asks = F.one_hot(chosen, self.config.num_experts) * routed[:, None, None]
        asks = asks.view(-1, pool, choices, self.config.num_experts).transpose(1, 2)  # pools, choices, tokens, experts
        before = (asks.flatten(1, 2).cumsum(1) - asks.flatten(1, 2)).view_as(asks)
        return ((before < capacity) & (asks > 0)).any(-1).transpose(1, 2).reshape(tokens, choices), asks.sum((1, 2))

    def forward(self, x, real, dtype):
        """x (N, H) in float32, real (N). Gives (N, H) and the router's two losses."""
        logits = F.linear(x, self.gate_weight.float())
        log_sum = torch.logsumexp(logits, -1)
        p = torch.exp(logits - log_sum[:, None])
        # A stable sort, so that ties go to the lower expert.
        chosen = torch.sort(p.detach(), dim=-1, descending=True, stable=True)[1]
        chosen = chosen[:, : min(self.config.router_topk, self.config.num_experts)]
        routed = torch.ones_like(real, dtype=torch.long) if self.config.pads_routed else (real > 0).long()
        kept, asked = self.kept(chosen, routed)
        y = torch.zeros_like(x)
        low = x.to(dtype)
        for expert in chosen[kept].unique().tolist():
            token = ((chosen == expert) & kept).any(-1).nonzero()[:, 0]
            y.index_add_(0, token, p[token, expert, None] * self.experts(low[token], expert).float())
        return y, self.losses(p, log_sum, asked, routed)

    def losses(self, p, log_sum, asked, routed):
        """Load-balance loss E sum_e m_e p_e, mean over pools that route a token, and router z-loss."""
        pools, experts = asked.shape
        tokens = routed.view(pools, -1).sum(-1, keepdim=True)
        mean_p = (p * routed[:, None]).view(pools, -1, experts).sum(1) / tokens.clamp(min=1)
        balance = experts * (asked / tokens.clamp(min=1) * mean_p).sum(-1).sum() / (tokens > 0).sum().clamp(min=1)
        return balance, (log_sum.pow(2) * routed).sum() / routed.sum().clamp(min=1)


class Block(nn.Module):
    def __init__(self, config, layer):
        super().__init__()
        self.input_layernorm = RmsNorm(config)
        self.self_attn = Attention(config, layer)
        self.post_attention_layernorm = RmsNorm(config)
        self.is_moe = (layer + 1) % config.moe_layer_interval == 0
        if self.is_moe:
            self.mlp = MixtureOfExperts(config)
            self.pre_extra_mlp_layernorm = RmsNorm(config)
            self.extra_mlp = FeedForward(config)
        else:
            self.mlp = FeedForward(config)

    def forward(self, h, real, cos_sin, mask, cache):
        dtype = self.self_attn.q_proj.weight.dtype
        h = h + self.self_attn(self.input_layernorm(h, real).to(dtype), cos_sin, mask, cache).float()
        x = self.post_attention_layernorm(h, real)
        if not self.is_moe:
            return h + self.mlp(x.to(dtype)).float(), None
        y, losses = self.mlp(x.flatten(0, 1), real.flatten(), dtype)
        h = h + y.view_as(h)
        return h + self.extra_mlp(self.pre_extra_mlp_layernorm(h, real).to(dtype)).float(), losses


class OpenMoePreTrainedModel(PreTrainedModel):
    config_class = OpenMoeConfig
    base_model_prefix = "model"
    supports_gradient_checkpointing = False
    _no_split_modules = ["Block"]
    _supports_sdpa = True

    def _init_weights(self, module):
        """OpenMoE's first values (docs of Millrace, "First values")."""
        config = self.config
        hidden, inner, width = (
            config.hidden_size,
            config.intermediate_size,
            config.num_attention_heads * config.head_dim,
        )
        of = lambda inputs: math.sqrt(0.1 / inputs)
        cut = lambda weight, inputs: nn.init.trunc_normal_(weight, std=of(inputs) / 0.87962566, a=-2 * of(inputs) / 0.87962566, b=2 * of(inputs) / 0.87962566)
        if isinstance(module, nn.Embedding):
            nn.init.normal_(module.weight)
        elif isinstance(module, RmsNorm):
            nn.init.ones_(module.weight)
        elif isinstance(module, Attention):
            nn.init.normal_(module.q_proj.weight, std=of(hidden) / math.sqrt(config.head_dim))
            nn.init.normal_(module.k_proj.weight, std=of(hidden))
            nn.init.normal_(module.v_proj.weight, std=of(hidden))
            nn.init.normal_(module.o_proj.weight, std=of(width))
        elif isinstance(module, FeedForward):
            cut(module.gate_proj.weight, hidden)
            cut(module.up_proj.weight, hidden)
            cut(module.down_proj.weight, inner)
        elif isinstance(module, MixtureOfExperts):
            nn.init.normal_(module.gate_weight, std=0.02)
        elif isinstance(module, Experts):
            nn.init.normal_(module.wi_gate, std=of(hidden))
            nn.init.normal_(module.wi_up, std=of(hidden))
            nn.init.normal_(module.wo, std=of(inner))
        elif isinstance(module, OpenMoeForCausalLM):
            cut(module.lm_head.weight, hidden)


class OpenMoeModel(OpenMoePreTrainedModel):
    def __init__(self, config):
        super().__init__(config)
        self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_size)
        self.layers = nn.ModuleList(Block(config, layer) for layer in range(config.num_hidden_layers))
        self.norm = RmsNorm(config)
        self.post_init()

    def get_input_embeddings(self):
        return self.embed_tokens

    def set_input_embeddings(self, value):
        self.embed_tokens = value

    def cos_sin(self, positions):
        """Of position * theta^(-2j/D), (B, 1, T, D/2) in float32."""
        real = torch.float32 if positions.device.type == "mps" else torch.float64  # Metal has no float64.
        steps = torch.arange(self.config.head_dim // 2, dtype=real, device=positions.device)
        frequencies = self.config.rope_theta ** (steps * (-2.0 / self.config.head_dim))
        angles = positions[:, None, :, None].to(real) * frequencies
        return angles.cos().float(), angles.sin().float()

    def forward(self, input_ids, attention_mask=None, position_ids=None, cache=None):
        """Gives the last norm's output (B, T, H) in float32, and the routers' losses."""
        rows, length = input_ids.shape
        before = cache.get_seq_length() if cache is not None else 0
        if before + length > self.config.max_position_embeddings:
            raise ValueError(
                f"{before + length} tokens; the model has {self.config.max_position_embeddings} positions"
            )
        is_real = self.is_real(input_ids, attention_mask, before)  # (B, before + T)
        if position_ids is None:
            position_ids = (is_real.long().cumsum(-1) - 1).clamp(min=0) if attention_mask is not None else None
        if position_ids is None:
            position_ids = torch.arange(before + length, device=input_ids.device).expand(rows, -1)
        cos_sin = self.cos_sin(position_ids[:, -length:])
        at = torch.arange(before + length, device=input_ids.device)
        mask = at[None, :] <= at[before:, None]  # Queries, keys.
        mask = mask & (is_real[:, None, None, :] | (at[None, :] == at[before:, None]))
        h = self.embed_tokens(input_ids).float()
        real = is_real[:, -length:, None].to(h.dtype)
        routers = []
        for block in self.layers:
            h, losses = block(h, real, cos_sin, mask, cache)
            if losses is not None:
                routers.append(losses)
        return self.norm(h, real), routers

    @staticmethod
    def is_real(input_ids, attention_mask, before):
        """Not padding. Without a mask padding is id 0 with no other id behind it in its row, as in training; behind
        tokens fed before nothing is."""
        if attention_mask is not None:
            return attention_mask.bool()
        if before > 0:
            return torch.ones(len(input_ids), before + input_ids.shape[1], dtype=torch.bool, device=input_ids.device)
        return (input_ids != 0).long().flip(-1).cummax(-1)[0].flip(-1).bool()


class OpenMoeForCausalLM(OpenMoePreTrainedModel, GenerationMixin):
    accepts_loss_kwargs = False

    def __init__(self, config):
        super().__init__(config)
        self.model = OpenMoeModel(config)
        self.lm_head = nn.Linear(config.hidden_size, config.vocab_size, bias=False)
        self.post_init()

    def get_input_embeddings(self):
        return self.model.embed_tokens

    def set_input_embeddings(self, value):
        self.model.embed_tokens = value

    def get_output_embeddings(self):
        return self.lm_head

    def set_output_embeddings(self, value):
        self.lm_head = value

    def generate(self, inputs=None, **options):
        """As transformers'; but id 0, which begins a text, is not taken for padding where no mask is given."""
        ids = inputs if inputs is not None else options.get("input_ids")
        if ids is not None and options.get("attention_mask") is None:
            options["attention_mask"] = torch.ones_like(ids)
        return super().generate(inputs, **options)

    def forward(
        self,
        input_ids=None,
        attention_mask=None,
        position_ids=None,
        past_key_values=None,
        cache=None,
        inputs_embeds=None,
        labels=None,
        use_cache=None,
        logits_to_keep=0,
        output_attentions=None,
        output_hidden_states=None,
        return_dict=True,
        **others,
    ):
        """labels (B, T): as input_ids, shifted here; -100 has no loss. The loss is the mean cross-entropy; in training
        with OpenMoE's z-loss, load-balance loss and router z-loss.

        The cache of keys and values is `past_key_values`; from transformers 5.2x on `cache`."""
        if input_ids is None or inputs_embeds is not None or output_attentions or output_hidden_states:
            raise NotImplementedError("takes input_ids alone, and gives logits alone")
        if unknown := set(others) - {"cache_position"}:  # Of generate() before transformers 5; not needed.
            raise TypeError(f"unknown arguments: {', '.join(sorted(unknown))}")
        cache = past_key_values if cache is None else cache
        use_cache = self.config.use_cache and labels is None if use_cache is None else use_cache
        if not use_cache:
            cache = None
        elif cache is None:
            cache = DynamicCache()
        h, routers = self.model(input_ids, attention_mask, position_ids, cache)
        kept = slice(-logits_to_keep, None) if isinstance(logits_to_keep, int) and logits_to_keep else slice(None)
        logits = self.lm_head(h[:, kept].to(self.lm_head.weight.dtype)).float()
        loss = self.loss_of(logits, labels, routers) if labels is not None else None
        output = CausalLMOutputWithPast(loss=loss, logits=logits, past_key_values=cache)
        return output if return_dict else output.to_tuple()

    def loss_of(self, logits, labels, routers):
        logits, labels = logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten()
        loss = F.cross_entropy(logits, labels)
        if not self.training:
            return loss
        log_sum = torch.logsumexp(logits, -1)[labels != -100]
        loss = loss + self.config.z_loss_factor * log_sum.pow(2).mean()
        if not routers:
            return loss
        balance, z = (torch.stack(losses).mean() for losses in zip(*routers))
        return loss + self.config.router_aux_loss_factor * balance + self.config.router_z_loss_factor * z
