"""Pre-train a small Qwen3 from scratch: Muon for the matrices inside the layers, AdamW for the rest, on one thread.

Float32 weights, bfloat16 arithmetic. The budget is in steps, so the same settings and seed give the same model,
interrupted or not.
"""

import shutil
from pathlib import Path

import torch
from transformers import PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM

from rlgen_k8s.errors import UserError
from rlgen_k8s.lm.hub import load_set
from rlgen_k8s.stages.contract import Context
from rlgen_k8s.stages.model.rows import batch_of, pack
from rlgen_k8s.stages.model.settings import HEAD, ModelSettings
from rlgen_k8s.stages.model.tokenizer import MAX_LENGTH, train_tokenizer

WARM_UP = 20
"""Steps in which the learning rates rise; they stay until half of all steps and then fall to zero."""
LOG_STEPS = 20
STATE = "state.pt"

Optimizers = list[torch.optim.Optimizer]


def pretrain(context: Context[ModelSettings]) -> None:
    """Train as `context.settings` say on the mirror in `context.inputs`, and save the model in `context.out`."""
    settings = context.settings
    torch.set_num_threads(1)  # two models are trained at once, and small matrices gain nothing from more
    torch.manual_seed(settings.seed)

    tokenizer = train_tokenizer(read_texts(context, settings.tokenizer_text), settings.vocabulary)
    texts = [text for name in settings.text for text in read_texts(context, name)]
    rows = pack(texts, tokenizer, settings.length, settings.seed)
    model = create_model(settings, tokenizer)
    optimizers = create_optimizers(model, settings)
    peaks = [group["lr"] for optimizer in optimizers for group in optimizer.param_groups]

    start, losses = restore(context, model, optimizers), []
    for step in range(start, settings.steps):
        set_learning_rates(optimizers, peaks, schedule(step, settings.steps))
        losses.append(train_step(model, optimizers, rows[batch_of(step, settings.batch, rows, settings.seed)]))
        done = step + 1
        context.progress(done, settings.steps)
        if done % LOG_STEPS == 0 or done == settings.steps:
            context.metrics({"loss": sum(losses) / len(losses)}, done)
            losses = []
        if done % settings.resume_steps == 0 and done < settings.steps:
            save_state(context, done, model, optimizers)

    context.metrics(
        {
            "parameters": sum(weights.numel() for weights in model.parameters()),
            "tokens": settings.steps * settings.batch * settings.length,
            "passes": settings.steps * settings.batch / len(rows),
            "vocabulary": len(tokenizer),
        },
        None,
    )
    model.save_pretrained(context.out)
    tokenizer.save_pretrained(context.out)


def read_texts(context: Context[ModelSettings], name: str) -> list[str]:
    """The column `text` of the set `name`."""
    table = load_set(context.inputs["mirror"], name, split="train", scratch=context.scratch)
    if "text" not in table.column_names:
        raise UserError(f"data set {name}: has no column text, only {', '.join(table.column_names)}; add it")
    return list(table["text"])


def create_model(settings: ModelSettings, tokenizer: PreTrainedTokenizerFast) -> Qwen3ForCausalLM:
    """A Qwen3 with random weights, its embedding padded to a multiple of 64 rows."""
    heads = settings.width // HEAD
    config = {
        "vocab_size": -(-len(tokenizer) // 64) * 64,
        "hidden_size": settings.width,
        "intermediate_size": 3 * settings.width,
        "num_hidden_layers": settings.layers,
        "num_attention_heads": heads,
        "num_key_value_heads": heads,
        "head_dim": HEAD,
        "max_position_embeddings": MAX_LENGTH,
        "tie_word_embeddings": True,
        "bos_token_id": None,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    return Qwen3ForCausalLM(Qwen3Config.from_dict(config))


def create_optimizers(model: Qwen3ForCausalLM, settings: ModelSettings) -> Optimizers:
    """Muon for the matrices inside the layers, AdamW for the embedding and the norms."""
    inside = [weights for name, weights in model.named_parameters() if weights.ndim == 2 and "layers." in name]
    rest = [weights for name, weights in model.named_parameters() if weights.ndim != 2 or "layers." not in name]
    return [
        torch.optim.Muon(inside, lr=settings.muon_learning_rate, weight_decay=0.01, momentum=0.95),
        torch.optim.AdamW(rest, lr=settings.adam_learning_rate, betas=(0.9, 0.98), weight_decay=0.0, fused=True),
    ]


def schedule(step: int, steps: int) -> float:
    """The learning rates at `step` (from 0) as a part of their peaks."""
    return min(1.0, (step + 1) / WARM_UP) * min(1.0, 2 * (1 - step / steps))


def set_learning_rates(optimizers: Optimizers, peaks: list[float], part: float) -> None:
    """Set every group's learning rate to `part` of its peak."""
    groups = [group for optimizer in optimizers for group in optimizer.param_groups]
    for group, peak in zip(groups, peaks, strict=True):
        group["lr"] = peak * part


def train_step(model: Qwen3ForCausalLM, optimizers: Optimizers, batch: torch.Tensor) -> float:
    """One optimizer step on the token ids `batch` [rows, length]; returns its loss in nats per token."""
    with torch.autocast("cpu", torch.bfloat16):
        logits = model(input_ids=batch, use_cache=False).logits
    loss = torch.nn.functional.cross_entropy(logits[:, :-1].float().flatten(0, 1), batch[:, 1:].flatten())
    torch.autograd.backward(loss)
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    for optimizer in optimizers:
        optimizer.step()
        optimizer.zero_grad()
    return loss.item()


def restore(context: Context[ModelSettings], model: Qwen3ForCausalLM, optimizers: Optimizers) -> int:
    """Take model and optimizers up from the newest resume point; returns the steps already done."""
    point = context.resume.newest()
    if point is None:
        return 0
    state = torch.load(point.path / STATE, weights_only=True)
    model.load_state_dict(state["model"])
    for optimizer, saved in zip(optimizers, state["optimizers"], strict=True):
        optimizer.load_state_dict(saved)
    return point.step


def save_state(context: Context[ModelSettings], step: int, model: Qwen3ForCausalLM, optimizers: Optimizers) -> None:
    """Save a resume point after `step` steps. The learning rates and the order of rows follow from the step."""
    folder: Path = context.scratch / "resume-point"
    folder.mkdir()
    state = {"model": model.state_dict(), "optimizers": [optimizer.state_dict() for optimizer in optimizers]}
    torch.save(state, folder / STATE)
    context.resume.save(step, folder)
    shutil.rmtree(folder)
