from typing import TYPE_CHECKING

import pytest
import torch

from rlgen_k8s.lm.generate import Response, Sampling, chat_prompt, generate

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

GREEDY = Sampling(temperature=0.0, top_p=1.0, top_k=0, max_new_tokens=12)
HOT = Sampling(temperature=1.0, top_p=1.0, top_k=0, max_new_tokens=12)
MESSAGES = ["one two three", "four", "five six seven eight nine ten", "eleven twelve", "x", "a b c d"]


def one_by_one(model: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase", message: str) -> Response:
    """Greedy decoding without batch, padding or cache."""
    ids = tokenizer(chat_prompt(tokenizer, message), add_special_tokens=False)["input_ids"]
    written: list[int] = []
    while len(written) < GREEDY.max_new_tokens and (not written or written[-1] != tokenizer.eos_token_id):
        with torch.no_grad():
            written.append(int(model(input_ids=torch.tensor([ids + written])).logits[0, -1].argmax()))
    text = tokenizer.decode(written, skip_special_tokens=True)
    assert isinstance(text, str)
    return Response(text, len(written), written[-1] == tokenizer.eos_token_id)


def test_a_prompt_is_the_chat_template_with_the_assistants_turn_opened(tokenizer: "PreTrainedTokenizerBase") -> None:
    assert chat_prompt(tokenizer, "hi") == "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n"


@pytest.mark.parametrize("batch_size", [1, 4, 100])
def test_greedy_responses_in_batches_are_those_of_a_plain_loop_over_prompts_and_tokens(
    model: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase", batch_size: int
) -> None:
    batched = generate(model, tokenizer, MESSAGES, GREEDY, batch_size=batch_size, seed=0)
    assert batched == [one_by_one(model, tokenizer, message) for message in MESSAGES]


def test_sampling_repeats_with_its_seed_and_leaves_the_global_random_state_alone(
    model: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase"
) -> None:
    before = torch.get_rng_state()
    first = generate(model, tokenizer, MESSAGES, HOT, batch_size=4, seed=7)
    assert torch.equal(before, torch.get_rng_state())
    assert generate(model, tokenizer, MESSAGES, HOT, batch_size=4, seed=7) == first
    assert generate(model, tokenizer, MESSAGES, HOT, batch_size=4, seed=8) != first


def test_a_response_that_ends_itself_is_told_from_one_that_was_cut(
    model: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase"
) -> None:
    responses = generate(model, tokenizer, ["word"] * 400, HOT, batch_size=200, seed=0)
    ended = [response for response in responses if response.finished]
    cut = [response for response in responses if not response.finished]
    assert ended
    assert cut
    assert all(response.tokens == HOT.max_new_tokens for response in cut)
    assert any(response.tokens < HOT.max_new_tokens for response in ended)
    assert not any("<|" in response.text for response in responses)


def test_progress_counts_messages(model: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase") -> None:
    seen: list[tuple[int, int]] = []
    generate(
        model,
        tokenizer,
        MESSAGES,
        GREEDY,
        batch_size=4,
        seed=0,
        on_batch=lambda done, total: seen.append((done, total)),
    )
    assert seen == [(4, 6), (6, 6)]


def test_no_messages_give_no_responses(model: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase") -> None:
    assert generate(model, tokenizer, [], GREEDY, batch_size=4, seed=0) == []
