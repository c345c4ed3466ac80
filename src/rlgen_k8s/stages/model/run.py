"""A model in Hugging Face format: pre-trained here from scratch, or a folder of the user's."""

import shutil
from pathlib import Path

from rlgen_k8s.lm.load import check_model_folder, load_tokenizer
from rlgen_k8s.stages.contract import Context
from rlgen_k8s.stages.model.pretrain import pretrain
from rlgen_k8s.stages.model.settings import ModelSettings


def run(context: Context[ModelSettings]) -> None:
    """Leave config.json, model.safetensors, the tokenizer and its chat template in `context.out`."""
    if context.settings.path is None:
        pretrain(context)
    else:
        copy_model(Path(context.settings.path), context.out)


def copy_model(folder: Path, out: Path) -> None:
    """Copy the model in `folder`. Raises `UserError` if it is not one or its tokenizer has no chat template."""
    check_model_folder(folder)
    load_tokenizer(folder)
    for file in folder.iterdir():
        if file.is_file() and not file.name.startswith("."):
            shutil.copy(file, out / file.name)
