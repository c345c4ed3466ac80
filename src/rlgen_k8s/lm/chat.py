"""Chat templates without a system message, tools or a date: one user message gives the same prompt in all trainers."""

CHATML = (
    "{%- for message in messages %}"
    "{{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' }}"
    "{%- endfor %}"
    "{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}"
)
"""Qwen's turns, without its default system message and its tools; LLaMA-Factory's `qwen3` and `qwen3_nothink`."""

LLAMA3 = (
    "{{- bos_token }}"
    "{%- for message in messages %}"
    "{{- '<|start_header_id|>' + message.role + '<|end_header_id|>\\n\\n' + message.content + '<|eot_id|>' }}"
    "{%- endfor %}"
    "{%- if add_generation_prompt %}{{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}{%- endif %}"
)
"""Llama 3's turns, without the system message with today's date that Llama 3.1 adds; LLaMA-Factory's `llama3`."""

CHAT_TEMPLATES = {"chatml": CHATML, "llama3": LLAMA3}
"""By the name that a study's settings give."""
