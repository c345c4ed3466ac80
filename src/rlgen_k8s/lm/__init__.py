"""Language models as every stage sees them: loading, prompts, the middle layer, final answers."""
