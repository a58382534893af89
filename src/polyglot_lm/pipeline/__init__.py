"""Steps, folders, records and runners: knows functions and folders, no languages and no torch."""

from polyglot_lm.pipeline.errors import CorruptFileError, UserError
from polyglot_lm.pipeline.files import atomic_path, atomic_text, read_json, write_json, xxh3_128_file
from polyglot_lm.pipeline.nodes import Nodes
from polyglot_lm.pipeline.plan import PlannedStep, plan, why
from polyglot_lm.pipeline.progress import Progress, Task
from polyglot_lm.pipeline.record import RECORD, read_record
from polyglot_lm.pipeline.run import follow_steps, name_results, run_steps
from polyglot_lm.pipeline.runtime import CORES, Call, Layout, LocalRunner, Lost, Recompute, Runner, Runtime
from polyglot_lm.pipeline.steps import Counters, Stage, Step, in_order, stage
from polyglot_lm.pipeline.tasks import MANIFESTS, Manifest, Outcome, all_done, counted, read_manifests, run_tasks

__all__ = [
    "CORES",
    "MANIFESTS",
    "RECORD",
    "Call",
    "CorruptFileError",
    "Counters",
    "Layout",
    "LocalRunner",
    "Lost",
    "Manifest",
    "Nodes",
    "Outcome",
    "PlannedStep",
    "Progress",
    "Recompute",
    "Runner",
    "Runtime",
    "Stage",
    "Step",
    "Task",
    "UserError",
    "all_done",
    "atomic_path",
    "atomic_text",
    "counted",
    "follow_steps",
    "in_order",
    "name_results",
    "plan",
    "read_json",
    "read_manifests",
    "read_record",
    "run_steps",
    "run_tasks",
    "stage",
    "why",
    "write_json",
    "xxh3_128_file",
]
