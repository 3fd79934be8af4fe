"""Small language models made from a config, which need no download and train on a CPU in a minute.

They have the width and depth below, about 0.4 million parameters, but for `tiny-gpt2`, which is the GPT-2 of LogGPT
(Han, Yuan and Trabelsi 2023, arXiv 2309.14482; the sizes as in nokia/LogGPT, 950b4aa), about 0.3 million. All are
trained whole: LoRA on the projections of a random base learns next to nothing.
"""

from transformers import (
    Gemma3ForCausalLM,
    Gemma3TextConfig,
    GPT2Config,
    GPT2LMHeadModel,
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
    "tiny-llama": (LlamaForCausalLM, LlamaConfig, _SIZE),
    "tiny-gemma3": (Gemma3ForCausalLM, Gemma3TextConfig, _SIZE | _HEAD | {"query_pre_attn_scalar": 32}),
    "tiny-qwen2": (Qwen2ForCausalLM, Qwen2Config, _SIZE),
    "tiny-qwen3": (Qwen3ForCausalLM, Qwen3Config, _SIZE | _HEAD),
    "tiny-gpt2": (GPT2LMHeadModel, GPT2Config, {"n_layer": 6, "n_head": 6, "n_embd": 60}),
}  # choices.TINY_MODELS


def build_tiny(name: str, tokens: int, context: int) -> PreTrainedModel:
    """Return a randomly initialized model of a family for `tokens` token ids and at most `context` positions."""
    model_class, config_class, size = _FAMILIES[name]
    config = config_class(
        vocab_size=tokens,
        max_position_embeddings=context,
        pad_token_id=PAD,
        bos_token_id=BEGIN,
        eos_token_id=END,
        **size,
    )
    return model_class(config)
