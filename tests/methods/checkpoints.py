"""Local checkpoints as a hub would serve them: random weights of four families and of a BERT, with a real tokenizer."""

from pathlib import Path

import torch
from tokenizers import Tokenizer
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel
from tokenizers.trainers import BpeTrainer
from transformers import (
    BertConfig,
    BertModel,
    Gemma3ForCausalLM,
    Gemma3TextConfig,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)

TEMPLATES = {
    "open": "Opening block <*> for client <*>",
    "read": "Reading block <*> of size <*>",
    "write": "Writing block <*> of size <*>",
    "retry": "Connection lost, trying again in <*> seconds",
    "close": "Closing block <*>",
}
_HEAD = {"head_dim": 16}
FAMILIES = {
    "llama": (LlamaForCausalLM, LlamaConfig, {}),
    "gemma3": (Gemma3ForCausalLM, Gemma3TextConfig, _HEAD | {"query_pre_attn_scalar": 16, "sliding_window": 16}),
    "qwen2": (Qwen2ForCausalLM, Qwen2Config, {}),
    "qwen3": (Qwen3ForCausalLM, Qwen3Config, _HEAD),
}


def tokenizer() -> PreTrainedTokenizerFast:
    """Byte-level BPE learned from the templates, with begin and end tokens far up in the vocabulary."""
    model = Tokenizer(BPE())
    model.pre_tokenizer = ByteLevel()
    special = ["<pad>", "<s>", "</s>"]
    trainer = BpeTrainer(vocab_size=400, initial_alphabet=ByteLevel.alphabet(), special_tokens=[])
    model.train_from_iterator(TEMPLATES.values(), trainer)
    fast = PreTrainedTokenizerFast(tokenizer_object=model)
    fast.add_special_tokens({"pad_token": special[0], "bos_token": special[1], "eos_token": special[2]})
    return fast


def save_checkpoint(folder: Path, family: str, tied: bool) -> Path:
    """A two-layer model of `family` with the tokenizer, in `folder`; returns `folder`."""
    words = tokenizer()
    model_class, config_class, extra = FAMILIES[family]
    torch.manual_seed(0)
    config = config_class(
        vocab_size=len(words),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=512,
        tie_word_embeddings=tied,
        pad_token_id=words.pad_token_id,
        bos_token_id=words.bos_token_id,
        eos_token_id=words.eos_token_id,
        **extra,
    )
    model_class(config).save_pretrained(folder)
    words.save_pretrained(folder)
    return folder


def save_encoder(folder: Path, seed: int = 0) -> Path:
    """A two-layer BERT with the same tokenizer, in `folder`; returns `folder`."""
    words = tokenizer()
    torch.manual_seed(seed)
    config = BertConfig(
        vocab_size=len(words),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        pad_token_id=words.pad_token_id,
    )
    BertModel(config).save_pretrained(folder)
    words.save_pretrained(folder)
    return folder
