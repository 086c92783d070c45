"""`python -m benchmarks PIECE... --models FILE...`: measure, and print a table of each piece.

Pieces can be run one at a time; each adds to benchmarks/results.json, which git ignores, and
replaces what that has of the same servers. With --page docs/performance.md is made from it.

    ceilings   the model alone, and with decoding, without HTTP
    served     the service at 1, 8, 16 and 32 clients, beside the ceilings of the same minutes and
               the peers named with --peers
    free       the service and its peers around a model that costs nothing
    photo      decoding a 12-megapixel photo
    report     nothing is measured; all tables so far
"""

import argparse
import signal
import sys
import tempfile
from pathlib import Path

from benchmarks import corpus, frontend, measurements, report, results

PIECES = {
    "ceilings": measurements.ceilings,
    "served": measurements.served,
    "free": frontend.piece,
    "photo": measurements.photo,
}


def main() -> None:
    """Measure what was asked for; stopped early, stop the servers too."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("pieces", nargs="+", choices=[*PIECES, "report"])
    parser.add_argument("--models", type=Path, nargs="+", help="the artifacts to serve")
    parser.add_argument("--repeats", type=int, default=3, help="interleaved; medians are kept")
    parser.add_argument("--seconds", type=float, default=4, help="of each measurement")
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 8, 16, 32])
    parser.add_argument(
        "--peers", type=Path, help="the python of an environment with requirements/peers.txt"
    )
    parser.add_argument(
        "--torch", type=Path, help="what benchmarks.torch_swin wrote, to be served beside fp32"
    )
    parser.add_argument(
        "--page", action="store_true", help="write docs/performance.md and its plot, which git has"
    )
    options = parser.parse_args()
    names, page = options.__dict__.pop("pieces"), options.__dict__.pop("page")
    with tempfile.TemporaryDirectory() as folder:
        setup = measurements.Setup(
            folder=Path(folder), images=corpus.write(Path(folder)), **vars(options)
        )
        for name in names:
            if name in PIECES:
                print(f"measuring: {name}", file=sys.stderr, flush=True)
                results.add(name, PIECES[name](setup))
        told = report.TABLES if "report" in names else names
        print("\n".join(report.tables(results.read(), told)))
    if page:
        report.write(results.read())


if __name__ == "__main__":
    main()
