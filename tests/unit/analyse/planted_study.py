"""A study small enough to know every answer: models whose residual stream is their embedding, planted features.

Sizes: d = 16, D = 64. Feature i < 16 of the joint crosscoder reads coordinate i; the others never fire.
A prompt's last token says in which cell its sample is, and RL's embedding of that token is moved along coordinates:
critical samples (`!`) along 1 and 2 (and weakly along 3), base-right/RL-wrong ones (`~`) along 5.
"""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit
from transformers import PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM

from rlgen_k8s.crosscoder import Firing, JointActivations, firing
from rlgen_k8s.crosscoder.model import Crosscoder
from rlgen_k8s.crosscoder.saving import save_crosscoder
from rlgen_k8s.stages.corpus.packed import CorpusInfo

D_MODEL, D_FEATURES, TOP = 16, 64, 6
TASKS = ("openbookqa", "commonsense_qa", "headqa_en", "sciq", "arc_challenge")
UNSEEN = ("logiqa", "piqa")
CHANCE = {"openbookqa": 0.25, "commonsense_qa": 0.2, "headqa_en": 0.25, "sciq": 0.25, "arc_challenge": 0.25}
CHANCE |= {"logiqa": 0.25, "piqa": 0.5}
CRITICAL, REVERSE, SAME = "!", "~", "?"
SHIFTS = {CRITICAL: {1: 3.0, 2: 2.0, 3: 0.3}, REVERSE: {5: 2.0}}
SCALE = {"base": 2.0, "sft": 1.0, "rl": 0.5}
DRIFTS = {(name, k): size * k for name, size in (("sft", 0.06), ("rl", 0.02)) for k in range(1, 6)}
"""How far each checkpoint's predictions are from base: SFT's first is where RL's third is."""
SEPARATOR = 33
SFT_TOP = tuple(range(10, 10 + TOP))
STARTS = {("sft", 9): 0, ("sft", 10): 2, ("rl", 9): 3, ("rl", 10): 1}
"""How many of a family's last top features another start has not, by its seed."""
CHANGED = 16
"""Features that another start of the joint crosscoder does not find again."""
RL_OWN = 4
"""Features that a smaller one has as RL's alone, in directions that are no longer those of the joint one."""


def write_models(folder: Path) -> dict[str, Path]:
    """`base` and `rl`: attention and MLP write nothing, so the residual stream is the embedding."""
    words = [CRITICAL, REVERSE, SAME, *(f"w{i}" for i in range(30)), "[PAD]", "[EOS]", "[UNK]"]
    plain = Tokenizer(WordLevel({word: i for i, word in enumerate(words)}, unk_token="[UNK]"))
    plain.pre_tokenizer = WhitespaceSplit()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=plain, pad_token="[PAD]", eos_token="[EOS]", unk_token="[UNK]")
    tokenizer.chat_template = "{% for m in messages %}{{ m.content }}{% endfor %}"
    config = Qwen3Config(
        vocab_size=len(words), hidden_size=D_MODEL, intermediate_size=8, num_hidden_layers=2,
        num_attention_heads=2, num_key_value_heads=1, head_dim=8, tie_word_embeddings=True,
    )  # fmt: skip
    torch.manual_seed(0)
    model = Qwen3ForCausalLM(config)
    with torch.no_grad():
        for layer in model.model.layers:
            layer.self_attn.o_proj.weight.zero_()
            layer.mlp.down_proj.weight.zero_()
        model.model.embed_tokens.weight.normal_(0, 0.1)
        model.model.embed_tokens.weight[: len(SHIFTS) + 1] = 0
    folders = {name: folder / name for name in ("base", "rl")}
    for name, path in folders.items():
        with torch.no_grad():
            for word, moves in SHIFTS.items():
                for coordinate, size in moves.items():
                    if name == "rl":
                        model.model.embed_tokens.weight[words.index(word), coordinate] = size / SCALE["rl"]
        model.save_pretrained(path)
        tokenizer.save_pretrained(path)
    return folders


def moved(base: Path, name: str, k: int) -> Path:
    """A checkpoint: base with its final norm's weight changed by `DRIFTS`, one and the same way for all."""
    model = Qwen3ForCausalLM.from_pretrained(base)
    with torch.no_grad():
        model.model.norm.weight += DRIFTS[name, k] * torch.randn(D_MODEL, generator=torch.Generator().manual_seed(9))
    path = base.parent / f"{name}-{k}"
    model.save_pretrained(path)
    PreTrainedTokenizerFast.from_pretrained(base).save_pretrained(path)
    return path


