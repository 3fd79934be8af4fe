"""Vectors of texts by pretrained models: which states are pooled, and that company changes nothing."""

import numpy as np
import pytest
import torch

from methods.words.sentence_encoders import CAUSAL_LAYER, SentenceEncoder, plain
from tests.methods.checkpoints import save_checkpoint, save_encoder

TEXTS = ["Served block <*> to <*>", "Verification succeeded for <*>", "Unexpected error trying to delete block <*>"]


@pytest.mark.parametrize("family", ["bert", "llama", "gemma3"])
def test_a_text_has_the_same_vector_alone_and_in_company(tmp_path, family):
    """Padding must not be pooled, on whichever side the tokenizer puts it."""
    save = save_encoder(tmp_path) if family == "bert" else save_checkpoint(tmp_path, family, False)
    encoder = SentenceEncoder(str(save))
    together = encoder(TEXTS)
    np.testing.assert_allclose(np.concatenate([encoder([text]) for text in TEXTS]), together, atol=1e-5)


def test_a_checkpoint_in_bfloat16_gives_vectors_too(tmp_path):
    """Most causal models are kept so, and NumPy has no such type."""
    encoder = SentenceEncoder(str(save_checkpoint(tmp_path, "llama", False)))
    full = encoder(TEXTS)
    encoder.model = encoder.model.to(torch.bfloat16)
    assert encoder(TEXTS).dtype == np.float32
    np.testing.assert_allclose(encoder(TEXTS), full, atol=0.02)


def test_of_a_causal_model_an_earlier_layer_is_pooled_without_its_begin(tmp_path):
    """The first token of a causal model has a state many times as long as others, and means nothing."""
    encoder = SentenceEncoder(str(save_checkpoint(tmp_path, "llama", False)))
    ids = encoder.tokenizer(plain(TEXTS[0]), return_tensors="pt")["input_ids"]
    begun = torch.cat([torch.tensor([[encoder.tokenizer.bos_token_id]]), ids], 1)
    with torch.no_grad():
        layers = encoder.model(input_ids=ids, output_hidden_states=True).hidden_states
    layer = max(CAUSAL_LAYER, -len(layers))
    np.testing.assert_allclose(encoder(TEXTS[:1])[0], layers[layer][0].mean(0).numpy(), atol=1e-5)
    encoder.tokenizer = _Begun(encoder.tokenizer)
    with torch.no_grad():
        states = encoder.model(input_ids=begun, output_hidden_states=True).hidden_states[layer]
    np.testing.assert_allclose(encoder(TEXTS[:1])[0], states[0, 1:].mean(0).numpy(), atol=1e-5)


class _Begun:
    """A tokenizer that puts the begin before each text, as those of Llama and Gemma do."""

    def __init__(self, tokenizer) -> None:
        self.tokenizer = tokenizer

    def __call__(self, texts, **options):
        return self.tokenizer([self.tokenizer.bos_token + text for text in texts], **options)
