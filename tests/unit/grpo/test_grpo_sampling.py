import pytest
import torch
from transformers import PreTrainedModel, Qwen3Config, Qwen3ForCausalLM

from rlgen_k8s.verl_cpu.sampling import Response, sample

END, PAD = 1, 0
PROMPTS = [[5, 6, 7], [8], [9, 10, 11, 12, 13], [5, 6, 7], [14, 15]]


@pytest.fixture(scope="module")
def model() -> PreTrainedModel:
    torch.manual_seed(0)
    config = Qwen3Config(
        vocab_size=23,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=16,
        initializer_range=0.5,
        tie_word_embeddings=True,
    )
    return Qwen3ForCausalLM(config).eval()


def _sample(
    model: PreTrainedModel, prompts: list[list[int]], seeds: list[int], temperature: float = 1.0
) -> list[Response]:
    return sample(model, prompts, seeds, temperature=temperature, max_tokens=24, end_ids=[END], pad_id=PAD)


@pytest.mark.parametrize("temperature", [1.0, 0.6])
def test_log_probabilities_are_those_of_a_forward_pass_over_the_whole_text(
    model: PreTrainedModel, temperature: float
) -> None:
    for prompt, response in zip(PROMPTS, _sample(model, PROMPTS, list(range(5)), temperature), strict=True):
        with torch.inference_mode():
            logits = model(torch.tensor([prompt + response.token_ids])).logits[0, len(prompt) - 1 : -1]
        wanted = (logits / temperature).log_softmax(-1)[range(len(response.token_ids)), response.token_ids]
        torch.testing.assert_close(torch.tensor(response.log_probs), wanted, atol=2e-4, rtol=1e-4)


def test_responses_end_at_the_end_token_or_at_the_limit(model: PreTrainedModel) -> None:
    responses = _sample(model, PROMPTS * 20, list(range(100)))
    assert {response.finished for response in responses} == {True, False}
    for response in responses:
        assert response.finished == (response.token_ids[-1] == END)
        assert END not in response.token_ids[:-1]
        assert response.finished or len(response.token_ids) == 24


def test_a_seed_gives_the_same_response_in_any_batch(model: PreTrainedModel) -> None:
    together = _sample(model, PROMPTS, [3, 4, 5, 6, 7])
    alone = [_sample(model, [prompt], [seed])[0] for prompt, seed in zip(PROMPTS, [3, 4, 5, 6, 7], strict=True)]
    assert [response.token_ids for response in together] == [response.token_ids for response in alone]
    assert together[0].token_ids != together[3].token_ids  # the same prompt, another seed


def test_first_tokens_come_as_often_as_the_model_says(model: PreTrainedModel) -> None:
    n = 4000
    responses = sample(model, [[5, 6, 7]] * n, list(range(n)), temperature=1.0, max_tokens=1, end_ids=[END], pad_id=PAD)
    with torch.inference_mode():
        wanted = model(torch.tensor([[5, 6, 7]])).logits[0, -1].softmax(-1)
    counts = torch.bincount(torch.tensor([response.token_ids[0] for response in responses]), minlength=23)
    error = (wanted * (1 - wanted) / n).sqrt()
    assert ((counts / n - wanted).abs() <= 5 * error + 1e-9).all()