def joint_crosscoder(thresholds: torch.Tensor | None = None) -> Crosscoder:
    """Base, SFT and RL; each branch reads scaled coordinate i into feature i, where it is above `thresholds`: [D]."""
    rng = torch.Generator().manual_seed(1)
    names = ("base", "sft", "rl")
    encoder = torch.zeros(3, D_MODEL, D_FEATURES)
    encoder[:, range(D_MODEL), range(D_MODEL)] = 1.0
    bias = torch.zeros(D_FEATURES)
    bias[D_MODEL:] = -100.0
    return Crosscoder(
        models=names,
        scales=tuple(SCALE[name] for name in names),
        encoder=encoder.view(-1, D_FEATURES),
        encoder_bias=bias,
        decoder=torch.randn(D_FEATURES, 3 * D_MODEL, generator=rng),
        decoder_bias=torch.zeros(3 * D_MODEL),
        thresholds=thresholds,
    )


def own_features(name: str, k: int) -> tuple[int, ...]:
    """The tuned model's own, at checkpoint k."""
    return SFT_TOP if name == "sft" else tuple(range(10 + TOP * (k - 1), 10 + TOP * k))


def family_crosscoder(name: str, k: int, lost: int = 0) -> Crosscoder:
    """Base and `name` at checkpoint k: the same features in another order each time.

    The tuned model's own features (decoder rows 9 times the base's: NRN 0.9) are the same at every checkpoint of
    SFT, and other ones at each of RL. In another start `lost` of them are shared, and as many others are its own.
    """
    directions = torch.randn(D_FEATURES, D_MODEL, generator=torch.Generator().manual_seed(2))
    tuned = directions.clone()
    for place, feature in enumerate(own_features(name, k)[lost:]):
        tuned[feature] *= 9 + 0.1 * place
    tuned[:lost] *= 6
    decoder = torch.cat([directions, tuned], dim=1)
    order = torch.randperm(D_FEATURES, generator=torch.Generator().manual_seed(100 * k + len(name) + 7 * lost))
    return Crosscoder(
        models=("base", name),
        scales=(1.0, 1.0),
        encoder=decoder[order].T.contiguous(),
        encoder_bias=torch.zeros(D_FEATURES),
        decoder=decoder[order],
        decoder_bias=torch.zeros(2 * D_MODEL),
    )


def noise_crosscoder() -> Crosscoder:
    """Base and base again: NRN 0.5, but for `SFT_TOP`."""
    return replace(family_crosscoder("sft", 1), models=("base", "copy"))


def joint_noise_crosscoder() -> Crosscoder:
    """Base and two copies: MAS a third each, but for `SFT_TOP`, of which the first copy has 9 elevenths."""
    two = noise_crosscoder()
    decoder = torch.cat([two.decoder, two.decoder[:, :D_MODEL]], dim=1)
    return replace(
        two,
        models=("base", "copy1", "copy2"),
        scales=(1.0,) * 3,
        encoder=decoder.T.contiguous(),
        decoder=decoder,
        decoder_bias=torch.zeros(3 * D_MODEL),
    )


def restarted(changed: int) -> Crosscoder:
    """The joint crosscoder in another order, but for `changed` features, which are others."""
    joint, rng = joint_crosscoder(), torch.Generator().manual_seed(3)
    decoder = joint.decoder.clone()
    decoder[:changed] = torch.randn(changed, 3 * D_MODEL, generator=rng)
    return replace(joint, decoder=decoder[torch.randperm(D_FEATURES, generator=rng)])


def smaller(n_features: int) -> Crosscoder:
    """The first features of the joint crosscoder; of `RL_OWN` of them base and SFT have nothing."""
    joint = joint_crosscoder()
    decoder = joint.decoder[:n_features].clone()
    decoder[:RL_OWN, : 2 * D_MODEL] *= 0.05
    return replace(
        joint, encoder=joint.encoder[:, :n_features], encoder_bias=joint.encoder_bias[:n_features], decoder=decoder
    )


def course_crosscoder() -> Crosscoder:
    """Base and all checkpoints, each with the rows that it has in its family's crosscoder, in one order."""
    directions = torch.randn(D_FEATURES, D_MODEL, generator=torch.Generator().manual_seed(2))
    rows = {"base": directions}
    for name, k in DRIFTS:
        rows[f"{name}-{k}"] = directions.clone()
        rows[f"{name}-{k}"][list(own_features(name, k))] *= 9
    decoder = torch.cat(list(rows.values()), dim=1)
    return Crosscoder(
        models=tuple(rows),
        scales=(1.0,) * len(rows),
        encoder=decoder.T.contiguous(),
        encoder_bias=torch.zeros(D_FEATURES),
        decoder=decoder,
        decoder_bias=torch.zeros(len(rows) * D_MODEL),
    )


