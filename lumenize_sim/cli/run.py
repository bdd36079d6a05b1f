"""``lumenize-sim run``: one run."""

from __future__ import annotations

import click

from lumenize_sim.cli.arguments import (
    command_line,
    faults_option,
    faults_wanted,
    folder_for_tapes,
    json_option,
    save_option,
    scenario_argument,
    strategy_option,
    trace_option,
    write_trace,
)
from lumenize_sim.cli.console import Printer, apart_from_json
from lumenize_sim.cli.cost import CostBasis, cost_options, print_cost
from lumenize_sim.cli.determinism import determinism_option, first_divergence, print_determinism, to_json
from lumenize_sim.cli.exits import Exit, interruptible
from lumenize_sim.cli.verdict import exit_of, print_run
from lumenize_sim.explore import load_scenario, simulate

__all__ = ["command"]


@click.command("run")
@scenario_argument
@click.option("--seed", type=int, help="Draws schedule, faults and randomness; without: in order, nothing goes wrong.")
@strategy_option
@faults_option
@save_option
@trace_option
@cost_options
@determinism_option
@json_option
def command(
    where: str,
    seed: int | None,
    strategy: str | None,
    faults: str | None,
    save: str,
    trace_file: str | None,
    costs: bool,
    cost_scale: float,
    cost_turn_ms: float,
    prices: str,
    check: bool,
    as_json: bool,
) -> int:
    """Run SCENARIO (path.py or path.py::name) once, and write its tape.

    Without a seed it is the world without surprises: first come, first served, and nothing
    goes wrong.  With faults it is seed 0 unless another is given, and some seeds draw none.
    """
    printer = Printer()
    again = command_line("run", where, seed=seed, strategy=strategy, faults=faults)
    with interruptible(again), apart_from_json(as_json):
        basis = CostBasis.of(cost_scale, cost_turn_ms, prices)
        folder = folder_for_tapes(save)
        scenario = load_scenario(where)
        wanted = faults_wanted(scenario, faults)
        if wanted and seed is None:
            seed = 0
        run = simulate(scenario, seed=seed, strategy=strategy, faults=wanted, save=folder)
        if not as_json:
            _ = run.explanation  # runs the app again, which may print and be interrupted
        diverged = first_divergence([run]) if check else None
    write_trace(run.trace, trace_file)
    if as_json:
        document = run.to_json()
        if costs:
            document["cost"] = run.cost.to_json(basis.runs, prices=basis.prices, turn_ms=basis.turn_ms)
        if check:
            document["determinism"] = to_json(diverged)
        printer.json(document)
    else:
        drawn = seed is not None or strategy not in (None, "fifo")
        print_run(printer, run, seed_note="" if drawn else " (none was given: nothing is left to chance)")
        if trace_file is not None:
            printer.fact("trace", trace_file)
        if costs:
            print_cost(printer, run.cost, basis)
        if check:
            print_determinism(printer, diverged)
    return exit_of(run) if diverged is None else Exit.DIVERGED
