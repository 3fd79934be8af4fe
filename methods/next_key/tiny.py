"""Small language models made from a config, which need no download and train on a CPU in a minute.

All four have the width and depth below, about 0.4 million parameters, and are trained whole: LoRA on the projections
of a random base learns next to nothing.
"""

from transformers import (
    Gemma3ForCausalLM,
    Gemma3TextConfig,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from methods.next_key.vocabulary import BEGIN, END, PAD

_SIZE = {
    "hidden_size": 128,
    "intermediate_size": 384,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
}
_HEAD = {"head_dim": 32}  # Gemma 3 and Qwen 3 do not derive it from the width
_FAMILIES = {
    "tiny-llama": (LlamaForCausalLM, LlamaConfig, {}),
    "tiny-gemma3": (Gemma3ForCausalLM, Gemma3TextConfig, _HEAD | {"query_pre_attn_scalar": 32}),
    "tiny-qwen2": (Qwen2ForCausalLM, Qwen2Config, {}),
    "tiny-qwen3": (Qwen3ForCausalLM, Qwen3Config, _HEAD),
}
TINY_MODELS = tuple(_FAMILIES)


def build_tiny(name: str, tokens: int, context: int) -> PreTrainedModel:
    """A randomly initialized model of a family for `tokens` token ids and at most `context` positions."""
    model_class, config_class, extra = _FAMILIES[name]
    config = config_class(
        vocab_size=tokens,
        max_position_embeddings=context,
        pad_token_id=PAD,
        bos_token_id=BEGIN,
        eos_token_id=END,
        **_SIZE,
        **extra,
    )
    return model_class(config)