def evaluations(critical: int, n: int = 60) -> dict[str, pd.DataFrame]:
    """Samples of base, SFT and RL: of each task's `n`, `critical` base wrong/RL right and 5 the other way round."""
    rng = np.random.default_rng(4)
    rows: dict[str, list[dict[str, object]]] = {"base": [], "sft": [], "rl": []}
    for task in (*TASKS, *UNSEEN):
        cells = [CRITICAL] * critical + [REVERSE] * 5 + [SAME] * (n - critical - 5)
        for doc_id, cell in enumerate(rng.permutation(np.array(cells))):
            words = " ".join(f"w{rng.integers(30)}" for _ in range(int(rng.integers(3, 9))))
            prompt = f"{words} {cell}"
            right = {CRITICAL: (0, 1), REVERSE: (1, 0), SAME: (1, 1) if rng.random() < 0.5 else (0, 0)}[str(cell)]
            outcomes = {"base": right[0], "rl": right[1], "sft": int(rng.random() < 0.5)}
            for name, outcome in outcomes.items():
                rows[name].append(_row(task, doc_id, float(outcome), prompt, []))
    for task, size, repeats in (("math500", 80, 3), ("aime24", 30, 10), ("aime25", 30, 10)):
        for doc_id in range(size):
            for name, p in (("base", 0.3), ("sft", 0.6), ("rl", 0.7)):
                correct = [float(x) for x in rng.random(repeats) < p]
                rows[name].append(_row(task, doc_id, float(np.mean(correct)), "w1 w2", correct))
    return {name: pd.DataFrame(table) for name, table in rows.items()}


def _row(task: str, doc_id: int, outcome: float, prompt: str, correct: list[float]) -> dict[str, object]:
    return {
        "task": task, "doc_id": doc_id, "outcome": outcome, "outcome_normalized": None if correct else outcome,
        "prompt": prompt, "choice": -1 if correct else 0, "gold": "x", "loglikelihoods": [], "responses": [],
        "correct": correct,
    }  # fmt: skip


def write_study(folder: Path, critical: int = 20, thresholds: torch.Tensor | None = None) -> dict[str, Path]:
    """All inputs of `analyse`, by name; the joint crosscoder with `thresholds: [D]`."""
    models = write_models(folder / "models")
    inputs = {"model-base": models["base"], "model-rl-5": models["rl"]}
    inputs |= {f"model-{name}-{k}": moved(models["base"], name, k) for name, k in DRIFTS if (name, k) != ("rl", 5)}
    inputs["corpus"] = folder / "corpus"
    inputs["corpus"].mkdir()
    tokens = np.random.default_rng(3).integers(3, 33, (40, 16), dtype=np.int32)
    tokens[:, 0] = SEPARATOR
    np.save(inputs["corpus"] / "evaluation.npy", tokens)
    CorpusInfo(16, SEPARATOR, "joined", "x", 1, {"evaluation": {"web": 40}}, "x").save(inputs["corpus"])
    for name, samples in evaluations(critical).items():
        inputs[f"evaluation-{name}"] = path = folder / f"evaluation-{name}"
        path.mkdir()
        samples.to_parquet(path / "samples.parquet")
        results = {
            task: {
                "metric": "acc", "n": len(part), "mean": float(part["outcome"].mean()), "stderr": 0.0,
                "chance": CHANCE.get(str(task), 0.0), "mean_normalized": None,
            }
            for task, part in samples.groupby("task")
        }  # fmt: skip
        (path / "results.json").write_text(json.dumps(results))
    crosscoders = {f"{name}-{k}": family_crosscoder(name, k) for name in ("sft", "rl") for k in range(1, 6)}
    joint = crosscoders["joint"] = joint_crosscoder(thresholds)
    if critical:
        crosscoders |= {"noise": noise_crosscoder(), "noise-joint": joint_noise_crosscoder()}
        crosscoders |= {"joint-seed10": restarted(0), "joint-seed9": restarted(CHANGED)}
        crosscoders |= {f"{name}-5-seed{seed}": family_crosscoder(name, 5, i) for (name, seed), i in STARTS.items()}
        crosscoders |= {"joint-size48": smaller(48), "joint-lambda0p25": restarted(0), "all": course_crosscoder()}
    for name, crosscoder in crosscoders.items():
        inputs[f"crosscoder-{name}"] = path = folder / f"crosscoder-{name}"
        path.mkdir()
        save_crosscoder(crosscoder, path)
    found = held_out_firing(joint, inputs, tokens)
    save_file(
        {name: tensor.contiguous() for name, tensor in vars(found).items()},
        inputs["crosscoder-joint"] / "examples.safetensors",
    )
    return inputs


def held_out_firing(joint: Crosscoder, inputs: dict[str, Path], tokens: np.ndarray) -> Firing:
    """Where the joint crosscoder's features fire: the residual stream of a token is its embedding."""
    kept = torch.from_numpy(tokens[tokens != SEPARATOR].astype(np.int64))
    models = {"base": "model-base", "sft": "model-sft-5", "rl": "model-rl-5"}
    raw = [
        Qwen3ForCausalLM.from_pretrained(inputs[m]).model.embed_tokens.weight.detach()[kept] for m in models.values()
    ]
    stored = JointActivations(tuple(models), tuple(raw), tuple(SCALE[name] for name in models))
    return firing(joint, stored, torch.full((len(tokens),), tokens.shape[1] - 1))
