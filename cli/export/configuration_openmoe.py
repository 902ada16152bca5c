"""The shape and the constants of an OpenMoE (arXiv 2402.01739), for Hugging Face transformers."""

from transformers import PretrainedConfig


class OpenMoeConfig(PretrainedConfig):
    """What the keys mean: https://arxiv.org/abs/2402.01739, and the comments of modeling_openmoe.py."""

    model_type = "openmoe"
    keys_to_ignore_at_inference = ["past_key_values"]

    def __init__(
        self,
        vocab_size=256384,
        hidden_size=768,
        intermediate_size=2048,
        num_hidden_layers=12,
        num_attention_heads=12,
        head_dim=64,
        max_position_embeddings=2048,
        rms_norm_eps=1e-6,
        rope_theta=10000.0,
        num_experts=16,
        moe_layer_interval=4,
        router_topk=2,
        router_capacity_factor_train=1.25,
        router_capacity_factor_eval=2.0,
        router_min_capacity=4,
        capacity_rule="colossalai",
        router_group_size=4096,
        pads_routed=True,
        router_aux_loss_factor=0.01,
        router_z_loss_factor=1e-4,
        z_loss_factor=1e-4,
        use_cache=True,
        pad_token_id=0,
        bos_token_id=0,
        eos_token_id=1,
        **others,
    ):
        self.vocab_size = vocab_size
        self.hidden_size = hidden_size
        self.intermediate_size = intermediate_size
        self.num_hidden_layers = num_hidden_layers
        self.num_attention_heads = num_attention_heads
        self.num_key_value_heads = num_attention_heads
        self.head_dim = head_dim
        self.max_position_embeddings = max_position_embeddings
        self.rms_norm_eps = rms_norm_eps
        self.rope_theta = rope_theta
        self.num_experts = num_experts
        self.moe_layer_interval = moe_layer_interval
        self.router_topk = router_topk
        self.router_capacity_factor_train = router_capacity_factor_train
        self.router_capacity_factor_eval = router_capacity_factor_eval
        self.router_min_capacity = router_min_capacity
        self.capacity_rule = capacity_rule
        self.router_group_size = router_group_size
        self.pads_routed = pads_routed
        self.router_aux_loss_factor = router_aux_loss_factor
        self.router_z_loss_factor = router_z_loss_factor
        self.z_loss_factor = z_loss_factor
        self.use_cache = use_cache
        for name in ("num_key_value_heads", "tie_word_embeddings"):
            others.pop(name, None)
        super().__init__(
            pad_token_id=pad_token_id,
            bos_token_id=bos_token_id,
            eos_token_id=eos_token_id,
            tie_word_embeddings=False,
            **others,
        )
