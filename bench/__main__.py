"""Runs the figures of `make bench` and writes RESULTS.md. See README.md."""

import argparse
import signal
import sys
import time

from bench import report, run_environment, schedule
from bench.application import make_database
from bench.servers import servers


def main() -> None:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument(
        "--only", default="", help=f"some of {', '.join(schedule.FIGURES)}; the others stay as they were"
    )
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--held", type=float, default=60, help="seconds of the long transaction (growth)")
    parser.add_argument("--disturbed", type=float, default=0.15, help="share of the machine that others may use")
    options = parser.parse_args()
    possible = schedule.ON_ANY_SERVER if run_environment.SERVER else schedule.FIGURES
    figures = tuple(options.only.replace(",", " ").split()) or possible
    if unknown := set(figures) - set(possible):
        where = " on the server of DATABASE_URL" if run_environment.SERVER else ""
        sys.exit(f"error: no such figure{where}: {', '.join(sorted(unknown))}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with servers() as settings:
        make_database()
        records = [record for record in schedule.load_records() if record["figure"] not in figures]
        for figure, name, record in schedule.run(
            schedule.Plan(figures, options.repeats, options.held, options.disturbed)
        ):
            at = time.strftime("%Y-%m-%d %H:%M")
            records.append({"figure": figure, "name": name, "at": at, "settings": settings, **record})
            print(f"{at}  {figure} {name}: {report.line(record)}", flush=True)
            schedule.store_records(records)
    run_environment.RESULTS.write_text(report.results_text(records))


if __name__ == "__main__":
    main()
