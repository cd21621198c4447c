"""The command line: ``python -m airflow_provider_lipsync.sandbox``."""

from __future__ import annotations

import argparse
import logging
import sys
from ipaddress import ip_address

from airflow_provider_lipsync.sandbox import verify_extra
from airflow_provider_lipsync.sandbox.fault_options import read_plan
from airflow_provider_lipsync.sandbox.faults import Fault, On
from airflow_provider_lipsync.sandbox.settings import DEFAULT_JOB_SECONDS, DEFAULT_KEY, Settings

__all__ = ["main"]

log = logging.getLogger("airflow_provider_lipsync.sandbox")

_DEFAULT_PORT = 9000


def main(arguments: list[str] | None = None) -> int:
    """Run a sandbox until SIGINT or SIGTERM.

    :param arguments: of the command line; None = those of the process.
    :return: exit status.
    """
    options = _build_parser().parse_args(arguments)
    try:
        verify_extra()
        settings = _read_settings(options)
    except (ImportError, ValueError) as error:
        return _give_up(str(error))
    _set_up_logging()
    return _serve(settings, options.host, options.port)


def _serve(settings: Settings, host: str, port: int) -> int:
    from airflow_provider_lipsync.sandbox.server import bind, run_until_signal

    try:
        listener = bind(host, port)
    except OSError as error:
        return _give_up(f"cannot listen on {host}:{port}: {error.strerror or error}")
    if not _is_loopback(host):
        log.warning("%s is not a loopback address: whoever reaches it sees every submit; meant for this machine", host)
    bound = listener.getsockname()[1]
    origin = f"http://{f'[{host}]' if ':' in host else host}:{bound}"
    low, high = settings.job_range
    pace = f"canned videos, {low:g}-{high:g} s a job" if settings.canned else f"{low:g}-{high:g} s a job"
    if settings.faults:
        pace += f"; {len(settings.faults)} fault rule{'s' if len(settings.faults) > 1 else ''}"

    def announce() -> None:
        sys.stdout.write(f"Lipsync sandbox on {origin}/api/v1 ({pace}; state in memory, lost at exit)\n")
        sys.stdout.flush()

    run_until_signal(settings, listener, on_ready=announce)
    return 0


def _build_parser() -> argparse.ArgumentParser:
    low, high = DEFAULT_JOB_SECONDS
    parser = argparse.ArgumentParser(
        prog="python -m airflow_provider_lipsync.sandbox",
        description="A strict local Lipsync API. All of its state is in memory and lost when it exits.",
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=_port, default=_DEFAULT_PORT, help="0 = any free one (default: %(default)s)")
    parser.add_argument("--key", action="append", help=f"API key that is let in, repeatable (default: {DEFAULT_KEY})")
    parser.add_argument("--speed", type=float, default=1.0, help="times faster than the vendor (default: %(default)s)")
    parser.add_argument("--seconds-low", type=float, help=f"shortest job, before --speed (default: {low:g})")
    parser.add_argument("--seconds-high", type=float, help=f"longest job, before --speed (default: {high:g})")
    parser.add_argument("--canned", action="store_true", help="one canned video for all, at once, no media fetched")
    _add_fault_options(parser)
    return parser


def _add_fault_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group(
        "faults",
        "A RULE is [ON:]FAULT[,NAME=VALUE]... and hits every request, or those that rate=0.1 (a share), times=2 (the "
        "first two) or sequence=1+3 (the first and the third) name. For example: submit:drop_answer,rate=0.1 or "
        f"query:status,status=503,times=2 or webhook_lost. ON is one of {', '.join(On)}; FAULT is one of "
        f"{', '.join(Fault)}. docs/sandbox.md tells what each does, and which NAMEs it has.",
    )
    group.add_argument("--fault", metavar="RULE", action="append", help="what goes wrong, repeatable")
    group.add_argument("--fault-plan", metavar="FILE", help="rules from a JSON file; those of --fault come after them")
    group.add_argument("--fault-seed", metavar="N", type=int, help="makes rates reproducible (default: by real chance)")


def _read_settings(options: argparse.Namespace) -> Settings:
    low, high = options.seconds_low, options.seconds_high
    job_seconds = None
    if low is not None or high is not None:
        default_low, default_high = (0.0, 0.0) if options.canned else DEFAULT_JOB_SECONDS
        shortest = low if low is not None else min(default_low, high)
        job_seconds = (shortest, high if high is not None else max(default_high, shortest))
    keys = tuple(options.key or [DEFAULT_KEY])
    faults, seed = read_plan(options.fault_plan, options.fault or [], options.fault_seed)
    return Settings(
        keys=keys,
        canned=options.canned,
        speed=options.speed,
        job_seconds=job_seconds,
        faults=faults,
        fault_seed=seed,
    )


def _set_up_logging() -> None:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
    for chatty in ("httpx", "httpcore"):  # they log whole URLs, query strings included
        logging.getLogger(chatty).setLevel(logging.WARNING)


def _give_up(message: str) -> int:
    sys.stderr.write(f"lipsync sandbox: {message}\n")
    return 1


def _port(text: str) -> int:
    if not (text.isdecimal() and int(text) <= 65535):
        raise argparse.ArgumentTypeError(f"must be from 0 to 65535, got {text!r}")
    return int(text)


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


if __name__ == "__main__":
    sys.exit(main())
