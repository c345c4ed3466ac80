"""The problems as the parquet file that verl trains on."""

from pathlib import Path

from rlgen_k8s.errors import UserError
from rlgen_k8s.stages.grpo.settings import GrpoSettings


def write_prompts(problems: Path, model: Path, settings: GrpoSettings, target: Path) -> int:
    """Write to `target` the prompts of at most `max_problems` of `problems.parquet`; return how many there are.

    A problem whose prompt (by the chat template of `model`) is longer than `prompt_tokens` is left out. Raises
    `UserError` if a column is missing or no problem is left.
    """
    import pandas as pd

    from rlgen_k8s.lm.load import load_tokenizer

    source = problems / "problems.parquet"
    table = pd.read_parquet(source)
    for column in ("problem", "answer"):
        if column not in table:
            raise UserError(f"{source}: has no column {column!r}; expected the result of stage `problems`")
    tokenizer = load_tokenizer(model)
    messages = [[{"role": "user", "content": problem}] for problem in table["problem"]]
    texts = tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
    lengths = [len(ids) for ids in tokenizer(texts, add_special_tokens=False)["input_ids"]] if messages else []
    fits = pd.Series(lengths, index=table.index, dtype=int) <= settings.prompt_tokens
    print(f"{fits.sum()} of {len(table)} problems have a prompt of at most {settings.prompt_tokens} tokens", flush=True)
    table = table[fits]
    if table.empty:
        raise UserError(f"{source}: no problem of at most prompt_tokens {settings.prompt_tokens} tokens; raise it")
    if settings.max_problems is not None and settings.max_problems < len(table):
        table = table.sample(settings.max_problems, random_state=settings.seed).sort_index()
    pd.DataFrame(
        {
            "data_source": "problems",
            "prompt": [[{"role": "user", "content": problem}] for problem in table["problem"]],
            "reward_model": [{"style": "rule", "ground_truth": str(answer)} for answer in table["answer"]],
            "extra_info": [{"index": index} for index in range(len(table))],
        }
    ).to_parquet(target)
    return len(table)
