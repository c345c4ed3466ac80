"""A model in Hugging Face format: pre-trained here from scratch, a folder of the user's, or one of the hub's."""

import shutil
from pathlib import Path

from rlgen_k8s.lm.chat import CHAT_TEMPLATES
from rlgen_k8s.lm.load import check_model_folder, load_tokenizer
from rlgen_k8s.stages.contract import Context
from rlgen_k8s.stages.download import download, find
from rlgen_k8s.stages.model.pretrain import pretrain
from rlgen_k8s.stages.model.settings import ModelSettings

FILES = ("*.json", "*.safetensors", "*.jinja", "merges.txt", "LICENSE*")
"""Of a model's files on the hub; other formats of the same weights stay there."""
TEMPLATE_FILE = "chat_template.jinja"
"""Where tokenizers look for a chat template first."""


def run(context: Context[ModelSettings]) -> None:
    """Leave config.json, model.safetensors, the tokenizer and its chat template in `context.out`."""
    settings = context.settings
    if settings.source == "pretrain":
        pretrain(context)
        return
    given = context.out
    if settings.repository is not None and settings.revision is not None:
        source = find("repository", settings.repository, settings.revision, kind="model", patterns=FILES)
        download(context, [(source, given)])
    elif settings.path is not None:
        given = Path(settings.path)
        copy_model(given, context.out)
    if settings.chat_template == "own":
        load_tokenizer(given)
    else:
        template = context.out / TEMPLATE_FILE
        template.unlink(missing_ok=True)
        template.write_text(CHAT_TEMPLATES[settings.chat_template])
        load_tokenizer(context.out)


def copy_model(folder: Path, out: Path) -> None:
    """Copy the model in `folder`. Raises `UserError` if it is not one."""
    check_model_folder(folder)
    for file in folder.iterdir():
        if file.is_file() and not file.name.startswith("."):
            shutil.copy(file, out / file.name)
