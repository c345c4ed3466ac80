"""verl on CPUs: a plug-in for verl 0.9.1, loaded in each of its processes.

Set `VERL_USE_EXTERNAL_MODULES=rlgen_k8s.verl_cpu` and, in verl's configuration, `trainer.device=cpu`,
`actor_rollout_ref.rollout.name=hf` and `actor_rollout_ref.actor.strategy=fsdp2`. verl has no CPU platform and no
rollout engine for one; this registers both, by name, so that nothing heavy is imported before it is used.
"""

from rlgen_k8s.verl_cpu.platform import use_cpu_platform
from rlgen_k8s.verl_cpu.register import load_weights_in_each_process, name_process_group_once, register_rollout

use_cpu_platform()
name_process_group_once()
load_weights_in_each_process()
register_rollout()
