"""Hold the planner against every run that was measured: `python benchmarks/training/calibrate.py`.

Prints estimate beside measurement, and the largest errors as one JSON object. It measures nothing; runs are added to
src/polyglot_lm/training/measured.toml by hand, with their date and versions.
"""

import json

from polyglot_lm.training.planner import measured_runs, plan_of_measured


def main() -> None:
    print(f"{'run':<34}{'GiB':>8}{'measured':>10}{'':>8}{'tokens/s':>11}{'measured':>10}")
    worst = {"memory_error": 0.0, "speed_error": 0.0}
    for run in measured_runs():
        plan = plan_of_measured(run)
        speed = plan.tokens_s / run["gpus"]
        errors = {"memory_error": plan.memory_gib / run["memory_gib"] - 1, "speed_error": speed / run["tokens_s"] - 1}
        name = f"{run['size']} {run['precision']} on {run['gpus']} {run['gpu']}, {run['micro_batch']} windows"
        print(
            f"{name:<34}{plan.memory_gib:>8.1f}{run['memory_gib']:>10.1f}{errors['memory_error']:>+8.1%}"
            f"{speed:>11,.0f}{run['tokens_s']:>10,}{errors['speed_error']:>+8.1%}"
        )
        worst = {name: max(worst[name], abs(error)) for name, error in errors.items()}
    print(json.dumps({"runs": len(measured_runs()), **{name: round(error, 4) for name, error in worst.items()}}))


if __name__ == "__main__":
    main()
